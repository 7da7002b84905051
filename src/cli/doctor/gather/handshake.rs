//! Performs a TLS handshake with a replica through a port-forward. Verifies the certificate as the
//! API server does: with the `caBundle` and the DNS name of the Service.

use crate::cli::doctor::reader::{ApiCall, Reader};
use crate::diagnose::facts::{Handshake, Read, Reason};
use crate::diagnose::installation::ServiceReference;
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

/// The time limit for the handshake with one replica.
const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Client<'a> {
    reader: &'a Reader,
    namespace: &'a str,
    /// The name that the certificate must contain.
    server_name: String,
    roots: Arc<RootCertStore>,
}

impl<'a> Client<'a> {
    pub(super) fn new(reader: &'a Reader, service: &'a ServiceReference, bundle: &str) -> Self {
        let mut roots = RootCertStore::empty();
        let certificates = CertificateDer::pem_slice_iter(bundle.as_bytes());
        roots.add_parsable_certificates(certificates.filter_map(Result::ok));
        Self {
            reader,
            namespace: &service.namespace,
            server_name: format!("{}.{}.svc", service.name, service.namespace),
            roots: Arc::new(roots),
        }
    }

    pub(super) async fn handshake(&self, pod: String, port: u16) -> (String, Read<Handshake>) {
        let call = ApiCall::of("create", "pods/portforward", Some(self.namespace));
        let read = tokio::time::timeout(TIMEOUT, self.read(call, &pod, port)).await;
        let read = read.unwrap_or_else(|_| Err(call.read_error(Reason::NoAnswer)));
        (pod, read)
    }

    async fn read(&self, call: ApiCall<'_>, pod: &str, port: u16) -> Read<Handshake> {
        let failed = |text: String| {
            call.read_error(Reason::Failed(format!("pod {pod}, port {port}: {text}")))
        };
        let api: Api<Pod> = Api::namespaced(self.reader.client.clone(), self.namespace);
        let mut forwarder = self.reader.ask(call, api.portforward(pod, &[port])).await?;
        let stream = forwarder.take_stream(port);
        let stream = stream.ok_or_else(|| failed("the port-forward has no stream".to_owned()))?;
        let error = forwarder.take_error(port);
        let verifier = Arc::new(RecordingVerifier::new(&self.roots));
        let config = ClientConfig::builder_with_provider(verifier.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone())
            .with_no_client_auth();
        let name = ServerName::try_from(self.server_name.clone());
        let name = name.map_err(|error| failed(error.to_string()))?;
        let connector = TlsConnector::from(Arc::new(config));
        let connected = connector.connect(name, stream).await;
        let served = verifier.served.lock().ok();
        let served = served.and_then(|mut served| served.take());
        let read = match served {
            // The handshake may fail after this, because drydock may require a client certificate.
            // The verifier has already recorded the certificate, so this failure is ignored.
            Some(served) => served.map_err(failed),
            None => {
                let forward_error = match error {
                    Some(error) => error.await,
                    None => None,
                };
                let handshake_error = connected.err().map(|error| error.to_string());
                let text = forward_error.or(handshake_error).unwrap_or_default();
                Err(failed(text))
            }
        };
        forwarder.abort();
        read
    }
}

/// Accepts every certificate, and records whether the API server would accept it.
#[derive(Debug)]
struct RecordingVerifier {
    provider: Arc<CryptoProvider>,
    /// The verifier that uses the `caBundle`, or the error if it cannot be created.
    inner: Result<Arc<WebPkiServerVerifier>, String>,
    served: Mutex<Option<Result<Handshake, String>>>,
}

impl RecordingVerifier {
    fn new(roots: &Arc<RootCertStore>) -> Self {
        let provider = Arc::new(ring::default_provider());
        let inner = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone());
        Self {
            provider,
            inner: inner.build().map_err(|error| error.to_string()),
            served: Mutex::new(None),
        }
    }
}

impl ServerCertVerifier for RecordingVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verification_error = match &self.inner {
            Ok(inner) => inner
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
                .err()
                .map(|error| error.to_string()),
            Err(error) => Some(error.clone()),
        };
        let parsed = x509_cert::Certificate::from_der(end_entity);
        let served = parsed.map_err(|error| error.to_string()).map(|parsed| {
            let end = parsed.tbs_certificate.validity.not_after;
            Handshake {
                expires: end
                    .to_unix_duration()
                    .as_secs()
                    .try_into()
                    .unwrap_or(i64::MAX),
                verification_error,
            }
        });
        if let Ok(mut slot) = self.served.lock() {
            *slot = Some(served);
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
