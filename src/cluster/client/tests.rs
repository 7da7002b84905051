//! Calls to an API server that accepts a call but does not answer, answers too much, or answers
//! without an object.

use super::{CALL_TIMEOUT, MAX_BODY_BYTES, client, is_no_answer, limited, reporting};
use crate::cluster::testing::{Recorder, Reply, config_of, list};
use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::http::header::{LOCATION, RETRY_AFTER};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{Api, ListParams, Patch, PatchParams, WatchParams};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn every_kind_of_call_ends_if_the_api_server_does_not_answer() {
    let client = limited(Recorder::default().client(|_| Reply::Silence), CALL_TIMEOUT);
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let secrets: Api<Secret> = Api::default_namespaced(client);
    let apply = Patch::Apply(json!({}));
    let began = Instant::now();
    let (parameters, watch) = (PatchParams::apply("drydock"), WatchParams::default());
    let listing = ListParams::default();
    let (get, listed, patched, watched) = tokio::join!(
        namespaces.get("ci"),
        namespaces.list(&listing),
        secrets.patch("drydock-ca", &parameters, &apply),
        namespaces.watch(&watch, "7"),
    );
    let errors = [get.err(), listed.err(), patched.err(), watched.err()];
    for error in errors {
        assert!(is_no_answer(&error.unwrap()));
    }
    assert_eq!(began.elapsed(), CALL_TIMEOUT);
}

/// The headers arrive, but the body does not.
#[tokio::test(start_paused = true)]
async fn a_call_without_a_body_times_out_and_a_watch_without_events_does_not() {
    let client = limited(
        Recorder::default().client(|_| Reply::Events(Vec::new())),
        CALL_TIMEOUT,
    );
    let namespaces: Api<Namespace> = Api::all(client);
    let began = Instant::now();
    let error = namespaces.list(&ListParams::default()).await.unwrap_err();
    assert!(is_no_answer(&error), "{error:?}");
    assert_eq!(began.elapsed(), CALL_TIMEOUT);
    let watched = namespaces
        .watch(&WatchParams::default(), "7")
        .await
        .unwrap();
    let mut watched = std::pin::pin!(watched);
    let item = futures::StreamExt::next(&mut watched);
    let waited = tokio::time::timeout(CALL_TIMEOUT * 100, item).await;
    waited.expect_err("the watch must stay open");
}

#[tokio::test]
async fn headers_and_each_part_of_a_body_count_as_contact() {
    let contacts = Arc::new(AtomicUsize::new(0));
    let count = contacts.clone();
    let client = Recorder::default().client(|line| match line {
        line if line.contains("watch=true") => {
            let bookmark = json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"resourceVersion": "8"}});
            Reply::Events(vec![json!({"type": "BOOKMARK", "object": bookmark})])
        }
        _ => list("Namespace", &[]),
    });
    let client = reporting(client, move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let namespaces: Api<Namespace> = Api::all(client);
    namespaces.list(&ListParams::default()).await.unwrap();
    let of_list = contacts.load(Ordering::Relaxed);
    assert!(of_list >= 2, "{of_list}");
    let watched = namespaces
        .watch(&WatchParams::default(), "7")
        .await
        .unwrap();
    assert_eq!(contacts.load(Ordering::Relaxed), of_list + 1);
    let mut watched = std::pin::pin!(watched);
    futures::StreamExt::next(&mut watched)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(contacts.load(Ordering::Relaxed), of_list + 2);
}

/// Returns chunks of a mebibyte that together exceed the maximum size of a body.
fn endless() -> Vec<Bytes> {
    let chunk = Bytes::from(vec![b' '; 1 << 20]);
    vec![chunk; (MAX_BODY_BYTES >> 20) + 1]
}

#[tokio::test]
async fn f4_a_body_above_the_maximum_size_is_not_read_to_its_end() {
    let client = Recorder::default().client(|_| Reply::Chunks(endless()));
    let namespaces: Api<Namespace> = Api::all(limited(client, CALL_TIMEOUT));
    let listed = namespaces.list(&ListParams::default()).await;
    let error = format!("{:?}", listed.unwrap_err());
    assert!(error.contains("TooLarge"), "{error}");
}

#[tokio::test]
async fn f4_the_maximum_size_applies_to_each_event_and_not_to_a_whole_watch() {
    let bookmark = json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"resourceVersion": "8", "annotations": {"a": "x".repeat(1 << 20)}}});
    let line = format!("{}\n", json!({"type": "BOOKMARK", "object": bookmark}));
    let many = vec![Bytes::from(line); (MAX_BODY_BYTES >> 20) + 1];
    let count = many.len();
    let lines = [many, endless()].concat();
    let client = Recorder::default().client(move |_| Reply::Chunks(lines.clone()));
    let namespaces: Api<Namespace> = Api::all(limited(client, CALL_TIMEOUT));
    let watched = namespaces.watch(&WatchParams::default(), "7").await;
    let items: Vec<_> = watched.unwrap().collect().await;
    let good = items.iter().take_while(|item| item.is_ok()).count();
    assert_eq!(good, count);
    let error = format!("{:?}", items[count].as_ref().unwrap_err());
    assert!(error.contains("TooLarge"), "{error}");
}

/// Starts a server on a socket that answers each call with a status and a header. Returns a client
/// and the number of calls.
async fn answering(
    status: StatusCode,
    header: (axum::http::HeaderName, &'static str),
) -> (kube::Client, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    let router = Router::new().fallback(async move || {
        count.fetch_add(1, Ordering::Relaxed);
        (status, [header], "not an object")
    });
    (client(config_of(router).await).unwrap(), calls)
}

/// kube's default retry would wait for hours.
#[tokio::test]
async fn f4_a_long_retry_after_fails_at_once() {
    let (client, calls) = answering(StatusCode::TOO_MANY_REQUESTS, (RETRY_AFTER, "10000")).await;
    let namespaces: Api<Namespace> = Api::all(client);
    let error = namespaces.get("ci").await.unwrap_err();
    assert!(!is_no_answer(&error), "{error:?}");
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn f8_a_redirect_is_not_followed() {
    let (client, calls) =
        answering(StatusCode::FOUND, (LOCATION, "/api/v1/namespaces/other")).await;
    let namespaces: Api<Namespace> = Api::all(client);
    namespaces.get("ci").await.unwrap_err();
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}
