//! Self-managed certificates at a real API server, with the ServiceAccount and roles of drydock
//! (rule F5).
//!
//! While authority, leaf certificate, Secret and `caBundle` change, clients that trust only the
//! current `caBundle` make handshakes and a runner creates pods. None of these may fail. The tests
//! share one API server and run one at a time, because the name of the webhook configuration is
//! fixed.

use crate::api_server::ApiServer;
use crate::drydock_process::Certificate;
use crate::identity::Identity;
use crate::installation::{in_cluster_with, install};
use crate::raw_requests;
use crate::registration::{CONFIGURATION, at_url, committed};
use crate::replica::{Replica, Throughout, admit, bundles, certificates, handshake, lifetimes};
use crate::wait::{TIMEOUT, eventually};
use drydock::cluster::ca::Lifetimes;
use drydock::names::{AUDIT_WEBHOOK, CA_SECRET, ENFORCE_WEBHOOK, NAME, NAMESPACE, OPT_IN_LABEL};
use drydock::pki::authority::Authority;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard, OnceCell};

/// A namespace with the opt-in label.
const JOBS: &str = "jobs";

/// An API server with drydock's roles, without the Secret and the webhook configuration. No other
/// test uses it at the same time.
struct TestCluster {
    api: &'static ApiServer,
    admin: Client,
    secrets: Api<Secret>,
    configurations: Api<MutatingWebhookConfiguration>,
    _exclusive: MutexGuard<'static, ()>,
}

async fn test_cluster() -> TestCluster {
    static EXCLUSIVE: Mutex<()> = Mutex::const_new(());
    static API: OnceCell<ApiServer> = OnceCell::const_new();
    let exclusive = EXCLUSIVE.lock().await;
    let api = API.get_or_init(api_server_with_roles).await;
    let admin = api.client(Identity::Admin).await;
    let cluster = TestCluster {
        secrets: Api::namespaced(admin.clone(), NAMESPACE),
        configurations: Api::all(admin.clone()),
        api,
        admin,
        _exclusive: exclusive,
    };
    cluster.delete_secret().await;
    cluster.delete_configuration().await;
    cluster
}

/// Starts an API server with the namespace, roles and ValidatingAdmissionPolicy of `manifests/`.
async fn api_server_with_roles() -> ApiServer {
    let api = ApiServer::exclusive().await;
    // The ValidatingAdmissionPolicy must permit drydock's writes.
    for file in ["namespace", "rbac", "validating-admission-policy"] {
        let file = format!("manifests/{file}.yaml");
        api.kubectl(&["apply", "-f", &file]).printed();
    }
    let jobs = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": JOBS, "labels": {OPT_IN_LABEL: "enforce"}},
    });
    let admin = api.client(Identity::Admin).await;
    let path = format!("/api/v1/namespaces/{JOBS}");
    raw_requests::apply(&admin, &path, &jobs).await.object();
    api
}

impl TestCluster {
    async fn replica(&self, name: &str, lifetimes: Lifetimes) -> Replica {
        Replica::start(self.api, name, lifetimes).await
    }

    /// Returns the webhook configuration of `manifests/` with the URL of a replica.
    fn configuration(&self, address: SocketAddr) -> Value {
        let mut configuration = committed();
        for webhook in configuration["webhooks"].as_array_mut().unwrap() {
            at_url(webhook, &format!("https://{address}"));
        }
        configuration
    }

    async fn configure(&self, configuration: &Value) {
        let applied = raw_requests::apply(&self.admin, CONFIGURATION, configuration).await;
        applied.object();
    }

    /// Applies the webhook configuration, and waits until the API server calls the replica.
    async fn register(&self, replica: &Replica) {
        self.configure(&self.configuration(replica.address)).await;
        replica.ready().await;
        let runner = self.runner().await;
        let admitted = async || admit(&runner, JOBS).await;
        eventually("pods are admitted", TIMEOUT, admitted, Result::is_ok)
            .await
            .unwrap();
    }

    async fn runner(&self) -> Client {
        self.api.client(Identity::Runner).await
    }

    async fn delete_secret(&self) {
        let now = DeleteParams::default();
        let _ = self.secrets.delete(CA_SECRET, &now).await;
    }

    async fn delete_configuration(&self) {
        let now = DeleteParams::default();
        let _ = self.configurations.delete(NAME, &now).await;
    }

    async fn secret(&self) -> Option<Secret> {
        self.secrets.get_opt(CA_SECRET).await.unwrap()
    }

    /// Returns a field of the Secret.
    async fn field(&self, name: &str) -> Option<String> {
        let mut data = self.secret().await?.data?;
        Some(String::from_utf8(data.remove(name)?.0).unwrap())
    }

    /// Replaces all fields of the Secret.
    async fn replace_secret(&self, fields: &[(&str, &str)]) {
        let mut secret = self.secret().await.unwrap();
        secret.metadata.resource_version = None;
        secret.data = None;
        let fields = fields.iter().map(|&(name, text)| (name, text));
        secret.string_data = Some(fields.map(|(a, b)| (a.to_owned(), b.to_owned())).collect());
        let params = kube::api::PostParams::default();
        let replaced = self.secrets.replace(CA_SECRET, &params, &secret).await;
        replaced.unwrap();
    }

    /// Applies a JSON Patch to the webhook configuration.
    async fn patch(&self, patch: Value) {
        let patch = Patch::Json::<()>(serde_json::from_value(patch).unwrap());
        let params = PatchParams::default();
        let patched = self.configurations.patch(NAME, &params, &patch).await;
        patched.unwrap();
    }

    async fn bundles(&self) -> Vec<String> {
        bundles(&self.admin).await
    }

    /// Waits until both webhooks have this `caBundle`.
    async fn wait_for_bundle(&self, wanted: &str) {
        let look = async || self.bundles().await;
        eventually(
            "both webhooks have the caBundle",
            TIMEOUT,
            look,
            |bundles| bundles.len() == 2 && bundles.iter().all(|bundle| bundle == wanted),
        )
        .await;
    }
}

/// Returns lifetimes so long that no certificate is renewed during a test.
fn long_lifetimes() -> Lifetimes {
    lifetimes(3600.0, 600.0, 100.0)
}

async fn count(what: &str, at_least: u32, look: impl Fn() -> u32) {
    let look = async || look();
    eventually(what, TIMEOUT * 2, look, |count| *count >= at_least).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_that_start_together_share_one_authority() {
    for _ in 0..5 {
        let cluster = test_cluster().await;
        let (one, other) = tokio::join!(
            cluster.replica("drydock-a", long_lifetimes()),
            cluster.replica("drydock-b", long_lifetimes()),
        );
        cluster.configure(&cluster.configuration(one.address)).await;
        let (of_one, of_other) = tokio::join!(one.ready(), other.ready());
        assert_eq!(of_one.authority, of_other.authority);
        assert_ne!(
            of_one.key_pem(),
            of_other.key_pem(),
            "both replicas have the same leaf certificate"
        );
        let ca = cluster.field("ca.crt").await.unwrap();
        assert_eq!(cluster.bundles().await, [ca.clone(), ca.clone()]);
        for replica in [&one, &other] {
            handshake(replica.address, &ca).unwrap();
        }
        let made = one.events("ca-created") + other.events("ca-created");
        assert_eq!(made, 1, "the authority was not created exactly once");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaf_certificates_and_authority_are_renewed_without_failures() {
    let cluster = test_cluster().await;
    let short = lifetimes(12.0, 6.0, 1.5);
    let (one, other) = tokio::join!(
        cluster.replica("drydock-a", short),
        cluster.replica("drydock-b", short),
    );
    cluster.register(&one).await;
    let (first, _) = tokio::join!(one.ready(), other.ready());
    let first_bundle = cluster.bundles().await;
    let handshakes = Throughout::handshakes(&cluster.admin, &[&one, &other]);
    let admissions = Throughout::admissions(&cluster.runner().await, JOBS);
    let both = |event: &str| one.events(event) + other.events(event);
    count("two rotations", 2, || both("ca-promoted")).await;
    count("the first authority is no longer trusted", 1, || {
        both("ca-discarded")
    })
    .await;
    handshakes.all_were_good(50).await;
    admissions.all_were_good(50).await;

    let last = one.issued().unwrap();
    assert_ne!(last.authority, first.authority);
    assert!(last.expires > first.expires);
    for replica in [&one, &other] {
        assert!(
            replica.events("leaf-signed") >= 4,
            "the leaf was not renewed"
        );
    }
    let old = certificates(&first_bundle[0]);
    let now = certificates(&cluster.bundles().await[0]);
    assert!(
        !now.contains(&old[0]),
        "the first authority is still trusted"
    );
    assert_eq!(both("ca-created"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_secret_is_restored_and_nothing_else_changes() {
    let cluster = test_cluster().await;
    let (one, other) = tokio::join!(
        cluster.replica("drydock-a", long_lifetimes()),
        cluster.replica("drydock-b", long_lifetimes()),
    );
    cluster.register(&one).await;
    other.ready().await;
    let (bundles, before) = (cluster.bundles().await, cluster.secret().await.unwrap());
    let handshakes = Throughout::handshakes(&cluster.admin, &[&one, &other]);
    let admissions = Throughout::admissions(&cluster.runner().await, JOBS);
    for _ in 0..3 {
        cluster.delete_secret().await;
        let again = async || cluster.secret().await.map(|secret| secret.data);
        let again = eventually("the Secret is restored", TIMEOUT, again, Option::is_some).await;
        assert_eq!(again.unwrap(), before.data);
    }
    handshakes.all_were_good(5).await;
    admissions.all_were_good(5).await;
    assert_eq!(cluster.bundles().await, bundles);
    for replica in [&one, &other] {
        assert_eq!(replica.events("leaf-signed"), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_ca_bundle_is_restored_and_other_fields_stay() {
    let cluster = test_cluster().await;
    let replica = cluster.replica("drydock-a", long_lifetimes()).await;
    cluster.register(&replica).await;
    let bundle = cluster.field("ca.crt").await.unwrap();
    cluster.wait_for_bundle(&bundle).await;
    let as_it_was = async || {
        let mut live = raw_requests::get(&cluster.admin, CONFIGURATION)
            .await
            .object();
        live["metadata"] = Value::Null;
        live
    };
    let before = as_it_was().await;
    let handshakes = Throughout::handshakes(&cluster.admin, &[&replica]);
    let remove = |index: u8| json!({"op": "remove", "path": format!("/webhooks/{index}/clientConfig/caBundle")});
    let stranger = Authority::make("x", jiff::Timestamp::now(), Duration::from_secs(3600)).unwrap();
    let replace = |index: u8| {
        use base64::Engine as _;
        // A second CA beside drydock's, so that handshakes succeed.
        let both = [&*bundle, stranger.certificate().pem()].concat();
        let both = base64::engine::general_purpose::STANDARD.encode(both);
        json!({"op": "replace", "path": format!("/webhooks/{index}/clientConfig/caBundle"), "value": both})
    };
    for change in [
        json!([remove(0)]),
        json!([remove(1)]),
        json!([remove(0), remove(1)]),
        json!([replace(0)]),
        json!([replace(0), replace(1)]),
    ] {
        cluster.patch(change).await;
        cluster.wait_for_bundle(&bundle).await;
        assert_eq!(as_it_was().await, before);
    }
    handshakes.all_were_good(5).await;
    assert_eq!(replica.events("leaf-signed"), 1);
    assert_eq!(replica.events("bundle-written"), 6);
    assert_eq!(replica.events("bundle-overwritten"), 5);
    assert_eq!(cluster.field("previous.crt").await, None);
}

/// Follows the steps in the README.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f5_switching_to_certificate_files_refuses_no_pod() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let cluster = test_cluster().await;
    install(cluster.api).await;
    let replica = cluster.replica("drydock-a", long_lifetimes()).await;
    cluster.register(&replica).await;
    let before = cluster.field("ca.crt").await.unwrap();
    let runner = cluster.runner().await;
    let admissions = Throughout::admissions(&runner, JOBS);

    let own = Certificate::new();
    let data =
        json!({"data": {"previous.crt": STANDARD.encode(&own.authority), "previous-until": null}});
    let (params, data) = (PatchParams::default(), Patch::Merge(data));
    let patched = cluster.secrets.patch(CA_SECRET, &params, &data).await;
    patched.unwrap();
    cluster
        .wait_for_bundle(&[own.authority.as_str(), &before].concat())
        .await;

    // During the rollout, the old replica still manages the caBundle.
    let server = in_cluster_with(cluster.api, &own);
    server.ready().await;
    cluster
        .configure(&cluster.configuration(server.webhook))
        .await;
    let reviews = async || {
        let (_, text) = server.get("/metrics");
        let lines = text
            .lines()
            .filter(|line| line.starts_with("drydock_reviews_total"));
        let counts = lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u32>().unwrap());
        counts.sum::<u32>()
    };
    eventually("the server reviews pods", TIMEOUT, reviews, |count| {
        *count >= 10
    })
    .await;
    drop(replica);
    assert!(
        server
            .stderr()
            .contains("kubectl -n drydock delete secret drydock-ca"),
        "{}",
        server.stderr()
    );

    let bundle = STANDARD.encode(&own.authority);
    let set = |index: u8| json!({"op": "add", "path": format!("/webhooks/{index}/clientConfig/caBundle"), "value": bundle});
    cluster.patch(json!([set(0), set(1)])).await;
    cluster.delete_secret().await;
    let now = reviews().await;
    eventually("the server reviews more pods", TIMEOUT, reviews, |count| {
        *count >= now + 10
    })
    .await;
    admissions.all_were_good(20).await;
    assert_eq!(cluster.field("ca.key").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reapplying_the_configuration_keeps_the_ca_bundle() {
    let cluster = test_cluster().await;
    let replica = cluster.replica("drydock-a", long_lifetimes()).await;
    cluster.register(&replica).await;
    let (bundles, written) = (cluster.bundles().await, replica.events("bundle-written"));
    let mut configuration = cluster.configuration(replica.address);
    configuration["webhooks"][0]["timeoutSeconds"] = 7.into();
    cluster.configure(&configuration).await;
    assert_eq!(cluster.bundles().await, bundles);
    // drydock is the only field manager of caBundle, and manages no other field.
    let live = raw_requests::get(&cluster.admin, CONFIGURATION)
        .await
        .object();
    for entry in live["metadata"]["managedFields"].as_array().unwrap() {
        let fields = entry["fieldsV1"].to_string();
        if entry["manager"] == NAME {
            let config = json!({".": {}, "f:clientConfig": {"f:caBundle": {}}, "f:name": {}});
            let key = |name: &str| format!("k:{{\"name\":\"{name}\"}}");
            let own =
                json!({"f:webhooks": {key(ENFORCE_WEBHOOK): config, key(AUDIT_WEBHOOK): config}});
            assert_eq!(entry["fieldsV1"], own);
        } else {
            assert!(!fields.contains("f:caBundle"), "{entry}");
        }
    }
    assert_eq!(replica.events("bundle-written"), written);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_authority_in_the_secret_is_adopted_without_failed_admissions() {
    let cluster = test_cluster().await;
    // The overlap must be longer than the time until the API server uses a new configuration.
    let adopting = lifetimes(3600.0, 600.0, 2.0);
    let (one, other) = tokio::join!(
        cluster.replica("drydock-a", adopting),
        cluster.replica("drydock-b", adopting),
    );
    cluster.register(&one).await;
    let own = other.ready().await.authority;
    let handshakes = Throughout::handshakes(&cluster.admin, &[&one, &other]);
    let admissions = Throughout::admissions(&cluster.runner().await, JOBS);
    let foreign =
        Authority::make("foreign", jiff::Timestamp::now(), Duration::from_secs(7200)).unwrap();
    let (certificate, key) = (foreign.certificate().pem(), foreign.key_pem());
    cluster
        .replace_secret(&[("ca.crt", certificate), ("ca.key", &key)])
        .await;
    for replica in [&one, &other] {
        let authority = async || replica.issued().unwrap().authority;
        let name = foreign.certificate().name();
        eventually(
            "the replica serves a certificate of the other authority",
            TIMEOUT,
            authority,
            |now| now.certificate().name() == name,
        )
        .await;
    }
    handshakes.all_were_good(10).await;
    admissions.all_were_good(10).await;
    assert_eq!(cluster.field("ca.crt").await.unwrap(), certificate);
    // Replicas may still use certificates of the first authority.
    let previous = cluster.field("previous.crt").await.unwrap();
    assert_eq!(certificates(&previous).len(), 1);
    let (readable, _) = drydock::pki::authority::CaCertificate::all_from_pem(&previous);
    assert_eq!(readable[0], *own.certificate());
    cluster
        .wait_for_bundle(&[&*previous, certificate].concat())
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_secret_is_replaced_without_failed_admissions() {
    let cluster = test_cluster().await;
    let (one, other) = tokio::join!(
        cluster.replica("drydock-a", lifetimes(3600.0, 600.0, 2.0)),
        cluster.replica("drydock-b", lifetimes(3600.0, 600.0, 2.0)),
    );
    cluster.register(&one).await;
    let mut known = other.ready().await.authority;
    let handshakes = Throughout::handshakes(&cluster.admin, &[&one, &other]);
    let admissions = Throughout::admissions(&cluster.runner().await, JOBS);
    for fields in [
        &[][..],
        &[
            ("ca.crt", "junk"),
            ("ca.key", "junk"),
            ("previous-until", "junk"),
        ],
    ] {
        cluster.replace_secret(fields).await;
        for replica in [&one, &other] {
            let authority = async || replica.issued().unwrap().authority;
            eventually("another authority is used", TIMEOUT, authority, |now| {
                *now != known
            })
            .await;
        }
        let [of_one, of_other] = [&one, &other].map(|it| it.issued().unwrap().authority);
        assert_eq!(of_one, of_other);
        known = of_one;
    }
    handshakes.all_were_good(10).await;
    admissions.all_were_good(10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_losing_secret_and_replicas_old_and_new_authority_are_trusted() {
    let cluster = test_cluster().await;
    let lost = cluster.replica("drydock-a", long_lifetimes()).await;
    cluster.register(&lost).await;
    let old = cluster.bundles().await.remove(0);
    drop(lost);
    cluster.delete_secret().await;
    let new = cluster.replica("drydock-b", long_lifetimes()).await;
    new.ready().await;
    let ca = cluster.field("ca.crt").await.unwrap();
    assert_ne!(ca, old);
    cluster.wait_for_bundle(&[old, ca].concat()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_certificate_is_served_before_the_configuration_trusts_it() {
    let cluster = test_cluster().await;
    let replica = cluster.replica("drydock-a", long_lifetimes()).await;
    let secret = async || cluster.field("ca.crt").await;
    let ca = eventually("the authority is created", TIMEOUT, secret, Option::is_some).await;
    let ca = ca.unwrap();
    assert!(handshake(replica.address, &ca).is_err());
    let mut configuration = cluster.configuration(replica.address);
    let second = configuration["webhooks"].as_array_mut().unwrap().remove(1);
    let mut other = second.clone();
    other["name"] = "other.example.com".into();
    configuration["webhooks"]
        .as_array_mut()
        .unwrap()
        .push(other);
    assert!(
        replica.issued().is_none(),
        "a certificate is served without a configuration"
    );
    cluster.configure(&configuration).await;
    replica.ready().await;
    assert_eq!(cluster.bundles().await, [ca.as_str(), ""]);
    handshake(replica.address, &ca).unwrap();

    configuration["webhooks"]
        .as_array_mut()
        .unwrap()
        .push(second);
    cluster.configure(&configuration).await;
    let look = async || cluster.bundles().await;
    eventually(
        "the second webhook has the caBundle, too",
        TIMEOUT,
        look,
        |bundles| *bundles == [ca.as_str(), "", ca.as_str()],
    )
    .await;
    cluster.delete_configuration().await;
    handshake(replica.address, &ca).unwrap();
}

/// Restores etcd to a state before the current authority was created, so neither the Secret nor the
/// `caBundle` contains it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f5_an_authority_lost_by_an_etcd_restore_is_trusted_again() {
    let mut api = api_server_with_roles().await;
    let admin = api.client(Identity::Admin).await;
    let adopting = lifetimes(3600.0, 600.0, 2.0);
    let replica = Replica::start(&api, "drydock-a", adopting).await;
    let configured = raw_requests::apply(&admin, CONFIGURATION, &committed()).await;
    configured.object();
    let first = replica.ready().await.authority;
    api.back_up().await;
    let secrets: Api<Secret> = Api::namespaced(admin.clone(), NAMESPACE);
    let later = Authority::make("later", jiff::Timestamp::now(), Duration::from_secs(3600));
    let later = later.unwrap();
    let data =
        json!({"stringData": {"ca.crt": later.certificate().pem(), "ca.key": later.key_pem()}});
    let params = PatchParams::default();
    let patched = secrets.patch(CA_SECRET, &params, &Patch::Merge(data)).await;
    patched.unwrap();
    let authority = async || replica.issued().unwrap().authority;
    let is_later = |now: &Authority| now.certificate() == later.certificate();
    eventually(
        "the replica serves a certificate of the later authority",
        2 * TIMEOUT,
        authority,
        is_later,
    )
    .await;
    api.restore().await;
    let back = std::time::Instant::now();
    let shakes = async || {
        let bundles = bundles(&admin).await;
        bundles
            .iter()
            .all(|bundle| handshake(replica.address, bundle).is_ok())
    };
    eventually("the authority is trusted", TIMEOUT, shakes, |it| *it).await;
    crate::measurements::print_figure(&format!("trusted {:?} after the restore", back.elapsed()));
    // The replica returns to the authority of the Secret, without failed handshakes.
    let handshakes = Throughout::handshakes(&admin, &[&replica]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    eventually(
        "the replica serves a certificate of the first authority",
        2 * TIMEOUT,
        authority,
        |now| *now == first,
    )
    .await;
    handshakes.all_were_good(10).await;

    // Restores etcd again, this time while no replica runs.
    drop(replica);
    api.restore().await;
    let replica = Replica::start(&api, "drydock-b", adopting).await;
    assert_eq!(replica.ready().await.authority, first);
    for bundle in bundles(&admin).await {
        handshake(replica.address, &bundle).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f4_an_outage_stops_neither_serving_nor_renewal() {
    let mut api = api_server_with_roles().await;
    let admin = api.client(Identity::Admin).await;
    let short = lifetimes(600.0, 6.0, 1.5);
    let replica = Replica::start(&api, "drydock-a", short).await;
    raw_requests::apply(&admin, CONFIGURATION, &committed())
        .await
        .object();
    replica.ready().await;
    let bundle = bundles(&admin).await.remove(0);
    api.stop();
    let signed = replica.events("leaf-signed");
    count("leafs are renewed", signed + 3, || {
        handshake(replica.address, &bundle).unwrap();
        replica.events("leaf-signed")
    })
    .await;
    api.start().await;
    // After the outage, drydock restores the caBundle that another client removed.
    let wipe = Patch::Json::<()>(
        serde_json::from_value(json!([
            {"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"},
        ]))
        .unwrap(),
    );
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(admin.clone());
    let params = PatchParams::default();
    let wiped = configurations.patch(NAME, &params, &wipe).await;
    wiped.unwrap();
    let look = async || bundles(&admin).await;
    eventually("the caBundle is restored", TIMEOUT, look, |bundles| {
        bundles.iter().all(|it| *it == bundle)
    })
    .await;
}
