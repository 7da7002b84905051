//! Live reads of namespaces: whoever reaches the webhook port can ask for one, so that their number is bounded.
//!
//! Reviews of one namespace share one read, a few reads at most are under way, and an answer (that there is no such namespace, too)
//! is kept for a moment. Beyond that a review is refused at once, without a call to the API server.

use super::bounded;
use crate::core::object_name::NamespaceName;
use crate::core::policy::set::Labels;
use crate::core::shown;
use crate::telemetry::metrics::{Metrics, NamespaceRead};
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::Api;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How many reads may be under way.
const UNDER_WAY: usize = 8;
/// How many answers are kept.
const KEPT: usize = 256;
/// How long an answer is kept. A namespace that opts in comes through the watch, whatever is kept here.
const KEPT_FOR: Duration = Duration::from_secs(3);
/// How long a read may take: the API server waits five seconds for the whole review.
const PATIENCE: Duration = Duration::from_secs(2);

/// Reads namespaces of a cluster.
#[derive(Clone)]
pub struct LiveReads(Arc<Shared>);

struct Shared {
    client: Client,
    metrics: Arc<Metrics>,
    reads: Mutex<BTreeMap<NamespaceName, Read>>,
}

/// The labels, or why there are none, as a sentence.
type Answer = Result<Labels, String>;

enum Read {
    UnderWay(watch::Receiver<Option<Answer>>),
    Answered(Answer, Instant),
}

impl LiveReads {
    /// Makes one that has read nothing.
    #[must_use]
    pub fn new(client: Client, metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Shared {
            client,
            metrics,
            reads: Mutex::default(),
        }))
    }

    /// Reads the labels of one namespace, or gives the answer that is there.
    ///
    /// # Errors
    /// Where it does not exist, cannot be read, or too many others are being read, as a sentence.
    pub fn read(&self, name: &NamespaceName) -> BoxFuture<'static, Result<Labels, String>> {
        let mut answer = match self.begin(name) {
            Ok(answer) => answer,
            Err(known) => return Box::pin(std::future::ready(known)),
        };
        Box::pin(async move {
            let answer = answer.wait_for(Option::is_some).await;
            answer
                .ok()
                .and_then(|answer| answer.clone())
                .unwrap_or_else(|| Err("the read of the namespace was given up".to_owned()))
        })
    }

    /// Returns where the answer will be; the answer itself where there is one already.
    fn begin(&self, name: &NamespaceName) -> Result<watch::Receiver<Option<Answer>>, Answer> {
        let now = Instant::now();
        let mut reads = self.0.reads();
        match reads.get(name) {
            Some(Read::UnderWay(answer)) => return Ok(answer.clone()),
            Some(Read::Answered(answer, at)) if now < *at + KEPT_FOR => return Err(answer.clone()),
            _ => {}
        }
        let under_way = reads.values().filter(|read| read.is_under_way()).count();
        if under_way >= UNDER_WAY {
            self.0
                .metrics
                .of_cluster()
                .namespace_read(NamespaceRead::Refused);
            return Err(Err(format!(
                "{under_way} other namespaces are being read, which is the most at one time; try again"
            )));
        }
        make_room(&mut reads, now);
        let (sender, answer) = watch::channel(None);
        reads.insert(name.clone(), Read::UnderWay(answer.clone()));
        let (shared, name) = (self.0.clone(), name.clone());
        // A task, so that it ends whoever stops to wait for it.
        tokio::spawn(async move {
            let answer = shared.ask(&name).await;
            let mut reads = shared.reads();
            match &answer {
                Some(answer) => reads.insert(name, Read::Answered(answer.clone(), Instant::now())),
                None => reads.remove(&name),
            };
            drop(reads);
            sender.send_replace(Some(answer.unwrap_or_else(|| {
                Err("the API server does not say; try again".to_owned())
            })));
        });
        Ok(answer)
    }
}

/// Forgets answers that are old, and the oldest where there are still too many.
fn make_room(reads: &mut BTreeMap<NamespaceName, Read>, now: Instant) {
    if reads.len() < KEPT {
        return;
    }
    reads.retain(|_, read| match read {
        Read::UnderWay(_) => true,
        Read::Answered(_, at) => now < *at + KEPT_FOR,
    });
    while reads.len() >= KEPT {
        let answered = reads.iter().filter_map(|(name, read)| match read {
            Read::UnderWay(_) => None,
            Read::Answered(_, at) => Some((*at, name)),
        });
        let Some((_, oldest)) = answered.min() else {
            return;
        };
        let oldest = oldest.clone();
        reads.remove(&oldest);
    }
}

impl Read {
    fn is_under_way(&self) -> bool {
        matches!(self, Self::UnderWay(_))
    }
}

impl Shared {
    fn reads(&self) -> MutexGuard<'_, BTreeMap<NamespaceName, Read>> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the API server; nothing where it gives no answer that is worth keeping.
    async fn ask(&self, name: &NamespaceName) -> Option<Answer> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let (result, answer) = match tokio::time::timeout(PATIENCE, api.get_metadata(name)).await {
            Ok(Ok(namespace)) => {
                let labels = bounded(namespace.metadata.labels.unwrap_or_default());
                (NamespaceRead::Found, Some(labels))
            }
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => {
                let sentence = "there is no such namespace".to_owned();
                (NamespaceRead::NotFound, Some(Err(sentence)))
            }
            Ok(Err(error)) => {
                let problem = shown::sentence(&error.to_string());
                tracing::warn!(
                    namespace = name.as_str(),
                    "the namespace cannot be read: {problem}"
                );
                (NamespaceRead::Failed, None)
            }
            Err(_) => {
                let seconds = PATIENCE.as_secs();
                tracing::warn!(
                    namespace = name.as_str(),
                    "the namespace cannot be read: no answer within {seconds} s"
                );
                (NamespaceRead::Failed, None)
            }
        };
        self.metrics.of_cluster().namespace_read(result);
        answer
    }
}

#[cfg(test)]
mod tests;
