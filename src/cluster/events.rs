//! Warning Events on pods: what the author of a job reads in the job log when the job fails (T2).
//!
//! GitLab Runner from 17.2 prints the Warning Events whose `involvedObject.name` is the pod's
//! (`executors/kubernetes/kubernetes.go`, `printPodEvents`). During admission the pod has a name but no uid yet.
//! Nothing waits for an Event: the queue is bounded, what does not fit is dropped and counted.

use crate::admission::AuthorNotes;
use crate::telemetry::metrics::{EventOutcome, Metrics};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, Time};
use kube::Client;
use kube::api::{Api, PostParams};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How many pods may wait for their Events.
pub const QUEUE: usize = 256;
/// Of one pod the first so many are told: an author reads a few lines.
const MOST_PER_POD: usize = 8;
/// The API server takes 1,024 bytes.
const LONGEST_MESSAGE: usize = 1000;
/// How long one Event may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Writes Events until the sender is gone. `instance` names this process.
pub async fn run(
    client: Client,
    mut queue: mpsc::Receiver<AuthorNotes>,
    instance: String,
    metrics: Arc<Metrics>,
) {
    while let Some(told) = queue.recv().await {
        let api: Api<Event> = Api::namespaced(client.clone(), &told.namespace);
        for note in told.notes.iter().take(MOST_PER_POD) {
            let event = event(&told, note, &instance, Timestamp::now());
            let params = PostParams::default();
            let created = tokio::time::timeout(PATIENCE, api.create(&params, &event)).await;
            let problem = match created {
                Ok(Ok(_)) => {
                    metrics.event(EventOutcome::Written);
                    continue;
                }
                // A second admission of the pod, perhaps by another replica.
                Ok(Err(kube::Error::Api(answer))) if answer.code == 409 => {
                    metrics.event(EventOutcome::Duplicate);
                    continue;
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
            };
            metrics.event(EventOutcome::Failed);
            tracing::warn!(
                namespace = told.namespace.as_str(),
                pod = told.pod.as_str(),
                "an Event cannot be written: {problem}"
            );
        }
    }
}

/// Makes an Event. Its name says what it is about, so that the API server refuses a second one of the kind.
fn event(told: &AuthorNotes, note: &str, instance: &str, now: Timestamp) -> Event {
    let mut hasher = DefaultHasher::new();
    note.hash(&mut hasher);
    // A pod's name may have 253 characters, and so may an Event's.
    let pod: String = told.pod.chars().take(230).collect();
    let time = Time(Timestamp::from_second(now.as_second()).unwrap_or(now));
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{pod}.{:016x}", hasher.finish())),
            namespace: Some(told.namespace.to_string()),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: Some(told.pod.to_string()),
            namespace: Some(told.namespace.to_string()),
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
