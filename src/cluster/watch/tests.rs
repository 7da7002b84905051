//! How an API server is asked that does not answer as it should.

use super::{Watched, wait_after, watch};
use crate::cluster::testing::client_of;
use axum::Router;
use axum::http::StatusCode;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Service;
use kube::api::Api;
use kube::runtime::watcher::Config;
use std::time::{Duration, Instant};

#[tokio::test]
async fn an_api_server_that_refuses_is_asked_less_and_less_often() {
    let router = Router::new().fallback(async || StatusCode::FORBIDDEN);
    let api: Api<Service> = Api::all(client_of(router).await);
    let began = Instant::now();
    let watched = watch(api, Config::default(), "services".to_owned());
    let outages = watched
        .filter(|watched| std::future::ready(matches!(watched, Watched::Outage(_))))
        .take(3);
    assert_eq!(outages.count().await, 3);
    let waits = wait_after(3) + wait_after(4);
    assert!(began.elapsed() >= waits, "{:?}", began.elapsed());
}

#[test]
fn waits_double_up_to_a_few_seconds() {
    let waits: Vec<u128> = (1..=7)
        .map(|failures| wait_after(failures).as_millis())
        .collect();
    assert_eq!(waits, [200, 400, 800, 1600, 3200, 5000, 5000]);
    assert_eq!(wait_after(u32::MAX), Duration::from_secs(5));
}
