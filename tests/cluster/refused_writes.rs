//! The API server rejects writes while a rotation of the authority is due, because the Secret is
//! immutable, RBAC was restricted, or etcd is full. The stored authority remains in use, also by
//! new replicas (rule F5).

use crate::api_server::ApiServer;
use crate::drydock_process::Drydock;
use crate::identity::Identity;
use crate::installation::{in_cluster, install};
use crate::raw_requests;
use crate::registration::apply_with_bundle;
use crate::replica::{bundles, certificates};
use crate::wait::{TIMEOUT, eventually};
use drydock::names::{CA_SECRET, NAMESPACE};
use drydock::pki::authority::Authority;
use jiff::Timestamp;
use kube::Client;
use serde_json::json;
use std::time::Duration;

const ROLE: &str =
    "/apis/rbac.authorization.k8s.io/v1/namespaces/drydock/roles/drydock-certificates";
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A cluster whose Secret has an authority that expires tomorrow. An authority is valid for a year,
/// so its successor is cluster.
struct RotationDue {
    api: ApiServer,
    admin: Client,
    authority: Authority,
}

impl RotationDue {
    async fn start(is_immutable: bool) -> Self {
        let api = ApiServer::exclusive().await;
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
        let cluster = Self {
            api,
            admin,
            authority,
        };
        apply_with_bundle(&cluster.admin, cluster.authority()).await;
        cluster
    }

    /// Returns the CA certificate in the Secret, as PEM.
    fn authority(&self) -> &str {
        self.authority.certificate().pem()
    }

    /// Starts a replica, and asserts that it becomes ready although a write fails with this
    /// message, and that it counts every failed attempt, which the alert needs.
    async fn start_despite(&self, refusal: &str) -> Drydock {
        let server = in_cluster(&self.api, &["--tls-name", "127.0.0.1"]);
        server.ready().await;
        let refused = "drydock_writes_refused_total{object=\"secret\"} ";
        let count = async || server.metric(refused);
        eventually("refusals are counted", TIMEOUT, count, |it| *it >= 2.0).await;
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
async fn wait_for_rotation(server: &Drydock) {
    let published = "drydock_certificate_events_total{event=\"ca-published\"} ";
    let count = async || server.metric(published);
    eventually("the authority is rotated", 3 * TIMEOUT, count, |it| {
        *it >= 1.0
    })
    .await;
}

#[tokio::test]
async fn f5_a_new_replica_serves_although_an_immutable_secret_refuses_a_rotation() {
    let cluster = RotationDue::start(true).await;
    // The caBundle can be written.
    apply_with_bundle(&cluster.admin, "").await;
    cluster
        .start_despite("field is immutable when `immutable` is set")
        .await;
    assert_eq!(bundles(&cluster.admin).await[0], cluster.authority());
}

#[tokio::test]
async fn f5_a_new_replica_serves_although_rbac_refuses_a_rotation() {
    let cluster = RotationDue::start(false).await;
    let role = raw_requests::get(&cluster.admin, ROLE).await.object();
    let read_only =
        json!([{"op": "replace", "path": "/rules/0/verbs", "value": ["get", "list", "watch"]}]);
    raw_requests::patch(&cluster.admin, ROLE, &read_only)
        .await
        .object();
    let words = "secrets \"drydock-ca\" is forbidden: User \"system:serviceaccount:drydock:drydock\" \
                 cannot update resource \"secrets\"";
    drop(cluster.start_despite(words).await);

    // drydock would have to save the other trusted authority in the Secret first, so it does not
    // change the caBundle.
    let foreign = Authority::make("foreign", Timestamp::now(), DAY).unwrap();
    let both = [cluster.authority(), foreign.certificate().pem()].concat();
    apply_with_bundle(&cluster.admin, &both).await;
    let server = cluster.start_despite(words).await;
    for bundle in bundles(&cluster.admin).await {
        assert_eq!(certificates(&bundle), certificates(&both));
    }

    let restored = json!([{"op": "replace", "path": "/rules", "value": role["rules"]}]);
    raw_requests::patch(&cluster.admin, ROLE, &restored)
        .await
        .object();
    wait_for_rotation(&server).await;
    for bundle in bundles(&cluster.admin).await {
        let trusted = certificates(&bundle);
        for kept in certificates(&both) {
            assert!(trusted.contains(&kept));
        }
    }
}

#[tokio::test]
async fn f5_a_new_replica_serves_although_a_full_etcd_refuses_a_rotation() {
    let cluster = RotationDue::start(false).await;
    cluster.api.fill_etcd();
    let server = cluster
        .start_despite("etcdserver: mvcc: database space exceeded")
        .await;
    assert_eq!(bundles(&cluster.admin).await[0], cluster.authority());
    cluster.api.empty_etcd();
    wait_for_rotation(&server).await;
}
