use super::super::*;
use crate::names::ENFORCE_WEBHOOK;
use crate::pki::authority::Authority;
use k8s_openapi::ByteString;
use serde_json::json;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn authority() -> Authority {
    Authority::make("a CA", now(), DAY * 90).unwrap()
}

fn bundles(trusted: &[&Authority]) -> WebhookBundles {
    let trusted = trusted.iter().map(|it| it.certificate().pem());
    let bundle = ByteString(trusted.collect::<String>().into());
    let configuration = json!({"webhooks": [{
        "name": ENFORCE_WEBHOOK, "admissionReviewVersions": [], "sideEffects": "None",
        "clientConfig": {"caBundle": bundle},
    }]});
    WebhookBundles::of(Some(&serde_json::from_value(configuration).unwrap()))
}

/// Creates the content of a Secret that a replica wrote `ago` seconds ago.
fn content(current: &Authority, previous: &[&Authority], ago: u32) -> CaSecret {
    CaSecret {
        current: Some(current.clone()),
        previous: previous.iter().map(|it| it.certificate().clone()).collect(),
        previous_until: Some(now() + DAY),
        changed: Some(now() - SECOND * ago),
        ..CaSecret::default()
    }
}

/// Returns the names of the authorities that may be in use, without duplicates.
fn found(evidence: &Evidence<'_>) -> Vec<String> {
    let found = evidence.in_use(now());
    let mut names: Vec<String> = found.iter().map(|it| it.name().to_owned()).collect();
    names.sort();
    names.dedup();
    names
}

fn names(authorities: &[&Authority]) -> Vec<String> {
    let names = authorities.iter().map(|it| it.certificate().name());
    let mut names: Vec<String> = names.map(ToOwned::to_owned).collect();
    names.sort();
    names
}

#[test]
fn an_authority_that_replicas_discarded_is_not_in_use_and_the_own_one_always_is() {
    let [own, old, new, stranger] = [(); 4].map(|()| authority());
    let evidence = Evidence {
        secret: Some(&content(&new, &[], 5)),
        last: Some(&content(&own, &[&old], 9)),
        own: Some(own.certificate()),
        bundles: &bundles(&[&own, &old, &stranger]),
    };
    assert_eq!(found(&evidence), names(&[&own]));
}

#[test]
fn known_and_trusted_authorities_may_be_in_use_if_others_changed_the_secret() {
    let [own, last, next, trusted, foreign] = [(); 5].map(|()| authority());
    let mut before = content(&last, &[&own], 5);
    before.next = Some(next.clone());
    let restored = content(&foreign, &[], 6);
    let replaced = CaSecret {
        changed: None,
        ..restored.clone()
    };
    for secret in [
        None,
        Some(&CaSecret::default()),
        Some(&replaced),
        Some(&restored),
    ] {
        let evidence = Evidence {
            secret,
            last: Some(&before),
            own: Some(own.certificate()),
            bundles: &bundles(&[&last, &trusted]),
        };
        let all = names(&[&own, &last, &next, &trusted]);
        assert_eq!(found(&evidence), all, "{secret:?}");
    }
}

#[test]
fn a_discardable_authority_is_not_in_use_even_if_the_secret_was_deleted() {
    let [current, old] = [(); 2].map(|()| authority());
    let mut known = content(&current, &[&old], 5);
    known.previous_until = Some(now());
    let mut evidence = Evidence {
        secret: None,
        last: Some(&known),
        own: None,
        bundles: &bundles(&[]),
    };
    assert_eq!(found(&evidence), names(&[&current]));
    let still = CaSecret {
        previous_until: Some(now() + SECOND),
        ..known.clone()
    };
    evidence.last = Some(&still);
    assert_eq!(found(&evidence), names(&[&current, &old]));
}

#[test]
fn a_new_replica_accepts_a_secret_that_has_every_authority_of_the_webhooks() {
    let [current, old, other] = [(); 3].map(|()| authority());
    let secret = content(&current, &[&old], 5);
    let evidence = |bundles| Evidence {
        secret: Some(&secret),
        last: None,
        own: None,
        bundles,
    };
    let (same, more) = (bundles(&[&current, &old]), bundles(&[&current, &other]));
    assert_eq!(found(&evidence(&same)), [""; 0]);
    assert_eq!(found(&evidence(&more)), names(&[&current, &other]));
}
