//! Tests of namespaces with labels that could exhaust the memory of a replica.

use super::{MAX_LABEL_BYTES, Namespaces, run};
use crate::cluster::testing::{Recorder, Reply, list};
use crate::telemetry::metrics::Metrics;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::watch;

/// Creates a namespace that opted in and whose other labels have about this number of bytes.
pub(super) fn namespace(name: &str, bytes: usize) -> Value {
    let mut labels = serde_json::Map::new();
    labels.insert("drydock.dev/job-pods".to_owned(), "enforce".into());
    for number in 0..bytes / 64 {
        labels.insert(format!("{number:04}"), "x".repeat(60).into());
    }
    json!({
        "apiVersion": "meta.k8s.io/v1",
        "kind": "PartialObjectMetadata",
        "metadata": {"name": name, "resourceVersion": "7", "labels": labels},
    })
}

#[tokio::test(start_paused = true)]
async fn f6_a_namespace_with_too_large_labels_is_ignored_and_others_are_not() {
    let answer = |line: &str| match line.contains("watch=true") {
        true => Reply::Events(vec![
            json!({"type": "MODIFIED", "object": namespace("grows", MAX_LABEL_BYTES + 64)}),
            json!({"type": "MODIFIED", "object": namespace("last", 64)}),
        ]),
        false => {
            let large = namespace("large", MAX_LABEL_BYTES + 64);
            list(
                "Namespace",
                &[large, namespace("ci", 1024), namespace("grows", 64)],
            )
        }
    };
    let (namespaces, mut known) = watch::channel(Namespaces::new());
    let client = Recorder::default().client(answer);
    tokio::select! {
        () = run(client, namespaces, Arc::new(Metrics::new())) => {}
        seen = known.wait_for(|known| known.contains_key("last")) => drop(seen.unwrap()),
    }
    let names: Vec<String> = known.borrow().keys().cloned().collect();
    assert_eq!(names, ["ci", "last"]);
}
