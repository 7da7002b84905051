//! Serves the webhook over TLS, and health and metrics in plain HTTP on the ops port.
//!
//! ```text
//! listener (bind, accept, TLS) ─► connection (time limits, eviction) ─► webhook (router)
//!     ─► dispatch (thread, slots) ─► admission::review
//! ```
//!
//! Health, metrics and the shutdown signal have their own thread, so they never wait for a review.
//!
//! Policies arrive through a `watch` channel and certificates through a resolver, so both can
//! change while the server runs. The server supports HTTP/1.1 only. The API server uses HTTP/1.1
//! for Services. In tests, sending `Connection: close` in every response was the only way to stop
//! without a failed admission (kubernetes/kubernetes#127335), and HTTP/2 has no equivalent.

mod body;
mod connection;
mod dispatch;
pub mod limits;
mod listener;
mod ops;
mod request_error;
mod watchdog;
mod webhook;

pub use listener::{bind, listen, listen_with_certificate};
pub use ops::router as ops_router;
pub use webhook::router as webhook_router;

use crate::core::admission::{self, Answer, AuthorFindings, Context, ReviewError};
use crate::core::object_name::NamespaceName;
use crate::core::policy::set::Labels;
use crate::core::policy::{PolicySet, UnreadablePolicy};
use crate::pki::tls::Certificate;
use crate::telemetry::LevelSwitch;
use crate::telemetry::metrics::Metrics;
use connection::Port;
use dispatch::Slots;
use futures::future::BoxFuture;
use jiff::Timestamp;
use limits::Limits;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::{oneshot, watch};
use watchdog::Watchdog;

/// An error that occurs when the labels of a namespace are read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LabelsError {
    /// The namespace does not exist, or too many reads are running. Any client of the webhook can
    /// cause this error, so it does not count as a failure of drydock or of the API server.
    #[error("{0}")]
    Refused(String),
    /// The read from the API server failed.
    #[error("{0}")]
    ApiServer(String),
}

/// A function that reads the labels of one namespace.
pub type ReadLabels =
    Arc<dyn Fn(NamespaceName) -> BoxFuture<'static, Result<Labels, LabelsError>> + Send + Sync>;

/// A function that passes on the findings for the author of a job without waiting.
pub type NotifyAuthor = Arc<dyn Fn(AuthorFindings) + Send + Sync>;

/// The data and the functions through which reviews use the cluster.
#[derive(Clone)]
pub struct Cluster {
    /// The labels of each watched namespace, by its name.
    pub namespaces: watch::Receiver<BTreeMap<String, Labels>>,
    /// Reads the labels of any other namespace.
    pub read_labels: ReadLabels,
    /// Passes on the findings for authors of jobs.
    pub notify_author: NotifyAuthor,
}

/// A function that answers a review: [`admission::review`], except in tests.
pub type ReviewFn = fn(&[u8], Context<'_>) -> Result<Answer, ReviewError>;

/// The shared state of request handlers.
#[derive(Clone)]
pub struct State {
    /// The policies in force; `None` until they are read for the first time (rule F4).
    pub policies: watch::Receiver<Option<Arc<PolicySet>>>,
    /// The certificate in use; `None` before there is one.
    pub certificate: watch::Receiver<Option<Certificate>>,
    /// The clock by which clients verify the certificate.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// How reviews use the cluster; `None` if drydock runs without one.
    pub cluster: Option<Cluster>,
    /// The metrics of the process.
    pub metrics: Arc<Metrics>,
    /// Changes the log level; `None` if `PUT /log-level` is not allowed.
    pub log_level: Option<LevelSwitch>,
    /// drydock's own namespace, whose pods are never changed.
    pub own_namespace: Arc<str>,
    /// Limits for clients.
    pub limits: Limits,
    /// Whether the server is draining.
    pub draining: Arc<AtomicBool>,
    /// Answers reviews.
    pub review: ReviewFn,
    pub(crate) slots: Slots,
    pub(crate) watchdog: Arc<Watchdog>,
}

impl State {
    /// Creates the state of a server that is not draining.
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
            clock: Arc::new(Timestamp::now),
            cluster: None,
            metrics,
            log_level: None,
            own_namespace: own_namespace.into(),
            limits,
            draining: Arc::default(),
            review: admission::review,
            slots: Slots::new(limits),
            watchdog: Arc::new(Watchdog::new(Instant::now())),
        }
    }

    /// Describes why this server is not ready for reviews. Returns `None` if it is ready.
    fn not_ready_reason(&self) -> Option<String> {
        if self.draining.load(Ordering::Relaxed) {
            return Some("draining".to_owned());
        }
        match &*self.policies.borrow() {
            None => return Some("the policies have not been read yet".to_owned()),
            Some(policies) => {
                if let Some(UnreadablePolicy { name, problem, .. }) = policies.blocking_readiness()
                {
                    return Some(format!(
                        "policy \"{name}\" was accepted by another version of drydock, but this version cannot read it: {problem}"
                    ));
                }
            }
        }
        match &*self.certificate.borrow() {
            None => Some("there is no certificate that the API server trusts yet".to_owned()),
            Some(certificate) => certificate.invalid_reason((self.clock)()),
        }
    }
}

/// Serves until `shutdown` completes, and then drains for the time `drain`: `/readyz` fails, and
/// every response, on old and new connections, has `Connection: close`.
///
/// `webhook` returns the listener of the webhook port, as [`listen_with_certificate`] does. The ops
/// port and `shutdown` have their own thread and runtime, because reviews can occupy every thread
/// of the runtime that serves the webhook.
///
/// # Errors
/// If a port or a runtime cannot be used.
pub async fn run(
    webhook: impl Future<Output = io::Result<TcpListener>>,
    ops: std::net::TcpListener,
    tls: Arc<rustls::ServerConfig>,
    state: State,
    drain: Duration,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (stop, stopped) = watch::channel(false);
    let watchdog = state.watchdog.clone();
    let webhook = serve_webhook(webhook, tls, state.clone(), stopped.clone());
    let draining = state.draining.clone();
    let end = async move {
        shutdown.await;
        tracing::info!(
            seconds = drain.as_secs_f64(),
            "draining: /readyz fails, and requests are still answered"
        );
        draining.store(true, Ordering::Relaxed);
        tokio::time::sleep(drain).await;
        stop.send_replace(true);
    };
    let (mut ended, ops_ended) = oneshot::channel();
    let (started, ops_started) = oneshot::channel();
    thread::Builder::new()
        .name("ops".to_owned())
        .spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            let served = runtime.and_then(|runtime| {
                let _ = started.send(());
                let port = Port::of_ops(&state);
                let router = ops_router(state);
                runtime.block_on(async {
                    ops.set_nonblocking(true)?;
                    let ops = TcpListener::from_std(ops)?;
                    let served = listener::serve(ops, None, router, port, until(stopped));
                    tokio::select! {
                        _ = async { tokio::join!(served, end) } => {}
                        // `run` has ended: the webhook port failed, or the future was dropped.
                        () = ended.closed() => {}
                    }
                    Ok(())
                })
            });
            let _ = ended.send(served);
        })?;
    // Waits for the runtime of the ops port, because connections could use up the file descriptors
    // that it needs. If the runtime cannot be created, `ops_ended` returns the error.
    let _ = ops_started.await;
    let ops = async {
        let served = ops_ended.await;
        served.unwrap_or_else(|_| Err(io::Error::other("the ops thread failed")))
    };
    tokio::select! {
        served = async { tokio::try_join!(webhook, ops) } => served.map(|_| ()),
        () = watchdog.beat_forever() => Ok(()),
    }
}

async fn serve_webhook(
    listener: impl Future<Output = io::Result<TcpListener>>,
    tls: Arc<rustls::ServerConfig>,
    state: State,
    stopped: watch::Receiver<bool>,
) -> io::Result<()> {
    let listener = tokio::select! {
        listener = listener => listener?,
        () = until(stopped.clone()) => return Ok(()),
    };
    let port = Port::of_webhook(&state);
    let (tls, router) = (Some(tls), webhook_router(state));
    listener::serve(listener, tls, router, port, until(stopped)).await;
    Ok(())
}

async fn until(mut flag: watch::Receiver<bool>) {
    // Fails only if the sender is dropped, which happens when the server ends.
    let _ = flag.wait_for(|is_set| *is_set).await;
}

#[cfg(test)]
mod tests;
