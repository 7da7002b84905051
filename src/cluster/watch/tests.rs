//! Tests of watches at an API server that responds with errors or not at all. The clock is paused:
//! it advances when every task is idle.

use super::{MAX_BACKOFF, MIN_BACKOFF, RELIST_INTERVAL, Watched, Watches, wait_after};
use crate::cluster::client::{CALL_TIMEOUT, MIN_WATCH_TIME, limited};
use crate::cluster::testing::{Recorder, Reply, list, refusal};
use crate::telemetry::metrics::{Metrics, WatchKind};
use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::Service;
use kube::api::Api;
use kube::runtime::watcher::{Config, Event};
use serde_json::{Value, json};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

type Watching<'a> = Pin<&'a mut dyn Stream<Item = Watched<Service>>>;

fn services(
    recorder: &Recorder,
    answer: impl FnMut(&str) -> Reply + Send + 'static,
) -> impl Stream<Item = Watched<Service>> {
    let client = limited(recorder.client(answer), CALL_TIMEOUT);
    let watches = Watches::new(Arc::new(Metrics::new()));
    watches.watch(&client, WatchKind::Services, Config::default(), Api::all)
}

/// Waits for an outage and returns its problem.
async fn outage(watched: &mut Watching<'_>) -> String {
    loop {
        if let Watched::Outage(problem) = watched.next().await.unwrap() {
            return problem;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_backoff_grows_after_each_refusal() {
    let recorder = Recorder::default();
    let forbidden = |_: &str| Reply::Json(403, refusal(403, "no"));
    let mut watched: Watching<'_> = pin!(services(&recorder, forbidden));
    let mut asked = Vec::new();
    let began = Instant::now();
    for _ in 0..5 {
        assert_eq!(outage(&mut watched).await, "no");
        asked.push(began.elapsed());
    }
    let waits: Vec<Duration> = asked.windows(2).map(|two| two[1] - two[0]).collect();
    // A refusal counts as an outage at once, so the first wait is as long as the one after the
    // third failure.
    let expected: Vec<Duration> = (3..=6).map(wait_after).collect();
    assert_eq!(waits, expected);
    assert_eq!(recorder.requests().len(), 5);
}

#[test]
fn the_backoff_doubles_up_to_a_few_seconds() {
    let waits: Vec<u128> = (1..=7)
        .map(|failures| wait_after(failures).as_millis())
        .collect();
    assert_eq!(waits, [200, 400, 800, 1600, 3200, 5000, 5000]);
    assert_eq!(wait_after(u32::MAX), MAX_BACKOFF);
}

#[tokio::test(start_paused = true)]
async fn f4_no_answer_to_the_first_list_is_an_outage_and_is_retried() {
    let recorder = Recorder::default();
    let mut lists = 0;
    let silent_at_first = move |line: &str| {
        lists += u32::from(!line.contains("watch=true"));
        match lists {
            1 | 2 => Reply::Silence,
            _ => list("Service", &[]),
        }
    };
    let mut watched: Watching<'_> = pin!(services(&recorder, silent_at_first));
    let began = Instant::now();
    let problem = outage(&mut watched).await;
    assert!(problem.contains("did not answer within 30 s"), "{problem}");
    assert_eq!(
        began.elapsed(),
        CALL_TIMEOUT,
        "the outage needs a second failure"
    );
    outage(&mut watched).await;
    let mut events = Vec::new();
    while !matches!(events.last(), Some(Watched::Event(Event::InitDone))) {
        events.push(watched.next().await.unwrap());
    }
    assert_eq!(recorder.requests().len(), 3, "{:?}", recorder.requests());
}

/// After an outage, the API server may no longer know the resourceVersion of the watch.
#[tokio::test(start_paused = true)]
async fn f4_no_answer_to_the_list_after_a_410_is_an_outage_and_is_retried() {
    let recorder = Recorder::default();
    let (mut lists, mut watches) = (0, 0);
    let expires = move |line: &str| {
        if line.contains("watch=true") {
            watches += 1;
            let gone = json!({"type": "ERROR", "object": refusal(410, "too old")});
            return Reply::Events(if watches == 1 { vec![gone] } else { Vec::new() });
        }
        lists += 1;
        match lists {
            2 => Reply::Silence,
            _ => list("Service", &[]),
        }
    };
    let mut watched: Watching<'_> = pin!(services(&recorder, expires));
    let began = Instant::now();
    let problem = outage(&mut watched).await;
    assert!(problem.contains("did not answer"), "{problem}");
    assert_eq!(began.elapsed(), MIN_BACKOFF + CALL_TIMEOUT);
    let mut is_listed = false;
    while !is_listed {
        is_listed = matches!(watched.next().await, Some(Watched::Event(Event::InitDone)));
    }
    assert_eq!(recorder.requests().len(), 4, "{:?}", recorder.requests());
}

/// The API server answers the LIST but not the watch. kube's own timeout of a watch begins only
/// after the headers.
#[tokio::test(start_paused = true)]
async fn f4_a_watch_without_headers_is_an_outage_and_is_retried() {
    let recorder = Recorder::default();
    let lists_only = |line: &str| match line.contains("watch=true") {
        true => Reply::Silence,
        false => list("Service", &[]),
    };
    let mut watched: Watching<'_> = pin!(services(&recorder, lists_only));
    let began = Instant::now();
    outage(&mut watched).await;
    assert_eq!(began.elapsed(), CALL_TIMEOUT);
    outage(&mut watched).await;
    let requests = recorder.requests();
    let watches = requests.iter().filter(|line| line.contains("watch=true"));
    assert_eq!(watches.count(), 2, "{requests:?}");
}

/// An invalid or too large response is a failure like any other. The problem that is logged is
/// limited in size, and the call is retried with the backoff.
#[tokio::test(start_paused = true)]
async fn f4_an_invalid_response_is_an_outage_that_is_logged_in_one_line_and_retried() {
    let texts = [
        "\u{1b}[2J no JSON",
        "[]",
        "{\"items\": 7}",
        "{\"kind\": \"Status\"}",
    ];
    for text in texts {
        let recorder = Recorder::default();
        let garbage = move |_: &str| Reply::Chunks(vec![text.into()]);
        let mut watched: Watching<'_> = pin!(services(&recorder, garbage));
        let began = Instant::now();
        let problem = outage(&mut watched).await;
        assert!(!problem.contains(char::is_control), "{problem}");
        assert_eq!(began.elapsed(), wait_after(1) + wait_after(2), "{text}");
        assert_eq!(recorder.requests().len(), 3, "{text}");
    }
    let recorder = Recorder::default();
    let message = "\u{1b}[2J\n".repeat(100_000);
    let long = move |_: &str| Reply::Json(403, refusal(403, &message));
    let mut watched: Watching<'_> = pin!(services(&recorder, long));
    let problem = outage(&mut watched).await;
    assert!(problem.len() < 1024, "{}", problem.len());
    assert!(!problem.contains(char::is_control), "{problem}");
}

/// kube's watcher reopens a watch as soon as it has ended.
#[tokio::test(start_paused = true)]
async fn f4_watches_that_end_at_once_are_reopened_once_per_second() {
    const MANY: usize = 100;
    let recorder = Recorder::default();
    let mut watches = 0;
    let ends = move |line: &str| {
        watches += usize::from(line.contains("watch=true"));
        match line.contains("watch=true") {
            // The paused clock advances only when every task waits.
            true if watches > MANY => Reply::Silence,
            true => Reply::Chunks(Vec::new()),
            false => list("Service", &[]),
        }
    };
    let mut watched: Watching<'_> = pin!(services(&recorder, ends));
    let rest = async { while watched.next().await.is_some() {} };
    let over = tokio::time::timeout(10 * MIN_WATCH_TIME, rest).await;
    over.expect_err("the stream must not end");
    let requests = recorder.requests();
    let watches = requests.iter().filter(|line| line.contains("watch=true"));
    assert!((9..=11).contains(&watches.count()), "{requests:?}");
}

/// Returns a Service with a resourceVersion.
fn service(version: u64) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "web", "resourceVersion": version.to_string()},
    })
}

/// Counts the LISTs among the requests.
fn lists(recorder: &Recorder) -> usize {
    let requests = recorder.requests();
    let lists = requests.iter().filter(|line| !line.contains("watch=true"));
    lists.count()
}

/// Waits until a LIST has been read.
async fn listed(watched: &mut Watching<'_>) {
    while !matches!(watched.next().await, Some(Watched::Event(Event::InitDone))) {}
}

/// Behind a load balancer, a watch can stay open although its etcd was replaced.
#[tokio::test(start_paused = true)]
async fn f4_a_watch_that_does_not_fail_is_restarted_every_ten_minutes() {
    let recorder = Recorder::default();
    let quiet = |line: &str| match line.contains("watch=true") {
        true => Reply::Events(Vec::new()),
        false => list("Service", &[service(7)]),
    };
    let mut watched: Watching<'_> = pin!(services(&recorder, quiet));
    let began = Instant::now();
    listed(&mut watched).await;
    for number in 1..=3 {
        listed(&mut watched).await;
        assert_eq!(lists(&recorder), 1 + number);
        let expected = RELIST_INTERVAL * u32::try_from(number).unwrap();
        let late = began.elapsed().checked_sub(expected).unwrap();
        assert!(late < MIN_WATCH_TIME, "{late:?}");
    }
    assert_eq!(RELIST_INTERVAL, Duration::from_secs(10 * 60));
}

/// If etcd is restored from a backup while a watch is open, resourceVersions decrease.
#[tokio::test(start_paused = true)]
async fn f4_a_watch_in_which_a_resource_version_decreases_is_restarted_at_once() {
    let recorder = Recorder::default();
    let mut watches = 0;
    let restored = move |line: &str| {
        if !line.contains("watch=true") {
            return list("Service", &[service(7)]);
        }
        watches += 1;
        let modified = |version| json!({"type": "MODIFIED", "object": service(version)});
        Reply::Events(match watches {
            1 => vec![modified(40), modified(41), modified(12)],
            _ => vec![modified(13)],
        })
    };
    let mut watched: Watching<'_> = pin!(services(&recorder, restored));
    let began = Instant::now();
    let mut versions = Vec::new();
    while versions.last().is_none_or(|last| last != "13") {
        if let Watched::Event(Event::Apply(object) | Event::InitApply(object)) =
            watched.next().await.unwrap()
        {
            versions.push(object.metadata.resource_version.unwrap());
        }
    }
    // The second LIST replaces all earlier events, and the events of its watch follow.
    assert_eq!(versions, ["7", "40", "41", "7", "13"]);
    assert_eq!(lists(&recorder), 2);
    assert!(began.elapsed() < MIN_BACKOFF, "{:?}", began.elapsed());
}
