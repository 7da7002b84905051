//! What happens to a job if drydock is unreachable, returns an error, or denies the pod.
//! `failurePolicy` decides the first two cases. The author of the job sees only the message of the
//! API server.

use crate::api_server::{free_port, shared};
use crate::drydock_process::{Certificate, Drydock};
use crate::identity::Identity;
use crate::isolation::Scope;
use crate::raw_requests::{Answer, DryRun, create_pod};
use crate::registration::Registration;
use crate::runner_pods::{broken_job, changes};
use drydock::names::{AUDIT, ENFORCE};
use serde_json::Value;
use std::fs;
use tempfile::TempDir;

/// Starts and registers a server. No other test uses its port after it stops.
async fn registered(scope: &Scope<'_>, failure_policy: Option<&str>) -> Drydock {
    let certificate = Certificate::new();
    let server = certificate.serve(&["--listen", &format!("127.0.0.1:{}", free_port())]);
    server.ready().await;
    let registration = Registration::new(server.url(), &certificate.authority, failure_policy);
    registration.repairs(scope).await;
    server
}

/// Creates the broken job pod in a new namespace, whose opt-in label has this value.
async fn created(scope: &Scope<'_>, mode: &str) -> Answer {
    let namespace = scope.namespace(&format!("jobs-{mode}"), Some(mode)).await;
    let runner = scope.api.client(Identity::Runner).await;
    create_pod(&runner, &namespace, &broken_job(), DryRun::No).await
}

#[tokio::test]
async fn without_drydock_a_job_is_refused_and_the_message_names_the_webhook() {
    let scope = shared().await.scope("away-fail").await;
    // `None` is the failurePolicy in `manifests/`.
    let server = registered(&scope, None).await;
    let (url, address) = (server.url(), server.webhook);
    server.stop();
    let refused = created(&scope, ENFORCE).await;
    assert_eq!(refused.status, 500);
    assert_eq!(
        refused.refusal(),
        format!(
            "Internal error occurred: failed calling webhook \"enforce.job-pods.drydock.dev\": failed to call webhook: \
             Post \"{url}/mutate?timeout=5s\": dial tcp {address}: connect: connection refused"
        )
    );
    // In audit mode, drydock must not stop a job.
    let stored = created(&scope, AUDIT).await.object();
    assert_eq!(changes(&stored), None);
}

#[tokio::test]
async fn without_drydock_and_with_fail_open_the_job_is_stored_unchanged() {
    let scope = shared().await.scope("away-ignore").await;
    let server = registered(&scope, Some("Ignore")).await;
    server.stop();
    let pod = broken_job();
    let stored = created(&scope, ENFORCE).await.object();
    assert_eq!(changes(&stored), None);
    assert_eq!(stored["spec"]["volumes"], pod["spec"]["volumes"]);
    assert_eq!(stored["spec"]["hostAliases"], pod["spec"]["hostAliases"]);
}

#[tokio::test]
async fn f1_the_failure_policy_decides_if_drydock_cannot_answer() {
    let scope = shared().await.scope("cannot").await;
    let certificate = Certificate::new();
    // Every review exceeds this limit.
    let server = certificate.serve(&["--max-body-bytes", "1000"]);
    server.ready().await;
    let mut registration = Registration::new(server.url(), &certificate.authority, None);
    let mut refused = registration.refuses(&scope).await;
    // drydock responds after the headers and closes the connection. An API server that is still
    // writing the body may report the closed connection instead of the response.
    for _ in 0..9 {
        if !refused.refusal().contains("write tcp") {
            break;
        }
        refused = registration.refuses(&scope).await;
    }
    // The API server (client-go) quotes the response body only for status 403, 415 and 500.
    assert_eq!(
        refused.refusal(),
        "Internal error occurred: failed calling webhook \"enforce.job-pods.drydock.dev\": failed to call webhook: \
         the server responded with the status code 413 but did not return more information"
    );
    registration.failure_policy = Some("Ignore");
    let stored = registration.lets_pass(&scope).await.object();
    assert_eq!(changes(&stored), None);
    let (_, counted) = server.get("/metrics");
    let hits = "drydock_limit_hits_total{limit=\"body-size\"}";
    let line = counted.lines().find(|line| line.starts_with(hits));
    assert!(
        line.is_some_and(|line| !line.ends_with(" 0")),
        "F2: {counted}"
    );
}

#[tokio::test]
async fn a_policy_that_denies_tells_the_author_container_volume_path_and_fix() {
    let scope = shared().await.scope("deny").await;
    let directory = TempDir::new().unwrap();
    let policy = directory.path().join("policy.yaml");
    let text = "{apiVersion: drydock.dev/v1alpha1, kind: JobPodPolicy, metadata: {name: strict}, spec: {dind: {clientCerts: {onConflict: Deny}}}}";
    fs::write(&policy, text).unwrap();
    let certificate = Certificate::new();
    let server = certificate.serve(&["--policy", policy.to_str().unwrap()]);
    server.ready().await;
    // `failurePolicy: Ignore` does not apply to a denial.
    let registration = Registration::new(server.url(), &certificate.authority, Some("Ignore"));
    let refused = registration.refuses(&scope).await;
    assert_eq!(
        (refused.status, &refused.body["reason"]),
        (403, &Value::from("Forbidden"))
    );
    let message = refused.refusal();
    let begins = "admission webhook \"enforce.job-pods.drydock.dev\" denied the request: ";
    assert!(message.starts_with(begins), "{message}");
    for word in ["mylab-ca-pem", "/certs/client", "build"] {
        assert!(message.contains(word), "{word} is not in: {message}");
    }
}
