//! Tests of the offset between the clock of a node and the `Date` header of a response.

use super::{Clock, Now};
use crate::telemetry::metrics::Metrics;
use axum::http::header::DATE;
use axum::http::{HeaderMap, HeaderValue};
use jiff::SignedDuration;
use std::sync::Arc;
use std::time::Instant;

const DATED: &str = "Sat, 21 Nov 2026 12:00:00 GMT";

/// Returns the clock of a node that is ahead, after a response with this `Date` header.
fn ahead_by(hours: i64, date: &'static str) -> (Clock, Arc<Metrics>) {
    let wall = "2026-11-21T12:00:00Z".parse::<jiff::Timestamp>().unwrap();
    let wall = wall + SignedDuration::from_hours(hours);
    let metrics = Arc::new(Metrics::new());
    let monotonic = Instant::now();
    let clock = Clock::new(move || Now { wall, monotonic }, metrics.clone());
    let headers = HeaderMap::from_iter([(DATE, HeaderValue::from_static(date))]);
    clock.observe(&headers);
    (clock, metrics)
}

#[test]
fn the_offset_is_that_between_the_node_and_the_date_of_an_answer() {
    for (hours, sentence) in [
        (
            2,
            "this node's clock is 0 d 2 h 0 min ahead of the API server's",
        ),
        (
            -25,
            "this node's clock is 1 d 1 h 0 min behind the API server's",
        ),
    ] {
        let (clock, metrics) = ahead_by(hours, DATED);
        assert_eq!(clock.disagreement().as_deref(), Some(sentence));
        assert_eq!(clock.api_server_time().to_string(), "2026-11-21T12:00:00Z");
        let sample = format!("drydock_clock_offset_seconds {}\n", hours * 3600);
        assert!(metrics.encode().contains(&sample));
    }
}

#[test]
fn clocks_that_agree_and_answers_without_a_date_change_nothing() {
    let (clock, _) = ahead_by(0, DATED);
    assert_eq!(clock.disagreement(), None);
    for date in ["", "yesterday"] {
        let (clock, _) = ahead_by(30, date);
        assert_eq!(clock.disagreement(), None);
        assert_eq!(clock.api_server_time(), clock.now().wall);
    }
}
