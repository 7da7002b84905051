//! `drydock serve --cluster` with the installed manifests, as its ServiceAccount.

use crate::api_server::ApiServer;
use crate::identity::Identity;
use crate::install::install;
use crate::installation::in_cluster;
use crate::raw_requests::{Answer, DryRun, apply, call, create_pod, get};
use crate::registration::{CONFIGURATION, at_url};
use crate::runner_pods::{broken_job, changes};
use crate::wait::{TIMEOUT, eventually};
use axum::http::Method;
use drydock::names::ENFORCE;
use serde_json::Value;

#[tokio::test]
async fn the_installed_roles_suffice_to_register_and_repair() {
    let api = ApiServer::exclusive().await;
    install(&api);
    let admin = api.client(Identity::Admin).await;
    let server = in_cluster(&api, &["--tls-name", "127.0.0.1"]);
    // The webhook configuration refers to a Service, which has no endpoints here.
    let mut configuration = get(&admin, CONFIGURATION).await.object();
    for webhook in configuration["webhooks"].as_array_mut().unwrap() {
        at_url(webhook, &server.url());
    }
    let replaced = call(&admin, Method::PUT, CONFIGURATION, Some(&configuration)).await;
    replaced.object();
    server.ready().await;
    let policy = include_str!("../../manifests/sample-policy.yaml");
    let policy: Value = serde_saphyr::from_str(policy).unwrap();
    let path = "/apis/drydock.dev/v1alpha1/jobpodpolicies/gitlab";
    apply(&admin, path, &policy).await.object();
    let scope = api.scope("installed").await;
    let namespace = scope.namespace("jobs", Some(ENFORCE)).await;
    let runner = api.client(Identity::Runner).await;
    let pod = broken_job();
    let create = async || create_pod(&runner, &namespace, &pod, DryRun::Yes).await;
    let is_repaired = |answer: &Answer| changes(&answer.body).is_some();
    eventually("a job pod is repaired", TIMEOUT, create, is_repaired).await;
    let read = async || get(&admin, path).await.object();
    let is_accepted = |policy: &Value| {
        let conditions = policy["status"]["conditions"].as_array();
        let mut conditions = conditions.into_iter().flatten();
        conditions.any(|condition| condition["type"] == "Accepted" && condition["status"] == "True")
    };
    eventually(
        "the policy has condition Accepted",
        TIMEOUT,
        read,
        is_accepted,
    )
    .await;
    let (status, log) = server.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("orbidden"), "{log}");
}
