//! Tests of policies that were stored before `hostnameSuffixes` was required (rules F5 and H7).

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

use super::*;

/// Returns a policy without `hostnameSuffixes`, with the hostnames that its status records.
fn without_suffixes(recorded: &[&str]) -> Value {
    let spec = OF_RULES.replace(", \"hostnameSuffixes\": [\"lab.com\"]", "");
    let mut object = object("a", "u", 1, &spec);
    object["status"]["addresses"] =
        json!([{"source": "ingress/cicd/web", "addresses": ["10.0.0.1"], "hostnames": recorded}]);
    object
}

fn rules(hostnames: &[&str]) -> SourceObservation {
    SourceObservation::Resolved(ResolvedAddresses {
        addresses: vec!["10.0.0.1".parse().unwrap()],
        hostnames: hostnames.iter().map(ToString::to_string).collect(),
    })
}

/// Returns the hostnames of the `hostAliases` of job pods.
fn hosts(store: &Store) -> Vec<String> {
    let set = store.policy_set();
    let namespace = crate::core::policy::set::Namespace {
        name: "ci",
        labels: None,
    };
    let matching = set.matching(|_| None, namespace);
    let hosts = matching.enforce.hosts.iter();
    hosts.map(|(_, host)| host.hostname.clone()).collect()
}

#[test]
fn f5_h7_a_stored_policy_without_suffixes_keeps_its_hostnames_and_takes_no_others() {
    let stored = without_suffixes(&["a.lab.com", "b.lan"]);
    let mut store = Store::default();
    store.put(stored.clone());
    store.update_sources();
    // The Ingress has not been observed yet.
    assert_eq!(hosts(&store), ["a.lab.com", "b.lan"]);
    let of_rules = rules(&["a.lab.com", "github.com", "x.b.lan", "b.lan"]);
    store.observe(&web(), of_rules.clone(), at(0));
    assert_eq!(hosts(&store), ["a.lab.com", "b.lan"]);
    let mut objects = BTreeMap::from([("a".to_owned(), stored)]);
    assert_eq!(write(&mut store, &mut objects, at(0)), 1);
    let status: JobPodPolicyStatus =
        serde_json::from_value(objects["a"]["status"].clone()).unwrap();
    assert_eq!(condition(&status, "Accepted").0, "True");
    let message = "a hostAliases entry for ingress/cicd/web has no hostnameSuffixes, so drydock takes no new hostnames from the rules of this Ingress; add from.ingress.hostnameSuffixes. drydock ignores these hostnames in the rules of ingress/cicd/web, because they are not in the policy's status.addresses: github.com, x.b.lan";
    assert_eq!(
        condition(&status, "HostnamesTaken"),
        state("False", "NoSuffixes", message)
    );

    let mut restarted = Store::default();
    restarted.put(objects["a"].clone());
    restarted.update_sources();
    restarted.observe(&web(), of_rules, at(0));
    assert_eq!(hosts(&restarted), ["a.lab.com", "b.lan"]);
    assert!(differences(&restarted, at(60)).is_empty());

    // With `hostnameSuffixes`, the recorded hostnames no longer count.
    let mut edited = object("a", "u", 2, OF_RULES);
    edited["status"] = objects["a"]["status"].clone();
    restarted.put(edited);
    restarted.observe(&web(), rules(&["c.lab.com", "b.lan"]), at(0));
    assert_eq!(hosts(&restarted), ["c.lab.com"]);
}

#[test]
fn f5_h7_every_replica_takes_a_recorded_hostname_again_when_the_rules_have_it_again() {
    let mut stored = without_suffixes(&["a.lab.com", "b.lab.com"]);
    let mut first = Store::default();
    first.put(stored.clone());
    first.update_sources();
    first.observe(&web(), rules(&["a.lab.com"]), at(0));
    let mut written = |store: &mut Store, others: &mut [&mut Store]| {
        let status = differences(store, at(0)).remove("a");
        if let Some(status) = status {
            stored["status"] = serde_json::to_value(status).unwrap();
            store.put(stored.clone());
            for other in others {
                other.put(stored.clone());
            }
        }
        stored.clone()
    };
    // For a replica that starts now, the status has only one hostname.
    let object = written(&mut first, &mut []);
    let mut second = Store::default();
    second.put(object);
    second.update_sources();
    for store in [&mut first, &mut second] {
        store.observe(&web(), rules(&["a.lab.com", "b.lab.com"]), at(0));
    }
    written(&mut first, &mut [&mut second]);
    assert_eq!(hosts(&first), ["a.lab.com", "b.lab.com"]);
    assert_eq!(hosts(&second), hosts(&first));
    assert!(differences(&first, at(0)).is_empty());
    assert!(differences(&second, at(0)).is_empty(), "they differ");
    // Clearing the status removes no hostname.
    let spec_only = without_suffixes(&[]);
    first.put(spec_only);
    assert_eq!(hosts(&first), ["a.lab.com", "b.lab.com"]);
}

#[test]
fn h7_a_policy_without_suffixes_and_without_a_record_takes_nothing_and_reports_it() {
    let mut store = Store::default();
    store.put(without_suffixes(&[]));
    store.put(object("b", "v", 1, FIXED));
    store.update_sources();
    store.observe(&web(), rules(&["github.com"]), at(0));
    assert_eq!(labels(&store), ["a@1", "b@1"]);
    assert_eq!(
        hosts(&store),
        ["a.lab.com"],
        "only that of the other policy"
    );
    let status = differences(&store, at(0)).remove("a").unwrap();
    assert_eq!(condition(&status, "HostnamesTaken").1, "NoSuffixes");
    // Another object with the same name does not get the recorded hostnames.
    let mut store = Store::default();
    store.put(without_suffixes(&["a.lab.com"]));
    let mut another = without_suffixes(&[]);
    another["metadata"]["uid"] = "another".into();
    store.put(another);
    store.update_sources();
    store.observe(&web(), rules(&["a.lab.com"]), at(0));
    assert!(hosts(&store).is_empty());
    assert!(crate::core::policy::read_object(without_suffixes(&["a.lab.com"])).is_err());
}
