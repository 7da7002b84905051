//! Verifies client certificates: a client completes the TLS handshake only with a certificate that
//! the client CA has signed and that has an allowed name.
//!
//! The client CA can change while the server runs. Open connections stay open.

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

/// The CA of client certificates, and the allowed names of clients.
#[derive(Clone, Debug)]
pub struct ClientCa {
    verifier: Arc<dyn ClientCertVerifier>,
    names: Arc<[String]>,
}

/// An error that occurs when a client CA is read.
#[derive(Debug, thiserror::Error)]
pub enum ClientCaError {
    /// The file has no certificate.
    #[error("the file has no PEM certificate (BEGIN CERTIFICATE)")]
    NoCertificate,
    /// The file is not PEM.
    #[error("the file is not PEM")]
    Pem(#[source] pem::Error),
    /// The certificate with this number is not valid X.509.
    #[error("certificate number {0} in the file is not a valid X.509 certificate")]
    NotX509(usize, #[source] Error),
    /// The certificates cannot verify clients.
    #[error("the certificates in the file cannot verify client certificates")]
    Unusable(#[source] VerifierBuilderError),
}

impl ClientCa {
    /// Reads the CA certificates from PEM. If `names` is not empty, a client certificate must have
    /// one of them as its common name or as a DNS name.
    ///
    /// # Errors
    /// If the text contains no certificate, or an unreadable one.
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
        let provider =
            CryptoProvider::get_default().expect("main should have installed a crypto provider");
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
        let names = names_of(certificate).map_err(|_| CertificateError::BadEncoding)?;
        let mut allowed = self.names.iter();
        // DNS names are case-insensitive, and common names are treated in the same way.
        Ok(allowed.any(|allowed| names.iter().any(|name| name.eq_ignore_ascii_case(allowed))))
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

/// Verifies client certificates with the current CA.
#[derive(Debug)]
pub(super) struct Verifier(pub(super) watch::Receiver<ClientCa>);

impl Verifier {
    fn current(&self) -> ClientCa {
        self.0.borrow().clone()
    }
}

impl ClientCertVerifier for Verifier {
    /// Names no CA to the client, so that the client sends its certificate even if another CA
    /// signed it.
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
