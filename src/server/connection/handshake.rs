//! The way from an encrypted stream to a decrypted one.

use super::{Phase, Plaintext, Tracked};
use crate::server::State;
use crate::telemetry::metrics::Metrics;
use axum_server::accept::Accept;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use tokio::net::TcpStream;

/// Tells a guarded connection that its TLS handshake has ended, and counts those that fail.
#[derive(Clone)]
pub struct Handshake<A> {
    acceptor: A,
    metrics: Arc<Metrics>,
}

impl<A> Handshake<A> {
    /// Watches the handshakes of an acceptor.
    pub fn new(acceptor: A, state: &State) -> Self {
        Self {
            acceptor,
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
        let (accepted, metrics) = (self.acceptor.accept(stream, service), self.metrics.clone());
        Box::pin(async move {
            match accepted.await {
                Ok((stream, service)) => {
                    service.connection().enter(Phase::Idle);
                    let stream = Plaintext::new(stream, service.connection().clone());
                    Ok((stream, service))
                }
                Err(error) => {
                    metrics.handshake_failed();
                    tracing::debug!(%error, "TLS handshake failed");
                    Err(error)
                }
            }
        })
    }
}
