//! Chooses the thread on which a review is judged, and limits concurrent large reviews.
//!
//! A small review takes microseconds, less than a thread switch, so it is judged on the thread of
//! its connection. A large review is judged on a blocking thread, so that handshakes and small
//! reviews continue. Large reviews are judged one at a time: each takes several times the memory of
//! its body, and the Deployment has one CPU.
//!
//! A review that waits for a slot, or for the labels of its namespace, can be evicted.

use super::connection::{Connection, EvictionReason, Phase};
use super::limits::Limits;
use super::request_error::RequestError;
use super::{LabelsError, State};
use crate::core::admission::{self, Answer, Context, ReviewError};
use crate::core::policy::set::Labels;
use crate::core::policy::{Mode, PolicySet};
use crate::telemetry::metrics::Limit;
use axum::body::Bytes;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Size of the body above which a review is large, in bytes. Reviews of real job pods have 30 to
/// 60 kB. The slowest possible review of twice this size took a tenth of a second.
const LARGE_BYTES: usize = 96 << 10;

/// Maximum time that a large review waits for a slot. The API server waits 5 s for the response.
const SLOT_TIMEOUT: Duration = Duration::from_secs(2);

/// Timeout for reading the labels of a namespace.
const LABELS_TIMEOUT: Duration = Duration::from_secs(2);

/// Divisor of the connection limit. The result is the maximum number of reviews that wait for
/// labels of namespaces.
const CONNECTIONS_PER_LABEL_READ: usize = 8;

/// The slots for large reviews on the blocking thread, and for reads of labels.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    large: Arc<Semaphore>,
    label_reads: Arc<Semaphore>,
    time: Duration,
}

impl Slots {
    pub(super) fn new(limits: Limits) -> Self {
        let label_reads = (limits.connections / CONNECTIONS_PER_LABEL_READ).max(1);
        Self {
            large: Arc::new(Semaphore::new(1)),
            label_reads: Arc::new(Semaphore::new(label_reads)),
            time: SLOT_TIMEOUT,
        }
    }
}

/// A review to judge.
pub(super) struct Request {
    pub(super) mode: Mode,
    pub(super) body: Bytes,
    /// `None` in tests of the router.
    pub(super) connection: Option<Arc<Connection>>,
}

/// Judges a review. Gets the labels of its namespace first if a policy needs such labels.
pub(super) async fn judge(state: &State, request: &Request) -> Result<Answer, RequestError> {
    let policies = state.policies.borrow().clone();
    let policies = policies.ok_or(RequestError::NotReady)?;
    let labels = if policies.needs_namespace_labels() {
        labels(state, request).await?
    } else {
        None
    };
    let Request { mode, body, .. } = request;
    if body.len() <= LARGE_BYTES {
        return judge_now(state, &policies, *mode, body, labels.as_ref());
    }
    let slot = timeout(state.slots.time, state.slots.large.clone().acquire_owned());
    let Ok(Ok(slot)) = wait_for(request, slot).await? else {
        state.metrics.limit_hit(Limit::ReviewQueue);
        return Err(RequestError::NoSlot);
    };
    let (state, mode, body) = (state.clone(), *mode, body.clone());
    let judged = tokio::task::spawn_blocking(move || {
        // Keeps the slot until the work ends, even if the client has closed the connection.
        let _slot = slot;
        let _running = state.watchdog.review_started(Instant::now());
        judge_now(&state, &policies, mode, &body, labels.as_ref())
    });
    judged.await.unwrap_or(Err(RequestError::Bug))
}

fn judge_now(
    state: &State,
    policies: &PolicySet,
    mode: Mode,
    body: &[u8],
    labels: Option<&Labels>,
) -> Result<Answer, RequestError> {
    let context = Context {
        policies,
        mode,
        namespace_labels: labels,
        own_namespace: &state.own_namespace,
    };
    // A panic must not close the connection. After an HTTP error, the webhook's `failurePolicy`
    // decides whether the pod is created.
    catch_unwind(AssertUnwindSafe(|| (state.review)(body, context)))
        .map_err(|_| RequestError::Bug)?
        .map_err(RequestError::Review)
}

/// Returns the labels of the review's namespace from the watch or from a live read. Returns `None`
/// if there is no cluster, or if the review has no namespace.
async fn labels(state: &State, request: &Request) -> Result<Option<Labels>, RequestError> {
    let (Some(cluster), Some(namespace)) = (&state.cluster, admission::namespace(&request.body))
    else {
        return Ok(None);
    };
    let watched = cluster.namespaces.borrow().get(namespace.as_str()).cloned();
    if watched.is_some() {
        return Ok(watched);
    }
    let not_read = |error: &LabelsError| {
        tracing::warn!(
            namespace = namespace.as_str(),
            "cannot read the labels of the namespace: {error}"
        );
        let namespace = namespace.clone();
        match error {
            LabelsError::Refused(_) => RequestError::UnknownNamespace(namespace),
            LabelsError::ApiServer(_) => ReviewError::NamespaceNotRead(namespace).into(),
        }
    };
    let Ok(_read) = state.slots.label_reads.try_acquire() else {
        state.metrics.limit_hit(Limit::NamespaceLabels);
        let problem = "too many reviews wait for the labels of namespaces".to_owned();
        return Err(not_read(&LabelsError::Refused(problem)));
    };
    let read = timeout(LABELS_TIMEOUT, (cluster.read_labels)(namespace.clone()));
    match wait_for(request, read).await? {
        Ok(Ok(labels)) => Ok(Some(labels)),
        Ok(Err(error)) => Err(not_read(&error)),
        Err(_) => {
            let seconds = LABELS_TIMEOUT.as_secs();
            let problem = format!("the API server did not answer within {seconds} s");
            Err(not_read(&LabelsError::ApiServer(problem)))
        }
    }
}

async fn wait_for<T>(
    request: &Request,
    future: impl Future<Output = T>,
) -> Result<T, EvictionReason> {
    match &request.connection {
        Some(connection) => connection.wait_for(Phase::Waiting, future).await,
        None => Ok(future.await),
    }
}

#[cfg(test)]
mod tests;
