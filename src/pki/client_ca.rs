//! The CA of clients: only clients with a certificate of this CA, and with an allowed name,
//! complete the TLS handshake.
//!
//! The CA can change while the server runs. Open connections stay open.

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

/// A CA of clients, with the names that are allowed.
#[derive(Clone, Debug)]
pub struct ClientCa {
    verifier: Arc<dyn ClientCertVerifier>,
    names: Arc<[String]>,
}

/// Why a CA of clients cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClientCaError {
    /// The file has no certificate.
    #[error("the file has no PEM certificate (BEGIN CERTIFICATE)")]
    NoCertificate,
    /// The file is not PEM.
    #[error("the file is not PEM")]
    Pem(#[source] pem::Error),
    /// A certificate is not X.509.
    #[error("certificate {0} of the file cannot be used")]
    NotX509(usize, #[source] Error),
    /// The certificates cannot verify clients.
    #[error("clients cannot be verified by the certificates of the file")]
    Unusable(#[source] VerifierBuilderError),
}

impl ClientCa {
    /// Reads the CA certificates, PEM. With names, a client's certificate must have one of them as
    /// its common name or as a DNS name.
    ///
    /// # Errors
    /// If there is no certificate, or one that cannot be read.
    pub fn from_pem(authorities: &[u8], names: &[String]) -> Result<Self, ClientCaError> {
        let mut roots = RootCertStore::empty();
        for (index, authority) in CertificateDer::pem_slice_iter(authorities).enumerate() {
            let authority = authority.map_err(ClientCaError::Pem)?;
            let added = roots.add(authority);
            added.map_err(|error| ClientCaError::NotX509(index + 1, error))?;
        }
        if roots.is_empty() {
            return Err(ClientCaError::NoCertificate);
        }
        let provider = CryptoProvider::get_default().expect("main installs a crypto provider");
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
        Ok(Self {
            verifier: verifier.map_err(ClientCaError::Unusable)?,
            names: names.into(),
        })
    }

    fn allows(&self, certificate: &CertificateDer<'_>) -> Result<bool, Error> {
        if self.names.is_empty() {
            return Ok(true);
        }
        let shown = names_of(certificate).map_err(|_| CertificateError::BadEncoding)?;
        let mut allowed = self.names.iter();
        // DNS names are compared without case; for common names this does no harm.
        Ok(allowed.any(|allowed| shown.iter().any(|name| name.eq_ignore_ascii_case(allowed))))
    }
}

/// Returns the common name and the DNS names of a certificate.
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

/// Verifies clients by the current CA.
#[derive(Debug)]
pub(super) struct Verifier(pub(super) watch::Receiver<ClientCa>);

impl Verifier {
    fn current(&self) -> ClientCa {
        self.0.borrow().clone()
    }
}

impl ClientCertVerifier for Verifier {
    /// Sends no hints, so that every client with a certificate sends it.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let ca = self.current();
        let verified = ca
            .verifier
            .verify_client_cert(end_entity, intermediates, now)?;
        if ca.allows(end_entity)? {
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
        let verifier = self.current().verifier;
        verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verifier = self.current().verifier;
        verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.current().verifier.supported_verify_schemes()
    }
}
