//! Tests of reviews in namespaces that are not watched (rule F8).

use super::{CACHE_TIME, LabelReadError, LiveReads, MAX_CACHED, MAX_CONCURRENT, TIMEOUT};
use crate::cluster::testing::{Recorder, Reply, refusal};
use crate::core::object_name::NamespaceName;
use crate::telemetry::metrics::Metrics;
use futures::future::join_all;
use serde_json::json;
use std::sync::Arc;

fn reads(recorder: &Recorder, answer: impl FnMut(&str) -> Reply + Send + 'static) -> LiveReads {
    LiveReads::new(recorder.client(answer), Arc::new(Metrics::new()))
}

fn name(text: &str) -> NamespaceName {
    text.parse().unwrap()
}

fn found(_: &str) -> Reply {
    let labels = json!({"team": "mobile"});
    Reply::Json(200, json!({"metadata": {"name": "ci", "labels": labels}}))
}

#[tokio::test(start_paused = true)]
async fn two_hundred_reviews_of_one_namespace_are_one_read() {
    let recorder = Recorder::default();
    let reads = reads(&recorder, found);
    let answers = join_all((0..200).map(|_| reads.read(&name("ci")))).await;
    assert!(
        answers
            .iter()
            .all(|answer| answer.as_ref().unwrap()["team"] == "mobile")
    );
    assert_eq!(recorder.requests(), ["GET /api/v1/namespaces/ci"]);
}

#[tokio::test(start_paused = true)]
async fn two_hundred_reviews_of_two_hundred_namespaces_are_a_few_reads() {
    let recorder = Recorder::default();
    let reads = reads(&recorder, |_| Reply::Silence);
    let began = tokio::time::Instant::now();
    let answers = (0..200).map(|number| reads.read(&name(&format!("ci-{number}"))));
    let answers: Vec<_> = answers.collect();
    assert_eq!(recorder.requests().len(), 0, "a read has started");
    // Reads above the maximum fail immediately.
    let refused = answers.into_iter().map(|answer| async {
        let answer = answer.await;
        (answer.unwrap_err().to_string(), began.elapsed())
    });
    let ended = join_all(refused).await;
    let at_once = ended.iter().filter(|(_, after)| after.is_zero());
    assert_eq!(at_once.count(), 200 - MAX_CONCURRENT);
    assert!(ended.iter().all(|(_, after)| *after <= TIMEOUT));
    assert!(
        ended[MAX_CONCURRENT]
            .0
            .contains("already reading 8 other namespaces"),
        "{}",
        ended[MAX_CONCURRENT].0
    );
    assert_eq!(recorder.requests().len(), MAX_CONCURRENT);
    // The other reads have ended, so another one may start.
    let again = reads.read(&name("ci-199")).await.unwrap_err().to_string();
    assert!(again.contains("did not return"), "{again}");
    assert_eq!(recorder.requests().len(), MAX_CONCURRENT + 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_cached_for_a_short_time_including_not_found() {
    let recorder = Recorder::default();
    let reads = reads(&recorder, |line| match line.ends_with("/ci") {
        true => found(line),
        false => Reply::Json(404, refusal(404, "not found")),
    });
    for _ in 0..3 {
        reads.read(&name("ci")).await.unwrap();
        let problem = reads.read(&name("gone")).await.unwrap_err();
        assert!(matches!(problem, LabelReadError::NotFound), "{problem}");
    }
    assert_eq!(recorder.requests().len(), 2);
    tokio::time::advance(CACHE_TIME).await;
    reads.read(&name("ci")).await.unwrap();
    reads.read(&name("gone")).await.unwrap_err();
    assert_eq!(recorder.requests().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_not_cached() {
    let recorder = Recorder::default();
    let mut asked = 0;
    let reads = reads(&recorder, move |line| {
        asked += 1;
        match asked {
            1 => Reply::Json(500, refusal(500, "oops")),
            _ => found(line),
        }
    });
    reads.read(&name("ci")).await.unwrap_err();
    reads.read(&name("ci")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_read_continues_after_the_review_that_began_it_is_dropped() {
    let recorder = Recorder::default();
    let reads = reads(&recorder, found);
    drop(reads.read(&name("ci")));
    reads.read(&name("ci")).await.unwrap();
    assert_eq!(recorder.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_number_of_cached_answers_is_limited() {
    let recorder = Recorder::default();
    let reads = reads(&recorder, found);
    for number in 0..2 * MAX_CACHED {
        reads.read(&name(&format!("ci-{number}"))).await.unwrap();
    }
    assert_eq!(reads.reads.lock().unwrap().len(), MAX_CACHED);
}

#[tokio::test(start_paused = true)]
async fn f6_labels_that_are_too_large_are_an_error() {
    let recorder = Recorder::default();
    let large = super::super::tests::namespace("ci", super::super::MAX_LABEL_BYTES + 64);
    let reads = reads(&recorder, move |_| Reply::Json(200, large.clone()));
    for _ in 0..3 {
        let problem = reads.read(&name("ci")).await.unwrap_err().to_string();
        assert!(problem.starts_with("its labels have "), "{problem}");
    }
    assert_eq!(recorder.requests().len(), 1, "the answer is not cached");
}
