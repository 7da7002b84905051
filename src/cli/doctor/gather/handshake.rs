//! A TLS handshake with a replica through a port-forward, as the API server makes one: by the
//! `caBundle`, for the name of the Service.

use crate::cli::doctor::reader::{Question, Reader};
use crate::diagnose::facts::{Handshake, Read, Reason};
use crate::diagnose::installation::ServiceName;
use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_rustls::TlsConnector;
use x509_cert::der::Decode as _;

/// How long one replica may take: the others are still asked.
const LIMIT: Duration = Duration::from_secs(5);

pub(super) struct Handshaker<'a> {
    reader: &'a Reader,
    namespace: &'a str,
    /// The name that the API server verifies.
    server: String,
    roots: Arc<RootCertStore>,
}

impl<'a> Handshaker<'a> {
    pub(super) fn new(reader: &'a Reader, service: &'a ServiceName, bundle: &str) -> Self {
        let mut roots = RootCertStore::empty();
        let certificates = CertificateDer::pem_slice_iter(bundle.as_bytes());
        roots.add_parsable_certificates(certificates.filter_map(Result::ok));
        Self {
            reader,
            namespace: &service.namespace,
            server: format!("{}.{}.svc", service.name, service.namespace),
            roots: Arc::new(roots),
        }
    }

    pub(super) async fn read(&self, pod: String, port: u16) -> (String, Read<Handshake>) {
        let question = Question::of("create", "pods/portforward", Some(self.namespace));
        let shaken = tokio::time::timeout(LIMIT, self.shake(question, &pod, port)).await;
        let read = shaken.unwrap_or_else(|_| Err(question.unread(Reason::NoAnswer)));
        (pod, read)
    }

    async fn shake(&self, question: Question<'_>, pod: &str, port: u16) -> Read<Handshake> {
        let failed = |text: String| {
            question.unread(Reason::Failed(format!("pod {pod}, port {port}: {text}")))
        };
        let api: Api<Pod> = Api::namespaced(self.reader.client.clone(), self.namespace);
        let mut forwarder = self
            .reader
            .ask(question, api.portforward(pod, &[port]))
            .await?;
        let stream = forwarder.take_stream(port);
        let stream = stream.ok_or_else(|| failed("no stream".to_owned()))?;
        let error = forwarder.take_error(port);
        let verifier = Arc::new(Witness::new(&self.roots));
        let config = ClientConfig::builder_with_provider(verifier.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone())
            .with_no_client_auth();
        let name = ServerName::try_from(self.server.clone());
        let name = name.map_err(|error| failed(error.to_string()))?;
        let connector = TlsConnector::from(Arc::new(config));
        let shaken = connector.connect(name, stream).await;
        let seen = verifier.seen.lock().ok().and_then(|mut seen| seen.take());
        let read = match (seen, shaken) {
            // drydock may want a certificate of the client; its own was seen all the same.
            (Some(seen), _) => seen.map_err(failed),
            (None, shaken) => {
                let told = match error {
                    Some(error) => error.await,
                    None => None,
                };
                let shaken = shaken.err().map(|error| error.to_string());
                Err(failed(told.or(shaken).unwrap_or_default()))
            }
        };
        forwarder.abort();
        read
    }
}

/// Accepts every certificate, and keeps what the API server would say of it.
#[derive(Debug)]
struct Witness {
    provider: Arc<CryptoProvider>,
    /// As the API server has it; or why nothing can be verified.
    inner: Result<Arc<WebPkiServerVerifier>, String>,
    seen: Mutex<Option<Result<Handshake, String>>>,
}

impl Witness {
    fn new(roots: &Arc<RootCertStore>) -> Self {
        let provider = Arc::new(ring::default_provider());
        let inner = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone());
        Self {
            provider,
            inner: inner.build().map_err(|error| error.to_string()),
            seen: Mutex::new(None),
        }
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let refused = match &self.inner {
            Ok(inner) => inner
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
                .err()
                .map(|error| error.to_string()),
            Err(error) => Some(error.clone()),
        };
        let parsed = x509_cert::Certificate::from_der(end_entity);
        let seen = parsed.map_err(|error| error.to_string()).map(|parsed| {
            let end = parsed.tbs_certificate.validity.not_after;
            Handshake {
                expires: end
                    .to_unix_duration()
                    .as_secs()
                    .try_into()
                    .unwrap_or(i64::MAX),
                refused,
            }
        });
        if let Ok(mut slot) = self.seen.lock() {
            *slot = Some(seen);
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
