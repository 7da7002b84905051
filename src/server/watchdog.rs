//! Watchdog for `/livez`: checks that reviews make progress.
//!
//! The ops port has its own thread, so without the watchdog `/livez` would succeed while reviews
//! hang. The watchdog checks the runtime that serves reviews, with a heartbeat every second, and
//! the review on the blocking thread. Reviews are limited in size, so only a bug can make one
//! exceed the time limit, and then a restart helps.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Time without progress after which `/livez` fails.
const STUCK_AFTER: Duration = Duration::from_secs(60);
const BEAT_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Watchdog(Mutex<Progress>);

#[derive(Debug)]
struct Progress {
    last_beat: Instant,
    /// The start of the review on the blocking thread; `None` if no review runs there.
    review_since: Option<Instant>,
}

impl Watchdog {
    pub(crate) fn new(started: Instant) -> Self {
        Self(Mutex::new(Progress {
            last_beat: started,
            review_since: None,
        }))
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a heartbeat every second, on the runtime that polls the future.
    pub(super) async fn beat_forever(&self) {
        let mut interval = tokio::time::interval(BEAT_INTERVAL);
        loop {
            interval.tick().await;
            self.beat(Instant::now());
        }
    }

    fn beat(&self, now: Instant) {
        self.progress().last_beat = now;
    }

    /// Records that a review runs on the blocking thread until the returned value is dropped.
    pub(super) fn review_started(&self, now: Instant) -> RunningReview<'_> {
        self.progress().review_since = Some(now);
        RunningReview(self)
    }

    /// Describes what is stuck. Returns `None` if nothing is stuck.
    pub(super) fn stuck_reason(&self, now: Instant) -> Option<&'static str> {
        let is_stuck = |since| now.saturating_duration_since(since) > STUCK_AFTER;
        let progress = self.progress();
        if is_stuck(progress.last_beat) {
            Some("the webhook's runtime is stuck")
        } else if progress.review_since.is_some_and(is_stuck) {
            Some("a review is stuck")
        } else {
            None
        }
    }
}

/// A review on the blocking thread.
pub(super) struct RunningReview<'a>(&'a Watchdog);

impl Drop for RunningReview<'_> {
    fn drop(&mut self) {
        self.0.progress().review_since = None;
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
        assert_eq!(watchdog.stuck_reason(at(60)), None);
        assert!(watchdog.stuck_reason(at(61)).is_some());
        watchdog.beat(at(61));
        assert_eq!(watchdog.stuck_reason(at(121)), None);
        assert!(watchdog.stuck_reason(at(122)).is_some());
    }

    #[test]
    fn a_review_that_never_ends_is_stuck_after_a_minute_although_the_runtime_beats() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let watchdog = Watchdog::new(start);
        let running = watchdog.review_started(at(10));
        watchdog.beat(at(70));
        assert_eq!(watchdog.stuck_reason(at(70)), None);
        assert_eq!(watchdog.stuck_reason(at(71)), Some("a review is stuck"));
        drop(running);
        assert_eq!(watchdog.stuck_reason(at(71)), None);
    }
}
