//! Judging: on which thread a review is judged, how many at a time, and how long it waits before.
//!
//! A small review takes some microseconds, less than a switch of threads, so it is judged at once on
//! the thread that serves its connection. A large one is judged on a blocking thread, while
//! handshakes and small reviews go on. Large ones are judged one at a time: what one becomes in
//! memory, its structures, plan, notes and answer, is a multiple of its body, and so that multiple
//! counts once and not for each review in flight. Two at a time would gain nothing on the one CPU
//! that a webhook has.
//!
//! A review that waits, for its turn or for the labels of its namespace, can be evicted.

use super::Limits;
use super::State;
use super::connection::{Evictable, MadeRoom};
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

/// Size of a body from which on a review is large, bytes. Reviews of real job pods have 30 to 60 kB. At the bounds, one of
/// twice this size took a tenth of a second.
const LARGE: usize = 96 << 10;

/// Time for the turn of a large review; the API server waits five seconds for the whole.
const TURN_TIME: Duration = Duration::from_secs(2);

/// Time for the labels of a namespace.
const LABELS_TIME: Duration = Duration::from_secs(2);

/// Of so many connections, one may wait for the labels of a namespace.
const CONNECTIONS_A_LABEL_READER: usize = 8;

/// How many reviews are judged on blocking threads, or wait for labels, at one time.
#[derive(Clone, Debug)]
pub(crate) struct Turns {
    large: Arc<Semaphore>,
    label_readers: Arc<Semaphore>,
    /// How long a large review waits for its turn.
    turn_time: Duration,
}

impl Turns {
    pub(super) fn new(limits: Limits) -> Self {
        let label_readers = (limits.connections / CONNECTIONS_A_LABEL_READER).max(1);
        Self {
            large: Arc::new(Semaphore::new(1)),
            label_readers: Arc::new(Semaphore::new(label_readers)),
            turn_time: TURN_TIME,
        }
    }
}

/// Why a body that was read whole gets no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    #[error(
        "drydock has just started and has not read its policies yet; try again in a few seconds"
    )]
    NotReady,
    #[error(transparent)]
    Review(#[from] ReviewError),
    #[error("drydock is overloaded: {0}; try again in a few seconds")]
    Evicted(#[from] MadeRoom),
    #[error(
        "drydock is overloaded: too many large pods are being created; try again in a few seconds"
    )]
    NoTurn,
    #[error(
        "drydock failed on this pod because of a bug of its own; please tell the platform team"
    )]
    Bug,
}

/// A review to judge.
pub(super) struct Request {
    pub(super) mode: Mode,
    pub(super) body: Bytes,
    /// Its connection, where it came over one.
    pub(super) connection: Option<Evictable>,
}

/// Judges a review with the labels of its namespace, if a policy selects by them.
pub(super) async fn judge(state: &State, request: &Request) -> Result<Answer, Unanswered> {
    let policies = state.policies.borrow().clone();
    let policies = policies.ok_or(Unanswered::NotReady)?;
    let labels = if policies.asks_for_namespace_labels() {
        labels(state, request).await?
    } else {
        None
    };
    let Request { mode, body, .. } = request;
    if body.len() <= LARGE {
        return judge_now(state, &policies, *mode, body, labels.as_ref());
    }
    let turn = timeout(
        state.turns.turn_time,
        state.turns.large.clone().acquire_owned(),
    );
    let Ok(Ok(turn)) = wait_for(request, turn).await? else {
        state.metrics.limit_hit(Limit::ReviewQueue);
        return Err(Unanswered::NoTurn);
    };
    let (state, mode, body) = (state.clone(), *mode, body.clone());
    let judged = tokio::task::spawn_blocking(move || {
        // The turn ends with the work, also where the client is gone by then.
        let _turn = turn;
        let _judging = state.progress.judging(Instant::now());
        judge_now(&state, &policies, mode, &body, labels.as_ref())
    });
    judged.await.unwrap_or(Err(Unanswered::Bug))
}

fn judge_now(
    state: &State,
    policies: &PolicySet,
    mode: Mode,
    body: &[u8],
    labels: Option<&Labels>,
) -> Result<Answer, Unanswered> {
    let context = Context {
        policies,
        mode,
        namespace_labels: labels,
        own_namespace: &state.own_namespace,
    };
    // A bug must not end the connection: the failurePolicy decides whether the pod is admitted.
    catch_unwind(AssertUnwindSafe(|| (state.review)(body, context)))
        .map_err(|_| Unanswered::Bug)?
        .map_err(Unanswered::Review)
}

/// Returns the labels of the review's namespace, from memory or from the API server; `None` without
/// a cluster or without a namespace.
async fn labels(state: &State, request: &Request) -> Result<Option<Labels>, Unanswered> {
    let (Some(cluster), Some(namespace)) = (&state.cluster, admission::namespace(&request.body))
    else {
        return Ok(None);
    };
    let known = cluster.namespaces.borrow().get(namespace.as_str()).cloned();
    if known.is_some() {
        return Ok(known);
    }
    let not_read = |problem: &str| {
        tracing::warn!(
            namespace = namespace.as_str(),
            "the namespace's labels cannot be read: {problem}"
        );
        Unanswered::Review(ReviewError::NamespaceNotRead(namespace.clone()))
    };
    let Ok(_reader) = state.turns.label_readers.try_acquire() else {
        state.metrics.limit_hit(Limit::NamespaceLabels);
        return Err(not_read("too many reviews wait for labels"));
    };
    let read = timeout(LABELS_TIME, (cluster.read_labels)(namespace.clone()));
    match wait_for(request, read).await? {
        Ok(Ok(labels)) => Ok(Some(labels)),
        Ok(Err(problem)) => Err(not_read(&problem)),
        Err(_) => Err(not_read(&format!(
            "no answer within {} s",
            LABELS_TIME.as_secs()
        ))),
    }
}

async fn wait_for<T>(request: &Request, future: impl Future<Output = T>) -> Result<T, MadeRoom> {
    match &request.connection {
        Some(connection) => connection.wait_for(future).await,
        None => Ok(future.await),
    }
}

#[cfg(test)]
mod tests;
