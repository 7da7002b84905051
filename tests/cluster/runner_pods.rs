//! Pods of real runners from the fixtures, in a form that can be created.

use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Returns the name and pod of each fixture, sorted by name, as in `reviews/runner/19.3.0-fixed`.
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
    assert!(names.len() > 20, "only {} fixtures found", names.len());
    names
        .into_iter()
        .map(|name| {
            let pod = fixture(&name);
            (name, pod)
        })
        .collect()
}

/// Returns the pod of a fixture, with a different pod name in each call.
pub(crate) fn fixture(name: &str) -> Value {
    let path = format!("{}/tests/fixtures/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let mut read: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    submitted(if read["kind"] == "AdmissionReview" {
        read["request"]["object"].take()
    } else {
        read
    })
}

/// Returns a job pod with the faults of two incidents: a Secret at `/certs/client` and a stale
/// address in hostAliases.
pub(crate) fn broken_job() -> Value {
    fixture("reviews/runner/19.3.0-secret-certs")
}

/// Returns the addresses of a hostname in a pod's hostAliases, in their order.
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

/// Returns a copy of a stored pod that can be created.
pub(crate) fn resubmitted(stored: Value) -> Value {
    submitted(stored)
}

/// Returns a pod as a runner creates it: without the fields that only the API server writes, and
/// without the ServiceAccount token volume.
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
        // The number is a suffix, because the prefix of the name identifies a runner's pod (rule
        // P2).
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

/// Returns a stored pod without the fields that differ between pods: names, uid and times.
pub(crate) fn essence(stored: &Value) -> Value {
    let mut pod = stored.clone();
    let metadata = pod["metadata"].as_object_mut().unwrap();
    metadata.retain(|key, _| matches!(key.as_str(), "labels" | "annotations"));
    pod
}

/// Returns the annotation that lists the changes of a repaired pod (rule A5).
pub(crate) fn changes(pod: &Value) -> Option<&str> {
    pod["metadata"]["annotations"]["drydock.dev/changes"].as_str()
}
