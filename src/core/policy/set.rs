//! All policies in force: which of them match a pod, folded to what that pod should look like.
//!
//! Rank is priority, then name (M1). For each thing that policies can ask for, the first in rank that speaks about it wins;
//! what the others asked for is kept as a [`Loss`], so that it can be told (M4).

mod desired;
mod index;

pub use desired::{Asked, Desired, DesiredDind, Loss};

use super::{Address, LiveAddresses, Mode, Policy, Source};
use index::Index;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The label that the API server puts on every namespace, with its name as value.
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Policies in rank order, with the addresses that their live sources have now.
#[derive(Clone, Debug, Default)]
pub struct PolicySet {
    ranked: Vec<Ranked>,
    index: Index,
    asks_for_namespace_labels: bool,
}

#[derive(Clone, Debug)]
struct Ranked {
    policy: Policy,
    hosts: Vec<Host>,
    /// Ingresses whose rules name the hostnames, which only a cluster knows.
    hostnames_from: Vec<Source>,
}

/// A hostname and the addresses it should resolve to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Host {
    /// Lower case.
    pub hostname: String,
    /// At most one of each family.
    pub addresses: Vec<IpAddr>,
    /// Live sources that have no address now. With any of them it is not known what the hostname should resolve to (H7).
    pub unresolved: Vec<Source>,
}

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// The namespace of a pod, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub struct Namespace<'a> {
    /// Its name; empty where it is not known.
    pub name: &'a str,
    /// Its labels; `None` where they are not known, as for an AdmissionReview without a cluster.
    pub labels: Option<&'a Labels>,
}

/// The policies that match a pod, and those of which it cannot be said.
#[derive(Debug, Default)]
pub struct Matching<'s> {
    /// What Enforce policies ask for, folded.
    pub enforce: Desired<'s>,
    /// What Audit policies ask for, folded.
    pub audit: Desired<'s>,
    /// Policies whose namespaceSelector asks for labels that are not known here.
    pub undecided: Vec<&'s Policy>,
    set: Option<&'s PolicySet>,
}

impl<'s> Matching<'s> {
    /// Returns the policies whose selectors do not match, in rank.
    pub fn others(&self) -> impl Iterator<Item = &'s Policy> {
        let lists = [
            &self.enforce.policies,
            &self.audit.policies,
            &self.undecided,
        ];
        let told = lists.into_iter().flatten();
        let told: BTreeSet<_> = told.map(|policy| std::ptr::from_ref(*policy)).collect();
        let others = self.set.into_iter().flat_map(PolicySet::policies);
        others.filter(move |policy| !told.contains(&std::ptr::from_ref(*policy)))
    }
}

impl PolicySet {
    /// Ranks policies and resolves their hostnames with the addresses that live sources have now.
    #[must_use]
    pub fn new(policies: Vec<Policy>, live: &LiveAddresses) -> Self {
        let mut ranked: Vec<Ranked> = policies
            .into_iter()
            .map(|policy| Ranked::new(policy, live))
            .collect();
        ranked.sort_by(|a, b| {
            b.policy
                .priority
                .cmp(&a.policy.priority)
                .then_with(|| a.policy.name.cmp(&b.policy.name))
        });
        Self {
            index: Index::new(&ranked),
            asks_for_namespace_labels: ranked.iter().any(|ranked| asks_for_labels(&ranked.policy)),
            ranked,
        }
    }

    /// Returns the policies, in rank.
    pub fn policies(&self) -> impl Iterator<Item = &Policy> {
        self.ranked.iter().map(|ranked| &ranked.policy)
    }

    /// Whether some policy selects namespaces by labels that only a cluster knows.
    #[must_use]
    pub fn asks_for_namespace_labels(&self) -> bool {
        self.asks_for_namespace_labels
    }

    /// Returns the policies that match a pod with the labels that `label` looks up, folded by mode.
    pub fn matching<'s, 'l>(
        &'s self,
        label: impl Fn(&str) -> Option<&'l str>,
        namespace: Namespace<'_>,
    ) -> Matching<'s> {
        let mut matching = Matching {
            set: Some(self),
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

    /// Returns who loses what where all policies of a mode match one pod: what `check` tells.
    #[must_use]
    pub fn losses(&self) -> Vec<Loss<'_>> {
        let of_mode = |mode| {
            Desired::fold(
                &self
                    .ranked
                    .iter()
                    .filter(|ranked| ranked.policy.mode == mode)
                    .collect::<Vec<_>>(),
            )
        };
        [Mode::Enforce, Mode::Audit]
            .into_iter()
            .flat_map(|mode| of_mode(mode).losses)
            .collect()
    }
}

impl Ranked {
    fn new(policy: Policy, live: &LiveAddresses) -> Self {
        let mut hosts: Vec<Host> = Vec::new();
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        let mut hostnames_from = Vec::new();
        for alias in &policy.host_aliases {
            let (addresses, source) = match &alias.address {
                Address::Fixed(ip) => (std::slice::from_ref(ip), None),
                Address::Live(source) => (
                    live.get(source)
                        .map(|live| live.addresses.as_slice())
                        .unwrap_or_default(),
                    Some(source),
                ),
            };
            let of_rules = source
                .filter(|_| alias.hostnames.is_empty())
                .map(|source| (source, live.get(source).map(|live| &live.hostnames)));
            let hostnames: Vec<&str> = match of_rules {
                None => alias.hostnames.iter().map(String::as_str).collect(),
                Some((_, Some(hostnames))) if !hostnames.is_empty() => {
                    alias.suffixes.take(hostnames).taken
                }
                Some((source, _)) => {
                    hostnames_from.push(source.clone());
                    continue;
                }
            };
            for hostname in hostnames {
                let index = places.get(hostname).copied().unwrap_or_else(|| {
                    places.insert(hostname.to_owned(), hosts.len());
                    hosts.push(Host {
                        hostname: hostname.to_owned(),
                        addresses: Vec::new(),
                        unresolved: Vec::new(),
                    });
                    hosts.len() - 1
                });
                if let Some(host) = hosts.get_mut(index) {
                    host.take(addresses, source);
                }
            }
        }
        Self {
            policy,
            hosts,
            hostnames_from,
        }
    }
}

impl Host {
    /// Takes the first address of each family that it has none of yet (H7).
    fn take(&mut self, addresses: &[IpAddr], source: Option<&Source>) {
        for address in addresses {
            if !self
                .addresses
                .iter()
                .any(|known| known.is_ipv4() == address.is_ipv4())
            {
                self.addresses.push(*address);
            }
        }
        self.unresolved
            .extend(source.filter(|_| addresses.is_empty()).cloned());
    }
}

impl Namespace<'_> {
    /// Whether a policy's namespaceSelector matches; `None` where it asks for labels that are not known.
    fn is_selected_by(&self, policy: &Policy) -> Option<bool> {
        let selector = &policy.namespace_selector;
        if self.labels.is_none() && asks_for_labels(policy) {
            return None;
        }
        Some(selector.matches(|key| self.label(key)))
    }

    /// Returns the value of a label, as far as it is known. The API server labels every namespace with its name.
    fn label(&self, key: &str) -> Option<&str> {
        let given = self.labels.and_then(|labels| labels.get(key));
        given
            .map(String::as_str)
            .or_else(|| (key == NAMESPACE_NAME_LABEL && !self.name.is_empty()).then_some(self.name))
    }
}

/// Whether a policy's namespaceSelector looks at labels that a namespace's name does not tell.
fn asks_for_labels(policy: &Policy) -> bool {
    policy
        .namespace_selector
        .keys()
        .any(|key| key != NAMESPACE_NAME_LABEL)
}

#[cfg(test)]
mod tests;
