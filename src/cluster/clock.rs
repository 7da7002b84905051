//! Compares the clock of this node with that of the API server.
//!
//! The API server verifies drydock's certificate by its own clock, and sends its time in the `Date`
//! header of every response. The offset is this node's time minus the API server's time.

use crate::telemetry::metrics::Metrics;
use axum::http::HeaderMap;
use axum::http::header::DATE;
use jiff::fmt::rfc2822::DateTimeParser;
use jiff::{SignedDuration, Timestamp};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Minimum offset at which the clocks disagree. It is longer than the time that a response may take
/// ([`CALL_TIMEOUT`](super::client::CALL_TIMEOUT)).
pub const TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// The current time of this node, by both of its clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The wall-clock time. The clock can be set forward and back.
    pub wall: Timestamp,
    /// The time of the monotonic clock, which measures durations.
    pub monotonic: Instant,
}

impl Now {
    /// Reads both clocks.
    pub fn current() -> Self {
        Self {
            wall: Timestamp::now(),
            monotonic: Instant::now(),
        }
    }
}

/// The clock of this node, and its offset from the clock of the API server.
#[derive(Clone)]
pub struct Clock {
    now: Arc<dyn Fn() -> Now + Send + Sync>,
    /// `None` before the first response.
    offset: Arc<Mutex<Option<SignedDuration>>>,
    metrics: Arc<Metrics>,
}

impl Clock {
    /// Creates a clock; `now` is [`Now::current`], except in tests.
    pub fn new(now: impl Fn() -> Now + Send + Sync + 'static, metrics: Arc<Metrics>) -> Self {
        Self {
            now: Arc::new(now),
            offset: Arc::default(),
            metrics,
        }
    }

    pub(super) fn now(&self) -> Now {
        (self.now)()
    }

    /// Updates the offset from the headers of a response. Logs when the clocks begin to disagree,
    /// and when they agree again.
    pub(super) fn observe(&self, headers: &HeaderMap) {
        let date = headers.get(DATE).and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| DateTimeParser::new().parse_timestamp(date).ok());
        let Some(date) = date else {
            return;
        };
        let offset = self.now().wall.duration_since(date);
        let seconds = offset.as_secs();
        self.metrics.clock_offset.set(seconds);
        let mut last = self.offset.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.replace(offset).is_some_and(disagrees);
        match (before, disagrees(offset)) {
            (false, true) => tracing::warn!(
                "{}; correct the clock of the node, because until then this replica writes neither the Secret of the CA nor the caBundle",
                describe(offset)
            ),
            (true, false) => tracing::info!("this node's clock agrees with the API server's"),
            _ => {}
        }
    }

    /// Describes the offset if the clocks disagree.
    pub(super) fn disagreement(&self) -> Option<String> {
        self.offset()
            .filter(|offset| disagrees(*offset))
            .map(describe)
    }

    /// Returns the time of this node, corrected by the offset if the clocks disagree. The API
    /// server verifies certificates by this time.
    pub fn api_server_time(&self) -> Timestamp {
        let wall = self.now().wall;
        let offset = self.offset().filter(|offset| disagrees(*offset));
        let time = wall.checked_sub(offset.unwrap_or_default());
        time.unwrap_or(wall)
    }

    fn offset(&self) -> Option<SignedDuration> {
        *self.offset.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn disagrees(offset: SignedDuration) -> bool {
    offset.abs() >= TOLERANCE
}

fn describe(offset: SignedDuration) -> String {
    let direction = if offset.is_negative() {
        "behind"
    } else {
        "ahead of"
    };
    let minutes = offset.abs().as_secs() / 60;
    let [days, hours, minutes] = [minutes / 1440, minutes / 60 % 24, minutes % 60];
    format!("this node's clock is {days} d {hours} h {minutes} min {direction} the API server's")
}

#[cfg(test)]
mod tests;
