//! Dispatch: on which thread a review is judged, how many at a time, and how long it waits before.
//!
//! A small review takes microseconds, less than a switch of threads, so it is judged on the thread
//! that serves its connection. A large one is judged on a blocking thread, while handshakes and
//! small reviews go on. Large reviews are judged one at a time: the memory that one takes for its
//! structures, plan and response is a multiple of its body. Two at a time would gain nothing on the
//! one CPU that a webhook has.
//!
//! A review that waits for its slot, or for the labels of its namespace, can be evicted.

use super::connection::{Connection, Evicted, Phase};
use super::{Limits, State};
use crate::core::admission::{Answer, Context, NamespaceLabels, ReviewError};
use crate::core::object_name::NamespaceName;
use crate::core::policy::Mode;
use crate::core::policy::set::Labels;
use crate::telemetry::metrics::Limit;
use axum::body::Bytes;
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Size of a body above which a review is large, in bytes. Reviews of real job pods have 30 to
/// 60 kB. At the bounds, a review of twice this size took a tenth of a second.
const LARGE: usize = 96 << 10;

/// Time that a large review waits for its slot. The API server waits 5 s in all.
const SLOT_TIME: Duration = Duration::from_secs(2);

/// Time for the labels of a namespace.
const LABELS_TIME: Duration = Duration::from_secs(2);

/// One of this many connections may wait for the labels of a namespace.
const CONNECTIONS_PER_LABEL_READ: usize = 8;

/// Limits of the reviews that are judged on a blocking thread, or that wait for labels.
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
            time: SLOT_TIME,
        }
    }
}

/// Why a review whose body was read gets no AdmissionReview. A sentence for the job's author.
#[derive(Debug, thiserror::Error)]
pub(super) enum DispatchError {
    #[error(
        "drydock has just started and has not read its policies yet; try again in a few seconds"
    )]
    NotReady,
    #[error(transparent)]
    Review(#[from] ReviewError),
    #[error("drydock is overloaded: {0}; try again in a few seconds")]
    Evicted(#[from] Evicted),
    #[error(
        "drydock is overloaded: too many large pods are being created; try again in a few seconds"
    )]
    NoSlot,
    #[error(
        "drydock failed on this pod because of a bug of its own; please tell the platform team"
    )]
    Bug,
}

/// A review to judge.
pub(super) struct Request {
    pub(super) mode: Mode,
    pub(super) body: Bytes,
    /// None in tests of the router.
    pub(super) connection: Option<Arc<Connection>>,
}

/// Judges a review, and reads the labels of its namespace where a policy selects by labels.
pub(super) async fn judge(state: &State, request: &Request) -> Result<Answer, DispatchError> {
    match judge_with(state, request, None).await {
        Err(DispatchError::Review(ReviewError::NamespaceNotRead(namespace))) => {
            let labels = labels(state, request, namespace).await?;
            judge_with(state, request, Some(labels)).await
        }
        judged => judged,
    }
}

async fn judge_with(
    state: &State,
    request: &Request,
    labels: Option<Labels>,
) -> Result<Answer, DispatchError> {
    let Request { mode, body, .. } = request;
    if body.len() <= LARGE {
        let known = state.cluster.as_ref().map(|it| it.namespaces.borrow());
        return judge_now(state, *mode, body, labels.as_ref(), known.as_deref());
    }
    let slot = timeout(state.slots.time, state.slots.large.clone().acquire_owned());
    let Ok(Ok(slot)) = wait_for(request, slot).await? else {
        state.metrics.limit_hit(Limit::ReviewQueue);
        return Err(DispatchError::NoSlot);
    };
    let (state, mode, body) = (state.clone(), *mode, body.clone());
    let judged = tokio::task::spawn_blocking(move || {
        // The slot is free when the work ends, even if the client has gone by then.
        let _slot = slot;
        let _running = state.watchdog.review_started(Instant::now());
        // A borrow of all labels would block their update meanwhile.
        let none = state.cluster.as_ref().map(|_| BTreeMap::new());
        judge_now(&state, mode, &body, labels.as_ref(), none.as_ref())
    });
    judged.await.unwrap_or(Err(DispatchError::Bug))
}

fn judge_now(
    state: &State,
    mode: Mode,
    body: &[u8],
    labels: Option<&Labels>,
    known: Option<&BTreeMap<String, Labels>>,
) -> Result<Answer, DispatchError> {
    let policies = state.policies.borrow().clone();
    let policies = policies.ok_or(DispatchError::NotReady)?;
    let context = Context {
        policies: &policies,
        mode,
        namespace_labels: match (labels, known) {
            (Some(labels), _) => NamespaceLabels::Known(labels),
            (None, Some(known)) => NamespaceLabels::Read(known),
            (None, None) => NamespaceLabels::Unknown,
        },
        own_namespace: &state.own_namespace,
    };
    // A panic must not close the connection: the failurePolicy decides about the pod.
    catch_unwind(AssertUnwindSafe(|| (state.review)(body, context)))
        .map_err(|_| DispatchError::Bug)?
        .map_err(DispatchError::Review)
}

/// Returns the labels of a namespace, from the watch or by a read.
async fn labels(
    state: &State,
    request: &Request,
    namespace: NamespaceName,
) -> Result<Labels, DispatchError> {
    let not_read = |problem: &str| {
        tracing::warn!(
            namespace = namespace.as_str(),
            "the namespace's labels cannot be read: {problem}"
        );
        DispatchError::Review(ReviewError::NamespaceNotRead(namespace.clone()))
    };
    let Some(cluster) = &state.cluster else {
        return Err(not_read("there is no cluster"));
    };
    let known = cluster.namespaces.borrow().get(namespace.as_str()).cloned();
    if let Some(labels) = known {
        return Ok(labels);
    }
    let Ok(_read) = state.slots.label_reads.try_acquire() else {
        state.metrics.limit_hit(Limit::NamespaceLabels);
        return Err(not_read("too many reviews wait for labels"));
    };
    let read = timeout(LABELS_TIME, (cluster.read_labels)(namespace.clone()));
    match wait_for(request, read).await? {
        Ok(Ok(labels)) => Ok(labels),
        Ok(Err(problem)) => Err(not_read(&problem)),
        Err(_) => Err(not_read(&format!(
            "no answer within {} s",
            LABELS_TIME.as_secs()
        ))),
    }
}

async fn wait_for<T>(request: &Request, future: impl Future<Output = T>) -> Result<T, Evicted> {
    match &request.connection {
        Some(connection) => connection.wait_for(Phase::Waiting, future).await,
        None => Ok(future.await),
    }
}

#[cfg(test)]
mod tests;
