//! What `/livez` says: whether reviews make progress.
//!
//! The ops port has a thread of its own, so an answer there proves nothing about reviews. Two things
//! can hang: the runtime that serves them, which beats every second, and the review that is judged on
//! a blocking thread. The bound is far above what a review within the bounds takes, so only a bug
//! reaches it, and then a restart helps.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Without progress for longer than this, the process is to be restarted.
const STUCK: Duration = Duration::from_secs(60);
const BEAT: Duration = Duration::from_secs(1);
/// No review is being judged on a blocking thread.
const IDLE: u64 = u64::MAX;

/// When the parts that serve reviews last made progress: milliseconds since the start.
#[derive(Debug)]
pub(crate) struct Progress {
    started: Instant,
    beat: AtomicU64,
    judging_since: AtomicU64,
}

impl Progress {
    pub(crate) fn new(started: Instant) -> Self {
        Self {
            started,
            beat: AtomicU64::new(0),
            judging_since: AtomicU64::new(IDLE),
        }
    }

    /// Beats on the runtime that polls it.
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

    /// Notes that a review is judged on a blocking thread, until the value is dropped.
    pub(super) fn judging(&self, now: Instant) -> Judging<'_> {
        let since = self.since_start(now);
        self.judging_since.store(since, Ordering::Relaxed);
        Judging(self)
    }

    /// Says what is stuck.
    pub(super) fn stuck(&self, now: Instant) -> Option<&'static str> {
        let is_stuck = |since: u64| {
            let now = self.since_start(now);
            u128::from(now.saturating_sub(since)) > STUCK.as_millis()
        };
        if is_stuck(self.beat.load(Ordering::Relaxed)) {
            Some("the webhook's runtime is stuck")
        } else if is_stuck(self.judging_since.load(Ordering::Relaxed)) {
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

/// A review that is judged on a blocking thread.
pub(super) struct Judging<'a>(&'a Progress);

impl Drop for Judging<'_> {
    fn drop(&mut self) {
        self.0.judging_since.store(IDLE, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_that_stops_beating_is_stuck_after_a_minute() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let progress = Progress::new(start);
        assert_eq!(progress.stuck(at(60)), None);
        assert!(progress.stuck(at(61)).is_some());
        progress.beat(at(61));
        assert_eq!(progress.stuck(at(121)), None);
        assert!(progress.stuck(at(122)).is_some());
    }

    #[test]
    fn a_review_that_never_ends_is_stuck_after_a_minute_although_the_runtime_beats() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let progress = Progress::new(start);
        let judging = progress.judging(at(10));
        progress.beat(at(70));
        assert_eq!(progress.stuck(at(70)), None);
        assert_eq!(progress.stuck(at(71)), Some("a review is stuck"));
        drop(judging);
        assert_eq!(progress.stuck(at(71)), None);
    }
}
