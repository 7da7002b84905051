//! Stores the last observed policies and address sources, and creates the policy set in force.
//! Pure: it has no I/O.
//!
//! If a policy becomes invalid, its last good version stays in force (rule F3). If an address
//! source is deleted, its last known addresses stay in use (rule H7).

use super::address_source::SourceObservation;
use super::distinct;
use crate::core::crd::{self, JobPodPolicyStatus, format};
use crate::core::policy::{
    self, Address, AddressSource, AddressesBySource, Policy, PolicySet, RecordedHostnames,
    ResolvedAddresses, UnreadablePolicy,
};
use crate::telemetry::metrics::{PolicyState, SourceState};
use jiff::Timestamp;
use kube::api::DynamicObject;
use serde::Deserialize as _;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// All policies of the cluster, and the address sources of the policies in force.
#[derive(Debug, Default)]
pub(super) struct Store {
    policies: BTreeMap<String, StoredPolicy>,
    sources: BTreeMap<AddressSource, StoredSource>,
}

/// A policy object, and its version in force.
#[derive(Debug, Default)]
pub(super) struct StoredPolicy {
    uid: Option<String>,
    pub(super) generation: Option<i64>,
    /// The current spec. It is compared in addition to the generation, because a restored etcd can
    /// contain another spec with the same generation.
    spec: Value,
    /// The status that the API server stores.
    pub(super) status: JobPodPolicyStatus,
    /// The last good version, with its generation.
    pub(super) in_force: Option<(Policy, Option<i64>)>,
    /// The problems of the current version; empty if it is in force.
    pub(super) problems: Vec<String>,
    /// The hostnames that a policy without `hostnameSuffixes` keeps; `None` for other policies.
    recorded: Option<RecordedHostnames>,
}

/// An address source of a policy in force.
#[derive(Debug, Default)]
pub(super) struct StoredSource {
    /// The current addresses, or the last known ones.
    pub(super) live: ResolvedAddresses,
    /// When drydock first observed these addresses.
    pub(super) since: Option<Timestamp>,
    /// Describes why `live` is not current; `None` if it is current.
    pub(super) problem: Option<String>,
    /// Whether the source has been observed since drydock started.
    is_observed: bool,
}

impl StoredSource {
    pub(super) fn state(&self) -> SourceState {
        match (self.live.addresses.is_empty(), &self.problem) {
            (true, _) => SourceState::Unresolved,
            (false, Some(_)) => SourceState::Stale,
            (false, None) => SourceState::Resolved,
        }
    }

    /// Returns whether the addresses are the last known ones and not the current ones.
    pub(super) fn is_stale(&self) -> bool {
        self.state() == SourceState::Stale
    }

    /// Returns the addresses, separated by commas.
    pub(super) fn addresses(&self) -> String {
        let addresses = self.live.addresses.iter().map(ToString::to_string);
        addresses.collect::<Vec<_>>().join(", ")
    }
}

/// The effect of an observation, in increasing order.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Effect {
    /// Nothing.
    None,
    /// The stored status of a policy has changed.
    Status,
    /// The policies in force may have changed.
    Policies,
}

impl Effect {
    fn on_policies(is_changed: bool) -> Self {
        match is_changed {
            true => Self::Policies,
            false => Self::None,
        }
    }
}

impl Store {
    /// Stores a policy object and returns the effect.
    pub(super) fn apply(&mut self, object: DynamicObject) -> Effect {
        let DynamicObject { metadata, data, .. } = object;
        let (Some(name), uid, generation) = (metadata.name, metadata.uid, metadata.generation)
        else {
            return Effect::None;
        };
        let field = |name| data.get(name).unwrap_or(&Value::Null);
        let spec = field("spec").clone();
        let status = JobPodPolicyStatus::deserialize(field("status")).unwrap_or_default();
        // An object that was deleted and created again has another uid, and is another policy.
        let before = self.policies.remove(&name).filter(|it| it.uid == uid);
        let is_new = before.is_none();
        let mut before = before.unwrap_or_default();
        let mut recorded = hostnames_of(&status);
        // Hostnames are added to the record but never removed from it. Therefore clearing the
        // status removes no hostname, and all replicas reach the same record.
        for (source, hostnames) in before.recorded.iter().flatten() {
            let all = recorded.entry(source.clone()).or_default();
            let free = crd::MAX_HOSTNAMES.saturating_sub(all.len());
            all.extend(hostnames.iter().take(free).cloned());
        }
        let is_same = !is_new && before.generation == generation && before.spec == spec;
        let records_more = before.recorded.as_ref().is_some_and(|it| *it != recorded);
        if is_same && !records_more {
            let (is_changed, was_unreadable) = (before.status != status, before.is_unreadable());
            before.status = status;
            let effect = match is_changed {
                // Another version of drydock has accepted the policy in the meantime, or no longer
                // accepts it (rule F3).
                true if before.is_unreadable() != was_unreadable => Effect::Policies,
                true => Effect::Status,
                false => Effect::None,
            };
            self.policies.insert(name, before);
            return effect;
        }
        let object = json!({
            "apiVersion": crd::API_VERSION, "kind": crd::KIND,
            "metadata": {"name": name, "generation": generation}, "spec": spec,
        });
        let stored = match policy::read_stored(object, &recorded) {
            Ok(policy) => StoredPolicy {
                recorded: Some(recorded).filter(|_| lacks_suffixes(&policy)),
                in_force: Some((policy, generation)),
                ..StoredPolicy::default()
            },
            Err(errors) => StoredPolicy {
                problems: errors.iter().map(ToString::to_string).collect(),
                ..before
            },
        };
        let stored = StoredPolicy {
            uid,
            generation,
            spec,
            status,
            ..stored
        };
        self.policies.insert(name, stored);
        Effect::Policies
    }

    /// Removes a policy.
    pub(super) fn delete(&mut self, name: &str) -> Effect {
        Effect::on_policies(self.policies.remove(name).is_some())
    }

    /// Removes the policies that a LIST has not returned.
    pub(super) fn retain(&mut self, listed: &BTreeSet<String>) -> Effect {
        let before = self.policies.len();
        self.policies.retain(|name, _| listed.contains(name));
        Effect::on_policies(self.policies.len() < before)
    }

    /// Returns the policies by name.
    pub(super) fn policies(&self) -> impl Iterator<Item = (&str, &StoredPolicy)> {
        let policies = self.policies.iter();
        policies.map(|(name, stored)| (name.as_str(), stored))
    }

    /// Returns the policy with this name.
    pub(super) fn policy(&self, name: &str) -> Option<&StoredPolicy> {
        self.policies.get(name)
    }

    /// Returns the stored state of an address source.
    pub(super) fn source(&self, source: &AddressSource) -> Option<&StoredSource> {
        self.sources.get(source)
    }

    /// Adds the address sources of the policies in force, removes all others, and returns them.
    ///
    /// A new source starts with the addresses in the status of policies, so that a restart loses no
    /// address while the object is missing.
    pub(super) fn update_sources(&mut self) -> BTreeSet<AddressSource> {
        let needed: BTreeSet<AddressSource> =
            self.in_force().flat_map(sources_of).cloned().collect();
        self.sources.retain(|source, _| needed.contains(source));
        for source in &needed {
            if !self.sources.contains_key(source) {
                let stored = self.source_from_statuses(source);
                self.sources.insert(source.clone(), stored);
            }
        }
        needed
    }

    /// Returns the state of an address source as the statuses of the policies record it.
    fn source_from_statuses(&self, source: &AddressSource) -> StoredSource {
        let name = source.to_string();
        let all = self.policies.values();
        let entries = all.flat_map(|stored| &stored.status.addresses);
        let entries: Vec<_> = entries.filter(|entry| entry.source == name).collect();
        // The status of each policy contains only the hostnames that this policy takes.
        let hostnames = entries.iter().flat_map(|entry| &entry.hostnames);
        let hostnames = hostnames.filter(|it| format::HOSTNAME.check(it).is_ok());
        let hostnames = distinct(hostnames.cloned());
        let entry = entries
            .into_iter()
            .min_by_key(|entry| entry.hostnames.is_empty());
        let addresses = entry.into_iter().flat_map(|entry| &entry.addresses);
        let addresses = addresses.filter_map(|address| policy::fixed_address(address).ok());
        StoredSource {
            live: ResolvedAddresses {
                addresses: addresses.collect(),
                hostnames,
            },
            since: entry
                .and_then(|entry| entry.since.as_ref())
                .map(|time| time.0),
            problem: Some("has not been observed yet".to_owned()),
            is_observed: false,
        }
    }

    /// Stores an observation of an address source and returns the effect.
    pub(super) fn observe(
        &mut self,
        source: &AddressSource,
        observed: SourceObservation,
        now: Timestamp,
    ) -> Effect {
        let Some(stored) = self.sources.get_mut(source) else {
            return Effect::None;
        };
        let mut live = stored.live.clone();
        let problem = match observed {
            SourceObservation::Resolved(present) => {
                live = present;
                None
            }
            SourceObservation::NoAddress(hostnames, problem) => {
                live.hostnames = hostnames;
                Some(problem)
            }
            SourceObservation::Missing => Some("does not exist".to_owned()),
            SourceObservation::Unreadable(problem) => Some(problem),
        };
        let is_same = stored.is_observed && stored.live == live && stored.problem == problem;
        if stored.live.addresses != live.addresses {
            stored.since = Some(now);
        }
        stored.live = live;
        stored.problem = problem;
        stored.is_observed = true;
        Effect::on_policies(!is_same)
    }

    /// Returns whether every address source has been observed since drydock started.
    pub(super) fn all_observed(&self) -> bool {
        self.sources.values().all(|source| source.is_observed)
    }

    /// Returns the policies in force, with the addresses of their address sources.
    pub(super) fn policy_set(&self) -> PolicySet {
        let sources = self.sources.iter();
        let live: AddressesBySource = sources
            .map(|(source, stored)| (source.clone(), stored.live.clone()))
            .collect();
        PolicySet::new(self.in_force().cloned().collect(), &live)
    }

    /// Counts policies by state.
    pub(super) fn policy_counts(&self) -> [(PolicyState, usize); 3] {
        let count = |is: fn(&StoredPolicy) -> bool| {
            let policies = self.policies.values();
            policies.filter(|stored| is(stored)).count()
        };
        [
            (PolicyState::Loaded, count(|it| it.in_force.is_some())),
            (PolicyState::Refused, count(|it| !it.problems.is_empty())),
            (PolicyState::Unreadable, self.unreadable().len()),
        ]
    }

    /// Counts address sources by state.
    pub(super) fn source_counts(&self) -> [(SourceState, usize); 3] {
        use SourceState::{Resolved, Stale, Unresolved};
        [Resolved, Stale, Unresolved].map(|state| {
            let sources = self.sources.values();
            (state, sources.filter(|it| it.state() == state).count())
        })
    }

    /// Returns the policies that another version of drydock accepted, that this version cannot
    /// read, and of which no earlier version is in force (rule F3).
    pub(super) fn unreadable(&self) -> Vec<UnreadablePolicy> {
        let policies = self.policies.iter();
        let unreadable = policies.filter(|(_, it)| it.is_unreadable() && it.in_force.is_none());
        unreadable
            .filter_map(|(name, it)| UnreadablePolicy::new(name, &it.spec, it.problems.join("; ")))
            .collect()
    }

    fn in_force(&self) -> impl Iterator<Item = &Policy> {
        let policies = self.policies.values();
        policies.filter_map(|stored| stored.in_force.as_ref().map(|(policy, _)| policy))
    }
}

impl StoredPolicy {
    /// Returns whether another version of drydock has accepted this generation and this version
    /// cannot read it (rule F3).
    pub(super) fn is_unreadable(&self) -> bool {
        let mut conditions = self.status.conditions.iter();
        let is_accepted = conditions.any(|it| {
            let is_of_generation = it.observed_generation == self.generation;
            it.type_ == "Accepted" && it.status == "True" && is_of_generation
        });
        !self.problems.is_empty() && self.generation.is_some() && is_accepted
    }

    /// Returns whether the policy in force takes hostnames from Ingress rules without
    /// `hostnameSuffixes`. It was stored before that field was required, and keeps the hostnames
    /// that it had then.
    pub(super) fn lacks_suffixes(&self) -> bool {
        self.recorded.is_some()
    }
}

/// Returns the hostnames of Ingress rules that a status records.
fn hostnames_of(status: &JobPodPolicyStatus) -> RecordedHostnames {
    let entries = status.addresses.iter();
    let with_hostnames = entries.filter(|entry| !entry.hostnames.is_empty());
    with_hostnames
        .filter_map(|entry| {
            Some((
                entry.source.parse().ok()?,
                entry.hostnames.iter().cloned().collect(),
            ))
        })
        .collect()
}

/// Returns whether a policy takes hostnames from Ingress rules without `hostnameSuffixes`.
fn lacks_suffixes(policy: &Policy) -> bool {
    let mut aliases = policy.host_aliases.iter();
    aliases.any(|alias| alias.suffixes.are_missing())
}

/// Returns the address sources of a policy without duplicates.
pub(super) fn sources_of(policy: &Policy) -> Vec<&AddressSource> {
    let aliases = policy.host_aliases.iter();
    distinct(aliases.filter_map(|alias| match &alias.address {
        Address::Live(source) => Some(source),
        _ => None,
    }))
}

#[cfg(test)]
mod tests;
