//! The requests of several policies, folded (M1 to M4).

use super::{Host, Ranked};
use crate::core::policy::{
    AddressSource, ClientCerts, Dind, DindVolume, Glob, Policy, RegistryCa, toleration_fields,
};
use k8s_openapi::api::core::v1::Toleration;
use std::collections::HashMap;
use std::fmt;

/// The policy that requests a value, and the value.
pub type Requested<'s, T> = (&'s Policy, &'s T);

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
        for ranked_policy in ranked {
            let policy = &ranked_policy.policy;
            let from = ranked_policy.hostnames_from.iter();
            self.hostnames_from
                .extend(from.map(|source| (policy, source)));
            for host in &ranked_policy.hosts {
                // A policy has a hostname once, so a single policy needs no look-up.
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
            let is_same = |(_, other): &Requested<'s, Toleration>| {
                toleration_fields(other) == toleration_fields(toleration)
            };
            if !desired.tolerations.iter().any(is_same) {
                desired.tolerations.push((policy, toleration));
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
    /// Whether two volumes at one path have the same effect.
    fn is_same(&self, other: &Self) -> bool {
        self.read_only == other.read_only
            && self.containers == other.containers
            && self.source == other.source
    }
}
