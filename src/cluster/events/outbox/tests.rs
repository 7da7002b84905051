//! Tests that no namespace uses up the queue or the budget of others (rule F8).

use super::{MAX_WAITING, MAX_WAITING_PER_NAMESPACE, NAMESPACE_RATE, Next, Outbox, TOTAL_RATE};
use crate::core::admission::AuthorFindings;
use crate::telemetry::metrics::EventDrop;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

fn findings(namespace: &str, count: usize) -> AuthorFindings {
    AuthorFindings {
        namespace: namespace.parse().unwrap(),
        pod: "runner-1".parse().unwrap(),
        sentences: (0..count)
            .map(|number| format!("message {number}"))
            .collect(),
    }
}

fn put(outbox: &mut Outbox, namespace: &str, now: Instant) -> Option<EventDrop> {
    let dropped = outbox.put(&findings(namespace, 1), 8, now);
    dropped.into_keys().next()
}

/// Removes all Events that may be written at one time. Returns their number by namespace.
fn written(outbox: &mut Outbox, now: Instant) -> BTreeMap<String, usize> {
    let mut written = BTreeMap::new();
    while let Next::Write(event) = outbox.next(now) {
        *written.entry(event.namespace.to_string()).or_default() += 1;
    }
    written
}

#[test]
fn f8_a_namespace_with_many_pods_does_not_delay_another() {
    let now = Instant::now();
    let mut outbox = Outbox::new(now);
    let dropped: Vec<EventDrop> = (0..1200)
        .filter_map(|_| put(&mut outbox, "noisy", now))
        .collect();
    assert_eq!(dropped.len(), 1200 - MAX_WAITING_PER_NAMESPACE);
    assert_eq!(put(&mut outbox, "quiet", now), None);
    let second = [outbox.next(now), outbox.next(now)];
    assert!(
        matches!(&second[1], Next::Write(event) if event.namespace.as_str() == "quiet"),
        "{second:?}"
    );
}

#[test]
fn f8_the_budget_of_a_namespace_fills_again_with_time() {
    let now = Instant::now();
    let mut outbox = Outbox::new(now);
    let mut later = now;
    for _ in 0..NAMESPACE_RATE.burst {
        assert_eq!(put(&mut outbox, "ci", now), None);
        outbox.next(later);
        later += TOTAL_RATE.every;
    }
    assert_eq!(put(&mut outbox, "ci", now), Some(EventDrop::Budget));
    let soon = now + NAMESPACE_RATE.every;
    assert_eq!(put(&mut outbox, "ci", soon), None);
    assert_eq!(put(&mut outbox, "ci", soon), Some(EventDrop::Budget));
}

#[test]
fn f8_the_total_budget_delays_events_and_namespaces_take_turns() {
    let now = Instant::now();
    let mut outbox = Outbox::new(now);
    for number in 0..4 {
        for _ in 0..MAX_WAITING_PER_NAMESPACE {
            assert_eq!(put(&mut outbox, &format!("ci-{number}"), now), None);
        }
    }
    let first = written(&mut outbox, now);
    let share = TOTAL_RATE.burst as usize / 4;
    assert!(first.values().all(|count| *count == share), "{first:?}");
    assert_eq!(outbox.next(now), Next::Wait(TOTAL_RATE.every));
    let later = now + TOTAL_RATE.every;
    assert!(matches!(outbox.next(later), Next::Write(_)));
    let whole = now + Duration::from_secs(3600);
    let rest = written(&mut outbox, whole);
    assert_eq!(rest.values().sum::<usize>(), TOTAL_RATE.burst as usize - 1);
    assert_eq!(outbox.next(whole), Next::Idle);
}

#[test]
fn f8_when_all_queues_are_full_the_longest_drops_an_event() {
    let now = Instant::now();
    let mut outbox = Outbox::new(now);
    for number in 0..MAX_WAITING / MAX_WAITING_PER_NAMESPACE {
        for _ in 0..MAX_WAITING_PER_NAMESPACE {
            put(&mut outbox, &format!("noisy-{number}"), now);
        }
    }
    assert_eq!(outbox.waiting, MAX_WAITING);
    assert_eq!(put(&mut outbox, "quiet", now), Some(EventDrop::Queue));
    assert_eq!(outbox.waiting, MAX_WAITING);
    assert_eq!(outbox.queues["quiet"].len(), 1, "not queued");
}

#[test]
fn only_the_first_findings_of_a_pod_are_queued() {
    let now = Instant::now();
    let mut outbox = Outbox::new(now);
    assert!(outbox.put(&findings("ci", 50), 8, now).is_empty());
    assert_eq!(outbox.waiting, 8);
}
