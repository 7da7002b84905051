//! The connections of one port: phases, memory, and eviction at the limits.
//!
//! ```text
//! Handshake ─► Idle ─► Header ─► Body ─► Answering ─► Idle ─► …
//!                                          ▲  ▼
//!                                         Waiting
//! ```
//!
//! Eviction closes a connection when a limit is reached. A connection whose request is being
//! answered is never evicted. Of the other connections, drydock evicts,
//!
//! - at the connection limit, the connection that has used the largest part of its phase's time
//!   limit. For example, a slow body is evicted long before an idle connection of the API server.
//!   Idle connections that have carried a request are evicted last while they are at most half of
//!   all connections, so that a flood of new connections does not close those of the API server;
//! - at the memory limit for bodies, the connection that holds the most memory: an incomplete body,
//!   a complete body whose request waits, or a response that the client has not read.
//!
//! A request that is evicted while its body arrives or while it waits gets HTTP 500 with
//! `Retry-After`, and the API server retries it.

mod timed_stream;

pub(super) use timed_stream::TimedStream;

use super::State;
use super::limits::Limits;
use crate::telemetry::metrics::{HandshakeFailure, Limit, Metrics};
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// Lowest and highest connection limit of the ops port. Probes and scrapers need few connections,
/// and each one uses a file descriptor that the webhook port cannot use.
const OPS_CONNECTIONS: (usize, usize) = (16, 64);

/// Time limit of the phase `Waiting`, used only to choose the connection to evict. The waits
/// themselves have other timeouts.
const WAITING_TIME: Duration = Duration::from_secs(4);

/// The limit that caused an eviction.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum EvictionReason {
    /// The number of connections reached its limit.
    #[error("there are too many connections")]
    Connections,
    /// Bodies and unsent responses exceeded their memory limit.
    #[error("request bodies exceed --max-body-memory-bytes")]
    BodyMemory,
}

/// The phase of a connection. Each phase is described by what the connection waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    /// The end of the TLS handshake.
    Handshake,
    /// The first byte of the next request. The last response may not be sent yet.
    Idle,
    /// The rest of a request's headers.
    Header,
    /// The rest of a request's body.
    Body,
    /// drydock's answer to a complete request.
    Answering,
    /// A slot for the review, or the labels of its namespace. The request is complete.
    Waiting,
}

/// A port and its open connections.
pub(super) struct Port {
    pub(super) limits: Limits,
    pub(super) metrics: Arc<Metrics>,
    /// Whether this is the webhook port, whose connections `drydock_connections` counts.
    pub(super) is_webhook: bool,
    draining: Arc<AtomicBool>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    next_id: u64,
    open: HashMap<u64, ConnectionState>,
}

struct ConnectionState {
    phase: Phase,
    since: Instant,
    eviction: Option<EvictionReason>,
    has_answered: bool,
    /// Bytes of the request's body.
    body: usize,
    /// Bytes of responses that are not sent yet.
    unsent: usize,
    /// Wakes the task while its request waits for the body, a slot or labels.
    waker: Option<Waker>,
    task: Option<AbortHandle>,
}

/// One open connection. Dropping it removes it from its port.
pub(super) struct Connection {
    id: u64,
    pub(super) port: Arc<Port>,
}

impl Table {
    /// Returns the size of all bodies and unsent responses, in bytes.
    fn held_bytes(&self) -> usize {
        self.open.values().map(ConnectionState::held_bytes).sum()
    }
}

impl Port {
    pub(super) fn of_webhook(state: &State) -> Arc<Self> {
        Self::new(state, state.limits.connections, true)
    }

    pub(super) fn of_ops(state: &State) -> Arc<Self> {
        let (min, max) = OPS_CONNECTIONS;
        Self::new(state, (state.limits.connections / 4).clamp(min, max), false)
    }

    fn new(state: &State, connections: usize, is_webhook: bool) -> Arc<Self> {
        Arc::new(Self {
            limits: Limits {
                connections,
                ..state.limits
            },
            metrics: state.metrics.clone(),
            is_webhook,
            draining: state.draining.clone(),
            table: Mutex::default(),
        })
    }

    /// Adds a connection. Evicts another connection if the limit is reached.
    ///
    /// # Errors
    /// If the limit is reached and every connection is answering a request.
    pub(super) fn admit(self: &Arc<Self>) -> Result<Arc<Connection>, EvictionReason> {
        let mut table = self.table();
        let open = table.open.values().filter(|it| it.eviction.is_none());
        if open.count() >= self.limits.connections {
            self.metrics.limit_hit(Limit::Connections);
            self.evict_for_connection(&mut table)?;
        }
        let id = table.next_id;
        table.next_id += 1;
        let phase = if self.is_webhook {
            self.metrics.connections.inc();
            Phase::Handshake
        } else {
            Phase::Idle
        };
        table.open.insert(id, ConnectionState::new(phase));
        let port = self.clone();
        Ok(Arc::new(Connection { id, port }))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn evict_for_connection(&self, table: &mut Table) -> Result<(), EvictionReason> {
        let kept_alive = table.open.values().filter(|it| it.is_kept_alive()).count();
        let spares_kept_alive = kept_alive <= self.limits.connections / 2;
        let worst = table
            .open
            .values_mut()
            .filter(|status| status.is_evictable())
            .max_by(|one, other| {
                let is_spared = |it: &ConnectionState| spares_kept_alive && it.is_kept_alive();
                let part = |it: &ConnectionState| it.used_part_of_time(&self.limits);
                is_spared(other)
                    .cmp(&is_spared(one))
                    .then(part(one).total_cmp(&part(other)))
            });
        self.evict(
            worst.ok_or(EvictionReason::Connections)?,
            EvictionReason::Connections,
        );
        Ok(())
    }

    fn evict_for_memory(&self, table: &mut Table) {
        while table.held_bytes() > self.limits.body_memory {
            let largest = table
                .open
                .values_mut()
                .filter(|status| status.is_evictable() && status.held_bytes() > 0)
                .max_by_key(|status| status.held_bytes());
            let Some(status) = largest else { return };
            self.metrics.limit_hit(Limit::BodyMemory);
            self.evict(status, EvictionReason::BodyMemory);
            (status.body, status.unsent) = (0, 0);
        }
    }

    fn evict(&self, status: &mut ConnectionState, reason: EvictionReason) {
        tracing::debug!(%reason, phase = ?status.phase, "connection evicted");
        status.eviction = Some(reason);
        match status.phase {
            // The task then answers the request with an error.
            Phase::Body | Phase::Waiting => status.waker.take().into_iter().for_each(Waker::wake),
            phase => {
                if phase == Phase::Handshake {
                    self.metrics.handshake_failed(HandshakeFailure::Eviction);
                }
                if let Some(task) = &status.task {
                    task.abort();
                }
            }
        }
    }
}

impl ConnectionState {
    fn new(phase: Phase) -> Self {
        Self {
            phase,
            since: Instant::now(),
            eviction: None,
            has_answered: false,
            body: 0,
            unsent: 0,
            waker: None,
            task: None,
        }
    }

    fn enter(&mut self, phase: Phase) {
        (self.phase, self.since) = (phase, Instant::now());
    }

    fn is_evictable(&self) -> bool {
        self.phase != Phase::Answering && self.eviction.is_none()
    }

    /// Returns whether the connection has carried a request and waits for the next one.
    fn is_kept_alive(&self) -> bool {
        self.phase == Phase::Idle && self.has_answered && self.eviction.is_none()
    }

    fn held_bytes(&self) -> usize {
        self.body + self.unsent
    }

    fn used_part_of_time(&self, limits: &Limits) -> f64 {
        let limit = match self.phase {
            Phase::Handshake => limits.handshake_time,
            Phase::Idle => limits.idle_time,
            Phase::Header => limits.header_time,
            Phase::Body => limits.body_time,
            Phase::Waiting | Phase::Answering => WAITING_TIME,
        };
        self.since.elapsed().as_secs_f64() / limit.as_secs_f64()
    }
}

impl Connection {
    /// Calls a function with the state of the connection.
    fn with<T: Default>(&self, act: impl FnOnce(&mut ConnectionState) -> T) -> T {
        let mut table = self.port.table();
        let status = table.open.get_mut(&self.id);
        status.map_or_else(T::default, act)
    }

    /// Sets the task of the connection. An eviction aborts the task if there is no request to
    /// answer.
    pub(super) fn set_task(&self, task: AbortHandle) {
        self.with(|status| status.task = Some(task));
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.with(|status| status.enter(phase));
    }

    /// Records that decrypted bytes have arrived.
    fn record_received(&self) {
        self.with(|status| {
            if status.phase == Phase::Idle {
                status.enter(Phase::Header);
            }
        });
    }

    /// Records that all response bytes have been sent.
    fn record_sent(&self) {
        self.with(|status| status.unsent = 0);
    }

    /// Counts bytes of the request's body. If the memory limit is exceeded, evicts connections,
    /// possibly this one.
    pub(super) fn hold_body(&self, bytes: usize) {
        self.hold(|status| status.body += bytes);
    }

    /// Records that the response is ready. Its bytes count against the memory limit until they are
    /// sent. Returns whether the client must open another connection for its next request.
    pub(super) fn record_response(&self, bytes: usize) -> bool {
        self.hold(|status| {
            status.enter(Phase::Idle);
            status.has_answered = true;
            status.body = 0;
            status.unsent += bytes;
        });
        self.port.draining.load(Ordering::Relaxed) || self.eviction_reason().is_some()
    }

    fn hold(&self, count: impl FnOnce(&mut ConnectionState)) {
        let mut table = self.port.table();
        if let Some(status) = table.open.get_mut(&self.id) {
            count(status);
            self.port.evict_for_memory(&mut table);
        }
    }

    fn eviction_reason(&self) -> Option<EvictionReason> {
        self.with(|status| status.eviction)
    }

    /// Waits for a future in `phase`, and then enters [`Phase::Answering`].
    ///
    /// # Errors
    /// If the connection is evicted before the future is ready.
    pub(super) async fn wait_for<T>(
        &self,
        phase: Phase,
        future: impl Future<Output = T>,
    ) -> Result<T, EvictionReason> {
        self.enter(phase);
        let mut future = pin!(future);
        let waited = poll_fn(|cx| {
            let ready = future.as_mut().poll(cx);
            let eviction = self.with(|status| {
                status.waker = Some(cx.waker().clone());
                status.eviction
            });
            match (ready, eviction) {
                // The memory of this body no longer counts, so the request must fail.
                (_, Some(EvictionReason::BodyMemory)) => {
                    Poll::Ready(Err(EvictionReason::BodyMemory))
                }
                (Poll::Ready(value), _) => Poll::Ready(Ok(value)),
                (Poll::Pending, Some(reason)) => Poll::Ready(Err(reason)),
                (Poll::Pending, None) => Poll::Pending,
            }
        })
        .await;
        self.enter(Phase::Answering);
        waited
    }

    /// Returns the time by which the client must send or read, and the limit that sets this time.
    fn deadline(&self) -> Option<(Instant, Limit)> {
        let limits = &self.port.limits;
        self.with(|status| {
            let (time, limit) = match status.phase {
                Phase::Idle => (limits.idle_time, Limit::IdleTime),
                Phase::Header => (limits.header_time, Limit::HeaderTime),
                // The other phases have timeouts of their own.
                _ => return None,
            };
            Some((status.since + time, limit))
        })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.port.table().open.remove(&self.id);
        if self.port.is_webhook {
            self.port.metrics.connections.dec();
        }
    }
}

#[cfg(test)]
mod tests;
