//! A certificate authority in memory: ECDSA P-256, made here or read back from PEM, and the short-lived server certificates it signs.
//!
//! It keeps nothing and knows no clock: the time is passed in. Where it lives and when it is replaced is decided by those who use it,
//! [`crate::cluster::ca`] and the command line's development certificates.
//! No revocation: what it signs is short-lived instead.

#[cfg(test)]
mod tests;

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

/// Certificates are good from a little before they are made: clocks differ.
pub const BEFORE_NOW: SignedDuration = SignedDuration::from_hours(1);

/// Why an authority cannot be read or used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// There is no certificate in the text.
    #[error("there is no PEM certificate (BEGIN CERTIFICATE)")]
    NoCertificate(#[source] pem::Error),
    /// The certificate is not X.509.
    #[error("the certificate is not X.509")]
    NotX509(#[source] x509_cert::der::Error),
    /// The certificate may not sign others.
    #[error("the certificate is not one of an authority (basic constraints with CA:TRUE)")]
    NotAuthority,
    /// The subject is written in a way that what is signed could not repeat.
    #[error("the subject of the certificate cannot be repeated by those it signs")]
    Subject,
    /// The key is not PKCS #8 in PEM.
    #[error("the key is not a PKCS #8 private key in PEM (BEGIN PRIVATE KEY)")]
    Key(#[source] rcgen::Error),
    /// Key and certificate are not of one pair.
    #[error("the key is not the one of the certificate")]
    OtherKey,
    /// A certificate cannot be made.
    #[error("no certificate can be made for {0}")]
    Make(String, #[source] rcgen::Error),
}

/// The certificate of an authority, without its key: what others trust.
#[derive(Clone, Eq, PartialEq)]
pub struct CaCertificate {
    /// As everybody writes it, so that equal ones are equal here.
    pem: Arc<str>,
    name: Arc<str>,
    from: Timestamp,
    until: Timestamp,
}

/// Name and time; the bytes are of no use to people.
impl fmt::Debug for CaCertificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name, from, until, ..
        } = self;
        write!(formatter, "{name} ({from} to {until})")
    }
}

impl CaCertificate {
    /// Reads all certificates of a PEM text, and counts those that cannot be read. What is not a certificate is passed over.
    #[must_use]
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
        let at = |time: x509_cert::time::Time| {
            let seconds = i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
            Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
        };
        let tbs = &parsed.tbs_certificate;
        let pem = encode_string("CERTIFICATE", LineEnding::LF, der);
        Ok(Self {
            pem: pem
                .map_err(|error| AuthorityError::NotX509(error.into()))?
                .into(),
            name: tbs.subject.to_string().into(),
            from: at(tbs.validity.not_before),
            until: at(tbs.validity.not_after),
        })
    }

    /// Returns it as PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Returns the subject, as people read it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns when it ends.
    #[must_use]
    pub fn expires(&self) -> Timestamp {
        self.until
    }

    /// Whether it is good at a time: begun, and not ended.
    #[must_use]
    pub fn is_good(&self, now: Timestamp) -> bool {
        self.from <= now && now < self.until
    }

    /// Returns how long it is still good; zero where it has ended.
    #[must_use]
    pub fn rest(&self, now: Timestamp) -> Duration {
        self.until
            .duration_since(now)
            .try_into()
            .unwrap_or_default()
    }
}

/// An authority: its certificate and its key.
#[derive(Clone)]
pub struct Authority {
    certificate: CaCertificate,
    issuer: Arc<Issuer<'static, KeyPair>>,
}

/// The key is left out.
impl fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.certificate.fmt(formatter)
    }
}

/// Two are the same if they are trusted by the same certificate.
impl PartialEq for Authority {
    fn eq(&self, other: &Self) -> bool {
        self.certificate == other.certificate
    }
}
impl Eq for Authority {}

/// A server certificate with its key.
#[derive(Clone)]
pub struct Leaf {
    /// The certificate, PEM.
    pub certificate: String,
    /// Its private key, PEM.
    pub key: String,
    /// When it was signed.
    pub signed: Timestamp,
    /// When it ends, at the latest with the authority.
    pub expires: Timestamp,
}

/// The key is left out.
impl fmt::Debug for Leaf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            signed, expires, ..
        } = self;
        write!(formatter, "leaf ({signed} to {expires})")
    }
}

impl Authority {
    /// Makes an authority that is good from now on (and an hour before, [`BEFORE_NOW`]). Its subject tells it from others of the same name.
    ///
    /// # Errors
    /// Where the lifetime leads to a year that certificates cannot hold.
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

    /// Reads an authority back: its certificate, the first of the text, and its key.
    ///
    /// # Errors
    /// Where one of them cannot be read, is of another pair, or is not of an authority.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, AuthorityError> {
        let der = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(AuthorityError::NoCertificate)?;
        let certificate = CaCertificate::from_der(&der)?;
        let parsed = x509_cert::Certificate::from_der(&der).map_err(AuthorityError::NotX509)?;
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
    #[must_use]
    pub fn certificate(&self) -> &CaCertificate {
        &self.certificate
    }

    /// Returns its private key as PEM, to be kept secret.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Signs a server certificate for DNS names and addresses, which ends with the authority if not before.
    ///
    /// # Errors
    /// Where a name is not one that a certificate can hold.
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
        // Whoever trusts the authority by now accepts its begin, whatever the clock here says.
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
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            signed: now,
            expires,
        })
    }
}

/// The end of a lifetime, in whole seconds as certificates have them.
fn end(now: Timestamp, lifetime: Duration) -> Timestamp {
    let end = now.checked_add(lifetime).unwrap_or(Timestamp::MAX);
    Timestamp::from_second(end.as_second()).unwrap_or(Timestamp::MAX)
}

fn begin(now: Timestamp) -> Timestamp {
    now.checked_sub(BEFORE_NOW).unwrap_or(Timestamp::MIN)
}

/// Reads a subject so that it is written again byte for byte: names are compared as bytes by those who verify.
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
            Tag::Utf8String => value
                .decode_as::<Utf8StringRef<'_>>()
                .ok()
                .map(|text| DnValue::Utf8String(text.as_str().to_owned())),
            Tag::PrintableString => value
                .decode_as::<PrintableStringRef<'_>>()
                .ok()
                .and_then(|text| PrintableString::try_from(text.as_str()).ok())
                .map(DnValue::PrintableString),
            _ => None,
        };
        // One of a kind: a second would replace the first.
        match value {
            Some(value) if subject.get(&kind).is_none() => subject.push(kind, value),
            _ => return Err(AuthorityError::Subject),
        }
    }
    Ok(subject)
}
