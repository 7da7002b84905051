//! Recovery from an outage of the API server, from a restored etcd, and from rejected writes.

use crate::api_server::ApiServer;
use crate::drydock_process::{Certificate, Drydock};
use crate::identity::Identity;
use crate::installation::{in_cluster, in_cluster_with, install, review};
use crate::raw_requests::{self, DryRun, create_pod};
use crate::registration::{CONFIGURATION, Registration, committed};
use crate::runner_pods::fixture;
use crate::wait::{TIMEOUT, eventually};
use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drydock::names::ENFORCE;
use kube::Client;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const POLICIES: &str = "/apis/drydock.dev/v1alpha1/jobpodpolicies";
const REVIEW: &str = "tests/fixtures/reviews/runner/19.3.0-secret-certs.json";

async fn write_policy(admin: &Client, name: &str, spec: Value) {
    let object = json!({
        "apiVersion": "drydock.dev/v1alpha1",
        "kind": "JobPodPolicy",
        "metadata": {"name": name},
        "spec": spec,
    });
    let applied = raw_requests::apply(admin, &format!("{POLICIES}/{name}"), &object).await;
    applied.object();
}

fn alias(ip: &str) -> Value {
    json!({"hostAliases": [{"ip": ip, "hostnames": ["a.lab.com"]}]})
}

/// Sends the review of a job pod directly to drydock, and returns the patch.
async fn patch(server: &Drydock, certificate: &Certificate) -> String {
    let job = std::fs::read_to_string(REVIEW).unwrap();
    let (_, answer) = review(server, certificate, &job).await;
    let patch = answer["response"]["patch"].as_str().unwrap_or_default();
    String::from_utf8(STANDARD.decode(patch).unwrap()).unwrap()
}

async fn has_address(server: &Drydock, certificate: &Certificate, ip: &str) {
    let patched = async || patch(server, certificate).await;
    eventually(ip, 2 * TIMEOUT, patched, |patch| patch.contains(ip)).await;
}

#[tokio::test]
async fn f4_policies_are_listed_again_after_etcd_was_restored() {
    let mut api = ApiServer::exclusive().await;
    install(&api).await;
    let admin = api.client(Identity::Admin).await;
    write_policy(&admin, "a", alias("10.0.0.1")).await;
    let certificate = Certificate::new();
    let server = in_cluster_with(&api, &certificate);
    server.ready().await;
    has_address(&server, &certificate, "10.0.0.1").await;
    api.back_up().await;
    for number in 1..=40 {
        write_policy(&admin, "a", alias(&format!("10.0.7.{number}"))).await;
    }
    has_address(&server, &certificate, "10.0.7.40").await;
    api.restore().await;
    has_address(&server, &certificate, "10.0.0.1").await;
    // Generation 2 had another spec before the restore.
    write_policy(&admin, "a", alias("10.0.0.2")).await;
    has_address(&server, &certificate, "10.0.0.2").await;
    let stored = async || {
        raw_requests::get(&admin, &format!("{POLICIES}/a"))
            .await
            .object()
    };
    let is_current =
        |stored: &Value| stored["status"]["observedGeneration"] == stored["metadata"]["generation"];
    eventually("the status is current", TIMEOUT, stored, is_current).await;
}

#[tokio::test]
async fn f4_h7_sources_are_stale_during_an_outage_which_is_logged_once_for_each_kind() {
    const SOURCES: usize = 30;
    let mut api = ApiServer::exclusive().await;
    install(&api).await;
    let scope = api.scope("stale").await;
    let (admin, namespace) = (scope.admin.clone(), scope.namespace("cicd", None).await);
    drop(scope);
    let mut aliases = Vec::new();
    for number in 0..SOURCES {
        let name = format!("web-{number}");
        let path = format!("/api/v1/namespaces/{namespace}/services/{name}");
        let mut service = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
        });
        raw_requests::apply(&admin, &path, &service).await.object();
        service["status"] = json!({"loadBalancer": {"ingress": [{"ip": "10.0.0.9"}]}});
        let status = raw_requests::apply(&admin, &format!("{path}/status"), &service).await;
        status.object();
        let from = json!({"service": {"namespace": namespace, "name": name}});
        aliases.push(json!({"from": from, "hostnames": [format!("{name}.lab.com")]}));
    }
    write_policy(&admin, "live", json!({"hostAliases": aliases})).await;
    let certificate = Certificate::new();
    let server = in_cluster_with(&api, &certificate);
    server.ready().await;
    let sources = async |state: &str| {
        server.metric(&format!("drydock_address_sources{{state=\"{state}\"}} "))
    };
    let all = |count: &f64| (*count - 30.0).abs() < 0.5;
    eventually(
        "all sources are resolved",
        TIMEOUT,
        async || sources("resolved").await,
        all,
    )
    .await;
    api.stop();
    eventually(
        "all sources are stale",
        2 * TIMEOUT,
        async || sources("stale").await,
        all,
    )
    .await;
    api.start().await;
    let back = Instant::now();
    eventually(
        "no source is stale",
        2 * TIMEOUT,
        async || sources("resolved").await,
        all,
    )
    .await;
    let took = back.elapsed();
    assert!(took < Duration::from_secs(15), "{took:?}");
    let resolved = async || {
        let stored = raw_requests::get(&admin, &format!("{POLICIES}/live"))
            .await
            .object();
        let conditions = stored["status"]["conditions"].as_array().cloned();
        let mut conditions = conditions.unwrap_or_default().into_iter();
        conditions
            .find(|it| it["type"] == "AddressesResolved")
            .unwrap_or_default()
    };
    eventually("the status reports it", 3 * TIMEOUT, resolved, |it| {
        it["status"] == "True"
    })
    .await;
    for (part, most) in [
        ("cannot watch services", 1),
        ("watching services again", 1),
        ("cannot watch policies", 1),
        ("has no address now", 0),
    ] {
        assert!(
            server.lines_with(part).len() <= most,
            "{part}: {}",
            server.stderr()
        );
    }
    assert_eq!(server.lines_with("cannot watch services").len(), 1);
}

/// Applies the webhook configuration of `manifests/`.
async fn register(admin: &Client) {
    raw_requests::apply(admin, CONFIGURATION, &committed())
        .await
        .object();
}

#[tokio::test]
async fn f4_a_replica_that_starts_during_an_outage_becomes_ready_after_it() {
    let mut api = ApiServer::exclusive().await;
    install(&api).await;
    let admin = api.client(Identity::Admin).await;
    register(&admin).await;
    let flags = ["--tls-name", "127.0.0.1"];
    in_cluster(&api, &flags).ready().await;
    api.stop();
    let server = in_cluster(&api, &flags);
    // Without a limit, the backoff would be half a minute by then.
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(server.get("/readyz").0, 503);
    let unknown = server.lines_with("cannot watch policies");
    assert_eq!(unknown.len(), 1, "{}", server.stderr());
    assert!(
        unknown[0].contains("; nothing has been read yet"),
        "{unknown:?}"
    );
    api.start().await;
    let back = Instant::now();
    server.ready().await;
    let took = back.elapsed();
    assert!(took < Duration::from_secs(7), "{took:?}");
}

#[tokio::test]
async fn t2_refused_events_are_logged_once_with_the_message_of_the_api_server() {
    let api = ApiServer::exclusive().await;
    install(&api).await;
    let scope = api.scope("events").await;
    write_policy(&scope.admin, "a", json!({"dind": {}})).await;
    let path = "/apis/rbac.authorization.k8s.io/v1/clusterroles/drydock";
    let role = raw_requests::get(&scope.admin, path).await.object();
    let rules = role["rules"].as_array().unwrap();
    let of_events = |rule: &Value| rule["resources"] == json!(["events"]);
    let index = rules.iter().position(of_events).unwrap();
    let remove = json!([{"op": "remove", "path": format!("/rules/{index}")}]);
    raw_requests::patch(&scope.admin, path, &remove)
        .await
        .object();
    let certificate = Certificate::new();
    let server = in_cluster_with(&api, &certificate);
    server.ready().await;
    let registration = Registration::new(server.url(), &certificate.authority, None);
    registration.repairs(&scope).await;
    let namespace = scope.namespace("jobs", Some(ENFORCE)).await;
    let runner = api.client(Identity::Runner).await;
    let failed = async || {
        let pod = fixture("reviews/runner/19.3.0-secret-certs");
        create_pod(&runner, &namespace, &pod, DryRun::No).await;
        server.metric("drydock_events_total{outcome=\"failed\",reason=\"\"} ")
    };
    eventually("some Events are rejected", TIMEOUT, failed, |count| {
        *count >= 3.0
    })
    .await;
    let lines = server.lines_with("cannot write Events");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("cannot create resource \\\"events\\\"")
            || lines[0].contains("cannot create resource \"events\""),
        "{lines:?}"
    );
    assert!(!server.stderr().contains("Status {"), "{}", server.stderr());
}

/// Compiling the set of policies after each watch event would take 19 s of CPU for 2,000 policies.
#[tokio::test]
async fn f6_policies_created_in_quick_succession_are_published_together() {
    const COUNT: usize = 400;
    let api = ApiServer::exclusive().await;
    install(&api).await;
    let admin = api.client(Identity::Admin).await;
    let certificate = Certificate::new();
    let server = in_cluster_with(&api, &certificate);
    server.ready().await;
    let loaded = async || server.metric("drydock_policies{state=\"loaded\"} ");
    let published = async || server.metric("drydock_policy_sets_total ");
    for number in 0..COUNT {
        write_policy(&admin, &format!("a-{number}"), alias("10.0.0.1")).await;
    }
    eventually("all policies are in force", 2 * TIMEOUT, loaded, |count| {
        *count >= 400.0
    })
    .await;
    let made = published().await;
    for number in 0..COUNT {
        let path = format!("{POLICIES}/a-{number}");
        raw_requests::call(&admin, Method::DELETE, &path, None)
            .await
            .object();
    }
    eventually("no policy is in force", 2 * TIMEOUT, loaded, |count| {
        *count < 1.0
    })
    .await;
    let deleted = published().await - made;
    crate::measurements::print_figure(&format!(
        "{COUNT} policies created: {made} sets, deleted: {deleted} sets"
    ));
    assert!(made < 200.0 && deleted < 200.0, "{made}, {deleted}");
}
