//! Tests of the state after a policy becomes invalid (rule F3) or an address source is deleted
//! (rule H7).

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod stored;

use super::{Effect, Store};
use crate::cluster::address_source::SourceObservation;
use crate::cluster::status::differences;
use crate::core::crd::JobPodPolicyStatus;
use crate::core::policy::{AddressSource, ResolvedAddresses};
use crate::telemetry::metrics::{PolicyState, SourceState};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const FIXED: &str = r#"{"hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a.lab.com"]}]}"#;
const LIVE: &str = r#"{"hostAliases": [{"from": {"ingress": {"namespace": "cicd", "name": "web"}}, "hostnames": ["a.lab.com"]}]}"#;
const OF_RULES: &str = r#"{"hostAliases": [{"from": {"ingress": {"namespace": "cicd", "name": "web", "hostnameSuffixes": ["lab.com"]}}}]}"#;
const BAD: &str = r#"{"hostAliases": [{"ip": "10.0.0", "hostnames": ["a.lab.com"]}]}"#;

fn object(name: &str, uid: &str, generation: i64, spec: &str) -> Value {
    json!({
        "apiVersion": "drydock.dev/v1alpha1",
        "kind": "JobPodPolicy",
        "metadata": {"name": name, "uid": uid, "generation": generation, "resourceVersion": "7", "managedFields": []},
        "spec": serde_json::from_str::<Value>(spec).unwrap(),
    })
}

impl Store {
    fn put(&mut self, object: Value) -> Effect {
        self.apply(serde_json::from_value(object).unwrap())
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn web() -> AddressSource {
    "ingress/cicd/web".parse().unwrap()
}

fn has(addresses: &[&str]) -> SourceObservation {
    let live: ResolvedAddresses = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
    SourceObservation::Resolved(live)
}

/// Returns the labels of the policies in force, as in `a@1`.
fn labels(store: &Store) -> Vec<String> {
    store
        .policy_set()
        .policies()
        .map(|policy| policy.versioned_name.clone())
        .collect()
}

/// Writes the statuses that differ to `objects`, as the API server would. Returns their number.
fn write(store: &mut Store, objects: &mut BTreeMap<String, Value>, now: Timestamp) -> usize {
    let differences = differences(store, now);
    for (name, status) in &differences {
        let object = objects.get_mut(name).unwrap();
        object["status"] = serde_json::to_value(status).unwrap();
        assert_eq!(
            store.put(object.clone()),
            Effect::Status,
            "a status must not change the policies in force"
        );
    }
    differences.len()
}

fn condition(status: &JobPodPolicyStatus, type_: &str) -> (String, String, String) {
    let found = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == type_)
        .unwrap();
    (
        found.status.clone(),
        found.reason.clone(),
        found.message.clone(),
    )
}

fn state(status: &str, reason: &str, message: &str) -> (String, String, String) {
    (status.to_owned(), reason.to_owned(), message.to_owned())
}

#[test]
fn f3_the_last_good_version_of_an_invalid_policy_stays_in_force() {
    let mut store = Store::default();
    assert_eq!(store.put(object("a", "u", 1, FIXED)), Effect::Policies);
    assert_eq!(
        store.put(object("a", "u", 1, FIXED)),
        Effect::None,
        "nothing has changed"
    );
    assert_eq!(store.put(object("a", "u", 2, BAD)), Effect::Policies);
    assert_eq!(store.put(object("b", "v", 1, FIXED)), Effect::Policies);
    assert_eq!(labels(&store), ["a@1", "b@1"]);
    let status = differences(&store, at(0)).remove("a").unwrap();
    assert_eq!(status.observed_generation, Some(2));
    let message = "generation 1 stays in force, because spec.hostAliases[0].ip is \"10.0.0\", not an IP address; write it as in 10.0.0.232 or fd00::232, without port or zone";
    assert_eq!(
        condition(&status, "Accepted"),
        state("False", "Invalid", message)
    );
    let policies = [
        (PolicyState::Loaded, 2),
        (PolicyState::Refused, 1),
        (PolicyState::Unreadable, 0),
    ];
    assert_eq!(store.policy_counts(), policies);
    let sources = [
        (SourceState::Resolved, 0),
        (SourceState::Stale, 0),
        (SourceState::Unresolved, 0),
    ];
    assert_eq!(store.source_counts(), sources);
    assert_eq!(store.put(object("a", "u", 3, FIXED)), Effect::Policies);
    assert_eq!(labels(&store), ["a@3", "b@1"]);
}

#[test]
fn f3_an_invalid_policy_is_unreadable_from_when_another_version_accepts_it() {
    let mut store = Store::default();
    let mut object = object("a", "u", 1, r#"{"hostAliases": [], "future": "x"}"#);
    assert_eq!(store.put(object.clone()), Effect::Policies);
    assert!(store.unreadable().is_empty(), "no version has accepted it");
    for (status, count) in [("True", 1), ("False", 0)] {
        object["status"] = json!({"conditions": [{
            "type": "Accepted", "status": status, "reason": "r", "message": "m",
            "observedGeneration": 1, "lastTransitionTime": "2026-11-21T12:00:00Z",
        }]});
        assert_eq!(store.put(object.clone()), Effect::Policies);
        assert_eq!(store.unreadable().len(), count);
        assert_eq!(store.put(object.clone()), Effect::None);
    }
}

#[test]
fn f3_a_policy_that_was_deleted_and_created_has_no_last_good_version() {
    let mut store = Store::default();
    store.put(object("a", "u", 1, FIXED));
    store.put(object("a", "another", 1, BAD));
    assert_eq!(labels(&store), Vec::<String>::new());
    let status = differences(&store, at(0)).remove("a").unwrap();
    let (_, _, message) = condition(&status, "Accepted");
    assert!(
        message.starts_with("no version of the policy is in force, because "),
        "{message}"
    );
}

#[test]
fn a_deleted_policy_is_not_in_force() {
    let mut store = Store::default();
    for name in ["a", "b", "c"] {
        store.put(object(name, name, 1, FIXED));
    }
    assert_eq!(store.delete("a"), Effect::Policies);
    assert_eq!(store.delete("a"), Effect::None);
    assert_eq!(store.retain(&["b".to_owned()].into()), Effect::Policies);
    assert_eq!(store.retain(&["b".to_owned()].into()), Effect::None);
    assert_eq!(labels(&store), ["b@1"]);
}

#[test]
fn h7_the_last_known_address_stays_in_use_and_is_stale() {
    let mut store = Store::default();
    let mut objects = BTreeMap::from([("a".to_owned(), object("a", "u", 1, LIVE))]);
    store.put(objects["a"].clone());
    assert_eq!(store.update_sources(), [web()].into());
    assert!(!store.all_observed());
    assert_eq!(
        store.observe(&web(), has(&["10.0.0.216"]), at(1)),
        Effect::Policies
    );
    assert_eq!(
        store.observe(&web(), has(&["10.0.0.216"]), at(2)),
        Effect::None
    );
    assert!(store.all_observed());
    assert_eq!(write(&mut store, &mut objects, at(3)), 1);
    assert_eq!(
        write(&mut store, &mut objects, at(4)),
        0,
        "the same status is written twice"
    );
    let status = &objects["a"]["status"];
    let expected = json!([{"source": "ingress/cicd/web", "addresses": ["10.0.0.216"], "since": "2027-01-15T08:00:01Z", "stale": false}]);
    assert_eq!(status["addresses"], expected);

    assert_eq!(
        store.observe(&web(), SourceObservation::Missing, at(9)),
        Effect::Policies
    );
    let status = differences(&store, at(10)).remove("a").unwrap();
    let message =
        "ingress/cicd/web does not exist; its last known address stays in use: 10.0.0.216";
    assert_eq!(
        condition(&status, "AddressesResolved"),
        state("False", "Stale", message)
    );
    assert!(status.addresses[0].stale);
    assert_eq!(store.source_counts()[1], (SourceState::Stale, 1));
    write(&mut store, &mut objects, at(10));

    // For a new replica, the object is missing, but the status has its address.
    let mut after = Store::default();
    after.put(objects["a"].clone());
    after.update_sources();
    after.observe(&web(), SourceObservation::Missing, at(20));
    assert_eq!(
        differences(&after, at(21)),
        BTreeMap::new(),
        "replicas compute different statuses"
    );

    assert_eq!(
        after.observe(&web(), has(&["10.0.0.232"]), at(30)),
        Effect::Policies
    );
    write(&mut after, &mut objects, at(31));
    let expected = json!([{"source": "ingress/cicd/web", "addresses": ["10.0.0.232"], "since": "2027-01-15T08:00:30Z", "stale": false}]);
    assert_eq!(objects["a"]["status"]["addresses"], expected);
}

#[test]
fn h7_the_status_reports_a_source_that_never_had_an_address() {
    let mut store = Store::default();
    store.put(object("a", "u", 1, LIVE));
    store.update_sources();
    let problem = "has only the hostname lb.example.com";
    store.observe(
        &web(),
        SourceObservation::NoAddress(Vec::new(), problem.to_owned()),
        at(0),
    );
    let status = differences(&store, at(0)).remove("a").unwrap();
    let message = "ingress/cicd/web has only the hostname lb.example.com; drydock adds no hostAliases for its hostnames";
    assert_eq!(
        condition(&status, "AddressesResolved"),
        state("False", "NoAddress", message)
    );
    assert_eq!(store.source_counts()[2], (SourceState::Unresolved, 1));
}

#[test]
fn h7_the_hostnames_of_the_rules_are_updated() {
    let mut store = Store::default();
    store.put(object("a", "u", 1, OF_RULES));
    store.update_sources();
    let seen = |hostname: &str| {
        SourceObservation::Resolved(ResolvedAddresses {
            addresses: vec!["10.0.0.1".parse().unwrap()],
            hostnames: vec![hostname.to_owned()],
        })
    };
    assert_eq!(
        store.observe(&web(), seen("a.lab.com"), at(0)),
        Effect::Policies
    );
    assert_eq!(
        store.observe(&web(), seen("b.lab.com"), at(0)),
        Effect::Policies
    );
    let status = differences(&store, at(0)).remove("a").unwrap();
    assert_eq!(status.addresses[0].hostnames, ["b.lab.com"]);
    let set = store.policy_set();
    let namespace = crate::core::policy::set::Namespace {
        name: "ci",
        labels: None,
    };
    let matching = set.matching(|_| None, namespace);
    let hosts: Vec<&str> = matching
        .enforce
        .hosts
        .iter()
        .map(|(_, host)| host.hostname.as_str())
        .collect();
    assert_eq!(hosts, ["b.lab.com"]);
}

#[test]
fn h7_the_status_names_the_hostnames_that_match_no_suffix() {
    let mut store = Store::default();
    store.put(object("a", "u", 1, OF_RULES));
    store.update_sources();
    let seen = |hostnames: &[&str]| {
        SourceObservation::Resolved(ResolvedAddresses {
            addresses: vec!["10.0.0.1".parse().unwrap()],
            hostnames: hostnames.iter().map(ToString::to_string).collect(),
        })
    };
    store.observe(
        &web(),
        seen(&["github.com", "a.lab.com", "evillab.com"]),
        at(0),
    );
    let status = differences(&store, at(0)).remove("a").unwrap();
    assert_eq!(status.addresses[0].hostnames, ["a.lab.com"]);
    let message = "drydock ignores these hostnames in the rules of ingress/cicd/web, because they match none of the hostnameSuffixes: github.com, evillab.com";
    assert_eq!(
        condition(&status, "HostnamesTaken"),
        state("False", "Refused", message)
    );
    let set = store.policy_set();
    let hosts = set.matching(
        |_| None,
        crate::core::policy::set::Namespace {
            name: "ci",
            labels: None,
        },
    );
    let hosts = hosts
        .enforce
        .hosts
        .iter()
        .map(|(_, host)| host.hostname.as_str());
    assert_eq!(hosts.collect::<Vec<_>>(), ["a.lab.com"]);
    let many: Vec<String> = (0..70).map(|number| format!("h{number}.lab.com")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    store.observe(&web(), seen(&many), at(0));
    let status = differences(&store, at(0)).remove("a").unwrap();
    assert_eq!(status.addresses[0].hostnames.len(), 64);
    let message = "drydock ignores these hostnames in the rules of ingress/cicd/web, because they exceed the limit: h64.lab.com, h65.lab.com, h66.lab.com, h67.lab.com, h68.lab.com and 1 more";
    assert_eq!(
        condition(&status, "HostnamesTaken"),
        state("False", "Refused", message)
    );
    store.observe(&web(), seen(&["a.lab.com"]), at(0));
    let status = differences(&store, at(0)).remove("a").unwrap();
    assert_eq!(condition(&status, "HostnamesTaken").0, "True");
}

#[test]
fn h7_the_hostnames_of_the_rules_survive_a_restart_even_if_another_policy_uses_the_source() {
    let seen = || {
        SourceObservation::Resolved(ResolvedAddresses {
            addresses: vec!["10.0.0.1".parse().unwrap()],
            hostnames: vec!["b.lab.com".to_owned()],
        })
    };
    let mut objects = BTreeMap::from([
        ("lists".to_owned(), object("lists", "u", 1, LIVE)),
        ("of-rules".to_owned(), object("of-rules", "v", 1, OF_RULES)),
    ]);
    let know = |objects: &BTreeMap<String, Value>, seen| {
        let mut store = Store::default();
        for object in objects.values() {
            store.put(object.clone());
        }
        store.update_sources();
        store.observe(&web(), seen, at(0));
        store
    };
    let mut before = know(&objects, seen());
    assert_eq!(write(&mut before, &mut objects, at(1)), 2);
    let after = know(&objects, SourceObservation::Missing);
    let live = &after.source(&web()).unwrap().live;
    assert_eq!(live.hostnames, ["b.lab.com"]);
}

#[test]
fn a_source_that_no_policy_uses_any_more_is_removed() {
    let mut store = Store::default();
    store.put(object("a", "u", 1, LIVE));
    store.update_sources();
    store.observe(&web(), has(&["10.0.0.1"]), at(0));
    store.put(object("a", "u", 2, FIXED));
    assert!(store.update_sources().is_empty());
    assert_eq!(
        store.observe(&web(), has(&["10.0.0.2"]), at(1)),
        Effect::None
    );
    assert!(store.source(&web()).is_none());
}

#[test]
fn m4_the_status_of_an_overridden_policy_names_the_policy_of_higher_rank() {
    let mut store = Store::default();
    let mut first = object("a", "u", 1, FIXED);
    first["spec"]["priority"] = json!(7);
    store.put(first);
    let spec = FIXED.replace("10.0.0.1", "10.0.0.2");
    store.put(object("b", "v", 1, &spec));
    let statuses = differences(&store, at(0));
    let message =
        "for pods that both policies match, policy \"a\" (priority 7) decides hostname a.lab.com";
    assert_eq!(
        condition(&statuses["b"], "Conflicting"),
        state("True", "HigherRank", message)
    );
    assert_eq!(condition(&statuses["a"], "Conflicting").0, "False");
}

#[test]
fn a_condition_keeps_its_time_until_its_status_changes() {
    let mut store = Store::default();
    let mut objects = BTreeMap::from([("a".to_owned(), object("a", "u", 1, FIXED))]);
    store.put(objects["a"].clone());
    write(&mut store, &mut objects, at(0));
    let time = |objects: &BTreeMap<String, Value>| {
        objects["a"]["status"]["conditions"][0]["lastTransitionTime"].clone()
    };
    let first = time(&objects);
    let mut changed = object("a", "u", 2, FIXED);
    changed["status"] = objects["a"]["status"].clone();
    objects.insert("a".to_owned(), changed.clone());
    store.put(changed);
    assert_eq!(write(&mut store, &mut objects, at(60)), 1);
    assert_eq!(time(&objects), first);
    let mut bad = object("a", "u", 3, BAD);
    bad["status"] = objects["a"]["status"].clone();
    objects.insert("a".to_owned(), bad.clone());
    store.put(bad);
    write(&mut store, &mut objects, at(120));
    assert_ne!(time(&objects), first);
}
