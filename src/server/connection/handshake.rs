//! The way from an encrypted stream to a decrypted one.

use super::{MadeRoom, Phase, Plaintext, Tracked};
use crate::pki::tls::Certificate;
use crate::server::State;
use crate::telemetry::metrics::{HandshakeFailure, Metrics};
use axum_server::accept::Accept;
use rustls::AlertDescription;
use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::sync::watch;

/// Tells a guarded connection that its TLS handshake has ended, and counts those that fail.
#[derive(Clone)]
pub struct Handshake<A> {
    acceptor: A,
    certificate: watch::Receiver<Option<Certificate>>,
    metrics: Arc<Metrics>,
}

impl<A> Handshake<A> {
    /// Watches the handshakes of an acceptor.
    pub fn new(acceptor: A, state: &State) -> Self {
        Self {
            acceptor,
            certificate: state.certificate.clone(),
            metrics: state.metrics.clone(),
        }
    }
}

type Accepted<Stream, S> = Pin<Box<dyn Future<Output = io::Result<(Stream, S)>> + Send>>;

impl<A, S, I> Accept<TcpStream, S> for Handshake<A>
where
    A: Accept<TcpStream, S, Service = Tracked<I>>,
    A::Future: Send + 'static,
    A::Stream: 'static,
    I: Send + 'static,
{
    type Stream = Plaintext<A::Stream>;
    type Service = Tracked<I>;
    type Future = Accepted<Self::Stream, Self::Service>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let accepted = self.acceptor.accept(stream, service);
        let (certificate, metrics) = (self.certificate.clone(), self.metrics.clone());
        Box::pin(async move {
            match accepted.await {
                Ok((stream, service)) => {
                    service.connection().enter(Phase::Idle);
                    let stream = Plaintext::new(stream, service.connection().clone());
                    Ok((stream, service))
                }
                Err(error) => {
                    let failure = match failure(&error) {
                        HandshakeFailure::Protocol if certificate.borrow().is_none() => {
                            HandshakeFailure::NoCertificate
                        }
                        failure => failure,
                    };
                    metrics.handshake_failed(failure);
                    tracing::debug!(reason = failure.name(), %error, "TLS handshake failed");
                    Err(error)
                }
            }
        })
    }
}

/// Names why a handshake failed. Everyone who reaches the port can make it fail, so only a client
/// that says that it refused the certificate counts as one that does not trust it.
fn failure(error: &io::Error) -> HandshakeFailure {
    match error.kind() {
        io::ErrorKind::TimedOut => return HandshakeFailure::Timeout,
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => return HandshakeFailure::Closed,
        _ => {}
    }
    let cause = error.get_ref().map(|cause| cause as &(dyn Error + 'static));
    if cause.is_some_and(|cause| cause.is::<MadeRoom>()) {
        return HandshakeFailure::Eviction;
    }
    let tls = cause.and_then(|cause| cause.downcast_ref::<rustls::Error>());
    tls.map_or(HandshakeFailure::Protocol, tls_failure)
}

fn tls_failure(error: &rustls::Error) -> HandshakeFailure {
    match error {
        rustls::Error::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            // An authority of the right name with another key: the signature does not verify.
            | AlertDescription::DecryptError,
        ) => HandshakeFailure::NotTrusted,
        rustls::Error::NoCertificatesPresented | rustls::Error::InvalidCertificate(_) => {
            HandshakeFailure::ClientCertificate
        }
        _ => HandshakeFailure::Protocol,
    }
}
