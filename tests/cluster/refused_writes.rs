//! The API server rejects writes while a rotation of the authority is due, because the Secret is
//! immutable, RBAC was restricted, or etcd is full. The stored authority remains in use, also by
//! new replicas (rule F5).

use crate::api_server::ApiServer;
use crate::drydock_process::Drydock;
use crate::identity::Identity;
use crate::installation::{in_cluster, install};
use crate::raw_requests;
use crate::replica::{bundles, certificates};
use crate::wait::{PATIENCE, eventually};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drydock::names::{CA_SECRET, NAMESPACE};
use drydock::pki::authority::Authority;
use jiff::Timestamp;
use kube::Client;
use serde_json::{Value, json};
use std::time::Duration;

const CONFIGURATION: &str =
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/drydock";
const ROLE: &str =
    "/apis/rbac.authorization.k8s.io/v1/namespaces/drydock/roles/drydock-certificates";
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A cluster whose Secret has an authority that expires tomorrow. An authority is valid for a year,
/// so its successor is due.
struct Due {
    api: ApiServer,
    admin: Client,
    authority: Authority,
}

impl Due {
    async fn start(is_immutable: bool) -> Self {
        let api = ApiServer::of_ones_own().await;
        install(&api).await;
        let admin = api.client(Identity::Admin).await;
        let authority = Authority::make("drydock CA", Timestamp::now(), DAY).unwrap();
        let path = format!("/api/v1/namespaces/{NAMESPACE}/secrets/{CA_SECRET}");
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": CA_SECRET, "namespace": NAMESPACE},
            "immutable": is_immutable,
            "stringData": {"ca.crt": authority.certificate().pem(), "ca.key": authority.key_pem()},
        });
        raw_requests::apply(&admin, &path, &secret).await.object();
        let due = Self {
            api,
            admin,
            authority,
        };
        due.register(due.authority()).await;
        due
    }

    /// Returns the CA certificate in the Secret, as PEM.
    fn authority(&self) -> &str {
        self.authority.certificate().pem()
    }

    /// Applies the webhook configuration of `manifests/` with a `caBundle`.
    async fn register(&self, bundle: &str) {
        let committed =
            std::fs::read_to_string("manifests/mutating-webhook-configuration.yaml").unwrap();
        let mut configuration: Value = serde_saphyr::from_str(&committed).unwrap();
        for webhook in configuration["webhooks"].as_array_mut().unwrap() {
            webhook["clientConfig"]["caBundle"] = STANDARD.encode(bundle).into();
        }
        let applied = raw_requests::apply(&self.admin, CONFIGURATION, &configuration).await;
        applied.object();
    }

    /// Starts a replica, and asserts that it becomes ready although a write fails with this
    /// message, and that it counts every failed attempt, which the alert needs.
    async fn serves_although(&self, refusal: &str) -> Drydock {
        let server = in_cluster(&self.api, &["--tls-name", "127.0.0.1"]);
        server.ready().await;
        let refused = "drydock_writes_refused_total{object=\"secret\"} ";
        let count = async || server.metric(refused);
        eventually("refusals are counted", PATIENCE, count, |it| *it >= 2.0).await;
        let sentence = format!("cannot write secret {NAMESPACE}/{CA_SECRET}: ");
        let lines = server.lines_with(&sentence);
        assert_eq!(lines.len(), 1, "not logged once: {}", server.stderr());
        // The JSON log format escapes quotes.
        let words = lines[0].replace('\\', "");
        assert!(words.contains(refusal), "{lines:?}");
        assert!(!server.stderr().contains("PRIVATE KEY"));
        server
    }
}

/// Waits until the successor is published.
async fn rotates(server: &Drydock) {
    let published = "drydock_certificate_events_total{event=\"ca-published\"} ";
    let count = async || server.metric(published);
    eventually("it rotates", 3 * PATIENCE, count, |it| *it >= 1.0).await;
}

#[tokio::test]
async fn f5_a_new_replica_serves_although_an_immutable_secret_refuses_a_rotation() {
    let due = Due::start(true).await;
    // The caBundle can be written.
    due.register("").await;
    due.serves_although("field is immutable when `immutable` is set")
        .await;
    assert_eq!(bundles(&due.admin).await[0], due.authority());
}

#[tokio::test]
async fn f5_a_new_replica_serves_although_rbac_refuses_a_rotation() {
    let due = Due::start(false).await;
    let role = raw_requests::get(&due.admin, ROLE).await.object();
    let read_only =
        json!([{"op": "replace", "path": "/rules/0/verbs", "value": ["get", "list", "watch"]}]);
    raw_requests::patch(&due.admin, ROLE, &read_only)
        .await
        .object();
    let words = "secrets \"drydock-ca\" is forbidden: User \"system:serviceaccount:drydock:drydock\" \
                 cannot update resource \"secrets\"";
    drop(due.serves_although(words).await);

    // drydock would have to save the other trusted authority in the Secret first, so it does not
    // change the caBundle.
    let foreign = Authority::make("foreign", Timestamp::now(), DAY).unwrap();
    let both = [due.authority(), foreign.certificate().pem()].concat();
    due.register(&both).await;
    let server = due.serves_although(words).await;
    for bundle in bundles(&due.admin).await {
        assert_eq!(certificates(&bundle), certificates(&both));
    }

    let restored = json!([{"op": "replace", "path": "/rules", "value": role["rules"]}]);
    raw_requests::patch(&due.admin, ROLE, &restored)
        .await
        .object();
    rotates(&server).await;
    for bundle in bundles(&due.admin).await {
        let trusted = certificates(&bundle);
        for kept in certificates(&both) {
            assert!(trusted.contains(&kept));
        }
    }
}

#[tokio::test]
async fn f5_a_new_replica_serves_although_a_full_etcd_refuses_a_rotation() {
    let due = Due::start(false).await;
    due.api.fill_etcd();
    let server = due
        .serves_although("etcdserver: mvcc: database space exceeded")
        .await;
    assert_eq!(bundles(&due.admin).await[0], due.authority());
    due.api.empty_etcd();
    rotates(&server).await;
}
