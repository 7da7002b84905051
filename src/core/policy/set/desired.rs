//! The requests of several policies, folded (M1 to M4).

use super::{Host, Ranked};
use crate::core::policy::{
    AddressSource, ClientCerts, Dind, DindVolume, Glob, Policy, RegistryCa, toleration_fields,
};
use k8s_openapi::api::core::v1::Toleration;
use std::collections::HashMap;
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
    /// Hostnames, each with its policy (M2).
    pub hosts: Vec<Requested<'s, Host>>,
    /// Ingresses whose rules supply hostnames, and supply none now.
    pub(crate) hostnames_from: Vec<Requested<'s, AddressSource>>,
    /// The requests for pods with a dind container; `None` if no policy has `dind`.
    pub dind: Option<DesiredDind<'s>>,
    /// Requests that a policy of higher rank overrides.
    pub(crate) overrides: Vec<Override<'s>>,
}

/// The requests for pods with a dind container, folded (M3).
#[derive(Debug)]
pub struct DesiredDind<'s> {
    /// From the first policy with `dind`.
    pub client_certs: Requested<'s, ClientCerts>,
    /// Of all policies.
    pub images: Vec<&'s Glob>,
    /// The first in rank for each mount path.
    pub volumes: Vec<Requested<'s, DindVolume>>,
    /// The first in rank for each host.
    pub registry_cas: Vec<Requested<'s, RegistryCa>>,
    /// The first in rank for each key.
    pub node_selector: Vec<Requested<'s, (String, String)>>,
    /// Of all policies.
    pub tolerations: Vec<Requested<'s, Toleration>>,
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

impl<'s> Desired<'s> {
    /// Folds policies, given in rank.
    pub(super) fn fold(ranked: &[&'s Ranked]) -> Self {
        let mut desired = Self {
            policies: ranked.iter().map(|ranked| &ranked.policy).collect(),
            ..Self::default()
        };
        desired.fold_hosts(ranked);
        for Ranked { policy, .. } in ranked {
            if let Some(dind) = &policy.dind {
                desired.fold_dind(policy, dind);
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

    fn fold_dind(&mut self, policy: &'s Policy, dind: &'s Dind) {
        let overrides = &mut self.overrides;
        let certs = &dind.client_certs;
        let desired = self.dind.get_or_insert_with(|| DesiredDind {
            client_certs: Requested {
                policy,
                value: certs,
            },
            images: Vec::new(),
            volumes: Vec::new(),
            registry_cas: Vec::new(),
            node_selector: Vec::new(),
            tolerations: Vec::new(),
        });
        if *desired.client_certs.value != *certs {
            overrides.push(Override {
                policy,
                by: desired.client_certs.policy,
                subject: "clientCerts".to_owned(),
            });
        }
        for image in &dind.images {
            if !desired.images.contains(&image) {
                desired.images.push(image);
            }
        }
        fold(
            policy,
            &mut desired.volumes,
            &dind.volumes,
            |volume| ("the volume at", &volume.path),
            DindVolume::is_same,
            overrides,
        );
        fold(
            policy,
            &mut desired.registry_cas,
            &dind.registry_cas,
            |ca| ("the certificate authority of", &ca.host),
            RegistryCa::eq,
            overrides,
        );
        fold(
            policy,
            &mut desired.node_selector,
            &dind.node_selector,
            |(key, _)| ("the node selector", key),
            PartialEq::eq,
            overrides,
        );
        for toleration in &dind.tolerations {
            let is_same = |other: &Requested<'s, Toleration>| {
                toleration_fields(other.value) == toleration_fields(toleration)
            };
            if !desired.tolerations.iter().any(is_same) {
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

/// Adds requests. The first request for each subject counts; different later ones are overridden.
fn fold<'s, T>(
    policy: &'s Policy,
    known: &mut Vec<Requested<'s, T>>,
    values: &'s [T],
    subject: fn(&T) -> (&str, &str),
    is_same: fn(&T, &T) -> bool,
    overrides: &mut Vec<Override<'s>>,
) {
    for value in values {
        let (what, name) = subject(value);
        let mut earlier = known.iter();
        match earlier.find(|earlier| subject(earlier.value).1 == name) {
            None => known.push(Requested { policy, value }),
            Some(earlier) if is_same(earlier.value, value) => {}
            Some(earlier) => overrides.push(Override {
                policy,
                by: earlier.policy,
                subject: format!("{what} {name}"),
            }),
        }
    }
}

impl DindVolume {
    /// Whether two volumes at one path have the same effect.
    fn is_same(&self, other: &Self) -> bool {
        self.read_only == other.read_only
            && self.containers == other.containers
            && self.source == other.source
    }
}
