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
use crate::pod::{HostAlias, Text, text};
use crate::policy::set::{Asked, Host};
use crate::policy::{Desired, Policy};
use std::net::IpAddr;

pub(super) fn plan<'a>(planner: &mut Planner<'_, 'a>, desired: &Desired<'a>) {
    for asked in &desired.hostnames_from {
        planner.note(asked.policy, Fact::HostnamesUnknown { source: asked.what });
    }
    // Parsed once: policies and pods may have a hundred hostnames each.
    let mut addresses: Vec<Option<IpAddr>> =
        planner.pod.host_aliases().iter().map(address).collect();
    let hosts = resolvable(planner, desired, &addresses);
    let before = planner.plan.changes.len();
    let joins = joins(planner.pod.host_aliases(), &addresses, &hosts);
    let emptied = drop_stale(planner, &addresses, &hosts, &joins);
    for join in joins {
        add(planner, &mut addresses, join);
    }
    // From the last to the first, so that the indices still hold. Never all of them: a name that was stale has just been added.
    for (policy, action) in emptied.into_iter().rev() {
        planner.change(policy, action);
    }
    if let (Some(policy), true, false) = (
        desired.policies.first(),
        planner.plan.changes.len() == before,
        desired.hosts.is_empty(),
    ) {
        planner.note(policy, Fact::HostAliasesRight);
    }
}

/// Returns the owned hostnames that have an address and are not shadowed; tells of the others.
fn resolvable<'a>(
    planner: &mut Planner<'_, 'a>,
    desired: &Desired<'a>,
    addresses: &[Option<IpAddr>],
) -> Vec<Asked<'a, Host>> {
    let mut hosts = Vec::with_capacity(desired.hosts.len());
    for asked in &desired.hosts {
        let host = asked.what;
        if let Some(source) = host.unresolved.first() {
            planner.note(
                asked.policy,
                Fact::NoAddress {
                    hostname: &host.hostname,
                    source,
                },
            );
        } else if is_shadowed(planner.pod.host_aliases(), addresses, &host.hostname) {
            planner.note(
                asked.policy,
                Fact::Shadowed {
                    hostname: &host.hostname,
                },
            );
        } else {
            hosts.push(*asked);
        }
    }
    hosts
}

fn is_shadowed(aliases: &[HostAlias<'_>], addresses: &[Option<IpAddr>], hostname: &str) -> bool {
    let mut own = aliases
        .iter()
        .zip(addresses)
        .filter(|(_, ip)| is_loopback(**ip));
    own.any(|(alias, _)| names(alias).any(|name| name.eq_ignore_ascii_case(hostname)))
}

/// 127.0.0.0/8 and ::1: the names of the job's own services. An IPv4-mapped address is not its IPv4 one.
fn is_loopback(address: Option<IpAddr>) -> bool {
    address.is_some_and(|ip| ip.is_loopback())
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
fn joins<'a>(
    aliases: &[HostAlias<'_>],
    addresses: &[Option<IpAddr>],
    hosts: &[Asked<'a, Host>],
) -> Vec<Join<'a>> {
    let mut joins: Vec<Join<'a>> = Vec::new();
    for asked in hosts {
        for ip in &asked.what.addresses {
            let hostname = asked.what.hostname.as_str();
            let same_address = || {
                let entries = addresses.iter().zip(aliases).enumerate();
                entries.filter(|(_, (address, _))| **address == Some(*ip))
            };
            if same_address()
                .any(|(_, (_, alias))| names(alias).any(|name| name.eq_ignore_ascii_case(hostname)))
            {
                continue;
            }
            match joins
                .iter_mut()
                .find(|join| join.ip == *ip && std::ptr::eq(join.policy, asked.policy))
            {
                Some(join) => join.hostnames.push(hostname),
                None => joins.push(Join {
                    policy: asked.policy,
                    ip: *ip,
                    entry: same_address().map(|(index, _)| index).next(),
                    hostnames: vec![hostname],
                }),
            }
        }
    }
    joins
}

/// Takes stale hostnames out; returns the removals of entries that are left without any, in the order of the entries.
fn drop_stale<'a>(
    planner: &mut Planner<'_, 'a>,
    addresses: &[Option<IpAddr>],
    hosts: &[Asked<'a, Host>],
    joins: &[Join<'a>],
) -> Vec<(&'a Policy, Action<'a>)> {
    let mut emptied = Vec::new();
    for (entry, entry_address) in addresses.iter().enumerate() {
        let Some(alias) = planner
            .pod
            .host_aliases()
            .get(entry)
            .filter(|_| !is_loopback(*entry_address))
        else {
            continue;
        };
        let ip = alias.ip.clone().unwrap_or_default();
        let owner_of = |name: &Text<'_>| {
            let host = hosts
                .iter()
                .find(|asked| name.eq_ignore_ascii_case(&asked.what.hostname))?;
            let is_right = entry_address.is_some_and(|ip| host.what.addresses.contains(&ip));
            (!is_right).then_some(host.policy)
        };
        let mut owned: Vec<(Text<'a>, Option<&'a Policy>)> = alias
            .hostnames
            .iter()
            .flatten()
            .map(|name| (name.clone(), owner_of(name)))
            .collect();
        // One change for each policy whose hostnames are stale here.
        while let Some(policy) = owned.iter().find_map(|(_, owner)| *owner) {
            let is_its =
                |owner: &Option<&Policy>| owner.is_some_and(|owner| std::ptr::eq(owner, policy));
            let dropped = owned
                .iter()
                .filter(|(_, owner)| is_its(owner))
                .map(|(name, _)| name.clone())
                .collect();
            owned.retain(|(_, owner)| !is_its(owner));
            let ip = ip.clone();
            if owned.is_empty() && !joins.iter().any(|join| join.entry == Some(entry)) {
                emptied.push((policy, Action::RemoveHostAlias { entry, ip, dropped }));
            } else {
                let kept = owned.iter().map(|(name, _)| name.clone()).collect();
                planner.change(
                    policy,
                    Action::DropHostnames {
                        entry,
                        ip,
                        dropped,
                        kept,
                    },
                );
            }
        }
    }
    emptied
}

/// Adds hostnames to the first entry of their address, which may be one that an earlier join has just added (H5).
fn add<'a>(planner: &mut Planner<'_, 'a>, addresses: &mut Vec<Option<IpAddr>>, join: Join<'a>) {
    let Join {
        policy,
        ip,
        entry,
        hostnames,
    } = join;
    let aliases = planner.pod.host_aliases();
    let entry = entry.or_else(|| addresses.iter().position(|address| *address == Some(ip)));
    let action = match entry.and_then(|entry| Some((entry, aliases.get(entry)?))) {
        Some((entry, alias)) => Action::ExtendHostAlias {
            entry,
            ip: alias.ip.clone().unwrap_or_default(),
            list_missing: alias.hostnames.is_none(),
            hostnames,
        },
        None => {
            addresses.push(Some(ip));
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
