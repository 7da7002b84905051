//! A certificate authority (CA) in memory that signs server certificates. New keys are ECDSA P-256.
//!
//! The time is an argument. [`crate::cluster::ca`] stores and rotates the CA. Certificates are
//! short-lived, so they are not revoked.

use super::leaf::Leaf;
use super::timestamp;
use jiff::{SignedDuration, Timestamp};
use rcgen::string::PrintableString;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    PublicKeyData as _,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, pem};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use x509_cert::der::asn1::{PrintableStringRef, Utf8StringRef};
use x509_cert::der::pem::{LineEnding, encode_string};
use x509_cert::der::{Decode as _, Encode as _, Tag, Tagged as _};
use x509_cert::ext::pkix::{self, SubjectKeyIdentifier};
use x509_cert::name::Name;

/// The validity of a CA certificate begins this long before its creation, because clocks differ.
pub const BACKDATING: SignedDuration = SignedDuration::from_hours(1);

/// An error that occurs when an authority is read, created or used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The text has no certificate.
    #[error("there is no PEM certificate (BEGIN CERTIFICATE)")]
    NoCertificate(#[source] pem::Error),
    /// The certificate is not valid X.509.
    #[error("the certificate is not a valid X.509 certificate")]
    NotX509(#[source] x509_cert::der::Error),
    /// The certificate is not a CA certificate.
    #[error("the certificate is not a CA certificate (basicConstraints lacks CA:TRUE)")]
    NotAuthority,
    /// The subject cannot be encoded byte for byte as the issuer of a leaf.
    #[error("the subject of the certificate has an unsupported encoding")]
    UnsupportedSubject,
    /// The key is not PKCS #8 in PEM.
    #[error("the key is not a PKCS #8 private key in PEM (BEGIN PRIVATE KEY)")]
    UnreadableKey(#[source] rcgen::Error),
    /// The key does not match the certificate.
    #[error("the key does not match the certificate")]
    KeyMismatch,
    /// A certificate cannot be created.
    #[error("cannot create a certificate for {0}")]
    NotCreated(String, #[source] rcgen::Error),
}

/// The certificate of a CA, without its key.
#[derive(Clone, Eq, PartialEq)]
pub struct CaCertificate {
    /// Encoded again by drydock, so that equal certificates have equal text.
    pem: Arc<str>,
    name: Arc<str>,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl fmt::Debug for CaCertificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, not_before, not_after) = (&self.name, self.not_before, self.not_after);
        write!(formatter, "{name} ({not_before} to {not_after})")
    }
}

impl CaCertificate {
    /// Reads all certificates of a PEM text. Returns them and the number of unreadable
    /// certificates. Ignores other PEM sections.
    pub fn all_from_pem(text: &str) -> (Vec<Self>, usize) {
        let (mut good, mut unreadable) = (Vec::new(), 0);
        for der in CertificateDer::pem_slice_iter(text.as_bytes()) {
            match der.map(|der| Self::from_der(&der)) {
                Ok(Ok(certificate)) => good.push(certificate),
                _ => unreadable += 1,
            }
        }
        (good, unreadable)
    }

    fn from_der(der: &[u8]) -> Result<Self, AuthorityError> {
        let parsed = x509_cert::Certificate::from_der(der).map_err(AuthorityError::NotX509)?;
        Self::from_parsed(der, &parsed)
    }

    fn from_parsed(der: &[u8], parsed: &x509_cert::Certificate) -> Result<Self, AuthorityError> {
        let tbs = &parsed.tbs_certificate;
        let pem = encode_string("CERTIFICATE", LineEnding::LF, der)
            .map_err(|error| AuthorityError::NotX509(error.into()))?;
        Ok(Self {
            pem: pem.into(),
            name: tbs.subject.to_string().into(),
            not_before: timestamp(tbs.validity.not_before),
            not_after: timestamp(tbs.validity.not_after),
        })
    }

    /// Returns the certificate as PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Returns the subject as text.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns when the certificate expires.
    pub fn expires(&self) -> Timestamp {
        self.not_after
    }

    /// Returns whether the certificate is valid at `now`.
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.not_before <= now && now < self.not_after
    }

    /// Returns the time until the certificate expires, or zero if it has expired.
    pub fn remaining(&self, now: Timestamp) -> Duration {
        let remaining = self.not_after.duration_since(now);
        remaining.try_into().unwrap_or_default()
    }
}

/// A CA: its certificate and its key.
#[derive(Clone, Debug)]
pub struct Authority {
    certificate: CaCertificate,
    issuer: Arc<Issuer<'static, KeyPair>>,
}

/// CAs are equal if their certificates are equal.
impl PartialEq for Authority {
    fn eq(&self, other: &Self) -> bool {
        self.certificate == other.certificate
    }
}
impl Eq for Authority {}

impl Authority {
    /// Creates a CA that is valid from [`BACKDATING`] before `now`. Its subject ends with a part of
    /// the hash of its key, so that CAs with the same name have different subjects.
    ///
    /// # Errors
    /// If the lifetime ends in a year that a certificate cannot express.
    pub fn make(name: &str, now: Timestamp, lifetime: Duration) -> Result<Self, AuthorityError> {
        let failed = |error| AuthorityError::NotCreated(name.to_owned(), error);
        let key = KeyPair::generate().map_err(failed)?;
        let mut ca = CertificateParams::new([]).map_err(failed)?;
        let not_before = now.checked_sub(BACKDATING).unwrap_or(Timestamp::MIN);
        ca.not_before = SystemTime::from(not_before).into();
        ca.not_after = SystemTime::from(not_after(now, lifetime)).into();
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        ca.distinguished_name = DistinguishedName::new();
        let key_id = ca.key_identifier(&key);
        let tag: String = key_id.iter().take(4).map(|b| format!("{b:02x}")).collect();
        ca.distinguished_name
            .push(DnType::CommonName, format!("{name} {tag}"));
        let certificate = CaCertificate::from_der(ca.self_signed(&key).map_err(failed)?.der())?;
        Ok(Self {
            certificate,
            issuer: Arc::new(Issuer::new(ca, key)),
        })
    }

    /// Reads a CA from PEM: the first certificate of `certificate`, and its private key.
    ///
    /// # Errors
    /// If one of them cannot be read, the key does not match the certificate, or the certificate is
    /// not a CA certificate.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, AuthorityError> {
        let der = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(AuthorityError::NoCertificate)?;
        let parsed = x509_cert::Certificate::from_der(&der).map_err(AuthorityError::NotX509)?;
        let certificate = CaCertificate::from_parsed(&der, &parsed)?;
        let tbs = &parsed.tbs_certificate;
        let constraints = tbs.get::<pkix::BasicConstraints>();
        let (_, constraints) = constraints
            .map_err(AuthorityError::NotX509)?
            .ok_or(AuthorityError::NotAuthority)?;
        if !constraints.ca {
            return Err(AuthorityError::NotAuthority);
        }
        let key = KeyPair::from_pem(key).map_err(AuthorityError::UnreadableKey)?;
        let own_key = tbs.subject_public_key_info.to_der();
        if own_key.map_err(AuthorityError::NotX509)? != key.subject_public_key_info() {
            return Err(AuthorityError::KeyMismatch);
        }
        let mut ca = CertificateParams::default();
        ca.distinguished_name = subject(&tbs.subject)?;
        let key_id = tbs.get::<SubjectKeyIdentifier>();
        if let Some((_, key_id)) = key_id.map_err(AuthorityError::NotX509)? {
            ca.key_identifier_method = KeyIdMethod::PreSpecified(key_id.0.as_bytes().to_vec());
        }
        let issuer = Issuer::new(ca, key);
        Ok(Self {
            certificate,
            issuer: Arc::new(issuer),
        })
    }

    /// Returns the certificate of the CA.
    pub fn certificate(&self) -> &CaCertificate {
        &self.certificate
    }

    /// Returns the private key of the CA as PEM.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Signs a server certificate for DNS names and IP addresses. The certificate expires no later
    /// than the CA.
    ///
    /// # Errors
    /// If a certificate cannot contain one of the names.
    pub fn sign(
        &self,
        names: &[String],
        now: Timestamp,
        lifetime: Duration,
    ) -> Result<Leaf, AuthorityError> {
        let failed = |error| AuthorityError::NotCreated(names.join(", "), error);
        let key = KeyPair::generate().map_err(failed)?;
        let mut server = CertificateParams::new(names).map_err(failed)?;
        let expires = not_after(now, lifetime).min(self.certificate.not_after);
        // The certificate is valid from the same time as the CA. Therefore a client for which the
        // CA is valid accepts it, even if the clock of this node is wrong.
        server.not_before = SystemTime::from(self.certificate.not_before).into();
        server.not_after = SystemTime::from(expires).into();
        server.distinguished_name = DistinguishedName::new();
        server
            .distinguished_name
            .push(DnType::CommonName, "drydock");
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        server.use_authority_key_identifier_extension = true;
        let certificate = server.signed_by(&key, &self.issuer).map_err(failed)?;
        Ok(Leaf {
            certificate,
            key: Arc::new(key),
            authority: self.clone(),
            signed: now,
            expires,
        })
    }
}

/// Returns the end of a lifetime that starts at `now`, in whole seconds, as in a certificate.
fn not_after(now: Timestamp, lifetime: Duration) -> Timestamp {
    let end = now.checked_add(lifetime).unwrap_or(Timestamp::MAX);
    Timestamp::from_second(end.as_second()).unwrap_or(Timestamp::MAX)
}

/// Converts a subject so that encoding it again returns the same bytes. Verifiers compare the
/// subject of a CA and the issuer of a leaf byte by byte.
fn subject(name: &Name) -> Result<DistinguishedName, AuthorityError> {
    let mut subject = DistinguishedName::new();
    for attributes in &name.0 {
        let [attribute] = attributes.0.as_slice() else {
            return Err(AuthorityError::UnsupportedSubject);
        };
        let kind = attribute.oid.arcs().map(u64::from).collect::<Vec<_>>();
        let kind = DnType::from_oid(&kind);
        let value = &attribute.value;
        let value = match value.tag() {
            Tag::Utf8String => {
                let text = value.decode_as::<Utf8StringRef<'_>>().ok();
                text.map(|text| DnValue::Utf8String(text.as_str().to_owned()))
            }
            Tag::PrintableString => {
                let text = value.decode_as::<PrintableStringRef<'_>>().ok();
                let text = text.and_then(|text| PrintableString::try_from(text.as_str()).ok());
                text.map(DnValue::PrintableString)
            }
            _ => None,
        };
        // `push` would replace an earlier attribute of the same type, so a second one is an error.
        match value {
            Some(value) if subject.get(&kind).is_none() => subject.push(kind, value),
            _ => return Err(AuthorityError::UnsupportedSubject),
        }
    }
    Ok(subject)
}

#[cfg(test)]
mod tests;
