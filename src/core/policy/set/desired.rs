//! The requests of several policies, folded (M1 to M4).

use super::{Host, Ranked};
use crate::core::policy::{
    ClientCerts, Dind, DindVolume, Glob, Policy, PolicyToleration, RegistryCa, Source,
    TolerationTerms,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

/// A value and the policy that requests it.
#[derive(Debug)]
pub struct Requested<'s, T> {
    pub(crate) policy: &'s Policy,
    pub(crate) value: &'s T,
}

impl<T> Clone for Requested<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Requested<'_, T> {}

/// The state that policies request of a pod.
#[derive(Debug, Default)]
pub struct Desired<'s> {
    /// The policies, in rank.
    pub policies: Vec<&'s Policy>,
    /// Hostnames, each with the policy that owns it (M2).
    pub hosts: Vec<Requested<'s, Host>>,
    /// Ingresses whose rules would name further hostnames.
    pub(crate) hostnames_from: Vec<Requested<'s, Source>>,
    /// For pods with a dind container; `None` if no policy has `dind`.
    pub dind: Option<DesiredDind<'s>>,
    /// Requests that a policy of higher rank overrides.
    pub(crate) overrides: Vec<Override<'s>>,
}

/// The requests for pods with a dind container, folded (M3).
#[derive(Debug)]
pub struct DesiredDind<'s> {
    /// Of the first policy with `dind`.
    pub client_certs: Requested<'s, ClientCerts>,
    /// Of all policies.
    pub images: Vec<&'s Glob>,
    /// Of each mount path the first in rank.
    pub volumes: Vec<Requested<'s, DindVolume>>,
    /// Of each host the first in rank.
    pub registry_cas: Vec<Requested<'s, RegistryCa>>,
    /// Of each key the first in rank.
    pub node_selector: Vec<(Requested<'s, String>, &'s str)>,
    /// Of all policies.
    pub tolerations: Vec<Requested<'s, PolicyToleration>>,
}

/// A request that a policy of higher rank overrides.
#[derive(Clone, Debug)]
pub struct Override<'s> {
    /// The policy that has no effect on the subject.
    pub(crate) policy: &'s Policy,
    /// The policy that decides.
    pub(crate) by: &'s Policy,
    /// The subject, as in `hostname gitlab.mylab.com`.
    pub(crate) subject: String,
}

impl fmt::Display for Override<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (policy, by) = (&self.policy.name, &self.by.name);
        write!(
            f,
            "policy \"{policy}\" is overridden for {}: policy \"{by}\" ranks higher",
            self.subject
        )
    }
}

/// The requests of policies of higher rank, by what makes two requests one.
#[derive(Default)]
struct Decided<'s> {
    images: BTreeSet<&'s Glob>,
    volumes: BTreeMap<&'s str, Requested<'s, DindVolume>>,
    registry_cas: BTreeMap<&'s str, Requested<'s, RegistryCa>>,
    node_selector: BTreeMap<&'s str, Requested<'s, String>>,
    tolerations: BTreeSet<&'s TolerationTerms>,
}

impl<'s> Desired<'s> {
    /// Folds policies, given in rank.
    pub(super) fn fold(ranked: &[&'s Ranked]) -> Self {
        let mut desired = Self {
            policies: ranked.iter().map(|ranked| &ranked.policy).collect(),
            ..Self::default()
        };
        desired.fold_hosts(ranked);
        let mut known = Decided::default();
        for Ranked { policy, .. } in ranked {
            if let Some(dind) = &policy.dind {
                desired.fold_dind(policy, dind, &mut known);
            }
        }
        desired
    }

    fn fold_hosts(&mut self, ranked: &[&'s Ranked]) {
        let mut owners: HashMap<&str, Requested<'s, Host>> = HashMap::new();
        for Ranked {
            policy,
            hosts,
            hostnames_from,
        } in ranked
        {
            let from = hostnames_from
                .iter()
                .map(|value| Requested { policy, value });
            self.hostnames_from.extend(from);
            for host in hosts {
                let asked = Requested {
                    policy,
                    value: host,
                };
                // A policy has a hostname once, so a single policy needs no look-up.
                if ranked.len() > 1 {
                    if let Some(owner) = owners.get(host.hostname.as_str()) {
                        if owner.value != host {
                            self.overrides.push(Override {
                                policy,
                                by: owner.policy,
                                subject: format!("hostname {}", host.hostname),
                            });
                        }
                        continue;
                    }
                    owners.insert(&host.hostname, asked);
                }
                self.hosts.push(asked);
            }
        }
    }

    fn fold_dind(&mut self, policy: &'s Policy, dind: &'s Dind, known: &mut Decided<'s>) {
        let overrides = &mut self.overrides;
        let desired = self.dind.get_or_insert_with(|| DesiredDind {
            client_certs: Requested {
                policy,
                value: &dind.client_certs,
            },
            images: Vec::new(),
            volumes: Vec::new(),
            registry_cas: Vec::new(),
            node_selector: Vec::new(),
            tolerations: Vec::new(),
        });
        if *desired.client_certs.value != dind.client_certs {
            overrides.push(Override {
                policy,
                by: desired.client_certs.policy,
                subject: "clientCerts".to_owned(),
            });
        }
        let images = dind.images.iter();
        desired
            .images
            .extend(images.filter(|image| known.images.insert(image)));
        for volume in &dind.volumes {
            let (path, known) = (&volume.path, &mut known.volumes);
            let name = || format!("the volume at {path}");
            let asked = Requested {
                policy,
                value: volume,
            };
            let first = first(known, path, asked, DindVolume::is_same, name, overrides);
            desired.volumes.extend(first);
        }
        for ca in &dind.registry_cas {
            let (host, known) = (&ca.host, &mut known.registry_cas);
            let name = || format!("the certificate authority of {host}");
            let asked = Requested { policy, value: ca };
            let first = first(known, host, asked, RegistryCa::eq, name, overrides);
            desired.registry_cas.extend(first);
        }
        for (key, value) in &dind.node_selector {
            let known = &mut known.node_selector;
            let name = || format!("the node selector {key}");
            let asked = Requested { policy, value };
            if first(known, key, asked, String::eq, name, overrides).is_some() {
                let asked = Requested { policy, value: key };
                desired.node_selector.push((asked, value));
            }
        }
        for toleration in &dind.tolerations {
            if known.tolerations.insert(&toleration.terms) {
                let value = toleration;
                desired.tolerations.push(Requested { policy, value });
            }
        }
    }

    /// Whether no policy matches.
    pub(crate) fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }
}

/// Returns a request if it is the first for its key, and records whether an earlier one overrides
/// it.
fn first<'s, T>(
    known: &mut BTreeMap<&'s str, Requested<'s, T>>,
    key: &'s str,
    asked: Requested<'s, T>,
    is_same: fn(&T, &T) -> bool,
    name: impl Fn() -> String,
    overrides: &mut Vec<Override<'s>>,
) -> Option<Requested<'s, T>> {
    let Some(earlier) = known.get(key) else {
        known.insert(key, asked);
        return Some(asked);
    };
    if !is_same(earlier.value, asked.value) {
        overrides.push(Override {
            policy: asked.policy,
            by: earlier.policy,
            subject: name(),
        });
    }
    None
}

impl DindVolume {
    /// Whether two volumes at one path have the same effect.
    fn is_same(&self, other: &Self) -> bool {
        self.read_only == other.read_only
            && self.containers == other.containers
            && self.source.field == other.source.field
            && self.source.json.get() == other.source.json.get()
    }
}
