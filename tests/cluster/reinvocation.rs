//! Another webhook changes pods after drydock, and the API server calls drydock again
//! (`reinvocationPolicy: IfNeeded`).

use crate::api_server::shared;
use crate::drydock_process::drydock;
use crate::identity::Identity;
use crate::job_pods::{POLICY, registered};
use crate::other_webhook::OtherWebhook;
use crate::raw_requests::{DryRun, create_pod};
use crate::runner_pods::{broken_job, changes, essence, resubmitted};
use drydock::names::ENFORCE;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Creates the broken job pod, which another webhook patches after drydock, and returns the stored
/// pod.
async fn stored_after(patch: fn(&Value) -> Vec<Value>) -> Value {
    let api = shared().await;
    let scope = api.scope("reinvoked").await;
    let _server = registered(&scope).await;
    let other = OtherWebhook::start(patch).await;
    other.register(&scope).await;
    let namespace = scope.namespace("jobs", Some(ENFORCE)).await;
    let runner = api.client(Identity::Runner).await;
    let before = other.calls();
    let answer = create_pod(&runner, &namespace, &broken_job(), DryRun::No).await;
    assert_eq!(
        other.calls(),
        before + 1,
        "the other webhook was not called once"
    );
    answer.object()
}

/// Asserts that a pod needs no further change, and that the annotation lists the changes of both
/// calls without duplicates (rule A5).
#[track_caller]
fn assert_right(stored: &Value) {
    let arguments = ["mutate", "-f", "-", "-p", POLICY, "-o", "patch"];
    assert_eq!(drydock(&arguments, &stored.to_string()), "[]\n", "{stored}");
    let annotations = &stored["metadata"]["annotations"];
    assert_eq!(annotations["drydock.dev/policies"], "gitlab");
    let names: Vec<&str> = changes(stored).unwrap().split(',').collect();
    let distinct: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(distinct.len(), names.len(), "{names:?}");
    assert!(
        distinct.contains("add-volume"),
        "the change of the first call is missing: {names:?}"
    );
}

#[tokio::test]
async fn a_container_injected_after_drydock_shares_the_client_certificates() {
    let stored = stored_after(|_| {
        vec![
            json!({"op": "add", "path": "/spec/volumes/-", "value": {"name": "mesh-ca", "secret": {"secretName": "mesh-ca"}}}),
            json!({"op": "add", "path": "/spec/containers/-", "value": {
                "name": "mesh",
                "image": "mesh",
                "volumeMounts": [{"name": "mesh-ca", "mountPath": "/certs/client", "readOnly": true}],
            }}),
        ]
    })
    .await;
    assert_right(&stored);
    let containers = stored["spec"]["containers"].as_array().unwrap();
    let shared: Vec<&Value> = containers
        .iter()
        .filter(|container| {
            ["build", "docker", "mesh"]
                .iter()
                .any(|name| container["name"] == *name)
        })
        .map(|container| {
            let mounts = container["volumeMounts"].as_array().unwrap().iter();
            let mut there = mounts.filter(|mount| mount["mountPath"] == "/certs/client");
            &there.next().unwrap()["name"]
        })
        .collect();
    assert_eq!(shared.len(), 3, "{stored}");
    assert!(
        shared.iter().all(|name| *name == shared[0]),
        "the containers do not share one volume (rule D3): {shared:?}"
    );
}

#[tokio::test]
async fn a_stale_address_added_by_another_webhook_is_removed_again() {
    let stored = stored_after(|_| {
        let stale =
            json!({"ip": "10.0.0.216", "hostnames": ["gitlab.mylab.com", "kept.mylab.com"]});
        vec![json!({"op": "add", "path": "/spec/hostAliases/-", "value": stale})]
    })
    .await;
    assert_right(&stored);
    let aliases = stored["spec"]["hostAliases"].as_array().unwrap();
    let with = |name: &str| -> Vec<&Value> {
        let has = |entry: &&Value| {
            entry["hostnames"]
                .as_array()
                .unwrap()
                .contains(&name.into())
        };
        aliases
            .iter()
            .filter(has)
            .map(|entry| &entry["ip"])
            .collect()
    };
    assert_eq!(with("gitlab.mylab.com"), ["10.0.0.232"], "H1: {stored}");
    assert_eq!(with("kept.mylab.com"), ["10.0.0.216"], "H4: {stored}");
}

#[tokio::test]
async fn a_repaired_pod_is_unchanged_when_created_again() {
    let api = shared().await;
    let scope = api.scope("again").await;
    let _server = registered(&scope).await;
    let namespace = scope.namespace("jobs", Some(ENFORCE)).await;
    let runner = api.client(Identity::Runner).await;
    let create = async |pod: &Value| {
        let answer = create_pod(&runner, &namespace, pod, DryRun::No).await;
        answer.object()
    };
    let stored = create(&broken_job()).await;
    assert!(changes(&stored).is_some(), "{stored}");
    let again = create(&resubmitted(stored.clone())).await;
    assert_ne!(again["metadata"]["uid"], stored["metadata"]["uid"]);
    assert_eq!(essence(&again), essence(&stored), "A2");
}
