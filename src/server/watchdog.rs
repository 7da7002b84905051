//! Watchdog for `/livez`: whether reviews make progress.
//!
//! The ops port has its own thread, so a response there proves nothing about reviews. Two things
//! can hang: the runtime that serves reviews, which beats every second, and the review on the
//! blocking thread. No review within the bounds takes as long as the limit; only a bug does, and a
//! restart helps.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Time without progress after which `/livez` fails.
const STUCK: Duration = Duration::from_secs(60);
const BEAT: Duration = Duration::from_secs(1);
/// No review runs on the blocking thread.
const IDLE: u64 = u64::MAX;

/// Times of the last beat and of the running review, in milliseconds since the start.
#[derive(Debug)]
pub(crate) struct Watchdog {
    started: Instant,
    beat: AtomicU64,
    review_since: AtomicU64,
}

impl Watchdog {
    pub(crate) fn new(started: Instant) -> Self {
        Self {
            started,
            beat: AtomicU64::new(0),
            review_since: AtomicU64::new(IDLE),
        }
    }

    /// Beats once a second on the runtime that polls it.
    pub(super) async fn beat_forever(&self) {
        let mut interval = tokio::time::interval(BEAT);
        loop {
            interval.tick().await;
            self.beat(Instant::now());
        }
    }

    fn beat(&self, now: Instant) {
        self.beat.store(self.since_start(now), Ordering::Relaxed);
    }

    /// Records that a review runs on the blocking thread, until the value is dropped.
    pub(super) fn review_started(&self, now: Instant) -> RunningReview<'_> {
        let since = self.since_start(now);
        self.review_since.store(since, Ordering::Relaxed);
        RunningReview(self)
    }

    /// Returns the part that is stuck.
    pub(super) fn stuck(&self, now: Instant) -> Option<&'static str> {
        let is_stuck = |since: u64| {
            let now = self.since_start(now);
            u128::from(now.saturating_sub(since)) > STUCK.as_millis()
        };
        if is_stuck(self.beat.load(Ordering::Relaxed)) {
            Some("the webhook's runtime is stuck")
        } else if is_stuck(self.review_since.load(Ordering::Relaxed)) {
            Some("a review is stuck")
        } else {
            None
        }
    }

    fn since_start(&self, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.started);
        u64::try_from(elapsed.as_millis()).unwrap_or(IDLE - 1)
    }
}

/// A review on the blocking thread.
pub(super) struct RunningReview<'a>(&'a Watchdog);

impl Drop for RunningReview<'_> {
    fn drop(&mut self) {
        self.0.review_since.store(IDLE, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_that_stops_beating_is_stuck_after_a_minute() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let watchdog = Watchdog::new(start);
        assert_eq!(watchdog.stuck(at(60)), None);
        assert!(watchdog.stuck(at(61)).is_some());
        watchdog.beat(at(61));
        assert_eq!(watchdog.stuck(at(121)), None);
        assert!(watchdog.stuck(at(122)).is_some());
    }

    #[test]
    fn a_review_that_never_ends_is_stuck_after_a_minute_although_the_runtime_beats() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let watchdog = Watchdog::new(start);
        let running = watchdog.review_started(at(10));
        watchdog.beat(at(70));
        assert_eq!(watchdog.stuck(at(70)), None);
        assert_eq!(watchdog.stuck(at(71)), Some("a review is stuck"));
        drop(running);
        assert_eq!(watchdog.stuck(at(71)), None);
    }
}
