use crate::cluster::ca::Backoff;
use crate::cluster::ca::reconcile::Outcome;
use std::time::Duration;

const INTERVAL: Duration = Duration::from_secs(30);

#[test]
fn an_unchanged_object_is_reconciled_as_soon_as_it_changes() {
    let mut backoff = Backoff::new(INTERVAL);
    assert_eq!(
        backoff.after(Outcome::Unchanged),
        (Duration::ZERO, INTERVAL)
    );
    assert_eq!(
        backoff.after(Outcome::Unchanged),
        (Duration::ZERO, INTERVAL)
    );
}

#[test]
fn a_failure_is_retried_soon_and_then_less_and_less_often() {
    let mut backoff = Backoff::new(INTERVAL);
    let mut before = Duration::ZERO;
    for _ in 0..5 {
        let (min, max) = backoff.after(Outcome::Failed);
        assert_eq!(min, max);
        assert!(min > before, "{min:?}");
        before = min;
    }
    for _ in 0..10 {
        backoff.after(Outcome::Failed);
    }
    assert_eq!(backoff.after(Outcome::Failed), (INTERVAL, INTERVAL));
}

#[test]
fn writes_that_alternate_with_another_writer_slow_down_and_recover() {
    let mut backoff = Backoff::new(INTERVAL);
    for _ in 0..30 {
        backoff.after(Outcome::Wrote);
        backoff.after(Outcome::Unchanged);
    }
    let (min, _) = backoff.after(Outcome::Wrote);
    assert_eq!(min, INTERVAL);
    for _ in 0..15 {
        backoff.after(Outcome::Unchanged);
    }
    assert_eq!(backoff.after(Outcome::Unchanged).0, Duration::ZERO);
}

#[test]
fn no_backoff_is_longer_than_the_interval() {
    let interval = Duration::from_millis(5);
    let mut backoff = Backoff::new(interval);
    for outcome in [Outcome::Wrote, Outcome::Failed, Outcome::Unchanged] {
        let (min, max) = backoff.after(outcome);
        assert!(min <= interval && max <= interval);
    }
}
