//! The server's certificate, and those of its clients: read from PEM, and replaced under a running server.

mod clients;

pub use clients::{Clients, ClientsError};

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::sync::Arc;
use tokio::sync::watch;
use x509_cert::der::Decode as _;

/// A certificate chain with its key, and when it expires.
#[derive(Clone, Debug)]
pub struct Certificate {
    key: Arc<CertifiedKey>,
    /// Seconds since 1970.
    pub expires: i64,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The certificate file holds no certificate.
    #[error("the certificate file holds no PEM certificate (BEGIN CERTIFICATE)")]
    NoCertificate,
    /// The certificate file is not PEM.
    #[error("the certificate file is not PEM")]
    Certificate(#[source] pem::Error),
    /// The key file holds no private key.
    #[error("the key file holds no PEM private key (BEGIN PRIVATE KEY)")]
    Key(#[source] pem::Error),
    /// The certificate is not X.509.
    #[error("the certificate is not X.509")]
    NotX509(#[source] x509_cert::der::Error),
    /// Key and certificate do not belong together, or are of a kind that is not supported.
    #[error("certificate and key cannot be used together")]
    Unusable(#[source] rustls::Error),
}

impl Certificate {
    /// Reads a chain, the server's own certificate first, and its key, both PEM.
    ///
    /// # Errors
    /// Where one of them cannot be read, or they do not belong together.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(CertificateError::Certificate)?;
        let own = chain.first().ok_or(CertificateError::NoCertificate)?;
        let parsed = x509_cert::Certificate::from_der(own).map_err(CertificateError::NotX509)?;
        let expires = parsed
            .tbs_certificate
            .validity
            .not_after
            .to_unix_duration()
            .as_secs();
        let key = PrivateKeyDer::from_pem_slice(key).map_err(CertificateError::Key)?;
        let provider = CryptoProvider::get_default().expect("main installs a crypto provider");
        let key =
            CertifiedKey::from_der(chain, key, provider).map_err(CertificateError::Unusable)?;
        Ok(Self {
            key: Arc::new(key),
            expires: i64::try_from(expires).unwrap_or(i64::MAX),
        })
    }
}

/// Gives each handshake the certificate that is current then; without one the handshake fails.
#[derive(Debug)]
struct Resolver(watch::Receiver<Option<Certificate>>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let certificate = self.0.borrow();
        certificate.as_ref().map(|current| current.key.clone())
    }
}

/// Makes the configuration of a server whose certificate may change: TLS 1.2 and 1.3. It answers every client, or those that are given.
#[must_use]
pub fn server_config(
    certificates: watch::Receiver<Option<Certificate>>,
    clients: Option<watch::Receiver<Clients>>,
) -> Arc<ServerConfig> {
    let builder = match clients {
        Some(clients) => {
            ServerConfig::builder().with_client_cert_verifier(Arc::new(clients::Gate(clients)))
        }
        None => ServerConfig::builder().with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(Resolver(certificates)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // The API server keeps no sessions: tickets would be made, sent and stored for nobody.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Arc::new(config)
}
