//! A server certificate that an [`Authority`](super::authority::Authority) has signed.

use jiff::Timestamp;
use rcgen::KeyPair;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::fmt;
use std::sync::Arc;

/// A server certificate with its key.
#[derive(Clone)]
pub struct Leaf {
    pub(super) certificate: rcgen::Certificate,
    pub(super) key: Arc<KeyPair>,
    /// When it was signed.
    pub signed: Timestamp,
    /// When it expires.
    pub expires: Timestamp,
}

/// Without the key.
impl fmt::Debug for Leaf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            signed, expires, ..
        } = self;
        write!(formatter, "leaf ({signed} to {expires})")
    }
}

impl Leaf {
    /// Returns the certificate.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        self.certificate.der()
    }

    /// Returns the private key.
    #[must_use]
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }

    /// Returns the certificate as PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        self.certificate.pem()
    }

    /// Returns the private key as PEM.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }
}
