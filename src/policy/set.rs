//! All policies in force: which of them match a pod, folded to what that pod should look like.
//!
//! Rank is priority, then name (M1). For each thing that policies can ask for, the first in rank that speaks about it wins;
//! what the others asked for is kept as a [`Loss`], so that it can be told (M4).

use super::{
    Address, ClientCerts, Dind, DindVolume, Glob, LiveAddresses, Mode, Policy, PolicyToleration,
    RegistryCa, Source,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::net::IpAddr;

/// The label that the API server puts on every namespace, with its name as value.
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Policies in rank order, with the addresses that their live sources have now.
#[derive(Clone, Debug, Default)]
pub struct PolicySet {
    ranked: Vec<Ranked>,
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
    /// At most one of each family. Empty while a live source has none (H7).
    pub addresses: Vec<IpAddr>,
    /// The live sources among those that give the addresses.
    pub sources: Vec<Source>,
}

/// The namespace of a pod, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub struct Namespace<'a> {
    /// Its name; empty where it is not known.
    pub name: &'a str,
    /// Its labels; `None` where they are not known, as for an AdmissionReview without a cluster.
    pub labels: Option<&'a BTreeMap<String, String>>,
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
    /// Policies whose selectors do not match.
    pub others: Vec<&'s Policy>,
}

/// Something that a policy asks for.
#[derive(Debug)]
pub struct Asked<'s, T> {
    /// Who asks.
    pub policy: &'s Policy,
    /// What for.
    pub what: &'s T,
}

impl<T> Clone for Asked<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Asked<'_, T> {}

/// What policies ask for, folded: what a pod should look like.
#[derive(Debug, Default)]
pub struct Desired<'s> {
    /// The policies, in rank.
    pub policies: Vec<&'s Policy>,
    /// Hostnames, each with the policy that owns it (M2).
    pub hosts: Vec<Asked<'s, Host>>,
    /// Ingresses whose rules would name further hostnames.
    pub hostnames_from: Vec<Asked<'s, Source>>,
    /// What dind pods get; `None` where no policy speaks about docker.
    pub dind: Option<DesiredDind<'s>>,
    /// Who asked for something that another policy decides.
    pub losses: Vec<Loss<'s>>,
}

/// What policies ask for in dind pods, folded (M3).
#[derive(Debug)]
pub struct DesiredDind<'s> {
    /// Whole from the first policy with `dind`.
    pub client_certs: Asked<'s, ClientCerts>,
    /// A union.
    pub images: Vec<&'s Glob>,
    /// The first in rank wins each mount path.
    pub volumes: Vec<Asked<'s, DindVolume>>,
    /// The first in rank wins each host.
    pub registry_cas: Vec<Asked<'s, RegistryCa>>,
    /// The first in rank wins each key.
    pub node_selector: Vec<(Asked<'s, String>, &'s str)>,
    /// A union.
    pub tolerations: Vec<Asked<'s, PolicyToleration>>,
}

/// A policy asked for something that a policy of higher rank decides otherwise.
#[derive(Clone, Debug)]
pub struct Loss<'s> {
    /// Who asked in vain.
    pub loser: &'s Policy,
    /// Who decides.
    pub winner: &'s Policy,
    /// About what, as in `hostname gitlab.mylab.com`.
    pub what: String,
}

impl fmt::Display for Loss<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            loser,
            winner,
            what,
        } = self;
        write!(
            f,
            "policy \"{}\" has no say about {what}: policy \"{}\" ranks higher and decides it",
            loser.name, winner.name
        )
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
        Self { ranked }
    }

    /// Returns the policies, in rank.
    pub fn policies(&self) -> impl Iterator<Item = &Policy> {
        self.ranked.iter().map(|ranked| &ranked.policy)
    }

    /// Returns the policies that match a pod with the labels that `label` looks up, folded by mode.
    pub fn matching<'s, 'l>(
        &'s self,
        label: impl Fn(&str) -> Option<&'l str>,
        namespace: Namespace<'_>,
    ) -> Matching<'s> {
        let mut matching = Matching::default();
        let (mut enforce, mut audit) = (Vec::new(), Vec::new());
        for ranked in &self.ranked {
            let policy = &ranked.policy;
            if !policy.pod_selector.matches(&label) {
                matching.others.push(policy);
                continue;
            }
            match (namespace.is_selected_by(policy), policy.mode) {
                (Some(true), Mode::Enforce) => enforce.push(ranked),
                (Some(true), Mode::Audit) => audit.push(ranked),
                (Some(false), _) => matching.others.push(policy),
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
        let mut hostnames_from = Vec::new();
        for alias in &policy.host_aliases {
            let (addresses, source) = match &alias.address {
                Address::Fixed(ip) => (std::slice::from_ref(ip), None),
                Address::Live(source) => (
                    live.get(source).map(Vec::as_slice).unwrap_or_default(),
                    Some(source),
                ),
            };
            if let (Some(source), true) = (source, alias.hostnames.is_empty()) {
                hostnames_from.push(source.clone());
            }
            for hostname in &alias.hostnames {
                let known = hosts.iter().position(|host| host.hostname == *hostname);
                let index = known.unwrap_or_else(|| {
                    hosts.push(Host {
                        hostname: hostname.clone(),
                        addresses: Vec::new(),
                        sources: Vec::new(),
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
        self.sources.extend(source.cloned());
    }
}

impl Namespace<'_> {
    /// Whether a policy's namespaceSelector matches; `None` where it asks for labels that are not known.
    fn is_selected_by(&self, policy: &Policy) -> Option<bool> {
        let selector = &policy.namespace_selector;
        if self.labels.is_none() && selector.keys().any(|key| key != NAMESPACE_NAME_LABEL) {
            return None;
        }
        Some(selector.matches(|key| {
            let given = self
                .labels
                .and_then(|labels| labels.get(key))
                .map(String::as_str);
            given.or_else(|| {
                (key == NAMESPACE_NAME_LABEL && !self.name.is_empty()).then_some(self.name)
            })
        }))
    }
}

impl<'s> Desired<'s> {
    /// Folds policies, given in rank.
    fn fold(ranked: &[&'s Ranked]) -> Self {
        let mut desired = Self {
            policies: ranked.iter().map(|ranked| &ranked.policy).collect(),
            ..Self::default()
        };
        desired.fold_hosts(ranked);
        for policy in desired.policies.clone() {
            if let Some(dind) = &policy.dind {
                desired.fold_dind(policy, dind);
            }
        }
        desired
    }

    fn fold_hosts(&mut self, ranked: &[&'s Ranked]) {
        let mut owners: HashMap<&str, Asked<'s, Host>> = HashMap::new();
        for Ranked {
            policy,
            hosts,
            hostnames_from,
        } in ranked
        {
            self.hostnames_from
                .extend(hostnames_from.iter().map(|what| Asked { policy, what }));
            for host in hosts {
                let asked = Asked { policy, what: host };
                // One policy lists a hostname once; only several need the look-up.
                match if ranked.len() > 1 {
                    owners.get(host.hostname.as_str())
                } else {
                    None
                } {
                    Some(owner) if owner.what != host => {
                        self.losses.push(Loss {
                            loser: policy,
                            winner: owner.policy,
                            what: format!("hostname {}", host.hostname),
                        });
                    }
                    Some(_) => {}
                    None => {
                        if ranked.len() > 1 {
                            owners.insert(&host.hostname, asked);
                        }
                        self.hosts.push(asked);
                    }
                }
            }
        }
    }

    fn fold_dind(&mut self, policy: &'s Policy, dind: &'s Dind) {
        let losses = &mut self.losses;
        let mut lose = |winner: &'s Policy, what: String| {
            losses.push(Loss {
                loser: policy,
                winner,
                what,
            })
        };
        let desired = self.dind.get_or_insert_with(|| DesiredDind {
            client_certs: Asked {
                policy,
                what: &dind.client_certs,
            },
            images: Vec::new(),
            volumes: Vec::new(),
            registry_cas: Vec::new(),
            node_selector: Vec::new(),
            tolerations: Vec::new(),
        });
        if *desired.client_certs.what != dind.client_certs {
            lose(desired.client_certs.policy, "clientCerts".to_owned());
        }
        for image in &dind.images {
            if !desired.images.contains(&image) {
                desired.images.push(image);
            }
        }
        for volume in &dind.volumes {
            match desired
                .volumes
                .iter()
                .find(|other| other.what.path == volume.path)
            {
                Some(other) if !other.what.is_same(volume) => {
                    lose(other.policy, format!("the volume at {}", volume.path))
                }
                Some(_) => {}
                None => desired.volumes.push(Asked {
                    policy,
                    what: volume,
                }),
            }
        }
        for ca in &dind.registry_cas {
            match desired
                .registry_cas
                .iter()
                .find(|other| other.what.host == ca.host)
            {
                Some(other) if other.what != ca => lose(
                    other.policy,
                    format!("the certificate authority of {}", ca.host),
                ),
                Some(_) => {}
                None => desired.registry_cas.push(Asked { policy, what: ca }),
            }
        }
        for (key, value) in &dind.node_selector {
            match desired
                .node_selector
                .iter()
                .find(|(other, _)| other.what == key)
            {
                Some((other, theirs)) if theirs != value => {
                    lose(other.policy, format!("the node selector {key}"))
                }
                Some(_) => {}
                None => desired
                    .node_selector
                    .push((Asked { policy, what: key }, value)),
            }
        }
        for toleration in &dind.tolerations {
            if !desired
                .tolerations
                .iter()
                .any(|other| other.what.terms == toleration.terms)
            {
                desired.tolerations.push(Asked {
                    policy,
                    what: toleration,
                });
            }
        }
    }

    /// Whether a policy speaks at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// Returns the names of the policies, for a sentence.
    #[must_use]
    pub fn names(&self) -> BTreeSet<&'s str> {
        self.policies
            .iter()
            .map(|policy| policy.name.as_str())
            .collect()
    }
}

impl DindVolume {
    /// Whether two volumes for one path come to the same.
    fn is_same(&self, other: &Self) -> bool {
        self.read_only == other.read_only
            && self.containers == other.containers
            && self.source.field == other.source.field
            && self.source.json.get() == other.source.json.get()
    }
}
