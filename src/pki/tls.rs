//! TLS configuration of the server. Its certificate and the CA of clients can change while it runs.

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
    begins: Timestamp,
    expires: Timestamp,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The file has no certificate.
    #[error("the certificate file has no PEM certificate (BEGIN CERTIFICATE)")]
    NoCertificate,
    /// The certificate file is not PEM.
    #[error("the certificate file is not PEM")]
    Certificate(#[source] pem::Error),
    /// The key file has no private key.
    #[error("the key file has no unencrypted PEM private key (BEGIN PRIVATE KEY)")]
    Key(#[source] pem::Error),
    /// The private key is encrypted.
    #[error(
        "the key is encrypted, and drydock has no passphrase; decrypt it: openssl pkey -in FILE -out tls.key"
    )]
    EncryptedKey,
    /// The certificate is not X.509.
    #[error("the certificate is not X.509")]
    NotX509(#[source] x509_cert::der::Error),
    /// Key and certificate are not a pair, or of a kind that is not supported.
    #[error("certificate and key cannot be used together")]
    Unusable(#[source] rustls::Error),
    /// The certificate has expired or is not valid yet.
    #[error("{0}")]
    NotValid(String),
    /// The certificate is not for a name that clients verify.
    #[error("the certificate is not for {0}; its subjectAltName must have this name")]
    Name(String, #[source] rustls::Error),
    /// The name that clients verify is not a DNS name or an address.
    #[error("\"{0}\" is not a DNS name or IP address")]
    NotAName(String, #[source] InvalidDnsNameError),
}

/// Whether a PEM file contains an encrypted private key, in PKCS #8 or in OpenSSL's own format.
fn is_encrypted(pem: &[u8]) -> bool {
    let text = String::from_utf8_lossy(pem);
    ["BEGIN ENCRYPTED PRIVATE KEY", "Proc-Type: 4,ENCRYPTED"]
        .iter()
        .any(|mark| text.contains(mark))
}

impl Certificate {
    /// Reads a chain, the server's own certificate first, and its key, both PEM.
    ///
    /// # Errors
    /// If one of them cannot be read, or they are not a pair.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(CertificateError::Certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match is_encrypted(key) {
            true => CertificateError::EncryptedKey,
            false => CertificateError::Key(error),
        });
        // An empty certificate file is reported before a bad key.
        if chain.is_empty() {
            return Err(CertificateError::NoCertificate);
        }
        Self::new(chain, key?)
    }

    /// Takes a leaf that was signed here.
    ///
    /// # Errors
    /// If it cannot be used for TLS.
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
        let provider = CryptoProvider::get_default().expect("main installs a crypto provider");
        let key =
            CertifiedKey::from_der(chain, key, provider).map_err(CertificateError::Unusable)?;
        Ok(Self {
            key: Arc::new(key),
            begins: timestamp(validity.not_before),
            expires: timestamp(validity.not_after),
        })
    }

    /// Returns when the certificate expires.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// Returns why the certificate is not valid at a time; `None` if it is valid.
    pub fn not_valid(&self, now: Timestamp) -> Option<String> {
        let (begins, expires) = (self.begins, self.expires);
        if now < begins {
            Some(format!("the certificate is not valid before {begins}"))
        } else if now >= expires {
            Some(format!("the certificate expired at {expires}"))
        } else {
            None
        }
    }

    /// Checks that the certificate has not expired, and is for the names that clients verify. It
    /// may begin in the future: clients may have another clock.
    ///
    /// # Errors
    /// If the certificate has expired, or is not for one of the names.
    pub fn check(&self, now: Timestamp, names: &[String]) -> Result<(), CertificateError> {
        if let Some(reason) = self.not_valid(now).filter(|_| now >= self.expires) {
            return Err(CertificateError::NotValid(reason));
        }
        for name in names {
            let wrong = |error| CertificateError::Name(name.clone(), error);
            let own = self.key.end_entity_cert().map_err(wrong)?;
            let own = ParsedCertificate::try_from(own).map_err(wrong)?;
            let server = ServerName::try_from(name.as_str())
                .map_err(|error| CertificateError::NotAName(name.clone(), error))?;
            verify_server_name(&own, &server).map_err(wrong)?;
        }
        Ok(())
    }
}

/// Returns the current certificate for each handshake; without one the handshake fails.
#[derive(Debug)]
struct Resolver(watch::Receiver<Option<Certificate>>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let certificate = self.0.borrow();
        certificate.as_ref().map(|current| current.key.clone())
    }
}

/// Creates a configuration for TLS 1.2 and 1.3 whose certificate may change. With `clients`, only
/// clients with a certificate of this CA complete the handshake.
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
    // The API server resumes no sessions, so it needs no tickets.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Arc::new(config)
}
