//! Faults of a cluster in which drydock does not run, so that nothing restores its `caBundle`.

use super::running::serve;
use super::{Found, names};
use crate::doctor::cluster::{Cluster, POLICY, run_as, set_endpoint};
use crate::endpoints::{delete_endpoints, own_address};
use crate::identity::Identity;
use crate::raw_requests::{apply, call, get, merge, patch};
use crate::registration::CONFIGURATION;
use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drydock::names::OPT_IN_LABEL;
use drydock::pki::authority::Authority;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

const HOUR: u64 = 60 * 60;
const DEFINITION: &str =
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/jobpodpolicies.drydock.dev";

pub(super) async fn faults(cluster: Cluster, seen: &mut Found) {
    let Cluster {
        api,
        admin,
        server,
        kubelet: _kubelet,
    } = cluster;
    server.stop();
    let mut look = async |wanted: &[&str]| {
        seen.wait_for(&api, Identity::Admin, &[], wanted).await;
    };
    look(&["refused-connection"]).await;
    look(&["calls-failed"]).await;

    // Sets the caBundle, and runs `drydock doctor` with an endpoint of the Service.
    let bundle = async |value: Value| {
        let path = "/webhooks/0/clientConfig/caBundle";
        let change = json!([{"op": "add", "path": path, "value": value}]);
        patch(&admin, CONFIGURATION, &change).await.object();
    };
    let forward_to = async |address: SocketAddr| set_endpoint(&admin, address).await;
    // The kernel accepts connections, but no process responds.
    let silent = TcpListener::bind((own_address(), 0)).unwrap();
    let second = json!([{"op": "replace", "path": "/webhooks/0/timeoutSeconds", "value": 1}]);
    patch(&admin, CONFIGURATION, &second).await.object();
    forward_to(silent.local_addr().unwrap()).await;
    look(&["refused-timeout"]).await;
    let now = Timestamp::now();
    let days = |number: u64| Duration::from_secs(number * 24 * HOUR);
    let pem = |authority: &Authority| Value::from(STANDARD.encode(authority.certificate().pem()));
    let good = Authority::make("good", now, days(365)).unwrap();
    let other = Authority::make("other", now, days(365)).unwrap();
    let own = "drydock.drydock.svc";
    forward_to(serve(&other, own, now, days(1)).await).await;
    bundle(pem(&good)).await;
    look(&["refused-unknown-authority"]).await;
    forward_to(serve(&good, "elsewhere.svc", now, days(1)).await).await;
    look(&["refused-other-name"]).await;
    let before = now - SignedDuration::from_hours(72);
    let long_ago = Authority::make("old", before, days(365)).unwrap();
    bundle(pem(&long_ago)).await;
    forward_to(serve(&long_ago, own, before, days(1)).await).await;
    look(&["refused-expired"]).await;
    bundle(pem(&good)).await;
    forward_to(serve(&good, own, now, days(1)).await).await;
    look(&["refused-error"]).await;
    let expired = Authority::make("expired", before, days(1)).unwrap();
    bundle(pem(&expired)).await;
    look(&["ca-bundle-expired"]).await;
    let soon = Authority::make("soon", now, days(10)).unwrap();
    bundle(pem(&soon)).await;
    look(&["ca-bundle-expires"]).await;
    bundle(STANDARD.encode("not PEM").into()).await;
    look(&["ca-bundle-unreadable"]).await;
    bundle(Value::Null).await;
    look(&["no-ca-bundle"]).await;

    delete_endpoints(&admin, "drydock", "drydock").await;
    look(&["refused-no-endpoints"]).await;

    // No replica reads this policy, so the test writes the conditions that a replica would write.
    let spec = json!({"hostAliases": [{"ip": "10.0.0.9", "hostnames": ["new.mylab.com"]}]});
    let fresh = json!({"apiVersion": "drydock.dev/v1alpha1", "kind": "JobPodPolicy", "metadata": {"name": "new"}, "spec": spec});
    apply(
        &admin,
        "/apis/drydock.dev/v1alpha1/jobpodpolicies/new",
        &fresh,
    )
    .await
    .object();
    merge(&admin, POLICY, &json!({"spec": {"priority": 7}}))
        .await
        .object();
    look(&["policy-not-read", "policy-behind"]).await;
    let condition = |type_: &str, status: &str| json!({"type": type_, "status": status, "reason": "Test", "message": "why it is so", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let conditions = json!([
        condition("Accepted", "False"),
        condition("HostnamesTaken", "False"),
    ]);
    let status = json!({"status": {"conditions": conditions}});
    merge(&admin, &format!("{POLICY}/status"), &status)
        .await
        .object();
    look(&["policy-not-accepted", "policy-hostnames"]).await;

    // The webhook for audits has failurePolicy Ignore.
    let audit = json!({"metadata": {"labels": {OPT_IN_LABEL: "audit"}}});
    merge(&admin, "/api/v1/namespaces/ci", &audit)
        .await
        .object();
    look(&["fail-open"]).await;

    for path in [CONFIGURATION, DEFINITION] {
        call(&admin, Method::DELETE, path, None).await.object();
    }
    look(&["definition-missing", "not-registered"]).await;
    let gone = get(&admin, POLICY).await;
    assert_eq!(gone.status, 404, "{gone:?}");
    // Namespaces still have the opt-in label.
    let ran = run_as(&api, Identity::Admin, &["-o", "json"]);
    assert!(names(&ran).contains("no-policy"), "{ran:?}");
}
