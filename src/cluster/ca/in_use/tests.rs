use super::*;
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

fn live(trusted: &[&Authority]) -> Live {
    let trusted = trusted.iter().map(|it| it.certificate().pem());
    let bundle = ByteString(trusted.collect::<String>().into());
    let configuration = json!({"webhooks": [{
        "name": ENFORCE_WEBHOOK, "admissionReviewVersions": [], "sideEffects": "None",
        "clientConfig": {"caBundle": bundle},
    }]});
    Live::of(&serde_json::from_value(configuration).unwrap())
}

/// What replicas wrote last so many seconds ago.
fn content(current: &Authority, previous: &[&Authority], ago: u32) -> Content {
    Content {
        current: Some(current.clone()),
        previous: previous.iter().map(|it| it.certificate().clone()).collect(),
        previous_until: Some(now() + DAY),
        changed: Some(now() - SECOND * ago),
        ..Content::default()
    }
}

/// The names of what may be in use, each once.
fn found(traces: &Traces<'_>) -> Vec<String> {
    let found = traces.in_use(now());
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
fn what_replicas_have_taken_out_themselves_is_not_in_use_and_one_s_own_always_is() {
    let [own, old, new, stranger] = [(); 4].map(|()| authority());
    let traces = Traces {
        held: Some(&content(&new, &[], 5)),
        known: Some(&content(&own, &[&old], 9)),
        own: Some(own.certificate()),
        live: &live(&[&own, &old, &stranger]),
    };
    assert_eq!(found(&traces), names(&[&own]));
}

#[test]
fn all_that_was_known_and_all_that_is_trusted_may_be_in_use_where_the_secret_is_not_the_replicas() {
    let [own, known, next, trusted, foreign] = [(); 5].map(|()| authority());
    let mut before = content(&known, &[&own], 5);
    before.next = Some(next.clone());
    let put_back = content(&foreign, &[], 6);
    let replaced = Content {
        changed: None,
        ..put_back.clone()
    };
    for held in [
        None,
        Some(&Content::default()),
        Some(&replaced),
        Some(&put_back),
    ] {
        let traces = Traces {
            held,
            known: Some(&before),
            own: Some(own.certificate()),
            live: &live(&[&known, &trusted]),
        };
        let all = names(&[&own, &known, &next, &trusted]);
        assert_eq!(found(&traces), all, "{held:?}");
    }
}

#[test]
fn what_was_over_is_not_in_use_whatever_became_of_the_secret() {
    let [current, old] = [(); 2].map(|()| authority());
    let mut known = content(&current, &[&old], 5);
    known.previous_until = Some(now());
    let mut traces = Traces {
        held: None,
        known: Some(&known),
        own: None,
        live: &live(&[]),
    };
    assert_eq!(found(&traces), names(&[&current]));
    let still = Content {
        previous_until: Some(now() + SECOND),
        ..known.clone()
    };
    traces.known = Some(&still);
    assert_eq!(found(&traces), names(&[&current, &old]));
}

#[test]
fn who_has_just_begun_believes_a_secret_that_holds_all_that_the_webhooks_trust() {
    let [current, old, other] = [(); 3].map(|()| authority());
    let held = content(&current, &[&old], 5);
    let traces = |live| Traces {
        held: Some(&held),
        known: None,
        own: None,
        live,
    };
    let (same, more) = (live(&[&current, &old]), live(&[&current, &other]));
    assert_eq!(found(&traces(&same)), [""; 0]);
    assert_eq!(found(&traces(&more)), names(&[&current, &other]));
}
