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
fn the_first_leaf_is_of_the_next_authority_if_the_current_expires_before_the_leaf() {
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
        // The leaf is renewed even if the webhook configuration could not be read.
        let due = |at| is_due_at(Some(&serving), &ca, &TrustHistory::default(), at);
        assert!(!due(renewal - SECOND));
        assert!(due(renewal));
        assert!(due(now() + DAY * 2), "not due after it has expired");
        renewals.push(renewal);
    }
    renewals.dedup();
    assert!(renewals.len() > 5, "replicas renew at the same time");
}

#[test]
fn a_leaf_that_expires_with_its_authority_is_not_renewed() {
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
fn an_authority_that_is_not_valid_signs_nothing() {
    let ca = authority(DAY);
    let seen = trust(&ca, DAY);
    for at in [now() + DAY, now() - DAY] {
        assert!(!is_due_at(None, &ca, &seen, at));
        assert!(!is_due_at(Some(&serving(&ca)), &ca, &seen, at));
    }
    assert!(is_due_at(None, &ca, &seen, now() + DAY - SECOND));
}

#[test]
fn a_leaf_of_another_authority_is_replaced_after_the_new_one_is_trusted_for_the_overlap() {
    let (old, new) = (authority(DAY * 90), authority(DAY * 90));
    let serving = serving(&old);
    let due = |trust: &TrustHistory, at| is_due_at(Some(&serving), &new, trust, at);
    let late = renewal(&serving);
    for early in [TrustHistory::default(), trust(&new, OVERLAP - SECOND)] {
        assert!(!due(&early, now()));
        assert!(!due(&early, late), "does not wait when a renewal is due");
    }
    assert!(due(&trust(&new, OVERLAP), now()));
}

#[test]
fn an_expired_leaf_does_not_wait_if_its_authority_is_no_longer_trusted() {
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
fn the_authority_of_the_leaf_renews_it_until_the_new_one_is_trusted_for_the_overlap() {
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
    // The leaf has expired, for example because the clock was set ahead.
    let late = until - SECOND;
    assert_eq!(at(&early, late), Some((old, SECOND)));
    assert_eq!(at(&early, until), Some((new, DAY)));
}

#[test]
fn a_leaf_with_a_signing_time_in_the_future_is_replaced() {
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
