//! Hostnames that a policy owns resolve to the policy's addresses (rules H1 to H8).
//!
//! # What it does
//! Takes an owned hostname out of every entry of another address, and puts it into the entry of each address of the policy.
//!
//! # Why
//! A runner's `host_aliases` are static: when a load balancer's address moves, every job of every runner looks at the old one (seed 003).
//! An appended entry would lose against the stale one: `/etc/hosts` is read from the top, and some resolvers return both.
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
//! A name in a loopback entry is a service of the job; it is left alone everywhere. So is a name whose live source has no address.
//! Entries are compared by parsed address and never respelled. `hostNetwork` makes no difference: the kubelet appends to a copy of the node's file.

use super::Planner;
use super::change::Action;
use super::note::Fact;
use crate::core::pod::{HostAlias, Text, text};
use crate::core::policy::set::{Asked, Host};
use crate::core::policy::{Desired, Policy};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

pub(super) fn plan<'a>(planner: &mut Planner<'_, 'a>, desired: &Desired<'a>) {
    for asked in &desired.hostnames_from {
        planner.note(asked.policy, Fact::HostnamesUnknown { source: asked.what });
    }
    let Some(first) = desired
        .policies
        .first()
        .filter(|_| !desired.hosts.is_empty())
    else {
        return;
    };
    let mut found = Found::new(&desired.hosts);
    found.look_at(planner.pod.host_aliases());
    tell_of_those_left_alone(planner, &found);
    let before = planner.plan.changes.len();
    let joins = joins(&found);
    let emptied = drop_stale(planner, &found, &joins);
    for join in joins {
        add(planner, &mut found.first_entries, join);
    }
    // From the last to the first, so that the indices still hold. Never all of them: a name that was stale has just been added.
    planner.remove(emptied.into_iter().rev().collect());
    if planner.plan.changes.len() == before {
        planner.note(first, Fact::HostAliasesRight);
    }
}

/// What the pod's entries say of the hostnames that policies own. Found in one pass: policies may own a thousand hostnames, and a pod
/// may have thousands.
struct Found<'a> {
    /// In the order of the policies.
    hosts: Vec<Owned<'a>>,
    /// Positions in `hosts`, in the order of the hostnames.
    by_name: Vec<usize>,
    /// The addresses of the policies, in order, each with the first entry that has it.
    first_entries: FirstEntries,
    /// Entries with an owned hostname that is neither the job's own nor right there, each with its address.
    suspects: Vec<(usize, Option<IpAddr>)>,
}

/// An owned hostname.
struct Owned<'a> {
    asked: Asked<'a, Host>,
    /// Whether a loopback entry has it (H3).
    is_shadowed: bool,
    /// Whether an entry with the policy's address has it, by family: IPv4, IPv6.
    is_there: [bool; 2],
}

impl Owned<'_> {
    /// Whether the policy's addresses are known and count.
    fn is_resolvable(&self) -> bool {
        self.asked.what.unresolved.is_empty() && !self.is_shadowed
    }
}

impl<'a> Found<'a> {
    fn new(hosts: &[Asked<'a, Host>]) -> Self {
        let mut by_name: Vec<usize> = (0..hosts.len()).collect();
        by_name.sort_by_key(|index| hosts.get(*index).map(|asked| asked.what.hostname.as_str()));
        let owned = |asked: &Asked<'a, Host>| Owned {
            asked: *asked,
            is_shadowed: false,
            is_there: [false; 2],
        };
        Self {
            hosts: hosts.iter().map(owned).collect(),
            by_name,
            first_entries: FirstEntries::new(hosts),
            suspects: Vec::new(),
        }
    }

    fn look_at(&mut self, aliases: &[HostAlias<'_>]) {
        for (entry, alias) in aliases.iter().enumerate() {
            let address = address(alias);
            if let Some(ip) = address {
                self.first_entries.see(ip, entry);
            }
            let mut is_suspect = false;
            for name in names(alias) {
                let Some(host) = self.position(name).and_then(|at| self.hosts.get_mut(at)) else {
                    continue;
                };
                match address {
                    Some(ip) if ip.is_loopback() => host.is_shadowed = true,
                    Some(ip) if host.asked.what.addresses.contains(&ip) => {
                        let [v4, v6] = &mut host.is_there;
                        *(if ip.is_ipv4() { v4 } else { v6 }) = true;
                    }
                    _ => is_suspect = true,
                }
            }
            if is_suspect {
                self.suspects.push((entry, address));
            }
        }
    }

    fn position(&self, name: &str) -> Option<usize> {
        let found = self.by_name.binary_search_by(|at| {
            self.hosts.get(*at).map_or(Ordering::Less, |host| {
                compare(&host.asked.what.hostname, name)
            })
        });
        self.by_name.get(found.ok()?).copied()
    }

    /// Returns the policy that owns a hostname, where an entry of this address must not have it.
    fn owner(&self, name: &str, address: Option<IpAddr>) -> Option<&'a Policy> {
        let host = self.hosts.get(self.position(name)?)?;
        let is_right = address.is_some_and(|ip| host.asked.what.addresses.contains(&ip));
        (host.is_resolvable() && !is_right).then_some(host.asked.policy)
    }
}

/// Compares a hostname of a policy, which is in lower case, with one of a pod, whose case does not count.
fn compare(owned: &str, name: &str) -> Ordering {
    owned
        .bytes()
        .cmp(name.bytes().map(|byte| byte.to_ascii_lowercase()))
}

/// The addresses of policies, in order, each with the first entry of the pod that has it.
struct FirstEntries(Vec<(IpAddr, Option<usize>)>);

impl FirstEntries {
    fn new(hosts: &[Asked<'_, Host>]) -> Self {
        let addresses = hosts.iter().flat_map(|asked| &asked.what.addresses);
        let mut addresses: Vec<_> = addresses.map(|ip| (*ip, None)).collect();
        addresses.sort_unstable();
        addresses.dedup();
        Self(addresses)
    }

    fn see(&mut self, ip: IpAddr, entry: usize) {
        let found = self.0.binary_search_by_key(&ip, |(ip, _)| *ip);
        if let Some((_, first)) = found.ok().and_then(|at| self.0.get_mut(at)) {
            first.get_or_insert(entry);
        }
    }

    fn get(&self, ip: IpAddr) -> Option<usize> {
        let found = self.0.binary_search_by_key(&ip, |(ip, _)| *ip);
        self.0.get(found.ok()?)?.1
    }
}

/// Tells of the owned hostnames that are shadowed or have no address.
fn tell_of_those_left_alone<'a>(planner: &mut Planner<'_, 'a>, found: &Found<'a>) {
    for host in &found.hosts {
        let Asked { policy, what } = host.asked;
        let hostname = what.hostname.as_str();
        if let Some(source) = what.unresolved.first() {
            planner.note(policy, Fact::NoAddress { hostname, source });
        } else if host.is_shadowed {
            planner.note(policy, Fact::Shadowed { hostname });
        }
    }
}

/// An address that does not parse is no policy's address, so owned names in its entry are stale.
fn address(alias: &HostAlias<'_>) -> Option<IpAddr> {
    text(&alias.ip).parse().ok()
}

fn names<'p>(alias: &'p HostAlias<'_>) -> impl Iterator<Item = &'p str> {
    alias.hostnames.iter().flatten().map(Text::as_str)
}

/// Hostnames of one policy that lack one address, and the entry that they join, if there is one.
struct Join<'a> {
    policy: &'a Policy,
    ip: IpAddr,
    entry: Option<usize>,
    hostnames: Vec<&'a str>,
}

/// Finds what is missing: one join for each address and policy, addresses in the order in which policies name them.
fn joins<'a>(found: &Found<'a>) -> Vec<Join<'a>> {
    let mut joins: Vec<Join<'a>> = Vec::new();
    let mut known = BTreeMap::new();
    for host in found.hosts.iter().filter(|host| host.is_resolvable()) {
        let Asked { policy, what } = host.asked;
        let [v4, v6] = host.is_there;
        for ip in &what.addresses {
            if if ip.is_ipv4() { v4 } else { v6 } {
                continue;
            }
            let at = *known
                .entry((*ip, std::ptr::from_ref(policy)))
                .or_insert_with(|| {
                    joins.push(Join {
                        policy,
                        ip: *ip,
                        entry: found.first_entries.get(*ip),
                        hostnames: Vec::new(),
                    });
                    joins.len() - 1
                });
            if let Some(join) = joins.get_mut(at) {
                join.hostnames.push(&what.hostname);
            }
        }
    }
    joins
}

/// Takes stale hostnames out; returns the removals of entries that are left without any, in the order of the entries.
fn drop_stale<'a>(
    planner: &mut Planner<'_, 'a>,
    found: &Found<'a>,
    joins: &[Join<'a>],
) -> Vec<(&'a Policy, Action<'a>)> {
    let joined: BTreeSet<usize> = joins.iter().filter_map(|join| join.entry).collect();
    let mut emptied = Vec::new();
    for (entry, address) in &found.suspects {
        let Some(alias) = planner.pod.host_aliases().get(*entry) else {
            continue;
        };
        let ip = alias.ip.clone().unwrap_or_default();
        let Stale { of_policies, kept } = stale(found, alias, *address);
        let goes = kept.is_empty() && !joined.contains(entry);
        let mut kept = Some(kept);
        let last = of_policies.len().saturating_sub(1);
        for (number, (policy, dropped)) in of_policies.into_iter().enumerate() {
            let (entry, ip) = (*entry, ip.clone());
            if number == last && goes {
                emptied.push((policy, Action::RemoveHostAlias { entry, ip, dropped }));
                continue;
            }
            // The last one says what stays, after all of them.
            let kept = if number == last { kept.take() } else { None };
            let action = Action::DropHostnames {
                entry,
                ip,
                dropped,
                kept,
            };
            planner.change(policy, action);
        }
    }
    emptied
}

/// The hostnames of an entry: those that go, by policy, and those that stay.
struct Stale<'a> {
    of_policies: Vec<(&'a Policy, Vec<Text<'a>>)>,
    kept: Vec<Text<'a>>,
}

fn stale<'a>(found: &Found<'a>, alias: &HostAlias<'a>, address: Option<IpAddr>) -> Stale<'a> {
    let mut of_policies: Vec<(&'a Policy, Vec<Text<'a>>)> = Vec::new();
    let mut known = BTreeMap::new();
    let mut kept = Vec::new();
    for name in alias.hostnames.iter().flatten() {
        let Some(policy) = found.owner(name, address) else {
            kept.push(name.clone());
            continue;
        };
        let at = *known.entry(std::ptr::from_ref(policy)).or_insert_with(|| {
            of_policies.push((policy, Vec::new()));
            of_policies.len() - 1
        });
        if let Some((_, dropped)) = of_policies.get_mut(at) {
            dropped.push(name.clone());
        }
    }
    Stale { of_policies, kept }
}

/// Adds hostnames to the first entry of their address, which may be one that an earlier join has just added (H5).
fn add<'a>(planner: &mut Planner<'_, 'a>, first_entries: &mut FirstEntries, join: Join<'a>) {
    let Join {
        policy,
        ip,
        hostnames,
        ..
    } = join;
    let aliases = planner.pod.host_aliases();
    let entry = first_entries.get(ip);
    let action = match entry.and_then(|entry| Some((entry, aliases.get(entry)?))) {
        Some((entry, alias)) => Action::ExtendHostAlias {
            entry,
            ip: alias.ip.clone().unwrap_or_default(),
            list_missing: alias.hostnames.is_none(),
            hostnames,
        },
        None => {
            first_entries.see(ip, aliases.len());
            Action::AddHostAlias {
                list_missing: planner.pod.spec.host_aliases.is_none(),
                ip,
                hostnames,
            }
        }
    };
    planner.change(policy, action);
}

#[cfg(test)]
mod tests;
