//! Anyone in the cluster may call the webhook (F8): reviews that no API server sent, at the real one, with drydock's own rights.

use crate::api_server::shared;
use crate::call;
use crate::identity::Identity;
use crate::scope::SCOPE_LABEL;
use crate::serve::{Certificate, Drydock};
use crate::setup::{in_cluster_with, install, review};
use crate::wait::{PATIENCE, eventually};
use drydock::names::{AUDIT, ENFORCE};
use kube::Client;
use serde_json::{Value, json};

/// A review of a real job pod whose author has something to be told, as if a pod of that name was created there.
fn forged(namespace: &str, pod: &str) -> String {
    let file = "tests/fixtures/reviews/runner/19.3.0-secret-certs.json";
    let mut review: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let request = &mut review["request"];
    request["namespace"] = namespace.into();
    request["name"] = pod.into();
    request["object"]["metadata"]["name"] = pod.into();
    review.to_string()
}

async fn events(admin: &Client, namespace: &str) -> usize {
    let path = format!("/api/v1/namespaces/{namespace}/events");
    let list = call::get(admin, &path).await.object();
    list["items"].as_array().unwrap().len()
}

fn dropped(server: &Drydock) -> u32 {
    let (_, text) = server.get("/metrics");
    let sample = "drydock_events_total{outcome=\"dropped\",reason=\"not-opted-in\"} ";
    let value = text.lines().find_map(|line| line.strip_prefix(sample));
    value.unwrap().parse().unwrap()
}

#[tokio::test]
async fn f8_reviews_that_anybody_sends_leave_events_only_where_pods_are_to_be_changed() {
    let api = shared().await;
    install(api).await;
    let scope = api.scope("deputy").await;
    let admin = api.client(Identity::Admin).await;
    let policy = json!({
        "apiVersion": "drydock.dev/v1alpha1",
        "kind": "JobPodPolicy",
        "metadata": {"name": scope.name},
        "spec": {
            "dind": {},
            "namespaceSelector": {"matchLabels": {SCOPE_LABEL: scope.name}},
        },
    });
    let path = format!("/apis/drydock.dev/v1alpha1/jobpodpolicies/{}", scope.name);
    call::apply(&admin, &path, &policy).await.object();
    let jobs = scope.namespace("jobs", Some(ENFORCE)).await;
    let never = scope.namespace("never", None).await;
    let audited = scope.namespace("audited", Some(AUDIT)).await;
    let certificate = Certificate::new();
    let server = in_cluster_with(api, &certificate);
    server.ready().await;

    // The first that comes through says that the namespaces are listed and the policy is in force.
    let written = async || {
        let (status, _) = review(&server, &certificate, &forged(&jobs, "runner-0")).await;
        (status, events(&admin, &jobs).await)
    };
    eventually("an Event", PATIENCE, written, |(_, count)| *count > 0).await;
    let before = dropped(&server);

    for namespace in [&never, &audited] {
        let (status, answer) = review(&server, &certificate, &forged(namespace, "runner-1")).await;
        assert_eq!(status, 200, "{answer}");
        assert!(
            answer["response"]["patch"].is_string(),
            "it has something to tell: {answer}"
        );
    }
    assert!(dropped(&server) >= before + 2);
    for namespace in [
        format!("{jobs}/pods/runner-0/eviction?x="),
        format!("../{jobs}"),
        format!("{jobs}#"),
    ] {
        let (status, answer) = review(&server, &certificate, &forged(&namespace, "runner-1")).await;
        assert_eq!(status, 400, "{answer}");
    }
    // What was sent before this has been written by now, if anything was: Events are written one after the other.
    review(&server, &certificate, &forged(&jobs, "runner-2")).await;
    let path =
        format!("/api/v1/namespaces/{jobs}/events?fieldSelector=involvedObject.name=runner-2");
    let last = async || call::get(&admin, &path).await.object()["items"].clone();
    eventually("the last Event", PATIENCE, last, |items| {
        *items != json!([])
    })
    .await;
    assert_eq!(events(&admin, &never).await, 0);
    assert_eq!(events(&admin, &audited).await, 0);

    // A label that is taken away takes the Events with it.
    let path = format!("/api/v1/namespaces/{jobs}");
    let mut namespace = call::get(&admin, &path).await.object();
    let labels = namespace["metadata"]["labels"].as_object_mut().unwrap();
    labels.remove("drydock.dev/job-pods");
    let replaced = call::call(&admin, axum::http::Method::PUT, &path, Some(&namespace)).await;
    replaced.object();
    let before = dropped(&server);
    let look = async || {
        review(&server, &certificate, &forged(&jobs, "runner-3")).await;
        dropped(&server)
    };
    eventually("they are dropped", PATIENCE, look, |count| *count > before).await;
    let count = events(&admin, &jobs).await;
    let before = dropped(&server);
    review(&server, &certificate, &forged(&jobs, "runner-4")).await;
    assert!(dropped(&server) > before);
    assert_eq!(events(&admin, &jobs).await, count);
}
