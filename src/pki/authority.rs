//! A certificate authority (CA) in memory, ECDSA P-256, that signs server certificates.
//!
//! The time is an argument. [`crate::cluster::ca`] stores and replaces the CA. There is no
//! revocation, because certificates are short-lived.

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

/// How long before it is signed a certificate becomes valid, because clocks differ.
pub const BACKDATING: SignedDuration = SignedDuration::from_hours(1);

/// Why an authority cannot be read or used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The text has no certificate.
    #[error("there is no PEM certificate (BEGIN CERTIFICATE)")]
    NoCertificate(#[source] pem::Error),
    /// The certificate is not X.509.
    #[error("the certificate is not X.509")]
    NotX509(#[source] x509_cert::der::Error),
    /// The certificate is not a CA certificate.
    #[error("the certificate is not a CA certificate (basicConstraints lacks CA:TRUE)")]
    NotAuthority,
    /// The encoding of the subject cannot be repeated byte for byte as the issuer of a leaf.
    #[error("the subject of the certificate has an encoding that is not supported")]
    Subject,
    /// The key is not PKCS #8 in PEM.
    #[error("the key is not a PKCS #8 private key in PEM (BEGIN PRIVATE KEY)")]
    Key(#[source] rcgen::Error),
    /// Key and certificate are not a pair.
    #[error("the key does not match the certificate")]
    OtherKey,
    /// A certificate cannot be created.
    #[error("cannot create a certificate for {0}")]
    Make(String, #[source] rcgen::Error),
}

/// The certificate of a CA, without its key.
#[derive(Clone, Eq, PartialEq)]
pub struct CaCertificate {
    /// Encoded by drydock, so that equal certificates have equal text.
    pem: Arc<str>,
    name: Arc<str>,
    from: Timestamp,
    until: Timestamp,
}

impl fmt::Debug for CaCertificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({} to {})", self.name, self.from, self.until)
    }
}

impl CaCertificate {
    /// Reads all certificates of a PEM text; returns them and the number of unreadable ones. Other
    /// PEM sections are ignored.
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
            from: timestamp(tbs.validity.not_before),
            until: timestamp(tbs.validity.not_after),
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

    /// Returns when it expires.
    pub fn expires(&self) -> Timestamp {
        self.until
    }

    /// Whether the certificate is valid at a time.
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.from <= now && now < self.until
    }

    /// Returns the time until the certificate expires; zero afterwards.
    pub fn remaining(&self, now: Timestamp) -> Duration {
        let remaining = self.until.duration_since(now);
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
        let failed = |error| AuthorityError::Make(name.to_owned(), error);
        let key = KeyPair::generate().map_err(failed)?;
        let mut ca = CertificateParams::new([]).map_err(failed)?;
        ca.not_before = SystemTime::from(begin(now)).into();
        ca.not_after = SystemTime::from(end(now, lifetime)).into();
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

    /// Reads a CA: the first certificate of a PEM text, and its key.
    ///
    /// # Errors
    /// If one of them cannot be read, they are not a pair, or the certificate is not of a CA.
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
        let key = KeyPair::from_pem(key).map_err(AuthorityError::Key)?;
        let own_key = tbs.subject_public_key_info.to_der();
        if own_key.map_err(AuthorityError::NotX509)? != key.subject_public_key_info() {
            return Err(AuthorityError::OtherKey);
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

    /// Returns its certificate.
    pub fn certificate(&self) -> &CaCertificate {
        &self.certificate
    }

    /// Returns its private key as PEM.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Signs a server certificate for DNS names and addresses. It expires no later than the CA.
    ///
    /// # Errors
    /// If a certificate cannot contain a name.
    pub fn sign(
        &self,
        names: &[String],
        now: Timestamp,
        lifetime: Duration,
    ) -> Result<Leaf, AuthorityError> {
        let failed = |error| AuthorityError::Make(names.join(", "), error);
        let key = KeyPair::generate().map_err(failed)?;
        let mut server = CertificateParams::new(names).map_err(failed)?;
        let expires = end(now, lifetime).min(self.certificate.until);
        // It begins with the CA: a client that accepts the CA accepts it too, even if this clock is
        // wrong.
        server.not_before = SystemTime::from(self.certificate.from).into();
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

/// Returns the end of a lifetime, in whole seconds as in certificates.
fn end(now: Timestamp, lifetime: Duration) -> Timestamp {
    let end = now.checked_add(lifetime).unwrap_or(Timestamp::MAX);
    Timestamp::from_second(end.as_second()).unwrap_or(Timestamp::MAX)
}

fn begin(now: Timestamp) -> Timestamp {
    now.checked_sub(BACKDATING).unwrap_or(Timestamp::MIN)
}

/// Reads a subject so that encoding it gives the same bytes: verifiers compare names as bytes.
fn subject(name: &Name) -> Result<DistinguishedName, AuthorityError> {
    let mut subject = DistinguishedName::new();
    for attributes in &name.0 {
        let [attribute] = attributes.0.as_slice() else {
            return Err(AuthorityError::Subject);
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
        // A second attribute of a kind would replace the first.
        match value {
            Some(value) if subject.get(&kind).is_none() => subject.push(kind, value),
            _ => return Err(AuthorityError::Subject),
        }
    }
    Ok(subject)
}

#[cfg(test)]
mod tests;
