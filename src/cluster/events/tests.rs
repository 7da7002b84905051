//! Tests of Events for authors of jobs (rules T2 and F8).

use super::{Events, MAX_MESSAGE_BYTES, event};
use crate::cluster::events::outbox::QueuedEvent;
use crate::cluster::namespaces::{self, Namespaces};
use crate::cluster::testing::{Recorder, Reply, list};
use crate::core::admission::AuthorFindings;
use crate::names::{ENFORCE, EnforcedNamespaces};
use crate::telemetry::metrics::Metrics;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::watch;

fn queued(pod: &str, message: &str) -> QueuedEvent {
    QueuedEvent {
        namespace: "ci".parse().unwrap(),
        pod: pod.parse().unwrap(),
        message: message.to_owned(),
    }
}

fn name(pod: &str, message: &str, second: i64) -> String {
    let now = Timestamp::from_second(second).unwrap();
    event(&queued(pod, message), "one", now)
        .metadata
        .name
        .unwrap()
}

#[test]
fn t2_the_event_is_one_that_a_runner_prints() {
    let now = Timestamp::from_second(1).unwrap();
    let event = event(&queued("runner-1", "a Secret made room"), "one", now);
    assert_eq!(event.type_.as_deref(), Some("Warning"));
    assert_eq!(event.involved_object.kind.as_deref(), Some("Pod"));
    assert_eq!(event.involved_object.name.as_deref(), Some("runner-1"));
    assert_eq!(event.metadata.namespace.as_deref(), Some("ci"));
    assert_eq!(
        event.message.as_deref(),
        Some("drydock: a Secret made room")
    );
}

#[test]
fn t2_the_name_is_the_same_for_the_same_finding_and_differs_otherwise() {
    assert_eq!(name("pod", "message", 1), name("pod", "message", 2));
    assert_ne!(name("pod", "message", 1), name("pod", "another", 1));
    assert_ne!(name("pod", "message", 1), name("other", "message", 1));
    let long = "p".repeat(252);
    assert_ne!(
        name(&format!("{long}a"), "message", 1),
        name(&format!("{long}b"), "message", 1)
    );
}

#[test]
fn t2_the_api_server_accepts_names_and_messages() {
    for pod in [
        "p".repeat(253),
        format!("{}-{}", "p".repeat(235), "q".repeat(17)),
    ] {
        let name = name(&pod, "message", 1);
        assert!(name.len() <= 253, "{name}");
        assert!(!name.contains("-."), "{name}");
    }
    let now = Timestamp::from_second(1).unwrap();
    let message = event(&queued("pod", &"ü".repeat(2000)), "one", now)
        .message
        .unwrap();
    assert!(message.len() <= MAX_MESSAGE_BYTES + 5, "{}", message.len());
}

fn namespace(name: &str, mode: &str) -> Value {
    json!({
        "apiVersion": "meta.k8s.io/v1",
        "kind": "PartialObjectMetadata",
        "metadata": {"name": name, "resourceVersion": "7", "labels": {"drydock.dev/job-pods": mode}},
    })
}

/// Answers as an API server with two namespaces in mode `enforce` and one in mode `audit`.
fn answer(line: &str) -> Reply {
    match line {
        line if line.starts_with("POST ") => {
            Reply::Json(201, json!({"metadata": {}, "involvedObject": {}}))
        }
        line if line.contains("watch=true") => Reply::Events(Vec::new()),
        _ => list(
            "Namespace",
            &[
                namespace("ci", "enforce"),
                namespace("quiet", "enforce"),
                namespace("audited", "audit"),
            ],
        ),
    }
}

struct Cluster {
    events: Arc<Events>,
    namespaces: watch::Sender<Namespaces>,
    metrics: Arc<Metrics>,
    recorder: Recorder,
    client: kube::Client,
}

impl Cluster {
    fn new() -> Self {
        let (namespaces, _) = watch::channel(Namespaces::new());
        let metrics = Arc::new(Metrics::new());
        let recorder = Recorder::default();
        Self {
            events: Arc::new(Events::new(
                namespaces.subscribe(),
                EnforcedNamespaces {
                    value: ENFORCE.to_owned(),
                    prefix: None,
                },
                metrics.clone(),
            )),
            client: recorder.client(answer),
            namespaces,
            metrics,
            recorder,
        }
    }

    fn add(&self, namespace: &str, pod: usize) {
        self.events.add(&AuthorFindings {
            namespace: namespace.parse().unwrap(),
            pod: format!("runner-{pod}").parse().unwrap(),
            sentences: vec!["a Secret made room".to_owned()],
        });
    }

    /// Watches the namespaces until they have been listed.
    async fn list(&self) {
        let work = namespaces::run(
            self.client.clone(),
            self.namespaces.clone(),
            self.metrics.clone(),
        );
        let mut known = self.namespaces.subscribe();
        tokio::select! {
            () = work => {}
            _ = known.wait_for(|known| !known.is_empty()) => {}
        }
    }

    /// Writes all queued Events. Returns the number of Events for each request path.
    async fn write(&self) -> std::collections::BTreeMap<String, usize> {
        let work = self
            .events
            .clone()
            .write(self.client.clone(), "one".to_owned());
        // The clock is paused: it advances only when the writer is idle.
        let idle = tokio::time::sleep(std::time::Duration::from_secs(3600));
        tokio::select! {
            () = work => {}
            () = idle => {}
        }
        let mut written = std::collections::BTreeMap::new();
        for line in self.recorder.requests() {
            if let Some(path) = line.strip_prefix("POST ") {
                *written.entry(path.to_owned()).or_default() += 1;
            }
        }
        written
    }

    fn counted(&self, labels: &str) -> String {
        let sample = format!("drydock_events_total{{{labels}}} ");
        let text = self.metrics.encode();
        let line = text.lines().find_map(|line| line.strip_prefix(&sample));
        line.unwrap().to_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn f8_events_go_only_to_namespaces_that_opted_in_to_changes() {
    let cluster = Cluster::new();
    cluster.list().await;
    let never = ["kube-system", "drydock", "victim", "audited"];
    for namespace in never {
        cluster.add(namespace, 1);
    }
    cluster.add("ci", 1);
    let written = cluster.write().await;
    let paths: Vec<&String> = written.keys().collect();
    assert_eq!(paths, ["/api/v1/namespaces/ci/events?"]);
    assert_eq!(
        cluster.counted("outcome=\"dropped\",reason=\"not-opted-in\""),
        "4"
    );
    assert_eq!(cluster.counted("outcome=\"written\",reason=\"\""), "1");
}

#[tokio::test(start_paused = true)]
async fn f8_no_event_is_written_before_the_namespaces_are_listed() {
    let cluster = Cluster::new();
    cluster.add("ci", 1);
    assert!(cluster.write().await.is_empty());
    assert_eq!(
        cluster.counted("outcome=\"dropped\",reason=\"not-listed\""),
        "1"
    );
    cluster.list().await;
    cluster.add("ci", 1);
    assert_eq!(cluster.write().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn f8_a_namespace_that_lost_its_label_gets_no_events_not_even_queued_ones() {
    let cluster = Cluster::new();
    cluster.list().await;
    cluster.add("ci", 1);
    cluster.namespaces.send_modify(|known| {
        known.remove("ci");
    });
    cluster.add("ci", 2);
    assert!(cluster.write().await.is_empty());
    assert_eq!(
        cluster.counted("outcome=\"dropped\",reason=\"not-opted-in\""),
        "2"
    );
}

#[tokio::test(start_paused = true)]
async fn f8_many_events_of_one_namespace_do_not_drop_the_event_of_another() {
    let cluster = Cluster::new();
    cluster.list().await;
    for pod in 0..1200 {
        cluster.add("ci", pod);
    }
    cluster.add("quiet", 1);
    let written = cluster.write().await;
    assert_eq!(written["/api/v1/namespaces/quiet/events?"], 1);
    assert_eq!(written["/api/v1/namespaces/ci/events?"], 100);
    assert_eq!(
        cluster.counted("outcome=\"dropped\",reason=\"queue\""),
        "1100"
    );
}
