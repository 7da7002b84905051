//! Reads the labels of a namespace from the API server during a review.
//!
//! Any client of the webhook port can cause a read, so reads are limited: concurrent reviews of one
//! namespace share a read, the number of concurrent reads has a maximum, and answers, including
//! "not found", are cached for a short time. At the maximum, a review fails immediately without a
//! call to the API server.

use super::check_size;
use crate::cluster::client::within;
use crate::cluster::error::describe;
use crate::core::object_name::NamespaceName;
use crate::core::policy::set::Labels;
use crate::telemetry::metrics::{Metrics, NamespaceRead};
use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, ready};
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::Api;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Maximum number of concurrent reads.
const MAX_CONCURRENT: usize = 8;
/// Maximum number of cached answers.
const MAX_CACHED: usize = 256;
/// Time for which an answer is cached, from the start of the read. It is longer than [`TIMEOUT`].
const CACHE_TIME: Duration = Duration::from_secs(3);
/// Timeout of a read. The API server waits five seconds for the whole review.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Reads the labels of namespaces, with a cache.
#[derive(Clone)]
pub struct LiveReads {
    client: Client,
    metrics: Arc<Metrics>,
    running: Arc<Semaphore>,
    reads: Arc<Mutex<BTreeMap<NamespaceName, Read>>>,
}

/// A read, and the time at which it started.
type Read = (Shared<BoxFuture<'static, Option<Answer>>>, Instant);

type Answer = Result<Labels, LabelReadError>;

/// An error that occurs when the labels of a namespace are read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LabelReadError {
    /// The namespace does not exist.
    #[error("the namespace does not exist")]
    NotFound,
    /// The maximum number of reads is running, so drydock did not call the API server.
    #[error("drydock is already reading {MAX_CONCURRENT} other namespaces, the maximum; try again")]
    TooMany,
    /// The API server did not answer, or its answer cannot be used.
    #[error("{0}")]
    Failed(String),
}

impl LiveReads {
    /// Creates a reader with an empty cache.
    pub fn new(client: Client, metrics: Arc<Metrics>) -> Self {
        Self {
            client,
            metrics,
            running: Arc::new(Semaphore::new(MAX_CONCURRENT)),
            reads: Arc::default(),
        }
    }

    /// Returns the labels of a namespace from the cache or from the API server.
    pub fn read(&self, name: &NamespaceName) -> BoxFuture<'static, Answer> {
        let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        // `None` is the answer of a failed read, which is not cached.
        let is_current = |(read, started): &Read| {
            started.elapsed() < CACHE_TIME && !matches!(read.peek(), Some(None))
        };
        let current = reads.get(name).filter(|read| is_current(read));
        let read = match current {
            Some((read, _)) => read.clone(),
            None => {
                let Ok(permit) = self.running.clone().try_acquire_owned() else {
                    self.metrics.namespace_read(NamespaceRead::Refused);
                    return ready(Err(LabelReadError::TooMany)).boxed();
                };
                let (reader, namespace) = (self.clone(), name.clone());
                // A task completes the read even if no review waits for it any more.
                let task = tokio::spawn(async move {
                    let _permit = permit;
                    reader.read_uncached(&namespace).await
                });
                let read = task.map(|answer| answer.ok().flatten()).boxed().shared();
                if reads.len() >= MAX_CACHED {
                    reads.retain(|_, read| is_current(read));
                }
                if reads.len() >= MAX_CACHED
                    && let Some(oldest) = reads.iter().min_by_key(|(_, (_, started))| *started)
                {
                    let oldest = oldest.0.clone();
                    reads.remove(&oldest);
                }
                reads.insert(name.clone(), (read.clone(), Instant::now()));
                read
            }
        };
        read.map(|answer| {
            answer.unwrap_or_else(|| {
                let problem = "the API server did not return the namespace; try again";
                Err(LabelReadError::Failed(problem.to_owned()))
            })
        })
        .boxed()
    }

    /// Reads the labels from the API server. Returns `None` if the call fails, because failures
    /// must not be cached.
    async fn read_uncached(&self, name: &NamespaceName) -> Option<Answer> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let (result, answer) = match within(TIMEOUT, api.get_metadata(name)).await {
            Ok(namespace) => {
                let labels = check_size(namespace.metadata.labels.unwrap_or_default());
                (
                    NamespaceRead::Found,
                    Ok(labels.map_err(LabelReadError::Failed)),
                )
            }
            Err(kube::Error::Api(status)) if status.code == 404 => {
                (NamespaceRead::NotFound, Ok(Err(LabelReadError::NotFound)))
            }
            Err(error) => (NamespaceRead::Failed, Err(describe(&error))),
        };
        if let Err(problem) = &answer {
            let namespace = name.as_str();
            tracing::warn!(namespace, "cannot read the namespace: {problem}");
        }
        self.metrics.namespace_read(result);
        answer.ok()
    }
}

#[cfg(test)]
mod tests;
