//! A client with drydock's token can change only the `caBundle` of the
//! MutatingWebhookConfiguration.
//!
//! With RBAC alone, the ServiceAccount could change the configuration so that another server
//! receives every object of the cluster.

use crate::api_server::ApiServer;
use crate::drydock_process::Certificate;
use crate::identity::Identity;
use crate::install::install;
use crate::raw_requests::{Answer, apply, get, patch};
use crate::registration::CONFIGURATION;
use crate::wait::{TIMEOUT, eventually};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drydock::names::{AUDIT_WEBHOOK, ENFORCE_WEBHOOK, NAME};
use serde_json::{Value, json};

/// The beginning of each error message.
const REFUSAL: &str = "drydock's ServiceAccount may change only clientConfig.caBundle";

fn bundle() -> String {
    STANDARD.encode(Certificate::new().authority)
}

/// Starts an API server with the installation, and waits until the ValidatingAdmissionPolicy is in
/// force.
async fn protected_api_server() -> ApiServer {
    let api = ApiServer::exclusive().await;
    install(&api);
    let drydock = api.client(Identity::Drydock).await;
    let path = format!("{CONFIGURATION}?dryRun=All");
    let label = json!([{"op": "add", "path": "/metadata/labels/stolen", "value": "true"}]);
    let write = async || patch(&drydock, &path, &label).await;
    let is_refused = |answer: &Answer| answer.status == 403;
    eventually("the policy is in force", TIMEOUT, write, is_refused).await;
    api
}

/// Adds a webhook of another project to the configuration.
async fn with_a_foreign_webhook(api: &ApiServer) {
    let admin = api.client(Identity::Admin).await;
    let mut foreign = get(&admin, CONFIGURATION).await.object()["webhooks"][1].clone();
    foreign["name"] = "foreign.example.com".into();
    foreign["clientConfig"]["caBundle"] = bundle().into();
    let add = json!([{"op": "add", "path": "/webhooks/-", "value": foreign}]);
    patch(&admin, CONFIGURATION, &add).await.object();
}

#[tokio::test]
async fn the_service_account_can_write_the_ca_bundle() {
    let api = protected_api_server().await;
    with_a_foreign_webhook(&api).await;
    let drydock = api.client(Identity::Drydock).await;
    let bundle = bundle();
    let webhooks: Vec<Value> = [ENFORCE_WEBHOOK, AUDIT_WEBHOOK]
        .map(|name| json!({"name": name, "clientConfig": {"caBundle": bundle}}))
        .into();
    let healed = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": NAME},
        "webhooks": webhooks,
    });
    // First without a caBundle, then with another one.
    apply(&drydock, CONFIGURATION, &healed).await.object();
    let other = self::bundle();
    let operations =
        json!([{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": other}]);
    patch(&drydock, CONFIGURATION, &operations).await.object();
    let live = get(&drydock, CONFIGURATION).await.object();
    assert_eq!(live["webhooks"][0]["clientConfig"]["caBundle"], other);
    assert_eq!(live["webhooks"][1]["clientConfig"]["caBundle"], bundle);
}

/// Returns all kinds of forbidden changes, each as a JSON Patch of the installed configuration, to
/// which a third webhook of another project was added.
fn changes(live: &Value) -> Vec<Value> {
    let of_webhook = |field: &str, value: Value| json!([{"op": "add", "path": format!("/webhooks/0/{field}"), "value": value}]);
    let of_metadata = |field: &str, value: Value| json!([{"op": "add", "path": format!("/metadata/{field}"), "value": value}]);
    let remove = |path: &str| json!([{"op": "remove", "path": path}]);
    let mut added = live["webhooks"][0].clone();
    added["name"] = "added.example.com".into();
    let everything = json!([{"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"], "operations": ["*"]}]);
    vec![
        json!([
            {"op": "remove", "path": "/webhooks/0/clientConfig/service"},
            {"op": "add", "path": "/webhooks/0/clientConfig/url", "value": "https://thief.example.com/"},
        ]),
        of_webhook("clientConfig/service/namespace", json!("thief")),
        of_webhook("clientConfig/service/name", json!("thief")),
        of_webhook("clientConfig/service/path", json!("/steal")),
        of_webhook("clientConfig/service/port", json!(8443)),
        remove("/webhooks/0/clientConfig/service/path"),
        of_webhook("rules", everything),
        of_webhook("rules/0/operations", json!(["*"])),
        of_webhook("name", json!("renamed.example.com")),
        of_webhook("failurePolicy", json!("Ignore")),
        of_webhook("matchPolicy", json!("Exact")),
        of_webhook("namespaceSelector", json!({})),
        of_webhook("objectSelector", json!({"matchLabels": {"a": "b"}})),
        remove("/webhooks/0/objectSelector"),
        of_webhook(
            "matchConditions",
            json!([{"name": "none", "expression": "false"}]),
        ),
        of_webhook("sideEffects", json!("None")),
        of_webhook("timeoutSeconds", json!(30)),
        of_webhook("reinvocationPolicy", json!("Never")),
        of_webhook("admissionReviewVersions", json!(["v1", "v1beta1"])),
        json!([{"op": "add", "path": "/webhooks/-", "value": added}]),
        remove("/webhooks/1"),
        remove("/webhooks"),
        json!([{"op": "move", "from": "/webhooks/0", "path": "/webhooks/1"}]),
        // Changes to the webhook of the other project.
        json!([{"op": "replace", "path": "/webhooks/2/clientConfig/caBundle", "value": bundle()}]),
        remove("/webhooks/2/clientConfig/caBundle"),
        // A permitted change together with a forbidden one.
        json!([
            {"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": bundle()},
            {"op": "add", "path": "/webhooks/1/failurePolicy", "value": "Fail"},
        ]),
        of_metadata("labels/stolen", json!("true")),
        remove("/metadata/labels/app.kubernetes.io~1name"),
        remove("/metadata/labels"),
        of_metadata("annotations/stolen", json!("true")),
        of_metadata("finalizers", json!(["example.com/kept"])),
        of_metadata(
            "ownerReferences",
            json!([{"apiVersion": "v1", "kind": "Namespace", "name": "default", "uid": "1"}]),
        ),
    ]
}

#[tokio::test]
async fn only_an_administrator_can_change_other_fields() {
    let api = protected_api_server().await;
    with_a_foreign_webhook(&api).await;
    let (admin, drydock) = (
        api.client(Identity::Admin).await,
        api.client(Identity::Drydock).await,
    );
    let before = get(&admin, CONFIGURATION).await.object();
    let dry_run = format!("{CONFIGURATION}?dryRun=All");
    for change in changes(&before) {
        let answer = patch(&drydock, CONFIGURATION, &change).await;
        assert_eq!(answer.status, 403, "{change}: {answer:?}");
        assert!(answer.refusal().contains(REFUSAL), "{change}: {answer:?}");
        // The change is valid: the administrator may make it.
        let answer = patch(&admin, &dry_run, &change).await;
        assert_eq!(answer.status, 200, "{change}: {answer:?}");
    }
    // Server-side apply, which drydock uses.
    let applied = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": NAME, "labels": {"stolen": "true"}},
        "webhooks": [{"name": ENFORCE_WEBHOOK, "clientConfig": {"caBundle": bundle()}}],
    });
    let answer = apply(&drydock, CONFIGURATION, &applied).await;
    assert_eq!(answer.status, 403, "{answer:?}");
    assert_eq!(get(&admin, CONFIGURATION).await.object(), before);
}
