//! Folds the requests of several policies into the desired state of a pod (M1 to M4).

use super::{Host, Ranked};
use crate::core::policy::{
    AddressSource, ClientCerts, Dind, DindVolume, Glob, Policy, RegistryCa, toleration_fields,
};
use k8s_openapi::api::core::v1::Toleration;
use std::collections::HashMap;
use std::fmt;

/// A policy and a value that it requests.
pub type Requested<'s, T> = (&'s Policy, &'s T);

/// The state that policies request for a pod.
#[derive(Debug, Default)]
pub struct Desired<'s> {
    /// The policies in order of rank.
    pub policies: Vec<&'s Policy>,
    /// The hostnames, each with its policy (M2).
    pub hosts: Vec<Requested<'s, Host>>,
    /// Ingresses that should define hostnames of a policy, but whose rules contain none.
    pub(crate) ingresses_without_hostnames: Vec<Requested<'s, AddressSource>>,
    /// The requests for pods with a dind container; `None` if no policy has `dind`.
    pub dind: Option<DesiredDind<'s>>,
    /// Requests that a policy of higher rank overrides.
    pub(crate) overrides: Vec<Override<'s>>,
}

/// The state that policies request for a pod with a dind container (M3).
#[derive(Debug)]
pub struct DesiredDind<'s> {
    /// The settings of the first policy with `dind`.
    pub client_certs: Requested<'s, ClientCerts>,
    /// The `dind.images` patterns of all policies. A container whose image matches one of them is a
    /// dind container.
    pub images: Vec<&'s Glob>,
    /// For each mount path, the volume of the first policy in rank.
    pub volumes: Vec<Requested<'s, DindVolume>>,
    /// For each host, the CA certificate of the first policy in rank.
    pub registry_cas: Vec<Requested<'s, RegistryCa>>,
    /// For each key of the nodeSelector, the label of the first policy in rank.
    pub node_selector: Vec<Requested<'s, (String, String)>>,
    /// The tolerations of all policies.
    pub tolerations: Vec<Requested<'s, Toleration>>,
}

/// A request that a policy of higher rank overrides.
#[derive(Clone, Debug)]
pub struct Override<'s> {
    /// The policy whose request has no effect.
    pub(crate) policy: &'s Policy,
    /// The policy of higher rank.
    pub(crate) by: &'s Policy,
    /// The setting, as in `hostname gitlab.mylab.com`.
    pub(crate) subject: String,
}

impl fmt::Display for Override<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (policy, by, subject) = (&self.policy.name, &self.by.name, &self.subject);
        write!(
            f,
            "policy \"{by}\" overrides {subject} of policy \"{policy}\""
        )
    }
}

impl<'s> Desired<'s> {
    /// Folds policies, which must be in order of rank.
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
        for ranked_policy in ranked {
            let policy = &ranked_policy.policy;
            let from = ranked_policy.ingresses_without_hostnames.iter();
            self.ingresses_without_hostnames
                .extend(from.map(|source| (policy, source)));
            for host in &ranked_policy.hosts {
                // The hostnames of a policy are unique, so a single policy needs no look-up.
                if ranked.len() > 1 {
                    if let Some((owner, first)) = owners.get(host.hostname.as_str()) {
                        if *first != host {
                            self.overrides.push(Override {
                                policy,
                                by: owner,
                                subject: format!("hostname {}", host.hostname),
                            });
                        }
                        continue;
                    }
                    owners.insert(&host.hostname, (policy, host));
                }
                self.hosts.push((policy, host));
            }
        }
    }

    fn fold_dind(&mut self, policy: &'s Policy, dind: &'s Dind) {
        let overrides = &mut self.overrides;
        let certs = &dind.client_certs;
        let desired = self.dind.get_or_insert_with(|| DesiredDind {
            client_certs: (policy, certs),
            images: Vec::new(),
            volumes: Vec::new(),
            registry_cas: Vec::new(),
            node_selector: Vec::new(),
            tolerations: Vec::new(),
        });
        let (first, first_certs) = desired.client_certs;
        if first_certs != certs {
            overrides.push(Override {
                policy,
                by: first,
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
            |ca| ("the CA certificate of registry", &ca.host),
            RegistryCa::eq,
            overrides,
        );
        fold(
            policy,
            &mut desired.node_selector,
            &dind.node_selector,
            |(key, _)| ("the nodeSelector key", key),
            PartialEq::eq,
            overrides,
        );
        for toleration in &dind.tolerations {
            let is_same = |(_, other): &Requested<'s, Toleration>| {
                toleration_fields(other) == toleration_fields(toleration)
            };
            if !desired.tolerations.iter().any(is_same) {
                desired.tolerations.push((policy, toleration));
            }
        }
    }

    /// Returns whether no policy matches.
    pub(crate) fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }
}

/// Adds the requests of a policy. The first request for a subject takes effect; a later request
/// that differs is reported as an override.
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
        match earlier.find(|(_, first)| subject(first).1 == name) {
            None => known.push((policy, value)),
            Some((_, first)) if is_same(first, value) => {}
            Some((by, _)) => overrides.push(Override {
                policy,
                by,
                subject: format!("{what} {name}"),
            }),
        }
    }
}

impl DindVolume {
    /// Returns whether two volumes at the same path have the same effect.
    fn is_same(&self, other: &Self) -> bool {
        self.read_only == other.read_only
            && self.containers == other.containers
            && self.source == other.source
    }
}
