//! Computes the expected `hostAliases` of the changed pod, entry by entry (rules H1 to H7).

use super::case::{Case, Run};
use super::desired::Desired;
use super::pod_model::{list, text};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

fn is_loopback(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback(),
    }
}

fn ip(entry: &Value) -> IpAddr {
    text(entry, "ip")
        .parse()
        .expect("a generated address is not valid")
}

fn hostnames(entry: &Value) -> Vec<&str> {
    list(entry, "hostnames")
        .iter()
        .filter_map(Value::as_str)
        .collect()
}

/// Returns the hostnames of policies that the pod maps to loopback addresses. They are services of
/// the job, so drydock must not change them (rule H3).
fn shadowed(pod: &Value, desired: &Desired<'_>) -> BTreeSet<String> {
    let entries = list(&pod["spec"], "hostAliases").iter();
    let names = entries
        .filter(|entry| is_loopback(ip(entry)))
        .flat_map(hostnames);
    let names = names.map(str::to_lowercase);
    // A hostname whose source has no address is unchanged and reported because of rule H7.
    let has_address = |name: &String| {
        desired
            .hosts
            .get(name.as_str())
            .is_some_and(|(_, addresses)| !addresses.is_empty())
    };
    names.filter(has_address).collect()
}

/// Returns the hostnames of policies that have an address and are not services of the job.
fn effective<'w>(pod: &Value, desired: &'w Desired<'_>) -> BTreeMap<&'w str, &'w BTreeSet<IpAddr>> {
    let shadowed = shadowed(pod, desired);
    let hosts = desired
        .hosts
        .iter()
        .filter(|(name, (_, addresses))| !addresses.is_empty() && !shadowed.contains(**name));
    hosts
        .map(|(name, (_, addresses))| (*name, addresses))
        .collect()
}

/// Each hostname of a policy has exactly the policy's addresses in the changed pod (rule H1).
pub fn owned_hostnames_resolve(run: &Run, desired: &Desired<'_>) -> Result<(), TestCaseError> {
    for (hostname, addresses) in effective(&run.output, desired) {
        let entries = list(&run.output["spec"], "hostAliases").iter();
        let named = entries.filter(|entry| {
            hostnames(entry)
                .iter()
                .any(|name| name.to_lowercase() == *hostname)
        });
        let found: BTreeSet<IpAddr> = named.map(ip).collect();
        prop_assert_eq!(&found, addresses, "{} has other addresses (H1)", hostname);
    }
    Ok(())
}

/// The entries of the changed pod are the original ones without stale hostnames, followed by the
/// missing ones (rules H2 to H6). Returns the policies whose hostnames caused a change.
pub fn other_entries_are_unchanged<'c>(
    case: &Case,
    run: &Run,
    desired: &Desired<'c>,
) -> Result<BTreeSet<&'c str>, TestCaseError> {
    let (before, after) = (&case.pod["spec"], &run.output["spec"]);
    let effective = effective(&case.pod, desired);
    let mut changing_policies = BTreeSet::new();
    let mut owner_changes = |hostname: &str| {
        let owner = desired
            .hosts
            .get_key_value(hostname)
            .map(|(_, (owner, _))| *owner);
        changing_policies.extend(owner);
    };
    // Each original entry, the hostnames that it keeps, and the hostnames that are added to it.
    let mut expected: Vec<(&Value, Vec<&str>, BTreeSet<&str>)> = Vec::new();
    for entry in list(before, "hostAliases") {
        let address = ip(entry);
        let is_right = |name: &&str| {
            is_loopback(address)
                || effective
                    .get(name.to_lowercase().as_str())
                    .is_none_or(|addresses| addresses.contains(&address))
        };
        let (right, stale): (Vec<&str>, Vec<&str>) =
            hostnames(entry).into_iter().partition(is_right);
        stale
            .iter()
            .for_each(|name| owner_changes(&name.to_lowercase()));
        expected.push((entry, right, BTreeSet::new()));
    }
    let mut new: BTreeMap<IpAddr, BTreeSet<&str>> = BTreeMap::new();
    for (hostname, addresses) in &effective {
        for address in *addresses {
            let mut there = expected
                .iter_mut()
                .filter(|(entry, ..)| ip(entry) == *address)
                .peekable();
            if there.peek().is_none() {
                new.entry(*address).or_default().insert(hostname);
                owner_changes(hostname);
                continue;
            }
            let mut there: Vec<_> = there.collect();
            if !there
                .iter()
                .any(|(_, right, _)| right.iter().any(|name| name.to_lowercase() == **hostname))
            {
                there[0].2.insert(hostname);
                owner_changes(hostname);
            }
        }
    }
    if changing_policies.is_empty() {
        prop_assert_eq!(
            before.get("hostAliases"),
            after.get("hostAliases"),
            "changed although no hostname was stale or missing (H4)"
        );
        return Ok(changing_policies);
    }
    // drydock keeps entries that had no hostnames in the original pod.
    expected.retain(|(entry, right, joining)| {
        !right.is_empty() || !joining.is_empty() || hostnames(entry).is_empty()
    });
    if expected.is_empty() && new.is_empty() {
        prop_assert_eq!(
            after.get("hostAliases"),
            None,
            "the empty list was not removed (H2)"
        );
        return Ok(changing_policies);
    }
    let entries = list(after, "hostAliases");
    prop_assert_eq!(
        entries.len(),
        expected.len() + new.len(),
        "wrong number of entries (H5): expected {:?} and new {:?}",
        &expected,
        &new
    );
    for ((entry, right, joining), found) in expected.iter().zip(entries) {
        if joining.is_empty() && right.len() == hostnames(entry).len() {
            prop_assert_eq!(
                *entry,
                found,
                "an entry without stale hostnames changed (H4)"
            );
        }
        prop_assert_eq!(
            without_hostnames(entry),
            without_hostnames(found),
            "fields other than hostnames changed (H6)"
        );
        let names = hostnames(found);
        prop_assert!(
            names.len() >= right.len() && names[..right.len()] == right[..],
            "{:?} lost a hostname or its order (H4)",
            found
        );
        let added: Vec<&str> = names[right.len()..].to_vec();
        prop_assert_eq!(
            added.len(),
            joining.len(),
            "a missing hostname was not added exactly once (H5): {:?}",
            found
        );
        prop_assert_eq!(
            &added.into_iter().collect::<BTreeSet<_>>(),
            joining,
            "wrong hostnames were added (H5): {:?}",
            found
        );
    }
    for found in &entries[expected.len()..] {
        let address = ip(found);
        let names: BTreeSet<&str> = hostnames(found).into_iter().collect();
        prop_assert_eq!(
            new.remove(&address),
            Some(names),
            "not one new entry for each address (H5)"
        );
        prop_assert_eq!(
            text(found, "ip"),
            address.to_string(),
            "the address is not in canonical form (H6)"
        );
        prop_assert_eq!(
            found.as_object().unwrap().len(),
            2,
            "a new entry has other fields than ip and hostnames (H5)"
        );
    }
    Ok(changing_policies)
}

fn without_hostnames(entry: &Value) -> Value {
    let mut entry = entry.clone();
    entry.as_object_mut().unwrap().remove("hostnames");
    entry
}

/// A hostname of a policy that is a service of the job is reported to the author (rules H3, T2).
pub fn shadowed_hostnames_are_reported(
    case: &Case,
    run: &Run,
    desired: &Desired<'_>,
) -> Result<(), TestCaseError> {
    for hostname in shadowed(&case.pod, desired) {
        let is_reported = run
            .findings
            .iter()
            .any(|note| note.starts_with("H3") && note.contains(&hostname));
        prop_assert!(
            is_reported,
            "{} is a service of the job, which is not reported (H3): {:?}",
            hostname,
            run.findings
        );
    }
    Ok(())
}
