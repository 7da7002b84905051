//! Waits for a condition by polling.

pub(crate) use crate::output_lines::TIMEOUT;
use std::fmt::Debug;
use std::panic::Location;
use std::time::{Duration, Instant};

/// The time between two polls.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Polls until a result satisfies the condition, and returns it. Panics with the last result after
/// the time limit.
#[track_caller]
pub(crate) fn eventually<T: Debug>(
    what: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> T,
    is_so: impl Fn(&T) -> bool,
) -> impl Future<Output = T> {
    let caller = Location::caller();
    async move {
        let deadline = Instant::now() + within;
        loop {
            let seen = look().await;
            if is_so(&seen) {
                return seen;
            }
            assert!(
                Instant::now() < deadline,
                "{caller}: timed out after {within:?} waiting for: {what}; last result: {seen:?}"
            );
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}
