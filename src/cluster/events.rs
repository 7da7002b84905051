//! Warning Events on pods: what the author of a job reads in the job log when the job fails (T2).
//!
//! GitLab Runner from 17.2 prints the Warning Events whose `involvedObject.name` is the pod's
//! (`executors/kubernetes/kubernetes.go`, `printPodEvents`). During admission the pod has a name but no uid yet.
//! Anyone in the cluster may call the webhook, so Events are written only to namespaces that opted in to changes of their pods, and
//! within the budgets of `outbox` (F8). Nothing waits for an Event: what does not fit is dropped and counted.

mod budget;
mod outbox;

use super::namespaces::{Namespaces, OptedIn};
use crate::core::admission::AuthorNotes;
use crate::core::object_name::NamespaceName;
use crate::core::shown;
use crate::names;
use crate::telemetry::metrics::{EventDrop, EventOutcome, Metrics};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, Time};
use kube::Client;
use kube::api::{Api, PostParams};
use outbox::{Next, Outbox, Waiting};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// Of one pod the first so many are told: an author reads a few lines.
const MOST_PER_POD: usize = 8;
/// The API server takes 1,024 bytes.
const LONGEST_MESSAGE: usize = 1000;
/// The API server takes 253 characters.
const LONGEST_NAME: usize = 253;
/// How long one Event may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Takes notes for authors, to be written as Events by [`Events::write`].
#[derive(Clone)]
pub struct Events(Arc<Shared>);

struct Shared {
    outbox: Mutex<Outbox>,
    /// Something waits.
    filled: Notify,
    namespaces: watch::Receiver<Namespaces>,
    is_listed: watch::Receiver<bool>,
    metrics: Arc<Metrics>,
    /// Whether the last one could not be written. It is told once.
    is_failing: AtomicBool,
}

impl Events {
    /// Makes one for the namespaces that opted in.
    #[must_use]
    pub fn new(opted_in: &OptedIn, metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Shared {
            outbox: Mutex::new(Outbox::new(Instant::now())),
            filled: Notify::new(),
            namespaces: opted_in.namespaces.subscribe(),
            is_listed: opted_in.is_listed.subscribe(),
            metrics,
            is_failing: AtomicBool::new(false),
        }))
    }

    /// Takes in what there is to tell of a pod, without waiting; what is dropped is counted.
    pub fn tell(&self, told: &AuthorNotes) {
        let shared = &self.0;
        let count = told.notes.len().min(MOST_PER_POD);
        if let Err(why) = shared.may_write_to(&told.namespace) {
            shared.metrics.events_dropped(why, count);
            return;
        }
        let dropped = shared.outbox().put(told, MOST_PER_POD, Instant::now());
        for (why, count) in dropped {
            shared.metrics.events_dropped(why, count);
        }
        shared.filled.notify_one();
    }

    /// Writes what waits, for as long as it is polled. `instance` names this process.
    pub async fn write(self, client: Client, instance: String) {
        let shared = &self.0;
        loop {
            let next = shared.outbox().next(Instant::now());
            match next {
                Next::Write(event) => shared.write(&client, &event, &instance).await,
                Next::Wait(time) => tokio::time::sleep(time).await,
                Next::Idle => shared.filled.notified().await,
            }
        }
    }
}

impl Shared {
    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a namespace opted in to changes of its pods: an audit tells its authors nothing.
    fn may_write_to(&self, namespace: &NamespaceName) -> Result<(), EventDrop> {
        if !*self.is_listed.borrow() {
            return Err(EventDrop::NotListed);
        }
        let namespaces = self.namespaces.borrow();
        let labels = namespaces.get(namespace.as_str());
        let mode = labels.and_then(|labels| labels.get(names::OPT_IN_LABEL));
        match mode.map(String::as_str) {
            Some(names::ENFORCE) => Ok(()),
            _ => Err(EventDrop::NotOptedIn),
        }
    }

    async fn write(&self, client: &Client, waiting: &Waiting, instance: &str) {
        // The label may have been taken away while it waited.
        if let Err(why) = self.may_write_to(&waiting.namespace) {
            self.metrics.events_dropped(why, 1);
            return;
        }
        let api: Api<Event> = Api::namespaced(client.clone(), &waiting.namespace);
        let event = event(waiting, instance, Timestamp::now());
        let params = PostParams::default();
        let created = tokio::time::timeout(PATIENCE, api.create(&params, &event)).await;
        let problem = match created {
            Ok(Ok(_)) => {
                if self.is_failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("Events can be written again");
                }
                return self.metrics.event(EventOutcome::Written);
            }
            // A second admission of the pod, perhaps by another replica.
            Ok(Err(kube::Error::Api(answer))) if answer.code == 409 => {
                return self.metrics.event(EventOutcome::Duplicate);
            }
            Ok(Err(error)) => shown::sentence(&error.to_string()),
            Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
        };
        self.metrics.event(EventOutcome::Failed);
        let (namespace, pod) = (waiting.namespace.as_str(), waiting.pod.as_str());
        if self.is_failing.swap(true, Ordering::Relaxed) {
            tracing::debug!(namespace, pod, "an Event cannot be written: {problem}");
        } else {
            tracing::warn!(
                namespace,
                pod,
                "an Event cannot be written, later ones are counted: {problem}"
            );
        }
    }
}

/// Makes an Event. Its name says what it is about, so that the API server refuses a second one of the kind.
fn event(waiting: &Waiting, instance: &str, now: Timestamp) -> Event {
    let Waiting {
        namespace,
        pod,
        note,
    } = waiting;
    let time = Time(Timestamp::from_second(now.as_second()).unwrap_or(now));
    Event {
        metadata: ObjectMeta {
            name: Some(name(pod, note)),
            namespace: Some(namespace.to_string()),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: Some(pod.to_string()),
            namespace: Some(namespace.to_string()),
            ..ObjectReference::default()
        },
        type_: Some("Warning".to_owned()),
        reason: Some("JobPodRepair".to_owned()),
        action: Some("Admission".to_owned()),
        message: Some(cut(note)),
        count: Some(1),
        event_time: Some(MicroTime(now)),
        first_timestamp: Some(time.clone()),
        last_timestamp: Some(time),
        source: Some(EventSource {
            component: Some("drydock".to_owned()),
            ..EventSource::default()
        }),
        reporting_component: Some("drydock.dev/webhook".to_owned()),
        reporting_instance: Some(instance.to_owned()),
        ..Event::default()
    }
}

/// A pod's name may be as long as an Event's: what of it is cut off is in the hash.
fn name(pod: &str, note: &str) -> String {
    let mut hasher = DefaultHasher::new();
    (pod, note).hash(&mut hasher);
    let hash = format!(".{:016x}", hasher.finish());
    let pod: String = pod.chars().take(LONGEST_NAME - hash.len()).collect();
    // What stands before a dot has to end with a letter or digit.
    format!("{}{hash}", pod.trim_end_matches(['.', '-']))
}

fn cut(note: &str) -> String {
    let message = format!("drydock: {note}");
    match message
        .char_indices()
        .find(|(end, _)| *end >= LONGEST_MESSAGE)
    {
        None => message,
        Some((end, _)) => format!("{}…", message.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests;
