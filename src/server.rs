//! The webhook over TLS, and health and metrics beside it in plain HTTP.
//!
//! ```text
//! TcpListener ─► connection::Guard (time limits, number) ─► TLS ─► router ─► admission::review
//! ```
//!
//! Policies come in through a `watch` channel, certificates through a resolver: both change under a running server.
//! HTTP/1.1 only. It is what the API server speaks to a Service, and `Connection: close` in every answer is the one way of ending
//! that was measured to lose no admission (kubernetes/kubernetes#127335); HTTP/2 has no such header.

mod body;
pub mod connection;
mod ops;
pub mod tls;
mod webhook;

pub use ops::router as ops_router;
pub use webhook::router as webhook_router;

use crate::admission::AuthorNotes;
use crate::object_name::NamespaceName;
use crate::policy::PolicySet;
use crate::policy::set::Labels;
use crate::telemetry::LevelSwitch;
use crate::telemetry::metrics::Metrics;
use axum_server::Handle;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use connection::{Guard, Handshake, READ_BUFFER};
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tls::Certificate;
use tokio::sync::watch;

/// How long the last answers may take after the drain.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Bounds for clients.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Size of a body, bytes.
    pub body: usize,
    /// Time for a body.
    pub body_time: Duration,
    /// Time for the headers of a request, from its first byte.
    pub header_time: Duration,
    /// Time for the TLS handshake.
    pub handshake_time: Duration,
    /// Time between two requests of a connection. The API server closes its own after 90 s; a server that is quicker races with it.
    pub idle_time: Duration,
    /// Number of connections.
    pub connections: usize,
    /// Size of all bodies that are held at one time, bytes. At least [`body`](Self::body).
    pub body_memory: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // The API server takes 3 MiB from a client and wraps it with managedFields and the old object.
            body: 8 << 20,
            body_time: Duration::from_secs(10),
            header_time: Duration::from_secs(5),
            handshake_time: Duration::from_secs(5),
            idle_time: Duration::from_secs(150),
            connections: 1024,
            // With as many connections as there may be, each in the middle of a body, that is about 100 MiB: the Deployment allows 128.
            body_memory: 32 << 20,
        }
    }
}

/// Reads the labels of a namespace that is not known yet; the error is a sentence.
pub type ReadLabels =
    Arc<dyn Fn(NamespaceName) -> BoxFuture<'static, Result<Labels, String>> + Send + Sync>;

/// Takes what there is to tell the author of a job.
pub type TellAuthor = Arc<dyn Fn(AuthorNotes) + Send + Sync>;

/// What a cluster adds to the answers.
#[derive(Clone)]
pub struct Cluster {
    /// The labels of namespaces, as far as they have been read.
    pub namespaces: watch::Receiver<BTreeMap<String, Labels>>,
    /// How those of another one are read.
    pub read_labels: ReadLabels,
    /// Takes sentences for authors of jobs, without waiting.
    pub tell_author: TellAuthor,
}

/// What requests are answered with.
#[derive(Clone)]
pub struct State {
    /// The policies in force; none before they have been read once (F4).
    pub policies: watch::Receiver<Option<Arc<PolicySet>>>,
    /// The certificate in use; none before there is one.
    pub certificate: watch::Receiver<Option<Certificate>>,
    /// The cluster, where there is one.
    pub cluster: Option<Cluster>,
    /// Where everything is counted.
    pub metrics: Arc<Metrics>,
    /// What changes the log level, where somebody started logging.
    pub log_level: Option<LevelSwitch>,
    /// drydock's own namespace, which is never changed.
    pub own_namespace: Arc<str>,
    /// Bounds for clients.
    pub limits: Limits,
    /// Whether the server is about to end.
    pub draining: Arc<AtomicBool>,
}

impl State {
    /// Makes the state of a server that is not ending.
    #[must_use]
    pub fn new(
        policies: watch::Receiver<Option<Arc<PolicySet>>>,
        certificate: watch::Receiver<Option<Certificate>>,
        metrics: Arc<Metrics>,
        own_namespace: &str,
        limits: Limits,
    ) -> Self {
        Self {
            policies,
            certificate,
            cluster: None,
            metrics,
            log_level: None,
            own_namespace: own_namespace.into(),
            limits,
            draining: Arc::default(),
        }
    }

    /// Says why no review should be sent here now, if there is a reason.
    fn not_ready(&self) -> Option<&'static str> {
        if self.is_draining() {
            Some("draining")
        } else if self.policies.borrow().is_none() {
            Some("the policies have not been read yet")
        } else if self.certificate.borrow().is_none() {
            Some("there is no certificate that the API server trusts yet")
        } else {
            None
        }
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// Serves until `shutdown` ends, then drains: readiness fails, and for `drain` more every request, on old connections and new ones,
/// is answered with `Connection: close`.
///
/// # Errors
/// Where a listener cannot be used.
pub async fn run(
    webhook: TcpListener,
    ops: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    state: State,
    drain: Duration,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let (webhook_handle, ops_handle) = (Handle::<SocketAddr>::new(), Handle::<SocketAddr>::new());
    let guard = Guard::new(&state);
    let acceptor = RustlsAcceptor::new(RustlsConfig::from_config(tls))
        // The guard keeps the time, so that it can count; this one only has to be longer.
        .handshake_timeout(state.limits.handshake_time * 2)
        .acceptor(guard);
    let webhook = server(webhook)?
        .handle(webhook_handle.clone())
        .acceptor(Handshake::new(acceptor, &state))
        .serve(webhook_router(state.clone()).into_make_service());
    let ops = server(ops)?
        .handle(ops_handle.clone())
        .acceptor(Guard::for_plain_http(&state))
        .serve(ops_router(state.clone()).into_make_service());
    let end = async {
        shutdown.await;
        tracing::info!(
            seconds = drain.as_secs_f64(),
            "draining: not ready any more, still answering"
        );
        state.draining.store(true, Ordering::Relaxed);
        tokio::time::sleep(drain).await;
        webhook_handle.graceful_shutdown(Some(LAST_ANSWERS));
        ops_handle.graceful_shutdown(Some(LAST_ANSWERS));
        Ok(())
    };
    tokio::try_join!(webhook, ops, end)?;
    Ok(())
}

fn server(listener: TcpListener) -> io::Result<axum_server::Server<SocketAddr>> {
    listener.set_nonblocking(true)?;
    let mut server = axum_server::from_tcp(listener)?.http1_only();
    server.http_builder().http1().max_buf_size(READ_BUFFER);
    Ok(server)
}
