//! The webhook over TLS, and health and metrics beside it in plain HTTP.
//!
//! ```text
//! TcpListener ─► connection::Guard (time limits, number) ─► TLS ─► router ─► judging ─► admission::review
//! ```
//!
//! Health, metrics and the signal to end have a thread of their own, so that none of them waits for a review.
//!
//! Policies come in through a `watch` channel, certificates through a resolver: both change under a running server.
//! HTTP/1.1 only. It is what the API server speaks to a Service, and `Connection: close` in every answer is the one way of ending
//! that was measured to lose no admission (kubernetes/kubernetes#127335); HTTP/2 has no such header.

mod body;
pub mod connection;
mod judging;
mod ops;
mod progress;
mod webhook;

pub use ops::router as ops_router;
pub use webhook::router as webhook_router;

use crate::core::admission::{self, Answer, AuthorNotes, Context, ReviewError};
use crate::core::object_name::NamespaceName;
use crate::core::policy::set::Labels;
use crate::core::policy::{PolicySet, UnreadablePolicy};
use crate::pki::tls::Certificate;
use crate::telemetry::LevelSwitch;
use crate::telemetry::metrics::Metrics;
use axum_server::Handle;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use connection::{Guard, Handshake, READ_BUFFER};
use futures::future::BoxFuture;
use judging::Turns;
use progress::Progress;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};

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
    /// Size of all bodies and unsent answers that are held at one time, bytes. At least [`body`](Self::body).
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

/// Answers a review: [`admission::review`], except in tests.
pub type Review = fn(&[u8], Context<'_>) -> Result<Answer, ReviewError>;

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
    /// Changes the log level, where `PUT /log-level` is allowed to.
    pub log_level: Option<LevelSwitch>,
    /// drydock's own namespace, which is never changed.
    pub own_namespace: Arc<str>,
    /// Bounds for clients.
    pub limits: Limits,
    /// Whether the server is about to end.
    pub draining: Arc<AtomicBool>,
    /// Answers reviews.
    pub review: Review,
    /// How many reviews are judged or wait at a time.
    pub(crate) turns: Turns,
    /// Whether reviews make progress.
    pub(crate) progress: Arc<Progress>,
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
            review: admission::review,
            turns: Turns::new(limits),
            progress: Arc::new(Progress::new(Instant::now())),
        }
    }

    /// Says why no review should be sent here now, if there is a reason.
    fn not_ready(&self) -> Option<Cow<'static, str>> {
        let policies = self.policies.borrow();
        let held_up = policies.as_ref().and_then(|policies| policies.holds_up());
        if self.is_draining() {
            Some("draining".into())
        } else if policies.is_none() {
            Some("the policies have not been read yet".into())
        } else if let Some(UnreadablePolicy { name, problem, .. }) = held_up {
            let problem = format!(
                "policy \"{name}\" was accepted by another version and cannot be read by this one: {problem}"
            );
            Some(problem.into())
        } else if self.certificate.borrow().is_none() {
            Some("there is no certificate that the API server trusts yet".into())
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
/// The ops port and `shutdown` get a thread and the runtime that `ops_runtime` makes: judging a review can occupy every thread of the
/// runtime that serves the webhook.
///
/// # Errors
/// Where a listener or a runtime cannot be used.
pub async fn run(
    webhook: TcpListener,
    ops: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    state: State,
    ops_runtime: impl FnOnce() -> io::Result<Runtime> + Send + 'static,
    drain: Duration,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (webhook_handle, ops_handle) = (Handle::<SocketAddr>::new(), Handle::<SocketAddr>::new());
    let acceptor = RustlsAcceptor::new(RustlsConfig::from_config(tls))
        // The guard keeps the time, so that it can count; this one only has to be longer.
        .handshake_timeout(state.limits.handshake_time * 2)
        .acceptor(Guard::new(&state));
    let webhook = server(webhook)?
        .handle(webhook_handle.clone())
        .acceptor(Handshake::new(acceptor, &state))
        .serve(webhook_router(state.clone()).into_make_service());
    let progress = state.progress.clone();
    let draining = state.draining.clone();
    let end = {
        let ops_handle = ops_handle.clone();
        async move {
            shutdown.await;
            tracing::info!(
                seconds = drain.as_secs_f64(),
                "draining: not ready any more, still answering"
            );
            draining.store(true, Ordering::Relaxed);
            tokio::time::sleep(drain).await;
            webhook_handle.graceful_shutdown(Some(LAST_ANSWERS));
            ops_handle.graceful_shutdown(Some(LAST_ANSWERS));
            Ok(())
        }
    };
    let (mut ended, ops_ended) = oneshot::channel();
    let (started, ops_started) = oneshot::channel();
    thread::Builder::new()
        .name("ops".to_owned())
        .spawn(move || {
            let served = ops_runtime().and_then(|runtime| {
                let _ = started.send(());
                runtime.block_on(async {
                    tokio::select! {
                        served = async { tokio::try_join!(serve_ops(ops, state, ops_handle), end) } => served.map(|_| ()),
                        // The webhook has failed, or is not wanted any more.
                        () = ended.closed() => Ok(()),
                    }
                })
            });
            let _ = ended.send(served);
        })?;
    // A runtime needs open files, and none may be left once connections come. Where it cannot be
    // made, `ops_ended` has the reason.
    let _ = ops_started.await;
    let ops = async {
        let served = ops_ended.await;
        served.unwrap_or_else(|_| Err(io::Error::other("the ops thread failed")))
    };
    tokio::select! {
        served = async { tokio::try_join!(webhook, ops) } => served.map(|_| ()),
        () = progress.beat_forever() => Ok(()),
    }
}

async fn serve_ops(
    listener: TcpListener,
    state: State,
    handle: Handle<SocketAddr>,
) -> io::Result<()> {
    server(listener)?
        .handle(handle)
        .acceptor(Guard::for_plain_http(&state))
        .serve(ops_router(state).into_make_service())
        .await
}

fn server(listener: TcpListener) -> io::Result<axum_server::Server<SocketAddr>> {
    listener.set_nonblocking(true)?;
    let mut server = axum_server::from_tcp(listener)?.http1_only();
    server.http_builder().http1().max_buf_size(READ_BUFFER);
    Ok(server)
}

#[cfg(test)]
mod tests;
