//! Pods of real runners, ready to be created at an API server.

use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Every fixture with its name, as in `reviews/runner/19.3.0-fixed`, in that order.
pub(crate) fn fixtures() -> Vec<(String, Value)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut names: Vec<String> = ["pods", "reviews", "reviews/runner"]
        .iter()
        .flat_map(|folder| {
            let files = fs::read_dir(root.join(folder)).unwrap();
            files.map(move |file| format!("{folder}/{}", file.unwrap().file_name().display()))
        })
        .filter_map(|name| name.strip_suffix(".json").map(str::to_owned))
        .collect();
    names.sort();
    assert!(names.len() > 20, "the fixtures are not found");
    names
        .into_iter()
        .map(|name| {
            let pod = fixture(&name);
            (name, pod)
        })
        .collect()
}

/// One fixture's pod. Two calls give it two names.
pub(crate) fn fixture(name: &str) -> Value {
    let path = format!("{}/tests/fixtures/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let mut read: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    submitted(if read["kind"] == "AdmissionReview" {
        read["request"]["object"].take()
    } else {
        read
    })
}

/// The job of two incidents: a Secret at /certs/client (seed 004), a stale address (seed 003).
pub(crate) fn broken_job() -> Value {
    fixture("reviews/runner/19.3.0-secret-certs")
}

/// The addresses of a hostname in a pod's hostAliases, in their order.
pub(crate) fn addresses<'p>(pod: &'p Value, hostname: &str) -> Vec<&'p str> {
    let entries = pod["spec"]["hostAliases"].as_array();
    entries
        .into_iter()
        .flatten()
        .filter(|entry| {
            entry["hostnames"]
                .as_array()
                .unwrap()
                .contains(&json!(hostname))
        })
        .map(|entry| entry["ip"].as_str().unwrap())
        .collect()
}

/// A stored pod as a user submits a copy of it.
pub(crate) fn resubmitted(stored: Value) -> Value {
    submitted(stored)
}

/// An object as a runner submits it: without the fields that only the API server writes, and
/// without the token of a ServiceAccount.
fn submitted(mut pod: Value) -> Value {
    static PODS: AtomicUsize = AtomicUsize::new(0);
    let metadata = pod["metadata"].as_object_mut().unwrap();
    metadata.retain(|key, _| {
        matches!(
            key.as_str(),
            "name" | "generateName" | "labels" | "annotations"
        )
    });
    if let Some(Value::String(name)) = metadata.get_mut("name") {
        // Appended, because a runner is known by how its pods' names begin (P2).
        let number = PODS.fetch_add(1, Ordering::Relaxed);
        name.push_str(&format!("-{number}"));
    }
    pod.as_object_mut().unwrap().remove("status");
    let spec = pod["spec"].as_object_mut().unwrap();
    spec.insert("automountServiceAccountToken".to_owned(), json!(false));
    let is_token = |item: &Value| {
        item["name"]
            .as_str()
            .unwrap()
            .starts_with("kube-api-access-")
    };
    let drop_tokens = |list: Option<&mut Value>| {
        if let Some(Value::Array(list)) = list {
            list.retain(|item| !is_token(item));
        }
    };
    drop_tokens(spec.get_mut("volumes"));
    for containers in ["initContainers", "containers"] {
        let containers = spec.get_mut(containers).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            drop_tokens(container.get_mut("volumeMounts"));
        }
    }
    pod
}

/// A stored pod without unique fields: names, uid and times.
pub(crate) fn essence(stored: &Value) -> Value {
    let mut pod = stored.clone();
    let metadata = pod["metadata"].as_object_mut().unwrap();
    metadata.retain(|key, _| matches!(key.as_str(), "labels" | "annotations"));
    pod
}

/// The annotation with the changes of a repaired pod (A5).
pub(crate) fn changes(pod: &Value) -> Option<&str> {
    pod["metadata"]["annotations"]["drydock.dev/changes"].as_str()
}
