//! A token bucket. Pure: the time is passed in.

use std::time::Duration;
use tokio::time::Instant;

/// How many there may be at once, and how soon another one may follow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) burst: u32,
    /// The time after which one more is allowed.
    pub(super) every: Duration,
}

/// What is left of a budget. Kept as the time at which the bucket is full again: there is nothing to refill.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    rate: Rate,
    full_at: Instant,
}

impl Bucket {
    pub(super) fn full(rate: Rate, now: Instant) -> Self {
        Self { rate, full_at: now }
    }

    /// Whether nothing of it is used up.
    pub(super) fn is_full(&self, now: Instant) -> bool {
        self.full_at <= now
    }

    /// Takes one; where none is left, returns how long until there is one.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let Rate { burst, every } = self.rate;
        let full_at = self.full_at.max(now) + every;
        let latest = now + every * burst;
        if full_at > latest {
            return Err(full_at - latest);
        }
        self.full_at = full_at;
        Ok(())
    }
}
