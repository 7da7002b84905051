//! Live reads of namespaces. Any caller of the webhook port can cause one, so they are limited.
//!
//! Reviews of one namespace share one read, the number of concurrent reads is limited, and answers,
//! also "not found", are cached for a short time. At the limit a review is refused immediately,
//! without a call to the API server.

use super::bounded;
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
/// Time for which an answer is cached, from the beginning of the read; longer than [`TIMEOUT`].
const CACHE_TIME: Duration = Duration::from_secs(3);
/// Time for a read. The API server waits five seconds for the whole review.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Reads namespaces of a cluster.
#[derive(Clone)]
pub struct LiveReads {
    client: Client,
    metrics: Arc<Metrics>,
    running: Arc<Semaphore>,
    reads: Arc<Mutex<BTreeMap<NamespaceName, Read>>>,
}

/// A read, and when it began.
type Read = (Shared<BoxFuture<'static, Option<Answer>>>, Instant);

type Answer = Result<Labels, Unread>;

/// Why the labels of a namespace were not read, as a sentence.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unread {
    /// The namespace does not exist.
    #[error("there is no such namespace")]
    NotFound,
    /// Too many reads are running, so the API server was not asked.
    #[error("{MAX_CONCURRENT} other namespaces are being read, the maximum; try again")]
    TooMany,
    /// The API server did not answer, or its answer cannot be used.
    #[error("{0}")]
    Failed(String),
}

impl LiveReads {
    /// Creates an empty cache.
    pub fn new(client: Client, metrics: Arc<Metrics>) -> Self {
        Self {
            client,
            metrics,
            running: Arc::new(Semaphore::new(MAX_CONCURRENT)),
            reads: Arc::default(),
        }
    }

    /// Reads the labels of one namespace, or returns the cached answer.
    pub fn read(&self, name: &NamespaceName) -> BoxFuture<'static, Answer> {
        let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        // `None` is a failure, and not cached.
        let is_kept = |(read, began): &Read| {
            began.elapsed() < CACHE_TIME && !matches!(read.peek(), Some(None))
        };
        let kept = reads.get(name).filter(|read| is_kept(read));
        let read = match kept {
            Some((read, _)) => read.clone(),
            None => {
                let Ok(permit) = self.running.clone().try_acquire_owned() else {
                    self.metrics.namespace_read(NamespaceRead::Refused);
                    return ready(Err(Unread::TooMany)).boxed();
                };
                let (reader, of) = (self.clone(), name.clone());
                // A task, so that the read completes even if no review waits for it any more.
                let task = tokio::spawn(async move {
                    let _permit = permit;
                    reader.ask(&of).await
                });
                let read = task.map(|answer| answer.ok().flatten()).boxed().shared();
                if reads.len() >= MAX_CACHED {
                    reads.retain(|_, read| is_kept(read));
                }
                if reads.len() >= MAX_CACHED
                    && let Some(oldest) = reads.iter().min_by_key(|(_, (_, began))| *began)
                {
                    let oldest = oldest.0.clone();
                    reads.remove(&oldest);
                }
                reads.insert(name.clone(), (read.clone(), Instant::now()));
                read
            }
        };
        read.map(|answer| {
            let failed = || Unread::Failed("the API server does not say; try again".to_owned());
            answer.unwrap_or_else(|| Err(failed()))
        })
        .boxed()
    }

    /// Reads from the API server; `None` for an answer that must not be cached.
    async fn ask(&self, name: &NamespaceName) -> Option<Answer> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let (result, answer) = match within(TIMEOUT, api.get_metadata(name)).await {
            Ok(namespace) => {
                let labels = bounded(namespace.metadata.labels.unwrap_or_default());
                (NamespaceRead::Found, Ok(labels.map_err(Unread::Failed)))
            }
            Err(kube::Error::Api(status)) if status.code == 404 => {
                (NamespaceRead::NotFound, Ok(Err(Unread::NotFound)))
            }
            Err(error) => (NamespaceRead::Failed, Err(describe(&error))),
        };
        if let Err(problem) = &answer {
            let namespace = name.as_str();
            tracing::warn!(namespace, "the namespace cannot be read: {problem}");
        }
        self.metrics.namespace_read(result);
        answer.ok()
    }
}

#[cfg(test)]
mod tests;
