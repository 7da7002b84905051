//! The clocks of this node and of the API server.
//!
//! The API server verifies drydock's certificate by its own clock, and every answer has its time in
//! the `Date` header. The offset is the difference: positive if this node is ahead.

use crate::telemetry::metrics::Metrics;
use axum::http::HeaderMap;
use axum::http::header::DATE;
use jiff::fmt::rfc2822::DateTimeParser;
use jiff::{SignedDuration, Timestamp};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Minimum offset of clocks that disagree. An answer may take
/// [`CALL_TIMEOUT`](super::client::CALL_TIMEOUT).
pub const TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// The present time.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The wall clock, by which certificates expire. It can be set forward and back.
    pub wall: Timestamp,
    /// The monotonic clock, which measures durations.
    pub monotonic: Instant,
}

impl Now {
    /// Returns the time of this node.
    pub fn here() -> Self {
        Self {
            wall: Timestamp::now(),
            monotonic: Instant::now(),
        }
    }
}

/// The clocks of this node and of the API server.
#[derive(Clone)]
pub struct Clock {
    now: Arc<dyn Fn() -> Now + Send + Sync>,
    /// `None` before the first answer.
    offset: Arc<Mutex<Option<SignedDuration>>>,
    metrics: Arc<Metrics>,
}

impl Clock {
    /// Creates a clock; `now` is [`Now::here`], except in tests.
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

    /// Reads the time of an answer. Logs when the clocks start or stop to disagree.
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
                "{}; correct the clock of the node: until then this replica writes no certificate authority",
                describe(offset)
            ),
            (true, false) => tracing::info!("this node's clock agrees with the API server's"),
            _ => {}
        }
    }

    /// Returns a sentence if the clocks disagree.
    pub(super) fn disagreement(&self) -> Option<String> {
        self.offset()
            .filter(|offset| disagrees(*offset))
            .map(describe)
    }

    /// Returns the time by which the API server verifies certificates: the time of this node if the
    /// clocks agree.
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
