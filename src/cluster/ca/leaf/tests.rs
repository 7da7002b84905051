use super::super::ca_bundle::WebhookBundles;
use super::*;
use crate::names::ENFORCE_WEBHOOK;
use k8s_openapi::ByteString;
use serde_json::json;
use std::time::Instant;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const OVERLAP: Duration = Duration::from_secs(300);

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn lifetimes() -> Lifetimes {
    Lifetimes::new(DAY * 90, DAY, OVERLAP).unwrap()
}

fn authority(life: Duration) -> Authority {
    Authority::make("a CA", now(), life).unwrap()
}

fn serving(authority: &Authority) -> Leaf {
    authority.sign(&["a".to_owned()], now(), DAY).unwrap()
}

fn trust(authority: &Authority, time: Duration) -> TrustHistory {
    trusted_of(&[authority], time)
}

fn trusted_of(authorities: &[&Authority], time: Duration) -> TrustHistory {
    let bundle = authorities.iter().map(|it| it.certificate().pem());
    let bundle = ByteString(bundle.collect::<String>().into());
    let configuration = json!({"webhooks": [{
        "name": ENFORCE_WEBHOOK, "admissionReviewVersions": [], "sideEffects": "None",
        "clientConfig": {"caBundle": bundle},
    }]});
    let live = WebhookBundles::of(Some(&serde_json::from_value(configuration).unwrap()));
    let (mut trust, start) = (TrustHistory::default(), Instant::now());
    trust.record(&live, start);
    trust.record(&live, start + time);
    trust
}

fn with(current: &Authority) -> CaSecret {
    CaSecret {
        current: Some(current.clone()),
        ..CaSecret::default()
    }
}

fn is_due_at(
    serving: Option<&Leaf>,
    current: &Authority,
    trust: &TrustHistory,
    now: Timestamp,
) -> bool {
    let content = with(current);
    let signer = signer(serving, &content, trust, now, lifetimes());
    signer.is_some_and(|signer| signer == (current, DAY))
}

#[test]
fn the_first_leaf_waits_until_its_authority_is_trusted_and_no_longer() {
    let ca = authority(DAY * 90);
    assert!(!is_due_at(None, &ca, &TrustHistory::default(), now()));
    assert!(!is_due_at(None, &ca, &trust(&authority(DAY), DAY), now()));
    assert!(is_due_at(None, &ca, &trust(&ca, Duration::ZERO), now()));
}

#[test]
fn the_first_leaf_is_of_the_next_authority_where_the_current_ends_before_the_leaf() {
    let next = authority(DAY * 90);
    let bundle_of_next = trust(&next, Duration::ZERO);
    for (life, expected) in [(DAY - SECOND, Some((&next, DAY))), (DAY, None)] {
        let current = authority(life);
        let content = CaSecret {
            next: Some(next.clone()),
            ..with(&current)
        };
        let both = trusted_of(&[&current, &next], Duration::ZERO);
        let signer = |trust| signer(None, &content, trust, now(), lifetimes());
        assert_eq!(signer(&both), expected.or(Some((&current, DAY))));
        assert_eq!(signer(&bundle_of_next), Some((&next, DAY)));
        let alone = trust(&current, Duration::ZERO);
        assert_eq!(signer(&alone), Some((&current, DAY)));
    }
}

#[test]
fn a_leaf_is_renewed_between_three_fifths_and_two_thirds_of_its_life() {
    let ca = authority(DAY * 90);
    let mut renewals = Vec::new();
    for _ in 0..20 {
        let serving = serving(&ca);
        let renewal = renewal(&serving);
        assert!(renewal >= now() + DAY * 3 / 5 - SECOND, "{renewal}");
        assert!(renewal <= now() + DAY * 2 / 3, "{renewal}");
        // Also while the configuration cannot be seen: it is the authority that was in force.
        let due = |at| is_due_at(Some(&serving), &ca, &TrustHistory::default(), at);
        assert!(!due(renewal - SECOND));
        assert!(due(renewal));
        assert!(due(now() + DAY * 2), "after its end, too");
        renewals.push(renewal);
    }
    renewals.dedup();
    assert!(renewals.len() > 5, "replicas do not renew together");
}

#[test]
fn a_leaf_that_ends_with_its_authority_is_not_renewed_for_nothing() {
    let ca = authority(DAY);
    let serving = serving(&ca);
    assert_eq!(serving.expires, ca.certificate().expires());
    let before_the_end = now() + DAY - SECOND;
    assert!(!is_due_at(
        Some(&serving),
        &ca,
        &trust(&ca, DAY),
        before_the_end
    ));
}

#[test]
fn nothing_is_signed_by_an_authority_that_is_not_good() {
    let ca = authority(DAY);
    let seen = trust(&ca, DAY);
    for at in [now() + DAY, now() - DAY] {
        assert!(!is_due_at(None, &ca, &seen, at));
        assert!(!is_due_at(Some(&serving(&ca)), &ca, &seen, at));
    }
    assert!(is_due_at(None, &ca, &seen, now() + DAY - SECOND));
}

#[test]
fn a_leaf_of_another_authority_is_replaced_once_the_new_one_is_in_force_for_the_overlap() {
    let (old, new) = (authority(DAY * 90), authority(DAY * 90));
    let serving = serving(&old);
    let due = |trust: &TrustHistory, at| is_due_at(Some(&serving), &new, trust, at);
    let late = renewal(&serving);
    for early in [TrustHistory::default(), trust(&new, OVERLAP - SECOND)] {
        assert!(!due(&early, now()));
        assert!(!due(&early, late), "not even where renewal is due");
    }
    assert!(due(&trust(&new, OVERLAP), now()));
}

#[test]
fn a_leaf_that_has_ended_does_not_wait_where_its_authority_is_trusted_no_more() {
    let (old, new) = (authority(DAY * 90), authority(DAY * 90));
    let serving = serving(&old);
    let end = serving.expires;
    let seen = trust(&new, Duration::ZERO);
    assert!(!is_due_at(Some(&serving), &new, &seen, end - SECOND));
    assert!(is_due_at(Some(&serving), &new, &seen, end));
    assert!(!is_due_at(
        Some(&serving),
        &new,
        &TrustHistory::default(),
        end
    ));
}

#[test]
fn until_the_new_authority_is_in_force_the_one_before_renews_for_as_long_as_it_is_trusted() {
    let (old, new) = (authority(DAY * 90), authority(DAY * 90));
    let serving = serving(&old);
    let until = now() + DAY + SECOND * 600;
    let content = CaSecret {
        previous: vec![old.certificate().clone()],
        previous_until: Some(until),
        ..with(&new)
    };
    let at = |trust: &TrustHistory, now| {
        let signer = signer(Some(&serving), &content, trust, now, lifetimes());
        signer.map(|(authority, lifetime)| (authority.clone(), lifetime))
    };
    let (early, seen) = (trust(&new, OVERLAP - SECOND), trust(&new, OVERLAP));
    let renewal = renewal(&serving);
    assert_eq!(at(&early, renewal - SECOND), None);
    let rest = Duration::try_from(until.duration_since(renewal)).unwrap();
    assert_eq!(at(&early, renewal), Some((old.clone(), rest)));
    assert_eq!(at(&seen, renewal), Some((new.clone(), DAY)));
    // Also where the leaf has ended by a clock that was put ahead.
    let late = until - SECOND;
    assert_eq!(at(&early, late), Some((old, SECOND)));
    assert_eq!(at(&early, until), Some((new, DAY)));
}

#[test]
fn a_leaf_that_is_not_good_yet_by_a_clock_that_was_put_back_is_replaced() {
    let ca = Authority::make("a CA", now() - DAY * 10, DAY * 90).unwrap();
    let serving = serving(&ca);
    let due = |at| is_due_at(Some(&serving), &ca, &TrustHistory::default(), at);
    assert!(!due(now() - BACKDATING));
    assert!(due(now() - BACKDATING - SECOND));
}

#[test]
fn t4_no_key_is_shown_for_debugging() {
    let serving = serving(&authority(DAY));
    let shown = format!("{serving:?}");
    let key = serving.key_pem();
    let line = key.lines().nth(1).unwrap();
    assert!(
        !shown.contains(line) && !shown.contains("PRIVATE"),
        "{shown}"
    );
}
