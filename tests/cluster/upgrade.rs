//! Objects that an earlier version of drydock and its CRD accepted.

use crate::api_server::ApiServer;
use crate::binaries::is_oldest_kubernetes;
use crate::drydock_process::Certificate;
use crate::installation::{in_cluster_with, install, install_without_rules, review};
use crate::raw_requests;
use crate::wait::{TIMEOUT, eventually};
use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::Client;
use serde_json::{Value, json};

const POLICIES: &str = "/apis/drydock.dev/v1alpha1/jobpodpolicies";

fn policy(name: &str, namespace: &str, suffixes: &[&str]) -> Value {
    let mut ingress = json!({"namespace": namespace, "name": "web"});
    if !suffixes.is_empty() {
        ingress["hostnameSuffixes"] = json!(suffixes);
    }
    json!({
        "apiVersion": "drydock.dev/v1alpha1",
        "kind": "JobPodPolicy",
        "metadata": {"name": name},
        "spec": {"hostAliases": [{"from": {"ingress": ingress}}]},
    })
}

/// Writes an Ingress with these hosts, and its status with an address like its controller.
async fn write_ingress(admin: &Client, namespace: &str, hosts: &[&str]) {
    let path = format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/ingresses/web");
    let backend = json!({"service": {"name": "web", "port": {"number": 443}}});
    let paths = json!([{"path": "/", "pathType": "Prefix", "backend": backend}]);
    let rules = hosts
        .iter()
        .map(|host| json!({"host": host, "http": {"paths": paths}}));
    let mut object = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {"rules": rules.collect::<Vec<_>>()},
    });
    raw_requests::apply(admin, &path, &object).await.object();
    object["status"] = json!({"loadBalancer": {"ingress": [{"ip": "10.0.0.216"}]}});
    let written = raw_requests::apply(admin, &format!("{path}/status"), &object).await;
    written.object();
}

/// Returns the hostnames in the status of a policy, and its condition `HostnamesTaken`.
fn taken(policy: &Value) -> (Value, Value) {
    let conditions = policy["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    let condition = conditions.find(|it| it["type"] == "HostnamesTaken");
    let hostnames = policy["status"]["addresses"][0]["hostnames"].clone();
    (hostnames, condition.cloned().unwrap_or_default())
}

#[tokio::test]
async fn f5_h7_a_policy_without_hostname_suffixes_keeps_its_hostnames_after_the_upgrade() {
    // Kubernetes 1.30 validates the whole object when its status is written, so it rejects the
    // status of this policy.
    if is_oldest_kubernetes() {
        return;
    }
    let api = ApiServer::exclusive().await;
    // A CRD without the validation accepted the policy, and that version recorded its hostname.
    install_without_rules(&api).await;
    let scope = api.scope("upgrade").await;
    let admin = &scope.admin;
    let cicd = scope.namespace("cicd", None).await;
    write_ingress(admin, &cicd, &["gitlab.old.com"]).await;
    let (name, path) = (&scope.name, format!("{POLICIES}/{}", scope.name));
    let stored = raw_requests::apply(admin, &path, &policy(name, &cicd, &[])).await;
    let mut status = policy(name, &cicd, &[]);
    stored.object();
    status["status"]["addresses"] = json!([{
        "source": format!("ingress/{cicd}/web"),
        "addresses": ["10.0.0.216"],
        "hostnames": ["gitlab.old.com"],
    }]);
    let written = raw_requests::apply(admin, &format!("{path}/status"), &status).await;
    written.object();

    install(&api).await;
    let another = format!("{POLICIES}/another?dryRun=All");
    let refused = async || {
        let body = policy("another", &cicd, &[]);
        let path = format!("{another}&fieldManager=tests");
        raw_requests::call(admin, Method::PATCH, &path, Some(&body)).await
    };
    let answer = eventually("new policies are rejected", TIMEOUT, refused, |answer| {
        answer.status == 422
    });
    let refused = answer.await;
    let message = refused.refusal();
    assert!(
        message.contains("list the domains of the hostnames"),
        "{message}"
    );

    let certificate = Certificate::new();
    let server = in_cluster_with(&api, &certificate);
    server.ready().await;
    write_ingress(admin, &cicd, &["github.com", "gitlab.old.com"]).await;
    let look = async || taken(&raw_requests::get(admin, &path).await.object());
    let names_github = |(_, condition): &(Value, Value)| {
        let message = condition["message"].as_str().unwrap_or_default();
        condition["status"] == "False" && message.contains("github.com")
    };
    let (hostnames, condition) =
        eventually("the status has a condition", TIMEOUT, look, names_github).await;
    assert_eq!(hostnames, json!(["gitlab.old.com"]));
    assert_eq!(condition["reason"], "NoSuffixes");
    let file = "tests/fixtures/reviews/runner/19.3.0-secret-certs.json";
    let job = std::fs::read_to_string(file).unwrap();
    let (_, answer) = review(&server, &certificate, &job).await;
    let patch = STANDARD.decode(answer["response"]["patch"].as_str().unwrap());
    let patch = String::from_utf8(patch.unwrap()).unwrap();
    assert!(patch.contains("gitlab.old.com"), "{patch}");
    assert!(!patch.contains("github.com"), "{patch}");

    // Other fields can be changed, and missing fields added.
    let edit = json!([{"op": "add", "path": "/spec/priority", "value": 7}]);
    raw_requests::patch(admin, &path, &edit).await.object();
    let of_edit = async || taken(&raw_requests::get(admin, &path).await.object()).1;
    let is_seen = |condition: &Value| condition["observedGeneration"] == 2;
    let condition = eventually("the edit is in force", TIMEOUT, of_edit, is_seen).await;
    assert_eq!(condition["reason"], "NoSuffixes");
    let complete = policy(name, &cicd, &["old.com", "github.com"]);
    raw_requests::apply(admin, &path, &complete).await.object();
    let is_complete = |(_, condition): &(Value, Value)| condition["status"] == "True";
    let (hostnames, _) = eventually("all hostnames are taken", TIMEOUT, look, is_complete).await;
    assert_eq!(hostnames, json!(["github.com", "gitlab.old.com"]));
}
