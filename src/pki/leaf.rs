//! A server certificate that an [`Authority`] has signed.

use super::authority::Authority;
use jiff::Timestamp;
use rcgen::KeyPair;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::sync::Arc;

/// A server certificate with its key.
#[derive(Clone, Debug)]
pub struct Leaf {
    pub(super) certificate: rcgen::Certificate,
    pub(super) key: Arc<KeyPair>,
    /// The authority that signed the certificate.
    pub authority: Authority,
    /// When the certificate was signed.
    pub signed: Timestamp,
    /// When the certificate expires.
    pub expires: Timestamp,
}

impl Leaf {
    /// Returns the certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        self.certificate.der()
    }

    /// Returns the private key.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }

    /// Returns the certificate as PEM.
    pub fn certificate_pem(&self) -> String {
        self.certificate.pem()
    }

    /// Returns the private key as PEM.
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }
}
