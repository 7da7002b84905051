//! What is known of the cluster's policies and of the objects that have their addresses: what is in force follows from it. Pure.
//!
//! A policy that becomes bad stays in force as it was last good (F3); a source that goes away keeps its last known addresses (H7).

use super::source::Seen;
use crate::core::crd::{self, JobPodPolicyStatus, form};
use crate::core::policy::{
    self, Address, Live, LiveAddresses, Policy, PolicySet, Recorded, Source,
};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Policies and sources, as they were last seen.
#[derive(Debug, Default)]
pub struct Known {
    policies: BTreeMap<String, KnownPolicy>,
    sources: BTreeMap<Source, KnownSource>,
}

/// A policy object.
#[derive(Debug)]
pub struct KnownPolicy {
    version: Version,
    /// The status that the API server has.
    pub(super) status: JobPodPolicyStatus,
    /// The last good version, with its generation.
    pub(super) in_force: Option<(Policy, Option<i64>)>,
    /// What is wrong with the newest version; nothing where that is in force.
    pub(super) problems: Vec<String>,
    /// The hostnames that a policy without `hostnameSuffixes` keeps; nothing where the policy in force needs none.
    recorded: Option<Recorded>,
}

/// Which object, and which version of its spec.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Version {
    uid: String,
    generation: Option<i64>,
}

/// A live source.
#[derive(Debug, Default)]
pub struct KnownSource {
    /// What it has, or had when it last had an address.
    pub(super) live: Live,
    /// Since when it has had these addresses.
    pub(super) since: Option<Timestamp>,
    /// Why `live` is not what it has now.
    pub(super) problem: Option<String>,
    /// Whether it has been looked at since the start.
    is_seen: bool,
}

impl KnownSource {
    /// Whether its addresses are those of an object that has them no more, or cannot be watched.
    pub(super) fn is_stale(&self) -> bool {
        self.problem.is_some() && !self.live.addresses.is_empty()
    }
}

/// What something new changes, from less to more.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Change {
    /// Nothing.
    Nothing,
    /// What the API server has as the status of a policy.
    Status,
    /// What is in force, perhaps.
    InForce,
}

/// How many policies and sources there are, by state.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Policies in force.
    pub loaded: usize,
    /// Policies whose newest version is not in force.
    pub refused: usize,
    /// Sources with addresses.
    pub resolved: usize,
    /// Sources whose addresses are the last known ones.
    pub stale: usize,
    /// Sources that never had an address.
    pub unresolved: usize,
}

impl Known {
    /// Takes in a policy object; returns what it changes.
    pub fn apply(&mut self, object: Value) -> Change {
        let Some(name) = object.pointer("/metadata/name").and_then(Value::as_str) else {
            return Change::Nothing;
        };
        let name = name.to_owned();
        let version = Version::of(&object);
        let status = object
            .get("status")
            .and_then(|status| serde_json::from_value(status.clone()).ok())
            .unwrap_or_default();
        let mut recorded = recorded(&status);
        if let Some(known) = self.policies.get_mut(&name) {
            let before = std::mem::replace(&mut known.status, status);
            let kept = known.recorded.iter().flatten();
            // Only more: a status that somebody has taken away takes no hostname with it, and replicas come to agree.
            for (source, hostnames) in kept.filter(|_| known.version.uid == version.uid) {
                let all = recorded.entry(source.clone()).or_default();
                let room = crd::HOSTNAMES.saturating_sub(all.len());
                all.extend(hostnames.iter().take(room).cloned());
            }
            let records_more = known.recorded.as_ref().is_some_and(|it| *it != recorded);
            if known.version == version && !records_more {
                let is_same = known.status == before;
                return if is_same {
                    Change::Nothing
                } else {
                    Change::Status
                };
            }
            let is_same_object = known.version.uid == version.uid;
            let generation = version.generation;
            known.version = version;
            match policy::read_stored(object, &recorded) {
                Ok(policy) => {
                    known.recorded = Some(recorded).filter(|_| lacks_suffixes(&policy));
                    known.in_force = Some((policy, generation));
                    known.problems.clear();
                }
                Err(errors) => {
                    known.problems = errors.iter().map(ToString::to_string).collect();
                    // An object that was deleted and made anew is another policy: its predecessor is not its last good version.
                    known.in_force = known.in_force.take().filter(|_| is_same_object);
                    known.recorded = known.recorded.take().filter(|_| is_same_object);
                }
            }
            return Change::InForce;
        }
        let generation = version.generation;
        let (in_force, problems) = match policy::read_stored(object, &recorded) {
            Ok(policy) => (Some((policy, generation)), Vec::new()),
            Err(errors) => (None, errors.iter().map(ToString::to_string).collect()),
        };
        let needs_recorded = in_force
            .as_ref()
            .is_some_and(|(policy, _)| lacks_suffixes(policy));
        let known = KnownPolicy {
            version,
            status,
            in_force,
            problems,
            recorded: Some(recorded).filter(|_| needs_recorded),
        };
        self.policies.insert(name, known);
        Change::InForce
    }

    /// Forgets a policy; returns what that changes.
    pub fn delete(&mut self, name: &str) -> Change {
        Change::of_what_is_in_force(self.policies.remove(name).is_some())
    }

    /// Forgets policies that a whole list did not have; returns what that changes.
    pub fn retain(&mut self, listed: &BTreeSet<String>) -> Change {
        let before = self.policies.len();
        self.policies.retain(|name, _| listed.contains(name));
        Change::of_what_is_in_force(self.policies.len() < before)
    }

    /// Returns what is known of each policy.
    pub fn policies(&self) -> impl Iterator<Item = (&str, &KnownPolicy)> {
        self.policies
            .iter()
            .map(|(name, known)| (name.as_str(), known))
    }

    /// Returns what is known of a source.
    #[must_use]
    pub fn source(&self, source: &Source) -> Option<&KnownSource> {
        self.sources.get(source)
    }

    /// Makes the sources known that policies name, and forgets others. One that comes new has the addresses that a policy's status
    /// has for it, so that a restart while an object is away loses nothing.
    pub fn follow_policies(&mut self) -> BTreeSet<Source> {
        let needed: BTreeSet<Source> = self.in_force().flat_map(sources_of).cloned().collect();
        self.sources.retain(|source, _| needed.contains(source));
        for source in &needed {
            if !self.sources.contains_key(source) {
                let known = self.recorded(source);
                self.sources.insert(source.clone(), known);
            }
        }
        needed
    }

    fn recorded(&self, source: &Source) -> KnownSource {
        let name = source.to_string();
        let entries = self
            .policies
            .values()
            .flat_map(|known| &known.status.addresses)
            .filter(|entry| entry.source == name);
        // Each policy records those hostnames of the rules that it takes.
        let mut hostnames: Vec<String> = Vec::new();
        for hostname in entries.clone().flat_map(|entry| &entry.hostnames) {
            if form::SUBDOMAIN.check(hostname).is_ok() && !hostnames.contains(hostname) {
                hostnames.push(hostname.clone());
            }
        }
        let entry = entries.min_by_key(|entry| entry.hostnames.is_empty());
        let problem = Some("has not been looked at yet".to_owned());
        match entry {
            None => KnownSource {
                problem,
                ..KnownSource::default()
            },
            Some(entry) => KnownSource {
                live: Live {
                    addresses: entry
                        .addresses
                        .iter()
                        .filter_map(|address| policy::fixed_address(address).ok())
                        .collect(),
                    hostnames,
                },
                since: entry.since.as_ref().map(|time| time.0),
                problem,
                is_seen: false,
            },
        }
    }

    /// Takes in what was seen of a source; returns what that changes.
    pub fn saw(&mut self, source: &Source, seen: Seen, now: Timestamp) -> Change {
        let Some(known) = self.sources.get_mut(source) else {
            return Change::Nothing;
        };
        let (live, problem) = match seen {
            Seen::Resolved(live) => (live, None),
            Seen::WithoutAddress(hostnames, problem) => {
                let addresses = known.live.addresses.clone();
                (
                    Live {
                        addresses,
                        hostnames,
                    },
                    Some(problem),
                )
            }
            Seen::Gone => (known.live.clone(), Some("does not exist".to_owned())),
            Seen::Unreadable(problem) => (known.live.clone(), Some(problem)),
        };
        let is_same = known.is_seen && known.live == live && known.problem == problem;
        if known.live.addresses != live.addresses {
            known.since = Some(now);
        }
        known.live = live;
        known.problem = problem;
        known.is_seen = true;
        Change::of_what_is_in_force(!is_same)
    }

    /// Whether every source has been looked at since the start.
    #[must_use]
    pub fn all_seen(&self) -> bool {
        self.sources.values().all(|source| source.is_seen)
    }

    /// Returns the policies in force, with the addresses that their sources have.
    #[must_use]
    pub fn set(&self) -> PolicySet {
        let live: LiveAddresses = self
            .sources
            .iter()
            .map(|(source, known)| (source.clone(), known.live.clone()))
            .collect();
        PolicySet::new(self.in_force().cloned().collect(), &live)
    }

    /// Counts policies and sources.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for known in self.policies.values() {
            counts.loaded += usize::from(known.in_force.is_some());
            counts.refused += usize::from(!known.problems.is_empty());
        }
        for known in self.sources.values() {
            match (known.live.addresses.is_empty(), known.problem.is_some()) {
                (true, _) => counts.unresolved += 1,
                (false, true) => counts.stale += 1,
                (false, false) => counts.resolved += 1,
            }
        }
        counts
    }

    fn in_force(&self) -> impl Iterator<Item = &Policy> {
        self.policies
            .values()
            .filter_map(|known| known.in_force.as_ref().map(|(policy, _)| policy))
    }
}

impl Change {
    fn of_what_is_in_force(is_different: bool) -> Self {
        if is_different {
            Self::InForce
        } else {
            Self::Nothing
        }
    }
}

impl KnownPolicy {
    /// Whether the policy in force is one of before `hostnameSuffixes`, and keeps the hostnames that it had then.
    pub(super) fn lacks_suffixes(&self) -> bool {
        self.recorded.is_some()
    }

    pub(super) fn generation(&self) -> Option<i64> {
        self.version.generation
    }
}

impl Version {
    fn of(object: &Value) -> Self {
        let uid = object.pointer("/metadata/uid").and_then(Value::as_str);
        Self {
            uid: uid.unwrap_or_default().to_owned(),
            generation: object
                .pointer("/metadata/generation")
                .and_then(Value::as_i64),
        }
    }
}

/// Returns the hostnames of rules that a status says were taken.
fn recorded(status: &JobPodPolicyStatus) -> Recorded {
    let mut recorded = Recorded::new();
    let with_hostnames = status.addresses.iter();
    for entry in with_hostnames.filter(|entry| !entry.hostnames.is_empty()) {
        if let Ok(source) = entry.source.parse() {
            recorded.insert(source, entry.hostnames.iter().cloned().collect());
        }
    }
    recorded
}

/// Whether a policy takes hostnames from rules and names no domains for them.
fn lacks_suffixes(policy: &Policy) -> bool {
    let mut aliases = policy.host_aliases.iter();
    aliases.any(|alias| alias.suffixes.are_missing())
}

/// Returns the live sources of a policy, each once.
pub(super) fn sources_of(policy: &Policy) -> Vec<&Source> {
    let mut sources: Vec<&Source> = Vec::new();
    for alias in &policy.host_aliases {
        if let Address::Live(source) = &alias.address
            && !sources.contains(&source)
        {
            sources.push(source);
        }
    }
    sources
}

#[cfg(test)]
mod tests;
