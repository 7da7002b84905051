//! Writes Warning Events on pods. The author of a job reads them in the job log if the job fails
//! (rule T2).
//!
//! GitLab Runner 17.2 and later prints the Warning Events whose `involvedObject.name` is the name
//! of the pod (`executors/kubernetes/kubernetes.go`, `printPodEvents`). During admission the pod
//! has a name but no uid, so the Events contain only the name. Anyone in the cluster can call the
//! webhook, so drydock writes Events only to namespaces that opted in to changes of their pods, and
//! within the budgets of `outbox` (rule F8). Reviews do not wait for Events; excess Events are
//! dropped and counted.

mod outbox;

use super::client::within;
use super::error::{LogOnce, describe};
use super::namespaces::Namespaces;
use crate::core::admission::AuthorFindings;
use crate::core::object_name::NamespaceName;
use crate::core::quote::truncate;
use crate::names::{EnforcedNamespaces, OPT_IN_LABEL};
use crate::telemetry::metrics::{EventDrop, EventOutcome, Metrics};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, Time};
use kube::Client;
use kube::api::{Api, PostParams};
use outbox::{Next, Outbox, QueuedEvent};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// Maximum number of Events for one review, because an author reads only a few lines.
const MAX_PER_POD: usize = 8;
/// Maximum size of a message. The API server accepts 1,024 bytes.
const MAX_MESSAGE_BYTES: usize = 1000;
/// Maximum length of an object name that the API server accepts.
const MAX_NAME_CHARS: usize = 253;
/// Timeout of the call that writes one Event.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Queues findings for authors of jobs. [`Events::write`] writes them as Events.
pub struct Events {
    outbox: Mutex<Outbox>,
    filled: Notify,
    namespaces: watch::Receiver<Namespaces>,
    enforced: EnforcedNamespaces,
    metrics: Arc<Metrics>,
}

impl Events {
    /// Creates an empty queue. `namespaces` contains the namespaces that opted in, and is empty
    /// before the first LIST. `enforced` selects the namespaces whose pods drydock changes.
    pub fn new(
        namespaces: watch::Receiver<Namespaces>,
        enforced: EnforcedNamespaces,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            outbox: Mutex::new(Outbox::new(Instant::now())),
            filled: Notify::new(),
            namespaces,
            enforced,
            metrics,
        }
    }

    /// Queues the findings about a pod without waiting. Counts the findings that are dropped.
    pub fn add(&self, findings: &AuthorFindings) {
        if let Err(reason) = self.may_write_to(&findings.namespace) {
            let count = findings.sentences.len().min(MAX_PER_POD);
            self.metrics.events_dropped(reason, count);
            return;
        }
        let dropped = self.outbox().put(findings, MAX_PER_POD, Instant::now());
        for (reason, count) in dropped {
            self.metrics.events_dropped(reason, count);
        }
        self.filled.notify_one();
    }

    /// Writes queued Events until the future is dropped. `instance` is the name of this replica,
    /// the `reportingInstance` of the Events.
    pub async fn write(self: Arc<Self>, client: Client, instance: String) {
        let mut log = LogOnce::default();
        loop {
            let next = self.outbox().next(Instant::now());
            match next {
                Next::Write(queued) => {
                    let problem = self.create(&client, &queued, &instance).await;
                    log.set("events", problem.err());
                }
                Next::Wait(time) => tokio::time::sleep(time).await,
                Next::Idle => self.filled.notified().await,
            }
        }
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks that a namespace opted in to changes of its pods. In audit mode, drydock writes no
    /// Events.
    fn may_write_to(&self, namespace: &NamespaceName) -> Result<(), EventDrop> {
        let namespaces = self.namespaces.borrow();
        let labels = namespaces.get(namespace.as_str());
        let label = labels.and_then(|labels| labels.get(OPT_IN_LABEL));
        let label = label.map(String::as_str);
        match self.enforced.contains(namespace.as_str(), label) {
            true => Ok(()),
            _ if namespaces.is_empty() => Err(EventDrop::NotListed),
            _ => Err(EventDrop::NotOptedIn),
        }
    }

    /// Writes one Event. The error is a message for the log.
    async fn create(
        &self,
        client: &Client,
        queued: &QueuedEvent,
        instance: &str,
    ) -> Result<(), String> {
        // The namespace may have lost its label since the Event was queued.
        if let Err(reason) = self.may_write_to(&queued.namespace) {
            self.metrics.events_dropped(reason, 1);
            return Ok(());
        }
        let api: Api<Event> = Api::namespaced(client.clone(), &queued.namespace);
        let event = event(queued, instance, Timestamp::now());
        let params = PostParams::default();
        let created = api.create(&params, &event);
        let (outcome, problem) = match within(TIMEOUT, created).await {
            Ok(_) => (EventOutcome::Written, None),
            // The Event exists: the pod was reviewed before, perhaps by another replica.
            Err(kube::Error::Api(answer)) if answer.code == 409 => (EventOutcome::Duplicate, None),
            Err(error) => (EventOutcome::Failed, Some(describe(&error))),
        };
        self.metrics.event(outcome);
        problem.map_or(Ok(()), |problem| {
            Err(format!(
                "cannot write Events (drydock_events_total counts the failures): {problem}"
            ))
        })
    }
}

/// Creates an Event. Its name is derived from its content, so the API server rejects a duplicate.
fn event(queued: &QueuedEvent, instance: &str, now: Timestamp) -> Event {
    let (namespace, pod) = (&queued.namespace, &queued.pod);
    let message = &queued.message;
    let time = Time(Timestamp::from_second(now.as_second()).unwrap_or(now));
    Event {
        metadata: ObjectMeta {
            name: Some(name(pod, message)),
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
        message: Some(truncate(format!("drydock: {message}"), MAX_MESSAGE_BYTES)),
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

/// Returns the name of an Event: the name of the pod, truncated if necessary, and a hash of the
/// whole name and the message.
fn name(pod: &str, message: &str) -> String {
    let mut hasher = DefaultHasher::new();
    (pod, message).hash(&mut hasher);
    let hash = format!(".{:016x}", hasher.finish());
    let pod: String = pod.chars().take(MAX_NAME_CHARS - hash.len()).collect();
    // The character before a dot must be a letter or digit.
    format!("{}{hash}", pod.trim_end_matches(['.', '-']))
}

#[cfg(test)]
mod tests;
