//! Which clients are answered, where not every one is: those that show a certificate of an authority, perhaps of certain names only.
//!
//! The handshake decides, before a byte of a request is read. Both can change under a running server; connections that are open stay.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime, pem};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};
use std::sync::Arc;
use tokio::sync::watch;
use x509_cert::der::Decode as _;
use x509_cert::der::oid::db::rfc4519::CN;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// The clients that are answered.
#[derive(Clone, Debug)]
pub struct Clients {
    verifier: Arc<dyn ClientCertVerifier>,
    names: Arc<[String]>,
}

/// Why an authority of clients cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClientsError {
    /// The file holds no certificate.
    #[error("the file holds no PEM certificate (BEGIN CERTIFICATE)")]
    NoCertificate,
    /// The file is not PEM.
    #[error("the file is not PEM")]
    Pem(#[source] pem::Error),
    /// A certificate is not X.509.
    #[error("certificate {0} of the file cannot be used")]
    NotX509(usize, #[source] Error),
    /// No client could be verified.
    #[error("clients cannot be verified by the certificates of the file")]
    Unusable(#[source] VerifierBuilderError),
}

impl Clients {
    /// Reads the authorities, PEM, of which one has to have signed a client's certificate. Where names are given, one of them has to be its
    /// common name or one of its DNS names.
    ///
    /// # Errors
    /// Where there is no certificate, or one that cannot be read.
    pub fn from_pem(authorities: &[u8], names: &[String]) -> Result<Self, ClientsError> {
        let mut roots = RootCertStore::empty();
        for (index, authority) in CertificateDer::pem_slice_iter(authorities).enumerate() {
            let authority = authority.map_err(ClientsError::Pem)?;
            let added = roots.add(authority);
            added.map_err(|error| ClientsError::NotX509(index + 1, error))?;
        }
        if roots.is_empty() {
            return Err(ClientsError::NoCertificate);
        }
        let provider = CryptoProvider::get_default().expect("main installs a crypto provider");
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
        Ok(Self {
            verifier: verifier.map_err(ClientsError::Unusable)?,
            names: names.into(),
        })
    }

    fn allows(&self, certificate: &CertificateDer<'_>) -> Result<bool, Error> {
        if self.names.is_empty() {
            return Ok(true);
        }
        let shown = names_of(certificate).map_err(|_| CertificateError::BadEncoding)?;
        let mut allowed = self.names.iter();
        // DNS names know no case, and nobody is served by a common name that differs by case only.
        Ok(allowed.any(|allowed| shown.iter().any(|name| name.eq_ignore_ascii_case(allowed))))
    }
}

/// The common name and the DNS names of a certificate.
fn names_of(certificate: &CertificateDer<'_>) -> x509_cert::der::Result<Vec<String>> {
    let certificate = x509_cert::Certificate::from_der(certificate)?;
    let tbs = &certificate.tbs_certificate;
    let attributes = tbs.subject.0.iter().flat_map(|rdn| rdn.0.iter());
    let common_names = attributes.filter(|attribute| attribute.oid == CN);
    let mut names: Vec<String> = common_names
        .filter_map(|attribute| String::from_utf8(attribute.value.value().to_vec()).ok())
        .collect();
    if let Some((_, SubjectAltName(alternatives))) = tbs.get::<SubjectAltName>()? {
        names.extend(alternatives.into_iter().filter_map(|name| match name {
            GeneralName::DnsName(name) => Some(name.to_string()),
            _ => None,
        }));
    }
    Ok(names)
}

/// Asks, in each handshake, the clients that are allowed then.
#[derive(Debug)]
pub(super) struct Gate(pub(super) watch::Receiver<Clients>);

impl Gate {
    fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        self.0.borrow().verifier.clone()
    }
}

impl ClientCertVerifier for Gate {
    /// No hint: a client that has a certificate shows it.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let clients = self.0.borrow().clone();
        let verified = clients
            .verifier
            .verify_client_cert(end_entity, intermediates, now)?;
        if clients.allows(end_entity)? {
            Ok(verified)
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier()
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier()
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier().supported_verify_schemes()
    }
}
