//! One guard for every connection: how long each phase may take, how many there may be, and an end that loses nothing.
//!
//! ```text
//! Handshake ─► Idle ─► Header ─► Body ─► Answering ─► Idle ─► …
//!                                          ▲  ▼
//!                                         Waiting
//! ```
//!
//! The HTTP library has one timer for "no request yet" and "half a request"; here they differ, because the API server keeps an idle
//! connection for 90 s, and a client that stops in the middle of its headers is not worth five.
//! Whoever comes when there is no room is let in, and another goes (`room`): no flood keeps the API server out.
//!
//! Half a header that comes in one packet with the end of a request is buffered in the HTTP library, where nobody sees it, and has the time of an
//! idle connection until its next byte. It holds no more than that connection would: the buffer is small.

mod arriving;
mod handshake;
mod plaintext;
mod room;
mod stream;
mod tracked;
mod waiting;

pub use arriving::Arriving;
pub use handshake::Handshake;
pub use plaintext::Plaintext;
pub use room::MadeRoom;
pub use stream::GuardedStream;
pub use tracked::Tracked;
pub use waiting::Evictable;

use super::State;
use crate::telemetry::metrics::{Limit, Metrics, OtherRequest};
use axum_server::accept::Accept;
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Connections of the ops port, at least and at most: probes and scrapers need few, and more take open files away from the webhook port.
const OPS_CONNECTIONS: (usize, usize) = (16, 64);

/// The time in which a request that waits gets as close to eviction as any other connection does in
/// its own. How long it waits at most is decided where it waits.
const WAITING_TIME: Duration = Duration::from_secs(4);

/// What the HTTP library reads ahead of a connection at most, bytes; so also the size of a request's headers. The API server's have about 300.
pub(super) const READ_BUFFER: usize = 16 << 10;

/// What a connection is waiting for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// The end of the TLS handshake.
    Handshake,
    /// The first byte of the next request.
    Idle,
    /// The rest of a request's headers.
    Header,
    /// The rest of a request's body.
    Body,
    /// drydock itself: the request has come whole.
    Answering,
    /// The turn of a request that has come whole, or something from the cluster.
    Waiting,
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
    /// Bytes of bodies and unsent answers that all of them hold.
    held: AtomicUsize,
}

struct Connection {
    id: u64,
    shared: Arc<Shared>,
    progress: Mutex<Progress>,
    /// Bytes of its request's body.
    held: AtomicUsize,
    /// Bytes of its answers that are not sent yet.
    unsent: AtomicUsize,
}

struct Progress {
    phase: Phase,
    since: Instant,
    made_room: Option<MadeRoom>,
    waker: Option<Waker>,
    sending: Sending,
    /// Whether it has carried a request.
    has_answered: bool,
}

/// What the HTTP library has to send.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Sending {
    Nothing,
    /// An answer of ours.
    Answer,
    /// Its own, to what it cannot read. Nothing comes after it.
    Refusal,
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
            let (least, most) = OPS_CONNECTIONS;
            limits.connections = (limits.connections / 4).clamp(least, most);
        }
        let shared = Shared {
            limits,
            metrics: state.metrics.clone(),
            draining: state.draining.clone(),
            is_webhook,
            next_id: AtomicU64::new(0),
            open: Mutex::new(HashMap::with_capacity(limits.connections)),
            held: AtomicUsize::new(0),
        };
        Self {
            shared: Arc::new(shared),
            first_phase,
        }
    }

    /// Lets a connection in, and another one go if there are too many.
    fn admit(&self) -> Result<Arc<Connection>, MadeRoom> {
        let shared = &self.shared;
        let progress = Progress {
            phase: self.first_phase,
            since: Instant::now(),
            made_room: None,
            waker: None,
            sending: Sending::Nothing,
            has_answered: false,
        };
        let id = shared.next_id.fetch_add(1, Ordering::Relaxed);
        let connection = Arc::new(Connection {
            id,
            shared: shared.clone(),
            progress: Mutex::new(progress),
            held: AtomicUsize::new(0),
            unsent: AtomicUsize::new(0),
        });
        let mut open = locked(&shared.open);
        if open.len() >= shared.limits.connections {
            shared.metrics.limit_hit(Limit::Connections);
            room::for_a_connection(&mut open)?;
        }
        open.insert(id, connection.clone());
        if shared.is_webhook {
            shared.metrics.connection_opened();
        }
        Ok(connection)
    }

    fn guard(&self, stream: TcpStream) -> io::Result<GuardedStream> {
        // An answer is written in one go and must not wait for the client's acknowledgement.
        stream.set_nodelay(true)?;
        let connection = self.admit().map_err(io::Error::other)?;
        Ok(GuardedStream::new(stream, connection))
    }
}

impl<S: Send + 'static> Accept<TcpStream, S> for Guard {
    type Stream = GuardedStream;
    type Service = Tracked<S>;
    type Future = std::future::Ready<io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        std::future::ready(self.guard(stream).map(|stream| {
            let service = Tracked::new(service, stream.connection());
            (stream, service)
        }))
    }
}

impl Progress {
    fn enter(&mut self, phase: Phase) {
        (self.phase, self.since) = (phase, Instant::now());
    }
}

impl Connection {
    fn enter(&self, phase: Phase) {
        locked(&self.progress).enter(phase);
    }

    /// The first byte of a request has come.
    fn note_bytes(&self) {
        let mut progress = locked(&self.progress);
        if progress.phase == Phase::Idle {
            progress.enter(Phase::Header);
        }
    }

    /// A request is over, with this answer or with its connection; the next one may come.
    fn note_answer(&self) {
        let mut progress = locked(&self.progress);
        progress.enter(Phase::Idle);
        progress.sending = Sending::Answer;
        progress.has_answered = true;
    }

    /// Something is being sent. Where it is no answer of ours, it is the HTTP library's own, to what it cannot read.
    fn note_sending(&self) {
        let mut progress = locked(&self.progress);
        let is_reading = matches!(progress.phase, Phase::Idle | Phase::Header);
        if is_reading && progress.sending == Sending::Nothing {
            progress.sending = Sending::Refusal;
            self.shared.metrics.other_request(OtherRequest::NotHttp);
        }
    }

    /// All is sent that there was to send.
    fn note_sent(&self) {
        let mut progress = locked(&self.progress);
        if progress.sending == Sending::Answer {
            progress.sending = Sending::Nothing;
            self.release_answers();
        }
    }

    /// The time of a phase, and the limit that it is.
    fn time_for(&self, phase: Phase) -> Option<(Duration, Limit)> {
        let limits = &self.shared.limits;
        match phase {
            Phase::Handshake => Some((limits.handshake_time, Limit::HandshakeTime)),
            Phase::Idle => Some((limits.idle_time, Limit::IdleTime)),
            Phase::Header => Some((limits.header_time, Limit::HeaderTime)),
            Phase::Body => Some((limits.body_time, Limit::BodyTime)),
            Phase::Waiting => Some((WAITING_TIME, Limit::ReviewQueue)),
            Phase::Answering => None,
        }
    }
}

#[cfg(test)]
mod tests;
