//! Replicas on nodes with a wrong clock, alone and beside a replica with a correct clock.

use crate::api_server::ApiServer;
use crate::date_proxy::DateProxy;
use crate::drydock_process::Certificate;
use crate::identity::Identity;
use crate::installation::install;
use crate::raw_requests;
use crate::registration::apply_with_bundle;
use crate::replica::{Replica, bundles, handshake, lifetimes};
use crate::wait::{POLL_INTERVAL, TIMEOUT, eventually};
use drydock::cluster::clock::Now;
use drydock::names::{CA_SECRET, NAMESPACE};
use drydock::pki::authority::Authority;
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

// Minutes.
const HOUR: i64 = 60;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;
/// Longer than several intervals between reconciliations.
const A_WHILE: Duration = Duration::from_secs(3);

/// Starts a replica whose clock is `ahead` minutes ahead.
async fn replica(api: &ApiServer, name: &str, ahead: i64) -> Replica {
    let ahead = Arc::new(AtomicI64::new(ahead));
    // One year, one day and five minutes, in seconds.
    let lifetimes = lifetimes(31_536_000.0, 86_400.0, 300.0);
    Replica::start_at(api, name, lifetimes, clock(ahead)).await
}

/// Returns a clock that is `ahead` minutes ahead.
fn clock(ahead: Arc<AtomicI64>) -> impl Fn() -> Now {
    move || {
        let mut now = Now::current();
        now.wall += SignedDuration::from_mins(ahead.load(Ordering::Relaxed));
        now
    }
}

async fn test_cluster() -> (ApiServer, Client) {
    let api = ApiServer::exclusive().await;
    install(&api).await;
    let admin = api.client(Identity::Admin).await;
    apply_with_bundle(&admin, "").await;
    (api, admin)
}

async fn secret(admin: &Client) -> Value {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/secrets/{CA_SECRET}");
    raw_requests::get(admin, &path).await.body
}

fn offset(replica: &Replica) -> i64 {
    let text = replica.metrics.encode();
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix("drydock_clock_offset_seconds "));
    value.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f5_a_replica_with_a_wrong_clock_serves_only_trusted_certificates() {
    let (api, admin) = test_cluster().await;
    let good = replica(&api, "good", 0).await;
    good.ready().await;
    let before = (secret(&admin).await, bundles(&admin).await);
    for (ahead, is_served) in [
        // Within the tolerance.
        (4, true),
        (-40, true),
        (2 * HOUR, true),
        (3 * DAY, true),
        (250 * DAY, true),
        (-DAY, true),
        (-30 * DAY, true),
        (2 * YEAR, false),
    ] {
        let wrong = replica(&api, &format!("wrong-{ahead}"), ahead).await;
        if is_served {
            wrong.ready().await;
            handshake(wrong.address, &before.1[0])
                .unwrap_or_else(|error| panic!("{ahead} min: {error}"));
        }
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(wrong.issued().is_some(), is_served, "{ahead} min");
        let seconds = ahead * 60;
        assert!(
            (offset(&wrong) - seconds).abs() < 60,
            "{ahead} min: {}",
            offset(&wrong)
        );
        assert_eq!(
            wrong.events("ca-created") + wrong.events("bundle-written"),
            0
        );
        // The replica changed neither the Secret nor the caBundle.
        let after = (secret(&admin).await, bundles(&admin).await);
        assert_eq!(after, before, "{ahead} min");
        handshake(good.address, &before.1[0]).unwrap();
    }
    assert_eq!(good.events("ca-created"), 1);
    assert_eq!(good.events("leaf-signed"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f5_a_replica_with_a_wrong_clock_creates_no_authority() {
    let (api, admin) = test_cluster().await;
    let wrong = replica(&api, "wrong", 2 * HOUR).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(secret(&admin).await["code"], 404);
    assert!(wrong.issued().is_none());
    let good = replica(&api, "good", 0).await;
    good.ready().await;
    let served = async || wrong.issued().is_some();
    eventually(
        "the replica serves a certificate of the other replica's authority",
        TIMEOUT,
        served,
        |it| *it,
    )
    .await;
    tokio::time::sleep(POLL_INTERVAL).await;
    handshake(wrong.address, &bundles(&admin).await[0]).unwrap();
}

/// The replica's clock jumps. It cannot renew its certificate, which expires by the API server's
/// clock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f5_a_certificate_expired_by_the_api_servers_clock_is_withdrawn() {
    let (api, admin) = test_cluster().await;
    let ahead = Arc::new(AtomicI64::new(0));
    let short = lifetimes(3600.0, 12.0, 1.5);
    let replica = Replica::start_at(&api, "drydock-a", short, clock(ahead.clone())).await;
    let expires = replica.ready().await.expires;
    ahead.store(2 * YEAR, Ordering::Relaxed);
    let before = (secret(&admin).await, bundles(&admin).await);
    let served = async || replica.issued();
    let last = eventually(
        "the certificate is withdrawn",
        2 * TIMEOUT,
        served,
        Option::is_none,
    );
    last.await;
    assert!(expires <= Timestamp::now(), "withdrawn before it expired");
    assert!(handshake(replica.address, &before.1[0]).is_err());
    tokio::time::sleep(A_WHILE).await;
    assert_eq!((secret(&admin).await, bundles(&admin).await), before);
    ahead.store(0, Ordering::Relaxed);
    eventually(
        "another certificate is issued",
        TIMEOUT,
        served,
        Option::is_some,
    )
    .await;
    let serves = async || handshake(replica.address, &before.1[0]);
    eventually("the certificate is served", TIMEOUT, serves, Result::is_ok)
        .await
        .unwrap();
    assert_eq!(replica.events("ca-created"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f5_a_wrong_clock_is_logged_and_measured_and_prevents_writes() {
    let (api, admin) = test_cluster().await;
    for (ahead, sentence) in [
        (-40 * 60 - 30, "0 d 0 h 40 min behind the API server's"),
        (2 * 3600, "0 d 2 h 0 min ahead of the API server's"),
    ] {
        let dates = DateProxy::start(&api, SignedDuration::from_secs(-ahead)).await;
        let server = dates.in_cluster(&["--tls-name", "127.0.0.1"]);
        let warning = format!("this node's clock is {sentence}; correct the clock of the node");
        let warnings = async || server.lines_with(&warning).len();
        eventually("the warning is logged", TIMEOUT, warnings, |count| {
            *count > 0
        })
        .await;
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(warnings().await, 1, "{}", server.stderr());
        let writes = "so this replica writes neither the Secret nor the caBundle";
        assert_eq!(server.lines_with(writes).len(), 1, "{}", server.stderr());
        #[allow(clippy::cast_precision_loss, reason = "a few hours")]
        let seconds = ahead as f64;
        let offset = server.metric("drydock_clock_offset_seconds ");
        assert!((offset - seconds).abs() < 60.0, "{offset}");
        assert_eq!(secret(&admin).await["code"], 404);
        assert_eq!(
            server.get("/readyz"),
            (
                503,
                "there is no certificate that the API server trusts yet\n".to_owned()
            )
        );
        assert_eq!(server.metric("drydock_ready ").to_string(), "0");
        dates.set(SignedDuration::ZERO);
        server.ready().await;
        let agrees = server.lines_with("this node's clock agrees with the API server's");
        assert_eq!(agrees.len(), 1, "{}", server.stderr());
        assert_eq!(server.metric("drydock_ready ").to_string(), "1");
        let path = format!("/api/v1/namespaces/{NAMESPACE}/secrets/{CA_SECRET}");
        let deleted = raw_requests::call(&admin, axum::http::Method::DELETE, &path, None);
        drop(server);
        deleted.await.object();
        apply_with_bundle(&admin, "").await;
    }
}

/// The node's clock is a day behind, so by that clock a new authority is not valid yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f5_readiness_follows_the_api_servers_clock() {
    let (api, admin) = test_cluster().await;
    let tomorrow = Timestamp::now() + SignedDuration::from_mins(DAY);
    let life = Duration::from_secs(365 * 24 * 3600);
    let authority = Authority::make("drydock CA", tomorrow, life).unwrap();
    let bundle = authority.certificate().pem();
    let path = format!("/api/v1/namespaces/{NAMESPACE}/secrets/{CA_SECRET}");
    let object = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": CA_SECRET, "namespace": NAMESPACE},
        "stringData": {"ca.crt": bundle, "ca.key": authority.key_pem()},
    });
    raw_requests::apply(&admin, &path, &object).await.object();
    apply_with_bundle(&admin, bundle).await;
    let dates = DateProxy::start(&api, SignedDuration::from_mins(DAY)).await;
    let server = dates.in_cluster(&["--tls-name", "127.0.0.1"]);
    server.ready().await;

    // By the API server's clock, the certificate has expired; by the node's clock, it is valid.
    dates.set(SignedDuration::from_mins(20 * YEAR));
    let certificate = Certificate::new();
    let (file, key) = (certificate.file(), certificate.key_file());
    let files = [file, key].map(|file| file.display().to_string());
    let server = dates.in_cluster(&["--tls-cert-file", &files[0], "--tls-key-file", &files[1]]);
    let readiness = async || server.get("/readyz");
    eventually(
        "/readyz reports the expiry",
        TIMEOUT,
        readiness,
        |(status, body)| *status == 503 && body.starts_with("the certificate expired at "),
    )
    .await;
}
