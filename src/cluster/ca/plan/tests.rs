mod in_use;

use super::*;
use crate::names::{AUDIT_WEBHOOK, ENFORCE_WEBHOOK};
use k8s_openapi::ByteString;
use serde_json::json;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const CA: Duration = DAY.saturating_mul(90);
const OVERLAP: Duration = Duration::from_secs(300);

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn lifetimes() -> Lifetimes {
    Lifetimes::new(CA, DAY, OVERLAP).unwrap()
}

fn authority(made: Timestamp) -> Authority {
    Authority::make("a CA", made, CA).unwrap()
}

/// Returns a history in which the authority has been trusted for some time.
fn trust(authority: &Authority, time: Duration) -> TrustHistory {
    let bundle = ByteString(authority.certificate().pem().into());
    let webhook = |name: &str| {
        json!({"name": name, "admissionReviewVersions": [], "sideEffects": "None",
            "clientConfig": {"caBundle": bundle}})
    };
    let configuration = json!({"webhooks": [webhook(ENFORCE_WEBHOOK), webhook(AUDIT_WEBHOOK)]});
    let live = WebhookBundles::of(Some(&serde_json::from_value(configuration).unwrap()));
    let (mut trust, start) = (TrustHistory::default(), Instant::now());
    trust.record(&live, start);
    trust.record(&live, start + time);
    trust
}

/// Runs the plan of a replica that serves no leaf and has not observed any `caBundle`.
fn settled(content: CaSecret, now: Timestamp) -> (CaSecret, Vec<Step>) {
    settled_with(content, now, &[], &TrustHistory::default())
}

fn settled_with(
    content: CaSecret,
    now: Timestamp,
    in_use: &[CaCertificate],
    trust: &TrustHistory,
) -> (CaSecret, Vec<Step>) {
    let observed = Observations {
        now,
        in_use,
        own: None,
        is_changed_by_others: false,
        trust,
        lifetimes: lifetimes(),
    };
    let (content, steps) = plan(content, &observed).unwrap();
    assert_eq!(next_step(&content, &observed), None, "no step is due");
    (content, steps)
}

fn with(current: &Authority) -> CaSecret {
    CaSecret {
        current: Some(current.clone()),
        ..CaSecret::default()
    }
}

fn with_next(current: &Authority, next: &Authority) -> CaSecret {
    CaSecret {
        next: Some(next.clone()),
        ..with(current)
    }
}

fn with_previous(current: &Authority, previous: &Authority, until: Option<Timestamp>) -> CaSecret {
    CaSecret {
        previous: vec![previous.certificate().clone()],
        previous_until: until,
        ..with(current)
    }
}

#[test]
fn without_an_authority_one_is_created_and_used_immediately() {
    let (content, steps) = settled(CaSecret::default(), now());
    assert_eq!(steps, [Step::Create]);
    let current = content.current.unwrap();
    assert_eq!(current.certificate().expires(), now() + CA);
    assert_eq!((content.next, content.previous), (None, Vec::new()));
    assert_eq!(content.previous_until, None);
}

#[test]
fn a_new_authority_needs_no_step() {
    let content = with(&authority(now()));
    assert_eq!(settled(content.clone(), now()), (content, vec![]));
}

#[test]
fn the_next_is_published_at_two_thirds_of_the_lifetime_exactly() {
    let current = authority(now());
    let due = now() + CA * 2 / 3;
    assert_eq!(settled(with(&current), due - SECOND).1, []);
    let (content, steps) = settled(with(&current), due);
    assert_eq!(steps, [Step::Publish]);
    assert_eq!(content.current, Some(current));
    assert_eq!(content.next.unwrap().certificate().expires(), due + CA);
}

#[test]
fn the_next_is_promoted_after_it_has_been_trusted_for_the_overlap() {
    let (current, next) = (authority(now()), authority(now()));
    let content = with_next(&current, &next);
    let seen = |time| trust(&next, time);
    for early in [TrustHistory::default(), seen(OVERLAP - SECOND)] {
        let (after, steps) = settled_with(content.clone(), now(), &[], &early);
        assert_eq!((after, steps), (content.clone(), vec![]));
    }
    let (after, steps) = settled_with(content, now(), &[], &seen(OVERLAP));
    assert_eq!(steps, [Step::Promote]);
    assert_eq!(after, with_previous(&next, &current, Some(now() + DAY)));
}

#[test]
fn the_overlap_counts_for_the_next_and_not_for_the_current_authority() {
    let (current, next) = (authority(now()), authority(now()));
    let seen = trust(&current, DAY);
    let (_, steps) = settled_with(with_next(&current, &next), now(), &[], &seen);
    assert_eq!(steps, []);
}

#[test]
fn previous_authorities_are_trusted_until_their_last_leaf_has_expired() {
    let (current, previous) = (authority(now()), authority(now()));
    let until = now() + DAY;
    let content = with_previous(&current, &previous, Some(until));
    assert_eq!(settled(content.clone(), until - SECOND).1, []);
    let (after, steps) = settled(content, until);
    assert_eq!(steps, [Step::Discard]);
    assert_eq!(after, with(&current));
}

#[test]
fn a_previous_authority_that_has_expired_is_discarded_before_its_date() {
    let (current, previous) = (authority(now()), authority(now() - CA + DAY));
    for until in [None, Some(now() + CA)] {
        let content = with_previous(&current, &previous, until);
        // The clock of another replica may be up to an hour behind.
        let over = previous.certificate().expires() + HOUR;
        assert_eq!(settled(content.clone(), over - SECOND).1, []);
        assert_eq!(
            settled(content, over),
            (with(&current), vec![Step::Discard])
        );
    }
}

#[test]
fn an_expired_authority_is_replaced_and_not_a_second_before() {
    let current = authority(now());
    let end = now() + CA;
    let (_, steps) = settled(with(&current), end - SECOND);
    assert_eq!(steps, [Step::Publish]);
    let (content, steps) = settled(with(&current), end);
    assert_eq!(steps, [Step::Create]);
    assert_eq!(content.previous, [current.certificate().clone()]);
    // Now it has expired by the clocks of all replicas.
    let (content, steps) = settled(with(&current), end + HOUR);
    assert_eq!(steps, [Step::Create, Step::Discard]);
    assert_ne!(content.current, Some(current));
    assert_eq!(content.previous, []);
}

#[test]
fn if_the_current_has_expired_the_next_is_promoted_without_waiting() {
    let current = authority(now() - CA - HOUR);
    let next = authority(now() - OVERLAP);
    let (content, steps) = settled(with_next(&current, &next), now());
    assert_eq!(steps, [Step::Promote, Step::Discard]);
    assert_eq!(content, with(&next));
}

#[test]
fn an_authority_that_is_not_valid_yet_is_replaced_and_still_trusted() {
    // The clock was set back by a day.
    let current = authority(now());
    let back = now() - DAY;
    let (content, steps) = settled(with(&current), back);
    assert_eq!(steps, [Step::Create]);
    assert_eq!(content.previous, [current.certificate().clone()]);
    assert_eq!(content.previous_until, Some(back + DAY));
    assert!(content.current.unwrap().certificate().is_valid_at(back));
    // A difference of up to an hour causes no step.
    assert_eq!(settled(with(&current), now() - HOUR).1, []);
}

#[test]
fn a_next_authority_that_is_not_valid_is_replaced() {
    let current = authority(now());
    for bad in [authority(now() - CA), authority(now() + DAY)] {
        let (content, steps) = settled(with_next(&current, &bad), now());
        assert_eq!(steps, [Step::Publish]);
        assert_ne!(content.next, Some(bad));
        assert_eq!(content.current.as_ref(), Some(&current));
    }
}

#[test]
fn two_authorities_that_are_not_valid_are_replaced_by_one_and_trusted_unless_expired() {
    let (ended, to_come) = (authority(now() - CA - HOUR), authority(now() + DAY));
    let (content, steps) = settled(with_next(&ended, &to_come), now());
    assert_eq!(steps, [Step::Create, Step::Discard]);
    assert_eq!(content.previous, [to_come.certificate().clone()]);
    assert_eq!(content.next, None);
}

#[test]
fn trusted_authorities_stay_trusted_when_the_current_one_is_lost() {
    let lost = authority(now());
    let mut content = CaSecret::default();
    content.trust([lost.certificate().clone()]);
    let (content, steps) = settled(content, now());
    assert_eq!(steps, [Step::Create]);
    assert_eq!(content.previous, [lost.certificate().clone()]);
    assert_eq!(content.previous_until, Some(now() + DAY));
}

#[test]
fn the_authority_of_a_leaf_in_use_is_kept_after_another_client_removed_it() {
    let (own, other) = (authority(now()), authority(now()));
    let in_use = [own.certificate().clone()];
    let (content, steps) = settled_with(with(&other), now(), &in_use, &TrustHistory::default());
    assert_eq!(steps, [Step::Keep(in_use.to_vec())]);
    assert_eq!(content, with_previous(&other, &own, Some(now() + DAY)));
    // For another replica with a leaf of the same authority, no step is due.
    let (_, steps) = settled_with(content, now(), &in_use, &TrustHistory::default());
    assert_eq!(steps, []);
}

#[test]
fn a_restored_authority_is_trusted_for_the_life_of_a_leaf_despite_its_date() {
    let (current, previous) = (authority(now()), authority(now()));
    let observed = Observations {
        now: now(),
        in_use: &[],
        own: None,
        is_changed_by_others: true,
        trust: &TrustHistory::default(),
        lifetimes: lifetimes(),
    };
    for date in [now() - DAY, now(), now() + DAY - SECOND] {
        let content = with_previous(&current, &previous, Some(date));
        let (content, steps) = plan(content, &observed).unwrap();
        assert_eq!(steps, [Step::Keep(vec![])]);
        let until = Some(now() + DAY);
        assert_eq!(content, with_previous(&current, &previous, until));
        assert_eq!(next_step(&content, &observed), None);
    }
    assert_eq!(next_step(&with(&current), &observed), None);
}

#[test]
fn an_expired_authority_is_not_kept() {
    let (own, other) = (authority(now() - CA - HOUR), authority(now()));
    let in_use = [own.certificate().clone()];
    let (_, steps) = settled_with(with(&other), now(), &in_use, &TrustHistory::default());
    assert_eq!(steps, []);
}

#[test]
fn a_clock_that_jumps_back_and_forth_settles_each_time_and_loses_no_authority_in_use() {
    let own = authority(now());
    let in_use = [own.certificate().clone()];
    let mut content = with(&own);
    for days in [-400_i64, 0, 100, 0, 20, -1, 400, 0] {
        let then = now() + jiff::SignedDuration::from_hours(24 * days);
        content = settled_with(content, then, &in_use, &TrustHistory::default()).0;
        let is_trusted = content.trusted().contains(&own.certificate());
        let has_expired = own.certificate().remaining(then).is_zero();
        assert!(is_trusted || has_expired, "day {days}");
        let current = content.current.clone().unwrap();
        assert!(current.certificate().is_valid_at(then), "day {days}");
    }
}

/// Creates authorities as two replicas do whose clocks differ by months.
fn crowd(count: u32) -> Vec<CaCertificate> {
    (0..count)
        .map(|number| {
            // Every second authority is not valid yet.
            let ahead = Duration::from_secs(60) * number + DAY * 100 * (number % 2);
            authority(after(now(), ahead)).certificate().clone()
        })
        .collect()
}

#[test]
fn no_more_authorities_than_the_maximum_are_kept() {
    let current = authority(now());
    let crowd = crowd(40);
    let content = CaSecret {
        previous: crowd.clone(),
        previous_until: Some(after(now(), DAY)),
        ..with(&current)
    };
    let (content, steps) = settled(content, now());
    assert_eq!(steps, [Step::Discard]);
    assert_eq!(content.trusted().len(), MAX_AUTHORITIES);
    // First the authorities that are not valid yet are removed, then the oldest.
    let kept: Vec<&CaCertificate> = crowd.iter().step_by(2).skip(5).collect();
    assert_eq!(content.previous.iter().collect::<Vec<_>>(), kept);
}

#[test]
fn the_authority_of_the_own_leaf_is_kept_when_the_maximum_is_exceeded() {
    let current = authority(now());
    let (own, crowd) = (authority(now()), crowd(40));
    let mut in_use = vec![own.certificate().clone()];
    in_use.extend(crowd);
    let observed = Observations {
        now: now(),
        in_use: &in_use,
        own: in_use.first(),
        is_changed_by_others: true,
        trust: &TrustHistory::default(),
        lifetimes: lifetimes(),
    };
    let (content, _) = plan(with(&current), &observed).unwrap();
    assert_eq!(content.trusted().len(), MAX_AUTHORITIES);
    assert!(content.trusted().contains(&own.certificate()));
    assert_eq!(next_step(&content, &observed), None, "no step is due");
}
