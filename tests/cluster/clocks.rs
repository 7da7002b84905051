//! Replicas on nodes whose clock is wrong, beside one whose clock is right.

use crate::api_server::ApiServer;
use crate::call;
use crate::identity::Identity;
use crate::replica::{Replica, bundles, handshake, lifetimes};
use crate::setup::install;
use crate::wait::{A_MOMENT, PATIENCE, eventually};
use drydock::cluster::clock::Now;
use drydock::names::{CA_SECRET, NAMESPACE};
use jiff::SignedDuration;
use kube::Client;
use serde_json::Value;
use std::time::Duration;

const HOUR: i64 = 1;
const DAY: i64 = 24;
const YEAR: i64 = 365 * 24;
/// Longer than several reconciliations.
const A_WHILE: Duration = Duration::from_secs(3);

/// Starts a replica whose clock is so many hours ahead.
async fn replica(api: &ApiServer, name: &str, ahead: i64) -> Replica {
    let now = move || {
        let mut now = Now::here();
        now.wall += SignedDuration::from_hours(ahead);
        now
    };
    // A year, a day and five minutes.
    let lifetimes = lifetimes(31_536_000.0, 86_400.0, 300.0);
    Replica::start_at(api, name, lifetimes, now).await
}

async fn ground() -> (ApiServer, Client) {
    let api = ApiServer::of_ones_own().await;
    install(&api).await;
    let admin = api.client(Identity::Admin).await;
    let committed = std::fs::read_to_string("manifests/webhook.yaml").unwrap();
    let configuration: Value = serde_saphyr::from_str(&committed).unwrap();
    let path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/drydock";
    call::apply(&admin, path, &configuration).await.object();
    (api, admin)
}

async fn secret(admin: &Client) -> Value {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/secrets/{CA_SECRET}");
    call::get(admin, &path).await.body
}

fn offset(replica: &Replica) -> i64 {
    let text = replica.metrics.encode();
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix("drydock_clock_offset_seconds "));
    value.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f5_a_replica_whose_clock_is_wrong_serves_what_the_api_server_trusts_or_nothing() {
    let (api, admin) = ground().await;
    let good = replica(&api, "good", 0).await;
    good.ready().await;
    let before = (secret(&admin).await, bundles(&admin).await);
    for (ahead, is_served) in [
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
                .unwrap_or_else(|error| panic!("{ahead} h: {error}"));
        }
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(wrong.issued().is_some(), is_served, "{ahead} h");
        let seconds = ahead * 3600;
        assert!(
            (offset(&wrong) - seconds).abs() < 60,
            "{ahead} h: {}",
            offset(&wrong)
        );
        assert_eq!(
            wrong.events("ca-created") + wrong.events("bundle-written"),
            0
        );
        // It takes nothing from the others.
        let after = (secret(&admin).await, bundles(&admin).await);
        assert_eq!(after, before, "{ahead} h");
        handshake(good.address, &before.1[0]).unwrap();
    }
    assert_eq!(good.events("ca-created"), 1);
    assert_eq!(good.events("leaf-signed"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f5_a_replica_whose_clock_is_wrong_makes_no_authority() {
    let (api, admin) = ground().await;
    let wrong = replica(&api, "wrong", 2 * HOUR).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(secret(&admin).await["code"], 404);
    assert!(wrong.issued().is_none());
    let good = replica(&api, "good", 0).await;
    good.ready().await;
    let served = async || wrong.issued().is_some();
    eventually(
        "it serves of the authority of the other",
        PATIENCE,
        served,
        |it| *it,
    )
    .await;
    tokio::time::sleep(A_MOMENT).await;
    handshake(wrong.address, &bundles(&admin).await[0]).unwrap();
}
