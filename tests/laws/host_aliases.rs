//! H1 to H7: computes the `hostAliases` of the changed pod from the input, entry by entry.

use super::case::{Case, Run};
use super::desired::Desired;
use super::pod_model::{list, text};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// H3.
fn is_loopback(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback(),
    }
}

fn ip(entry: &Value) -> IpAddr {
    text(entry, "ip")
        .parse()
        .expect("the generator writes addresses")
}

fn hostnames(entry: &Value) -> Vec<&str> {
    list(entry, "hostnames")
        .iter()
        .filter_map(Value::as_str)
        .collect()
}

/// The owned hostnames that the pod maps to loopback addresses: they belong to the runner.
fn shadowed(pod: &Value, desired: &Desired<'_>) -> BTreeSet<String> {
    let entries = list(&pod["spec"], "hostAliases").iter();
    let names = entries
        .filter(|entry| is_loopback(ip(entry)))
        .flat_map(hostnames);
    let names = names.map(str::to_lowercase);
    // A hostname whose source has no address is unchanged, and reported, for that reason (H7).
    let has_address = |name: &String| {
        desired
            .hosts
            .get(name.as_str())
            .is_some_and(|(_, addresses)| !addresses.is_empty())
    };
    names.filter(has_address).collect()
}

/// The owned hostnames that have an address and are not shadowed.
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

/// H1: each owned hostname resolves to the policies' addresses and nothing else. Checked on the
/// output alone.
pub fn owned_hostnames_resolve(run: &Run, desired: &Desired<'_>) -> Result<(), TestCaseError> {
    for (hostname, addresses) in effective(&run.output, desired) {
        let entries = list(&run.output["spec"], "hostAliases").iter();
        let named = entries.filter(|entry| {
            hostnames(entry)
                .iter()
                .any(|name| name.to_lowercase() == *hostname)
        });
        let found: BTreeSet<IpAddr> = named.map(ip).collect();
        prop_assert_eq!(&found, addresses, "H1: {} resolves otherwise", hostname);
    }
    Ok(())
}

/// H2 to H6: the entries are those of the input without stale names, then those that are missing.
/// Returns the policies whose hostnames made a change.
pub fn all_else_stays<'c>(
    case: &Case,
    run: &Run,
    desired: &Desired<'c>,
) -> Result<BTreeSet<&'c str>, TestCaseError> {
    let (before, after) = (&case.pod["spec"], &run.output["spec"]);
    let effective = effective(&case.pod, desired);
    let mut movers = BTreeSet::new();
    let mut owner_moves = |hostname: &str| {
        let owner = desired
            .hosts
            .get_key_value(hostname)
            .map(|(_, (owner, _))| *owner);
        movers.extend(owner);
    };
    // Each entry with its remaining hostnames and the hostnames that are added to it.
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
            .for_each(|name| owner_moves(&name.to_lowercase()));
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
                owner_moves(hostname);
                continue;
            }
            let mut there: Vec<_> = there.collect();
            if !there
                .iter()
                .any(|(_, right, _)| right.iter().any(|name| name.to_lowercase() == **hostname))
            {
                there[0].2.insert(hostname);
                owner_moves(hostname);
            }
        }
    }
    if movers.is_empty() {
        prop_assert_eq!(
            before.get("hostAliases"),
            after.get("hostAliases"),
            "H4: nothing was stale or missing"
        );
        return Ok(movers);
    }
    // An entry that had no hostnames from the start is not drydock's business.
    expected.retain(|(entry, right, joining)| {
        !right.is_empty() || !joining.is_empty() || hostnames(entry).is_empty()
    });
    if expected.is_empty() && new.is_empty() {
        prop_assert_eq!(after.get("hostAliases"), None, "H2: an emptied list goes");
        return Ok(movers);
    }
    let entries = list(after, "hostAliases");
    prop_assert_eq!(
        entries.len(),
        expected.len() + new.len(),
        "H5: entries, {:?} expected, {:?} new",
        &expected,
        &new
    );
    for ((entry, right, joining), found) in expected.iter().zip(entries) {
        if joining.is_empty() && right.len() == hostnames(entry).len() {
            prop_assert_eq!(*entry, found, "H4: an entry that is right stays");
        }
        prop_assert_eq!(
            without_hostnames(entry),
            without_hostnames(found),
            "H6: never respelled"
        );
        let names = hostnames(found);
        prop_assert!(
            names.len() >= right.len() && names[..right.len()] == right[..],
            "H4: {:?} lost a name or its order",
            found
        );
        let added: Vec<&str> = names[right.len()..].to_vec();
        prop_assert_eq!(
            added.len(),
            joining.len(),
            "H5: each missing name joins once: {:?}",
            found
        );
        prop_assert_eq!(
            &added.into_iter().collect::<BTreeSet<_>>(),
            joining,
            "H5: {:?}",
            found
        );
    }
    for found in &entries[expected.len()..] {
        let address = ip(found);
        let names: BTreeSet<&str> = hostnames(found).into_iter().collect();
        prop_assert_eq!(
            new.remove(&address),
            Some(names),
            "H5: one new entry per address"
        );
        prop_assert_eq!(text(found, "ip"), address.to_string(), "H6: canonical form");
        prop_assert_eq!(
            found.as_object().unwrap().len(),
            2,
            "H5: an entry has an address and hostnames"
        );
    }
    Ok(movers)
}

fn without_hostnames(entry: &Value) -> Value {
    let mut entry = entry.clone();
    entry.as_object_mut().unwrap().remove("hostnames");
    entry
}

/// H3 and T2: a shadowed hostname is reported to the author.
pub fn shadowed_hostnames_are_told(
    case: &Case,
    run: &Run,
    desired: &Desired<'_>,
) -> Result<(), TestCaseError> {
    for hostname in shadowed(&case.pod, desired) {
        let is_told = run
            .told
            .iter()
            .any(|note| note.starts_with("H3") && note.contains(&hostname));
        prop_assert!(
            is_told,
            "H3: {} is shadowed and nobody is told: {:?}",
            hostname,
            run.told
        );
    }
    Ok(())
}
