//! Pods of real runners as the API server stores them, in namespaces with and without the opt-in
//! label.

use crate::api_server::shared;
use crate::drydock_process::{Certificate, Drydock, drydock};
use crate::identity::Identity;
use crate::isolation::Scope;
use crate::raw_requests::{self, DryRun, create_pod};
use crate::registration::Registration;
use crate::runner_pods::{broken_job, changes, essence, fixtures};
use drydock::names::{AUDIT, ENFORCE};
use serde_json::{Value, json};

pub(crate) const POLICY: &str = "manifests/sample-policy.yaml";

/// Starts a server with the sample policy, and registers it for the namespaces of a scope.
pub(crate) async fn registered(scope: &Scope<'_>) -> Drydock {
    let certificate = Certificate::new();
    let server = certificate.serve(&["--policy", POLICY]);
    server.ready().await;
    let registration = Registration::new(server.url(), &certificate.authority, None);
    registration.repairs(scope).await;
    server
}

#[tokio::test]
async fn a_runners_pod_is_stored_as_mutate_prints_it() {
    let api = shared().await;
    let scope = api.scope("stored").await;
    let _server = registered(&scope).await;
    let enforce = scope.namespace("enforce", Some(ENFORCE)).await;
    let plain = scope.namespace("plain", None).await;
    let runner = api.client(Identity::Runner).await;
    let (names, pods): (Vec<String>, Vec<Value>) = fixtures().into_iter().unzip();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": pods}).to_string();
    let arguments = ["mutate", "-f", "-", "-p", POLICY, "-o", "json"];
    let shown = drydock(&arguments, &list);
    let shown: Vec<Value> = shown
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(shown.len(), pods.len());
    let mut changed = 0;
    for ((name, pod), shown) in names.iter().zip(&pods).zip(&shown) {
        let stored = create_pod(&runner, &enforce, pod, DryRun::No).await;
        // No webhook is called for this namespace; the API server sets the same defaults.
        let wanted = create_pod(&runner, &plain, shown, DryRun::No).await;
        let (stored, wanted) = (stored.object(), wanted.object());
        assert_eq!(essence(&stored), essence(&wanted), "{name}");
        assert_eq!(changes(&stored).is_some(), pod != shown, "{name}");
        changed += usize::from(pod != shown);
    }
    assert!(changed > 15, "the policy changed only {changed} pods");
}

#[tokio::test]
async fn pods_of_audited_and_other_namespaces_are_unchanged() {
    let api = shared().await;
    let scope = api.scope("untouched").await;
    let server = registered(&scope).await;
    let runner = api.client(Identity::Runner).await;
    // No webhook is registered for this scope.
    let elsewhere = api.scope("elsewhere").await;
    let elsewhere = elsewhere.namespace("jobs", Some(ENFORCE)).await;
    let misspelt = Some("Enforce");
    let namespaces = [
        scope.namespace("none", None).await,
        scope.namespace("audit", Some(AUDIT)).await,
        scope.namespace("misspelt", misspelt).await,
    ];
    for (name, pod) in fixtures() {
        let untouched = create_pod(&runner, &elsewhere, &pod, DryRun::No).await;
        let untouched = essence(&untouched.object());
        for namespace in &namespaces {
            let stored = create_pod(&runner, namespace, &pod, DryRun::No).await;
            let stored = essence(&stored.object());
            assert_eq!(stored, untouched, "{name} in {namespace}");
        }
    }
    // In audit mode, drydock reports the changes as warnings and in the log.
    let audited = create_pod(&runner, &namespaces[1], &broken_job(), DryRun::No).await;
    let is_reported = |warning: &String| warning.starts_with("drydock (audit, not done)");
    assert!(audited.warnings.iter().any(is_reported), "{audited:?}");
    let (_, log) = server.stop();
    let audited = log.lines().filter(|line| line.contains("audited")).count();
    assert!(audited > 15, "{log}");
}

#[tokio::test]
async fn a_dry_run_returns_the_repaired_pod_and_stores_nothing() {
    let api = shared().await;
    let scope = api.scope("dry-run").await;
    let _server = registered(&scope).await;
    let namespace = scope.namespace("jobs", Some(ENFORCE)).await;
    let runner = api.client(Identity::Runner).await;
    let pod = broken_job();
    let shown = create_pod(&runner, &namespace, &pod, DryRun::Yes).await;
    let shown = shown.object();
    assert!(changes(&shown).is_some(), "{shown}");
    let name = pod["metadata"]["name"].as_str().unwrap();
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
    assert_eq!(raw_requests::get(&runner, &path).await.status, 404);
    let stored = create_pod(&runner, &namespace, &pod, DryRun::No).await;
    assert_eq!(essence(&stored.object()), essence(&shown));
}
