//! The TLS configuration of the server. The certificate and the client CA can change while the
//! server runs.

use super::client_ca::{ClientCa, Verifier};
use super::leaf::Leaf;
use super::timestamp;
use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName, pem};
use rustls::server::{ClientHello, NoServerSessionStorage, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::sync::Arc;
use tokio::sync::watch;
use x509_cert::der::Decode as _;

/// A certificate chain with its key and its validity.
#[derive(Clone, Debug)]
pub struct Certificate {
    key: Arc<CertifiedKey>,
    not_before: Timestamp,
    not_after: Timestamp,
}

/// An error that occurs when a certificate and its key are read or checked.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The file has no certificate.
    #[error("the certificate file has no PEM certificate (BEGIN CERTIFICATE)")]
    NoCertificate,
    /// The certificate file is not PEM.
    #[error("the certificate file is not PEM")]
    NotPem(#[source] pem::Error),
    /// The key file has no private key.
    #[error("the key file has no unencrypted PEM private key (BEGIN PRIVATE KEY)")]
    NoKey(#[source] pem::Error),
    /// The private key is encrypted.
    #[error(
        "the private key is encrypted, which drydock does not support; decrypt it with openssl pkey -in FILE -out tls.key"
    )]
    EncryptedKey,
    /// The certificate is not valid X.509.
    #[error("the certificate is not a valid X.509 certificate")]
    NotX509(#[source] x509_cert::der::Error),
    /// The key does not match the certificate, or the type of the key is not supported.
    #[error("the certificate and the key cannot be used together")]
    Unusable(#[source] rustls::Error),
    /// The certificate has expired or is not valid yet.
    #[error("{0}")]
    NotValid(String),
    /// The certificate is not valid for a name that clients verify.
    #[error("the certificate is not valid for {0}; its subjectAltName must contain this name")]
    NameMismatch(String, #[source] rustls::Error),
    /// The name that clients verify is not a DNS name or an address.
    #[error("\"{0}\" is not a DNS name or IP address")]
    NotAName(String, #[source] InvalidDnsNameError),
}

/// Returns whether a PEM file contains an encrypted private key, in PKCS #8 or in the traditional
/// OpenSSL format.
fn is_encrypted(pem: &[u8]) -> bool {
    let text = String::from_utf8_lossy(pem);
    ["BEGIN ENCRYPTED PRIVATE KEY", "Proc-Type: 4,ENCRYPTED"]
        .iter()
        .any(|mark| text.contains(mark))
}

impl Certificate {
    /// Reads a certificate chain, which begins with the server's certificate, and its private key,
    /// both from PEM.
    ///
    /// # Errors
    /// If one of them cannot be read, or the key does not match the certificate.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(CertificateError::NotPem)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match is_encrypted(key) {
            true => CertificateError::EncryptedKey,
            false => CertificateError::NoKey(error),
        });
        // If both files are wrong, the error about the certificate file has precedence.
        if chain.is_empty() {
            return Err(CertificateError::NoCertificate);
        }
        Self::new(chain, key?)
    }

    /// Converts a leaf that drydock signed.
    ///
    /// # Errors
    /// If the leaf cannot be used for TLS.
    pub fn from_leaf(leaf: &Leaf) -> Result<Self, CertificateError> {
        Self::new(vec![leaf.certificate().clone()], leaf.key())
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, CertificateError> {
        let own = chain.first().ok_or(CertificateError::NoCertificate)?;
        let parsed = x509_cert::Certificate::from_der(own).map_err(CertificateError::NotX509)?;
        let validity = parsed.tbs_certificate.validity;
        let provider =
            CryptoProvider::get_default().expect("main should have installed a crypto provider");
        let key =
            CertifiedKey::from_der(chain, key, provider).map_err(CertificateError::Unusable)?;
        Ok(Self {
            key: Arc::new(key),
            not_before: timestamp(validity.not_before),
            not_after: timestamp(validity.not_after),
        })
    }

    /// Returns when the certificate expires.
    pub fn expires(&self) -> Timestamp {
        self.not_after
    }

    /// Describes why the certificate is not valid at `now`. Returns `None` if it is valid.
    pub fn invalid_reason(&self, now: Timestamp) -> Option<String> {
        let (not_before, not_after) = (self.not_before, self.not_after);
        if now < not_before {
            Some(format!("the certificate is not valid before {not_before}"))
        } else if now >= not_after {
            Some(format!("the certificate expired at {not_after}"))
        } else {
            None
        }
    }

    /// Checks that the certificate has not expired, and that it is valid for the names that clients
    /// verify. A certificate that is not valid yet passes, because the clocks of clients may be
    /// ahead of the clock of this node.
    ///
    /// # Errors
    /// If the certificate has expired, or is not valid for one of the names.
    pub fn check(&self, now: Timestamp, names: &[String]) -> Result<(), CertificateError> {
        if let Some(reason) = self.invalid_reason(now).filter(|_| now >= self.not_after) {
            return Err(CertificateError::NotValid(reason));
        }
        for name in names {
            let wrong = |error| CertificateError::NameMismatch(name.clone(), error);
            let own = self.key.end_entity_cert().map_err(wrong)?;
            let own = ParsedCertificate::try_from(own).map_err(wrong)?;
            let server = ServerName::try_from(name.as_str())
                .map_err(|error| CertificateError::NotAName(name.clone(), error))?;
            verify_server_name(&own, &server).map_err(wrong)?;
        }
        Ok(())
    }
}

/// Returns the current certificate for each handshake. The handshake fails if there is none.
#[derive(Debug)]
struct Resolver(watch::Receiver<Option<Certificate>>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let certificate = self.0.borrow();
        certificate.as_ref().map(|current| current.key.clone())
    }
}

/// Creates a configuration for TLS 1.2 and 1.3 that uses the latest value of `certificates`. If
/// `clients` is set, the handshake requires a client certificate signed by the latest CA in it.
pub fn server_config(
    certificates: watch::Receiver<Option<Certificate>>,
    clients: Option<watch::Receiver<ClientCa>>,
) -> Arc<ServerConfig> {
    let builder = match clients {
        Some(clients) => {
            ServerConfig::builder().with_client_cert_verifier(Arc::new(Verifier(clients)))
        }
        None => ServerConfig::builder().with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(Resolver(certificates)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // The API server does not resume sessions, so it needs no tickets.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Arc::new(config)
}
