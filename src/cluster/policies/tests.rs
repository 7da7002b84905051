//! What is written while a replica starts.

use super::run;
use crate::cluster::testing::client_of;
use crate::telemetry::metrics::Metrics;
use axum::Router;
use axum::extract::RawQuery;
use axum::routing::{get, patch};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// Longer than changes are gathered before a status is written.
const SLOW: Duration = Duration::from_millis(500);

/// The status of a policy whose source another replica has seen.
fn policy() -> Value {
    let condition = |type_: &str, status: &str, reason: &str, message: &str| {
        json!({
            "type": type_, "status": status, "reason": reason, "message": message,
            "observedGeneration": 1, "lastTransitionTime": "2027-01-15T08:00:00Z",
        })
    };
    json!({
        "apiVersion": "drydock.dev/v1alpha1",
        "kind": "JobPodPolicy",
        "metadata": {"name": "a", "uid": "u", "generation": 1, "resourceVersion": "7"},
        "spec": {"hostAliases": [{"from": {"ingress": {"namespace": "cicd", "name": "web"}}, "hostnames": ["a.lab.com"]}]},
        "status": {
            "observedGeneration": 1,
            "conditions": [
                condition("Accepted", "True", "InForce", "the policy is in force as it is written"),
                condition("AddressesResolved", "True", "AllResolved", "every live source has an address"),
                condition("Conflicting", "False", "NoConflict", "no policy of higher rank decides what this one asks for"),
            ],
            "addresses": [{"source": "ingress/cicd/web", "addresses": ["10.0.0.1"], "since": "2027-01-15T08:00:00Z", "stale": false}],
        },
    })
}

fn ingress() -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "web", "namespace": "cicd", "resourceVersion": "7"},
        "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}},
    })
}

/// Answers a list after a while, and a watch never.
async fn listed(after: Duration, query: Option<String>, object: Value) -> String {
    if query.unwrap_or_default().contains("watch=true") {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(after).await;
    let kind = format!("{}List", object["kind"].as_str().unwrap());
    let list = json!({
        "apiVersion": object["apiVersion"],
        "kind": kind,
        "metadata": {"resourceVersion": "7"},
        "items": [object],
    });
    list.to_string()
}

#[tokio::test]
async fn a_replica_that_starts_says_nothing_of_a_source_before_it_has_looked_at_it() {
    let written = Arc::new(AtomicUsize::new(0));
    let count = written.clone();
    let write = async move || {
        count.fetch_add(1, Ordering::Relaxed);
        policy().to_string()
    };
    let policies = async |RawQuery(query): RawQuery| listed(Duration::ZERO, query, policy()).await;
    let ingresses = async |RawQuery(query): RawQuery| listed(SLOW, query, ingress()).await;
    let of_policies = "/apis/drydock.dev/v1alpha1/jobpodpolicies";
    let of_ingresses = "/apis/networking.k8s.io/v1/namespaces/cicd/ingresses";
    let router = Router::new()
        .route(of_policies, get(policies))
        .route(&format!("{of_policies}/{{name}}/status"), patch(write))
        .route(of_ingresses, get(ingresses));
    let client = client_of(router).await;
    let (published, mut set) = watch::channel(None);
    let work = tokio::spawn(run(client, published, Arc::new(Metrics::new())));
    set.wait_for(Option::is_some).await.unwrap();
    work.abort();
    assert_eq!(written.load(Ordering::Relaxed), 0);
}
