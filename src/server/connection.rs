//! One guard for every connection: how long each phase may take, how many there may be, and an end that loses nothing.
//!
//! ```text
//! Handshake ─► Idle ─► Header ─► Answering ─► Idle ─► …
//! ```
//!
//! The HTTP library has one timer for "no request yet" and "half a request"; here they differ, because the API server keeps an idle
//! connection for 90 s, and a client that stops in the middle of its headers is not worth five.
//! When there are too many connections, the one that has waited for longest is closed to make room: a flood of idle ones
//! must not keep the API server out.

mod plaintext;

pub use plaintext::Plaintext;

use super::State;
use crate::telemetry::metrics::{Limit, Metrics};
use axum::http::{HeaderValue, Request, Response, header};
use axum_server::accept::Accept;
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use tower_service::Service;

/// Probes and scrapers need few; more would only take open files away from the webhook port.
const MOST_OPS_CONNECTIONS: usize = 64;

/// What a connection is waiting for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// The end of the TLS handshake.
    Handshake,
    /// The first byte of the next request.
    Idle,
    /// The rest of a request's headers.
    Header,
    /// drydock itself: a body is being read or an answer made.
    Answering,
}

/// Guards the connections of one port.
#[derive(Clone)]
pub struct Guard {
    shared: Arc<Shared>,
    first_phase: Phase,
}

struct Shared {
    limits: super::Limits,
    metrics: Arc<Metrics>,
    draining: Arc<AtomicBool>,
    /// Whether its connections count in the metric.
    is_webhook: bool,
    next_id: AtomicU64,
    open: Mutex<HashMap<u64, Arc<Connection>>>,
}

struct Connection {
    id: u64,
    shared: Arc<Shared>,
    progress: Mutex<Progress>,
}

struct Progress {
    phase: Phase,
    since: Instant,
    evicted: bool,
    waker: Option<Waker>,
}

/// A poisoned lock is one whose holder panicked; what these hold is right at every moment.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Guard {
    /// Guards the webhook's connections, which begin with a TLS handshake.
    #[must_use]
    pub fn new(state: &State) -> Self {
        Self::with(state, Phase::Handshake)
    }

    /// Guards the connections of the ops port.
    #[must_use]
    pub fn for_plain_http(state: &State) -> Self {
        Self::with(state, Phase::Idle)
    }

    fn with(state: &State, first_phase: Phase) -> Self {
        let is_webhook = first_phase == Phase::Handshake;
        let mut limits = state.limits;
        if !is_webhook {
            limits.connections = limits.connections.min(MOST_OPS_CONNECTIONS);
        }
        let shared = Shared {
            limits,
            metrics: state.metrics.clone(),
            draining: state.draining.clone(),
            is_webhook,
            next_id: AtomicU64::new(0),
            open: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
            first_phase,
        }
    }

    fn admit(&self) -> Arc<Connection> {
        let shared = &self.shared;
        let progress = Progress {
            phase: self.first_phase,
            since: Instant::now(),
            evicted: false,
            waker: None,
        };
        let id = shared.next_id.fetch_add(1, Ordering::Relaxed);
        let connection = Arc::new(Connection {
            id,
            shared: shared.clone(),
            progress: Mutex::new(progress),
        });
        let mut open = locked(&shared.open);
        if open.len() >= shared.limits.connections {
            shared.metrics.limit_hit(Limit::Connections);
            evict_longest_waiting(&mut open);
        }
        open.insert(id, connection.clone());
        if shared.is_webhook {
            shared.metrics.connection_opened();
        }
        connection
    }
}

/// Closes the connection that has waited for longest; one that is being answered is never closed.
fn evict_longest_waiting(open: &mut HashMap<u64, Arc<Connection>>) {
    let waiting_since = |connection: &Connection| {
        let progress = locked(&connection.progress);
        (progress.phase != Phase::Answering).then_some(progress.since)
    };
    let longest = open
        .values()
        .filter_map(|connection| Some((waiting_since(connection)?, connection.id)))
        .min();
    let Some(connection) = longest.and_then(|(_, id)| open.remove(&id)) else {
        return;
    };
    let mut progress = locked(&connection.progress);
    progress.evicted = true;
    if let Some(waker) = progress.waker.take() {
        waker.wake();
    }
}

impl Connection {
    fn enter(&self, phase: Phase) {
        let mut progress = locked(&self.progress);
        (progress.phase, progress.since) = (phase, Instant::now());
    }

    /// The first byte of a request has come.
    fn note_bytes(&self) {
        let mut progress = locked(&self.progress);
        if progress.phase == Phase::Idle {
            (progress.phase, progress.since) = (Phase::Header, Instant::now());
        }
    }

    fn time_for(&self, phase: Phase) -> Option<(Duration, Limit)> {
        let limits = &self.shared.limits;
        match phase {
            Phase::Handshake => Some((limits.handshake_time, Limit::HandshakeTime)),
            Phase::Idle => Some((limits.idle_time, Limit::IdleTime)),
            Phase::Header => Some((limits.header_time, Limit::HeaderTime)),
            Phase::Answering => None,
        }
    }
}

/// A stream whose reads keep to the limits. It belongs to its connection: dropping it closes and forgets both.
pub struct GuardedStream {
    stream: TcpStream,
    connection: Arc<Connection>,
    timer: Pin<Box<Sleep>>,
}

impl Drop for GuardedStream {
    fn drop(&mut self) {
        let shared = &self.connection.shared;
        locked(&shared.open).remove(&self.connection.id);
        if shared.is_webhook {
            shared.metrics.connection_closed();
        }
    }
}

impl GuardedStream {
    /// Decides whether a connection on which nothing comes may go on waiting.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (phase, since) = {
            let mut progress = locked(&self.connection.progress);
            if progress.evicted {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::ConnectionAborted,
                    "too many connections",
                )));
            }
            progress.waker = Some(cx.waker().clone());
            (progress.phase, progress.since)
        };
        let Some((time, limit)) = self.connection.time_for(phase) else {
            return Poll::Pending;
        };
        let deadline = since + time;
        if self.timer.deadline() != deadline {
            self.timer.as_mut().reset(deadline);
        }
        ready!(self.timer.as_mut().poll(cx));
        self.connection.shared.metrics.limit_hit(limit);
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client took too long",
        )))
    }
}

impl AsyncRead for GuardedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Pending => self.wait(cx),
            Poll::Ready(result) => {
                if buffer.filled().len() > before {
                    self.connection.note_bytes();
                }
                Poll::Ready(result)
            }
        }
    }
}

impl AsyncWrite for GuardedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(cx, bytes) {
            // A client that does not read its answers waits as one that sends nothing.
            Poll::Pending => self.wait(cx).map_ok(|()| 0),
            ready => ready,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write_vectored(cx, bytes) {
            Poll::Pending => self.wait(cx).map_ok(|()| 0),
            ready => ready,
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

type Accepted<Stream, S> = Pin<Box<dyn Future<Output = io::Result<(Stream, S)>> + Send>>;

impl<S: Send + 'static> Accept<TcpStream, S> for Guard {
    type Stream = GuardedStream;
    type Service = Tracked<S>;
    type Future = std::future::Ready<io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        // An answer is written in one go and must not wait for the client's acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            return std::future::ready(Err(error));
        }
        let connection = self.admit();
        let timer = Box::pin(tokio::time::sleep(self.shared.limits.idle_time));
        let service = Tracked {
            service,
            connection: connection.clone(),
        };
        std::future::ready(Ok((
            GuardedStream {
                stream,
                connection,
                timer,
            },
            service,
        )))
    }
}

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
                    service.connection.enter(Phase::Idle);
                    let stream = Plaintext::new(stream, service.connection.clone());
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

/// A service that tells its connection when a request is being answered.
#[derive(Clone)]
pub struct Tracked<S> {
    service: S,
    connection: Arc<Connection>,
}

impl<S, B, R> Service<Request<B>> for Tracked<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.connection.enter(Phase::Answering);
        let (answer, connection) = (self.service.call(request), self.connection.clone());
        Box::pin(async move {
            let mut answer = answer.await;
            connection.enter(Phase::Idle);
            if let (Ok(answer), true) = (
                &mut answer,
                connection.shared.draining.load(Ordering::Relaxed),
            ) {
                answer
                    .headers_mut()
                    .insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            answer
        })
    }
}
