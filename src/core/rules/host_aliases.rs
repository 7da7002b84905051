//! Host aliases: the hostnames of a policy resolve to the policy's addresses (rules H1 to H8).
//!
//! # What it does
//! Removes a policy's hostname from each entry with another address, and adds it to the entry of
//! each address of the policy.
//!
//! # Why
//! The `host_aliases` of a runner are static: after the address of a load balancer changes, every
//! job of every runner uses the old address (incident 003 in `tests/incidents.rs`). Adding an entry
//! is not enough: `/etc/hosts` is read from the top, and some resolvers return both addresses.
//!
//! # Example
//! Policy: `10.0.0.232 gitlab.mylab.com registry.mylab.com`.
//! ```text
//! 127.0.0.1   docker                               127.0.0.1   docker
//! 10.0.0.216  gitlab.mylab.com nexus.mylab.com ─►  10.0.0.216  nexus.mylab.com
//!                                                  10.0.0.232  gitlab.mylab.com registry.mylab.com
//! ```
//!
//! # When it does nothing
//! - A loopback entry has the hostname, so the hostname is a service of the job (H3).
//! - The Service, Ingress or Gateway of the hostname has no address (H7).
//!
//! Equal addresses can have different spellings; the spelling in the pod stays (H6). Pods with
//! `hostNetwork` are no exception: the kubelet appends the aliases to a copy of the node's file
//! (H8).

use super::Planner;
use super::change::Action;
use super::finding::FindingKind;
use crate::core::pod::{HostAlias, text};
use crate::core::policy::set::{Host, Requested};
use crate::core::policy::{Desired, Policy};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

pub(super) fn plan<'a>(planner: &mut Planner<'_, 'a>, desired: &Desired<'a>) {
    for (policy, source) in &desired.ingresses_without_hostnames {
        planner.report(policy, FindingKind::SourceWithoutHostnames(source));
    }
    let first = desired.policies.first();
    let Some(first) = first.filter(|_| !desired.hosts.is_empty()) else {
        return;
    };
    let mut comparison = Comparison::new(&desired.hosts);
    comparison.read(planner.pod.host_aliases());
    for host in &comparison.hosts {
        let hostname = host.desired.hostname.as_str();
        if let Some(source) = host.desired.unresolved.first() {
            let kind = FindingKind::SourceWithoutAddress(hostname, source);
            planner.report(host.policy, kind);
        } else if host.is_shadowed {
            planner.report(host.policy, FindingKind::HostnameShadowed(hostname));
        }
    }
    let before = planner.plan.changes.len();
    let missing = comparison.missing();
    let emptied = drop_stale(planner, &comparison, &missing);
    for ((ip, policy), hostnames) in missing {
        add(
            planner,
            policy,
            &mut comparison.first_entries,
            ip,
            hostnames,
        );
    }
    // Entries are removed from the last to the first, so that the indices stay valid. The list does
    // not become empty: the entry with the policy's address remains.
    for (policy, action) in emptied.into_iter().rev() {
        planner.change(policy, action);
    }
    if planner.plan.changes.len() == before {
        planner.report(first, FindingKind::HostAliasesCorrect);
    }
}

/// The comparison of the pod's entries with the hostnames of the policies. It takes one pass,
/// because policies can have a thousand hostnames and a pod can have thousands.
struct Comparison<'a> {
    /// The hosts of the policies, in the order of the policies.
    hosts: Vec<ComparedHost<'a>>,
    /// The index in `hosts` of each hostname.
    by_hostname: BTreeMap<&'a str, usize>,
    /// The first entry with each address.
    first_entries: BTreeMap<IpAddr, usize>,
    /// The index and the address of each entry that may have a stale hostname.
    suspects: Vec<(usize, Option<IpAddr>)>,
}

struct ComparedHost<'a> {
    policy: &'a Policy,
    desired: &'a Host,
    /// Whether a loopback entry has the hostname (H3).
    is_shadowed: bool,
    /// The policy's addresses for which the pod has an entry with the hostname.
    found: Vec<IpAddr>,
}

impl ComparedHost<'_> {
    /// Returns whether the hostname must resolve to the policy's addresses only.
    fn is_owned(&self) -> bool {
        self.desired.unresolved.is_empty() && !self.is_shadowed
    }
}

impl<'a> Comparison<'a> {
    fn new(hosts: &[Requested<'a, Host>]) -> Self {
        let names = hosts.iter().map(|(_, host)| host.hostname.as_str());
        Self {
            by_hostname: names.zip(0..).collect(),
            hosts: hosts
                .iter()
                .map(|(policy, desired)| ComparedHost {
                    policy,
                    desired,
                    is_shadowed: false,
                    found: Vec::new(),
                })
                .collect(),
            first_entries: BTreeMap::new(),
            suspects: Vec::new(),
        }
    }

    fn read(&mut self, aliases: &[HostAlias<'_>]) {
        for (entry, alias) in aliases.iter().enumerate() {
            // `None` if the address is invalid. Then every policy hostname in the entry is stale.
            let address: Option<IpAddr> = text(&alias.ip).parse().ok();
            if let Some(ip) = address {
                self.first_entries.entry(ip).or_insert(entry);
            }
            let mut is_suspect = false;
            for name in alias.hostnames.iter().flatten() {
                let index = self.index_of(name);
                let Some(host) = index.and_then(|index| self.hosts.get_mut(index)) else {
                    continue;
                };
                match address {
                    Some(ip) if ip.is_loopback() => host.is_shadowed = true,
                    Some(ip) if host.desired.addresses.contains(&ip) => {
                        if !host.found.contains(&ip) {
                            host.found.push(ip);
                        }
                    }
                    _ => is_suspect = true,
                }
            }
            if is_suspect {
                self.suspects.push((entry, address));
            }
        }
    }

    /// Returns the index in `hosts` of a hostname of the pod, ignoring case. Hostnames of policies
    /// are lower case.
    fn index_of(&self, name: &str) -> Option<usize> {
        let has_upper_case = name.bytes().any(|byte| byte.is_ascii_uppercase());
        let lower_case = has_upper_case.then(|| name.to_ascii_lowercase());
        self.by_hostname
            .get(lower_case.as_deref().unwrap_or(name))
            .copied()
    }

    /// Returns the policy of a hostname if the hostname is stale in an entry with this address.
    fn owner_if_stale(&self, name: &str, address: Option<IpAddr>) -> Option<&'a Policy> {
        let host = self.hosts.get(self.index_of(name)?)?;
        let is_correct = address.is_some_and(|ip| host.desired.addresses.contains(&ip));
        (host.is_owned() && !is_correct).then_some(host.policy)
    }

    /// Returns, for each address and policy, the hostnames that have no entry with the address.
    fn missing(&self) -> Vec<((IpAddr, &'a Policy), Vec<&'a str>)> {
        let hosts = self.hosts.iter().filter(|host| host.is_owned());
        grouped(hosts.flat_map(|host| {
            let is_missing = |ip: &&IpAddr| !host.found.contains(ip);
            let addresses = host.desired.addresses.iter().filter(is_missing);
            addresses.map(|ip| ((*ip, host.policy), host.desired.hostname.as_str()))
        }))
    }
}

/// Removes stale hostnames from the pod's entries. If no hostname would remain in an entry, the
/// entry must be removed: returns the actions that do so, in the order of the entries.
fn drop_stale<'a>(
    planner: &mut Planner<'_, 'a>,
    comparison: &Comparison<'a>,
    missing: &[((IpAddr, &'a Policy), Vec<&'a str>)],
) -> Vec<(&'a Policy, Action<'a>)> {
    let extended = missing
        .iter()
        .filter_map(|((ip, _), _)| comparison.first_entries.get(ip));
    let extended: BTreeSet<usize> = extended.copied().collect();
    let mut emptied = Vec::new();
    for (entry, address) in &comparison.suspects {
        let entry = *entry;
        let Some(alias) = planner.pod.host_aliases().get(entry) else {
            continue;
        };
        let ip = alias.ip.clone().unwrap_or_default();
        let mut kept = Vec::new();
        let mut stale = Vec::new();
        for name in alias.hostnames.iter().flatten() {
            match comparison.owner_if_stale(name, *address) {
                Some(policy) => stale.push((((), policy), name.clone())),
                None => kept.push(name.clone()),
            }
        }
        let is_emptied = kept.is_empty() && !extended.contains(&entry);
        let mut stale = grouped(stale.into_iter());
        // The last change of the entry sets the hostnames that remain after all its changes.
        let last = stale.pop();
        for (((), policy), dropped) in stale {
            let (ip, kept) = (ip.clone(), None);
            planner.change(policy, Action::DropHostnames(entry, ip, dropped, kept));
        }
        match last {
            Some((((), policy), dropped)) if is_emptied => {
                emptied.push((policy, Action::RemoveHostAlias(entry, ip, dropped)));
            }
            Some((((), policy), dropped)) => {
                let kept = Some(kept);
                planner.change(policy, Action::DropHostnames(entry, ip, dropped, kept));
            }
            None => {}
        }
    }
    emptied
}

/// Groups values by key and policy, in the order of the first value of each group.
fn grouped<'a, K: Copy + Ord, V>(
    values: impl Iterator<Item = ((K, &'a Policy), V)>,
) -> Vec<((K, &'a Policy), Vec<V>)> {
    let mut groups: Vec<((K, &'a Policy), Vec<V>)> = Vec::new();
    let mut indices = BTreeMap::new();
    for ((key, policy), value) in values {
        let index = indices.entry((key, std::ptr::from_ref(policy)));
        let index = *index.or_insert_with(|| {
            groups.push(((key, policy), Vec::new()));
            groups.len() - 1
        });
        if let Some((_, values)) = groups.get_mut(index) {
            values.push(value);
        }
    }
    groups
}

/// Adds hostnames to the first entry with their address, or adds an entry (H5).
fn add<'a>(
    planner: &mut Planner<'_, 'a>,
    policy: &'a Policy,
    first_entries: &mut BTreeMap<IpAddr, usize>,
    ip: IpAddr,
    hostnames: Vec<&'a str>,
) {
    let aliases = planner.pod.host_aliases();
    let entry = *first_entries.entry(ip).or_insert(aliases.len());
    let action = match aliases.get(entry) {
        Some(alias) => {
            let ip = alias.ip.clone().unwrap_or_default();
            Action::ExtendHostAlias(entry, ip, hostnames)
        }
        None => Action::AddHostAlias(ip, hostnames),
    };
    planner.change(policy, action);
}

#[cfg(test)]
mod tests;
