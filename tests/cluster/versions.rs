//! Upgrades and rollbacks: policies that another version of drydock accepted (rule F3).
//!
//! `tests/versions/` has the CRD and a set of policies of each version.

use crate::api_server::ApiServer;
use crate::drydock_process::{Certificate, Drydock};
use crate::installation::{in_cluster_with, install, install_without_rules, review};
use crate::raw_requests;
use crate::registration::Registration;
use crate::wait::{TIMEOUT, eventually};
use axum::http::Method;
use drydock::core::policy::{RecordedHostnames, read_stored};
use kube::Client;
use serde_json::{Value, json};

const POLICIES: &str = "/apis/drydock.dev/v1alpha1/jobpodpolicies";
const REVIEW: &str = "tests/fixtures/reviews/runner/19.3.0-secret-certs.json";

fn policy(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "drydock.dev/v1alpha1",
        "kind": "JobPodPolicy",
        "metadata": {"name": name},
        "spec": spec,
    })
}

/// Stores a policy with the status of another version that accepted it. No server may run, because
/// it would overwrite the status.
pub(crate) async fn write_accepted(admin: &Client, name: &str, spec: &Value) -> Value {
    let path = format!("{POLICIES}/{name}");
    let stored = raw_requests::apply(admin, &path, &policy(name, spec)).await;
    let generation = stored.object()["metadata"]["generation"].clone();
    let mut accepted = policy(name, spec);
    accepted["status"] = json!({
        "observedGeneration": generation,
        "conditions": [{
            "type": "Accepted", "status": "True", "reason": "InForce", "message": "by another version",
            "observedGeneration": generation, "lastTransitionTime": "2026-11-21T12:00:00Z",
        }],
    });
    let path = format!("{path}/status");
    raw_requests::apply(admin, &path, &accepted).await.object()
}

/// Stores a policy with the status of another version while a server of this version runs. Waits
/// until the server has written its own status, because it does not overwrite a status after that.
pub(crate) async fn write_accepted_after_ours(admin: &Client, name: &str, spec: &Value) -> Value {
    let path = format!("{POLICIES}/{name}");
    raw_requests::apply(admin, &path, &policy(name, spec))
        .await
        .object();
    let stored = async || raw_requests::get(admin, &path).await.object();
    eventually(
        "the server writes its own status",
        TIMEOUT,
        stored,
        |stored| stored["status"]["observedGeneration"] == stored["metadata"]["generation"],
    )
    .await;
    write_accepted(admin, name, spec).await
}

async fn delete(admin: &Client, name: &str) {
    let path = format!("{POLICIES}/{name}");
    let deleted = raw_requests::call(admin, Method::DELETE, &path, None).await;
    deleted.object();
}

/// Returns the CRD of a version that has one more field.
pub(crate) fn definition_of_the_next_version() -> Value {
    let text = std::fs::read_to_string("manifests/chart/crds/jobpodpolicies.yaml").unwrap();
    let mut definition: Value = serde_saphyr::from_str(&text).unwrap();
    let schema = &mut definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    schema["properties"]["spec"]["properties"]["future"] = json!({"type": "string"});
    definition
}

/// Installs a CRD, and waits until the API server uses it for policies.
pub(crate) async fn install_definition(api: &ApiServer, admin: &Client, definition: &Value) {
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/jobpodpolicies.drydock.dev";
    raw_requests::apply(admin, path, definition).await.object();
    let fields = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
        ["spec"]["properties"]
        .as_object()
        .unwrap();
    let explained = async || api.kubectl(&["explain", "jobpodpolicy.spec"]).stdout;
    let has_future = fields.contains_key("future");
    eventually("the CRD is served", TIMEOUT, explained, |text| {
        text.contains("hostAliases") && text.contains("future") == has_future
    })
    .await;
}

/// Waits until `/readyz` of a server fails because of a policy.
async fn wait_until_not_ready_because_of(server: &Drydock, name: &str) {
    let readiness = async || server.get("/readyz");
    let sentence = format!(
        "policy \"{name}\" was accepted by another version of drydock, but this version cannot read it: "
    );
    eventually(
        "/readyz names the policy",
        TIMEOUT,
        readiness,
        |(status, body)| *status == 503 && body.starts_with(&sentence),
    )
    .await;
}

#[tokio::test]
async fn f3_a_policy_of_the_next_version_keeps_a_new_replica_from_being_ready() {
    let api = ApiServer::exclusive().await;
    install(&api).await;
    let scope = api.scope("next").await;
    let admin = &scope.admin;
    install_definition(&api, admin, &definition_of_the_next_version()).await;
    let aliases = json!([{"ip": "10.0.0.1", "hostnames": ["a.next.com"]}]);
    let accepted = write_accepted(
        admin,
        "next",
        &json!({"hostAliases": aliases, "future": "x"}),
    )
    .await;
    let certificate = Certificate::new();
    let server = in_cluster_with(&api, &certificate);
    wait_until_not_ready_because_of(&server, "next").await;
    assert_eq!(
        server.metric("drydock_policies{state=\"unreadable\"} "),
        1.0
    );

    // If the API server calls it nevertheless, the failurePolicy decides.
    let registration = Registration::new(server.url(), &certificate.authority, Some("Fail"));
    let refused = registration.refuses(&scope).await;
    let sentence = "drydock cannot read JobPodPolicy \\\"next\\\", which may match this pod";
    assert!(refused.refusal().contains(sentence), "{refused:?}");
    let failed = "drydock_reviews_total{outcome=\"failed\",reason=\"policy-unreadable\"} ";
    assert!(server.metric(failed) >= 1.0);
    let stored = raw_requests::get(admin, &format!("{POLICIES}/next"))
        .await
        .object();
    assert_eq!(
        stored["status"], accepted["status"],
        "the status was overwritten"
    );

    // A pod that the unreadable policy does not select gets the other policies.
    drop(server);
    write_accepted(admin, "other", &json!({"hostAliases": aliases})).await;
    let selects =
        json!({"hostAliases": aliases, "future": "x", "podSelector": {"matchLabels": {"a": "b"}}});
    write_accepted(admin, "next", &selects).await;
    let server = in_cluster_with(&api, &certificate);
    wait_until_not_ready_because_of(&server, "next").await;
    let job = std::fs::read_to_string(REVIEW).unwrap();
    let answered = async || review(&server, &certificate, &job).await;
    eventually(
        "another pod gets a response",
        TIMEOUT,
        answered,
        |(status, _)| *status == 200,
    )
    .await;

    // A replica that was ready continues with the last version that it could read.
    delete(admin, "next").await;
    server.ready().await;
    write_accepted_after_ours(
        admin,
        "other",
        &json!({"hostAliases": aliases, "future": "x"}),
    )
    .await;
    let (status, answer) = review(&server, &certificate, &job).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(server.get("/readyz").0, 200);
    let late = in_cluster_with(&api, &certificate);
    wait_until_not_ready_because_of(&late, "other").await;
}

/// Two policies are unreadable; `/readyz` names one at a time. Tests each documented fix.
#[tokio::test]
async fn f3_a_replica_is_ready_once_every_accepted_policy_can_be_read() {
    let api = ApiServer::exclusive().await;
    install(&api).await;
    let scope = api.scope("both").await;
    let admin = &scope.admin;
    install_definition(&api, admin, &definition_of_the_next_version()).await;
    let aliases =
        |name: &str| json!([{"ip": "10.0.0.1", "hostnames": [format!("{name}.lab.com")]}]);
    for name in ["one", "two"] {
        let spec = json!({"hostAliases": aliases(name), "future": "x"});
        write_accepted(admin, name, &spec).await;
    }
    let certificate = Certificate::new();
    let server = in_cluster_with(&api, &certificate);
    let unreadable = "drydock_policies{state=\"unreadable\"} ";
    wait_until_not_ready_because_of(&server, "one").await;
    assert_eq!(server.metric(unreadable), 2.0);
    // Fix: edit the policy so that this version can read it.
    let edited = policy("one", &json!({"hostAliases": aliases("one")}));
    let path = format!("{POLICIES}/one");
    raw_requests::apply(admin, &path, &edited).await.object();
    wait_until_not_ready_because_of(&server, "two").await;
    assert_eq!(server.metric(unreadable), 1.0);
    // Fix: install the CRD of this version, which prunes the field.
    install(&api).await;
    server.ready().await;
    assert_eq!(server.metric(unreadable), 0.0);
    let job = std::fs::read_to_string(REVIEW).unwrap();
    let answered = async || review(&server, &certificate, &job).await;
    eventually("reviews are answered", TIMEOUT, answered, |(status, _)| {
        *status == 200
    })
    .await;
    // The server now writes its own status for both policies.
    for name in ["one", "two"] {
        let stored = async || {
            raw_requests::get(admin, &format!("{POLICIES}/{name}"))
                .await
                .object()
        };
        eventually("the policy is accepted", TIMEOUT, stored, |stored| {
            let condition = &stored["status"]["conditions"][0];
            condition["status"] == "True" && condition["message"] != "by another version"
        })
        .await;
    }
}

/// After an upgrade with stricter validation, the API server does not validate stored objects
/// again.
#[tokio::test]
async fn f3_an_accepted_unreadable_policy_fails_reviews_and_a_never_accepted_one_does_not() {
    let api = ApiServer::exclusive().await;
    install_without_rules(&api).await;
    let scope = api.scope("stricter").await;
    let admin = &scope.admin;
    let bad = json!({"hostAliases": [{"ip": "10.0.0", "hostnames": ["a.lab.com"]}]});
    let path = format!("{POLICIES}/never-good");
    raw_requests::apply(admin, &path, &policy("never-good", &bad))
        .await
        .object();
    let certificate = Certificate::new();
    in_cluster_with(&api, &certificate).ready().await;
    write_accepted(admin, "was-good", &bad).await;
    wait_until_not_ready_because_of(&in_cluster_with(&api, &certificate), "was-good").await;
}

/// This version reads the policies of version 174a963 with the CRD of either version.
#[tokio::test]
async fn f5_policies_of_174a963_are_read_under_both_definitions() {
    let api = ApiServer::exclusive().await;
    install(&api).await;
    let scope = api.scope("versions").await;
    let admin = &scope.admin;
    let old = std::fs::read_to_string("tests/versions/174a963/crd.yaml").unwrap();
    let new = std::fs::read_to_string("manifests/chart/crds/jobpodpolicies.yaml").unwrap();
    let [old, new]: [Value; 2] = [old, new].map(|text| serde_saphyr::from_str(&text).unwrap());
    install_definition(&api, admin, &old).await;
    let specs = std::fs::read_to_string("tests/versions/174a963/specs.yaml").unwrap();
    let specs: Vec<Value> = serde_saphyr::from_str(&specs).unwrap();
    let mut refused = Vec::new();
    for (number, spec) in specs.iter().enumerate() {
        let name = format!("policy-{number}");
        match read_stored(policy(&name, spec), &RecordedHostnames::new()) {
            Ok(_) => drop(write_accepted(admin, &name, spec).await),
            Err(errors) => refused.push((name, spec, errors)),
        }
    }
    let certificate = Certificate::new();
    let count = specs.len() - refused.len();
    for definition in [&old, &new, &old] {
        install_definition(&api, admin, definition).await;
        let server = in_cluster_with(&api, &certificate);
        server.ready().await;
        let loaded = async || server.metric("drydock_policies{state=\"loaded\"} ");
        #[allow(clippy::cast_precision_loss, reason = "a few dozen")]
        eventually("all policies are in force", TIMEOUT, loaded, |loaded| {
            *loaded == count as f64
        })
        .await;
    }
    // A policy that newer validation rejects is not ignored.
    for (name, spec, errors) in refused {
        write_accepted(admin, &name, spec).await;
        let server = in_cluster_with(&api, &certificate);
        wait_until_not_ready_because_of(&server, &name).await;
        crate::measurements::print_figure(&format!("{name}: {errors:?}"));
        delete(admin, &name).await;
    }
}
