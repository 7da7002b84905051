//! Selects the policies that match a pod, and folds them into the desired state of the pod.
//!
//! Policies are ranked by priority, then by name (M1). For each setting, the value of the first
//! policy in rank takes effect. Different values of other policies are reported as [`Override`]s
//! (M4).

mod desired;
mod index;

pub use desired::{Desired, DesiredDind, Override, Requested};

use super::{
    Address, AddressSource, AddressesBySource, Mode, Policy, ResolvedAddresses, UnreadablePolicy,
};
use index::Index;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The label that the API server sets on every namespace. Its value is the name of the namespace.
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Policies in rank order, with the current addresses of their sources.
#[derive(Clone, Debug, Default)]
pub struct PolicySet {
    ranked: Vec<Ranked>,
    index: Index,
    needs_namespace_labels: bool,
    unreadable: Vec<UnreadablePolicy>,
    is_incomplete: bool,
}

#[derive(Clone, Debug)]
struct Ranked {
    policy: Policy,
    hosts: Vec<Host>,
    /// Ingresses that should define hostnames of the policy, but whose rules contain none.
    ingresses_without_hostnames: Vec<AddressSource>,
}

/// A hostname and its addresses.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Host {
    /// The hostname, in lower case.
    pub hostname: String,
    /// At most one IPv4 and one IPv6 address.
    pub addresses: Vec<IpAddr>,
    /// The sources without an address. If there are any, the addresses of the hostname are unknown
    /// (H7).
    pub unresolved: Vec<AddressSource>,
}

/// The labels of an object.
pub type Labels = BTreeMap<String, String>;

/// The namespace of a pod.
#[derive(Clone, Copy, Debug)]
pub struct Namespace<'a> {
    /// The name of the namespace. Empty if unknown.
    pub name: &'a str,
    /// The labels of the namespace. `None` if unknown, as for an AdmissionReview without a cluster.
    pub labels: Option<&'a Labels>,
}

/// The policies that match a pod, and the policies that may match it.
#[derive(Debug, Default)]
pub struct Matching<'s> {
    /// The desired state of the Enforce policies.
    pub enforce: Desired<'s>,
    /// The desired state of the Audit policies.
    pub audit: Desired<'s>,
    /// The policies whose namespaceSelector needs labels that are unknown.
    pub undecided: Vec<&'s Policy>,
    /// An accepted policy that this version cannot read and that may match (F3).
    pub unreadable: Option<&'s UnreadablePolicy>,
    set: Option<&'s PolicySet>,
}

impl<'s> Matching<'s> {
    /// Returns the policies that neither match nor are undecided, in order of rank.
    pub fn others(&self) -> impl Iterator<Item = &'s Policy> {
        let matching = self.enforce.policies.iter().chain(&self.audit.policies);
        let listed = matching.chain(&self.undecided);
        let listed: BTreeSet<_> = listed.map(|policy| std::ptr::from_ref(*policy)).collect();
        let others = self.set.into_iter().flat_map(PolicySet::policies);
        others.filter(move |policy| !listed.contains(&std::ptr::from_ref(*policy)))
    }
}

impl PolicySet {
    /// Ranks policies, and resolves their hostnames to the addresses in `live`.
    pub fn new(policies: Vec<Policy>, live: &AddressesBySource) -> Self {
        let policies = policies.into_iter();
        let mut ranked: Vec<Ranked> = policies.map(|it| Ranked::new(it, live)).collect();
        let rank = |it: &Ranked| (Reverse(it.policy.priority), it.policy.name.clone());
        ranked.sort_by_cached_key(rank);
        Self {
            index: Index::new(&ranked),
            needs_namespace_labels: ranked.iter().any(|ranked| needs_labels(&ranked.policy)),
            ranked,
            unreadable: Vec::new(),
            is_incomplete: false,
        }
    }

    /// Adds accepted policies that this version cannot read. `is_incomplete` means that the replica
    /// never had a set without unreadable policies; the replica is then not ready.
    pub fn with_unreadable(
        mut self,
        unreadable: Vec<UnreadablePolicy>,
        is_incomplete: bool,
    ) -> Self {
        let mut all = unreadable.iter();
        self.needs_namespace_labels |= all.any(UnreadablePolicy::needs_namespace_labels);
        self.unreadable = unreadable;
        self.is_incomplete = is_incomplete;
        self
    }

    /// Returns an unreadable policy that prevents the replica from being ready.
    pub fn blocking_readiness(&self) -> Option<&UnreadablePolicy> {
        self.unreadable.first().filter(|_| self.is_incomplete)
    }

    /// Returns the policies in order of rank.
    pub fn policies(&self) -> impl Iterator<Item = &Policy> {
        self.ranked.iter().map(|ranked| &ranked.policy)
    }

    /// Returns whether a policy selects namespaces by a label other than
    /// `kubernetes.io/metadata.name`.
    pub fn needs_namespace_labels(&self) -> bool {
        self.needs_namespace_labels
    }

    /// Folds the policies that match a pod, by mode. `label` returns the value of a label of the
    /// pod.
    pub fn matching<'s, 'l>(
        &'s self,
        label: impl Fn(&str) -> Option<&'l str>,
        namespace: Namespace<'_>,
    ) -> Matching<'s> {
        let mut matching = Matching {
            set: Some(self),
            unreadable: {
                let mut unreadable = self.unreadable.iter();
                unreadable.find(|policy| policy.may_match(&label, namespace))
            },
            ..Matching::default()
        };
        let (mut enforce, mut audit) = (Vec::new(), Vec::new());
        let candidates = self.index.candidates(&label, namespace).into_iter();
        for ranked in candidates.filter_map(|rank| self.ranked.get(rank)) {
            let policy = &ranked.policy;
            if !policy.pod_selector.matches(&label) {
                continue;
            }
            match (namespace.is_selected_by(policy), policy.mode) {
                (Some(true), Mode::Enforce) => enforce.push(ranked),
                (Some(true), Mode::Audit) => audit.push(ranked),
                (Some(false), _) => {}
                (None, _) => matching.undecided.push(policy),
            }
        }
        matching.enforce = Desired::fold(&enforce);
        matching.audit = Desired::fold(&audit);
        matching
    }

    /// Returns the overrides between policies of the same mode, for a pod that all of them match.
    pub fn overrides(&self) -> Vec<Override<'_>> {
        let of_mode = |mode| {
            let ranked = self.ranked.iter();
            let ranked: Vec<_> = ranked.filter(|it| it.policy.mode == mode).collect();
            Desired::fold(&ranked).overrides
        };
        let modes = [Mode::Enforce, Mode::Audit];
        modes.into_iter().flat_map(of_mode).collect()
    }
}

impl Ranked {
    fn new(policy: Policy, live: &AddressesBySource) -> Self {
        let mut hosts: Vec<Host> = Vec::new();
        let mut positions: BTreeMap<String, usize> = BTreeMap::new();
        let mut ingresses_without_hostnames = Vec::new();
        for alias in &policy.host_aliases {
            let none = ResolvedAddresses::default();
            let (addresses, live, source) = match &alias.address {
                Address::Fixed(ip) => (std::slice::from_ref(ip), &none, None),
                Address::Live(source) => {
                    let live = live.get(source).unwrap_or(&none);
                    (live.addresses.as_slice(), live, Some(source))
                }
            };
            let hostnames: Vec<&str> = match source {
                Some(source) if alias.hostnames.is_empty() => {
                    if live.hostnames.is_empty() {
                        ingresses_without_hostnames.push(source.clone());
                    }
                    alias.suffixes.select(&live.hostnames).accepted
                }
                _ => alias.hostnames.iter().map(String::as_str).collect(),
            };
            for hostname in hostnames {
                let position = *positions.entry(hostname.to_owned()).or_insert(hosts.len());
                if position == hosts.len() {
                    hosts.push(Host {
                        hostname: hostname.to_owned(),
                        addresses: Vec::new(),
                        unresolved: Vec::new(),
                    });
                }
                if let Some(host) = hosts.get_mut(position) {
                    host.add(addresses, source);
                }
            }
        }
        Self {
            policy,
            hosts,
            ingresses_without_hostnames,
        }
    }
}

impl Host {
    /// Adds the first address of each family, unless the hostname has one of that family (H7).
    fn add(&mut self, addresses: &[IpAddr], source: Option<&AddressSource>) {
        for address in addresses {
            let is_same_family = |other: &IpAddr| other.is_ipv4() == address.is_ipv4();
            if !self.addresses.iter().any(is_same_family) {
                self.addresses.push(*address);
            }
        }
        self.unresolved
            .extend(source.filter(|_| addresses.is_empty()).cloned());
    }
}

impl Namespace<'_> {
    /// Returns whether the namespaceSelector of a policy matches, or `None` if it needs unknown
    /// labels.
    fn is_selected_by(&self, policy: &Policy) -> Option<bool> {
        let selector = &policy.namespace_selector;
        if self.labels.is_none() && needs_labels(policy) {
            return None;
        }
        Some(selector.matches(|key| self.label(key)))
    }

    /// Returns the value of a label. The label with the name of the namespace is always known.
    pub(super) fn label(&self, key: &str) -> Option<&str> {
        let given = self.labels.and_then(|labels| labels.get(key));
        given
            .map(String::as_str)
            .or_else(|| (key == NAMESPACE_NAME_LABEL && !self.name.is_empty()).then_some(self.name))
    }
}

/// Returns whether the namespaceSelector of a policy needs a label other than
/// [`NAMESPACE_NAME_LABEL`].
fn needs_labels(policy: &Policy) -> bool {
    let mut keys = policy.namespace_selector.keys();
    keys.any(|key| key != NAMESPACE_NAME_LABEL)
}

#[cfg(test)]
mod tests;
