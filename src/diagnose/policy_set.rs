//! Parses the policy objects of the cluster, and builds the policy set that replicas would use.

use super::facts::ObjectName;
use super::view::View;
use crate::core::crd::JobPodPolicyStatus;
use crate::core::policy::{
    Address, AddressSource, AddressSourceKind, AddressesBySource, FieldError, Policy, PolicySet,
    RecordedHostnames, ResolvedAddresses, read_stored,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// A parsed `JobPodPolicy` object.
#[derive(Clone, Debug)]
pub struct StoredPolicy {
    /// The name of the policy.
    pub name: String,
    /// `metadata.generation`.
    pub generation: Option<i64>,
    /// The status, which the replicas of drydock write.
    pub status: JobPodPolicyStatus,
    /// The policy, or the errors in it.
    pub policy: Result<Policy, Vec<FieldError>>,
}

impl StoredPolicy {
    /// Parses a `JobPodPolicy` object that the API server returned.
    #[must_use]
    pub fn read(object: &Value) -> Self {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        let status = object.get("status").cloned().unwrap_or_default();
        let status: JobPodPolicyStatus = serde_json::from_value(status).unwrap_or_default();
        Self {
            name: text("/metadata/name").unwrap_or_default().to_owned(),
            generation: object
                .pointer("/metadata/generation")
                .and_then(Value::as_i64),
            policy: read_stored(object.clone(), &recorded(&status)),
            status,
        }
    }

    /// Returns a condition of the status: whether it is true, and its message.
    #[must_use]
    pub fn condition(&self, type_: &str) -> Option<(bool, &str)> {
        let mut conditions = self.status.conditions.iter();
        let condition = conditions.find(|condition| condition.type_ == type_)?;
        Some((condition.status == "True", &condition.message))
    }
}

/// Returns the policy set of the valid policies, with the addresses in their status.
#[must_use]
pub fn policy_set(stored: &[StoredPolicy]) -> PolicySet {
    let policies = stored.iter().filter_map(|one| one.policy.clone().ok());
    let mut live = AddressesBySource::new();
    for one in stored.iter().flat_map(|one| &one.status.addresses) {
        if let Some(source) = source(&one.source) {
            let addresses = one.addresses.iter().filter_map(|text| text.parse().ok());
            let known = ResolvedAddresses {
                addresses: addresses.collect(),
                hostnames: one.hostnames.clone(),
            };
            live.insert(source, known);
        }
    }
    PolicySet::new(policies.collect(), &live)
}

fn recorded(status: &JobPodPolicyStatus) -> RecordedHostnames {
    let sources = status.addresses.iter();
    let with_hostnames = sources.filter(|one| !one.hostnames.is_empty());
    let pair = |one: &crate::core::crd::ResolvedSource| {
        Some((
            source(&one.source)?,
            one.hostnames.iter().cloned().collect(),
        ))
    };
    with_hostnames.filter_map(pair).collect()
}

/// Parses an address source in the status, such as `service/a/b (ClusterIP)`.
fn source(text: &str) -> Option<AddressSource> {
    let cluster_ip = text.strip_suffix(" (ClusterIP)");
    let mut source: AddressSource = cluster_ip.unwrap_or(text).parse().ok()?;
    if cluster_ip.is_some() {
        source.kind = AddressSourceKind::ServiceClusterIp;
    }
    Some(source)
}

/// Returns the hostnames for which the policy has fixed addresses, and these addresses.
#[must_use]
pub fn fixed_hostnames(policy: &Policy) -> BTreeMap<String, Vec<IpAddr>> {
    let mut hostnames: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
    for alias in &policy.host_aliases {
        let Address::Fixed(address) = alias.address else {
            continue;
        };
        for hostname in &alias.hostnames {
            hostnames.entry(hostname.clone()).or_default().push(address);
        }
    }
    hostnames
}

/// Returns the names of the PersistentVolumeClaims that a policy mounts.
pub(super) fn claims_of(policy: &Policy) -> BTreeSet<&str> {
    let volumes = policy.dind.iter().flat_map(|dind| &dind.volumes);
    let claims = volumes.filter(|volume| volume.source.field == "persistentVolumeClaim");
    claims
        .filter_map(|volume| volume.source.identity.as_deref())
        .collect()
}

impl View<'_> {
    /// Returns the ConfigMaps that policies mount in the namespaces that have opted in.
    #[must_use]
    pub fn wanted_config_maps(&self) -> BTreeSet<ObjectName> {
        self.mounted(|policy| {
            let authorities = policy.dind.iter().flat_map(|dind| &dind.registry_cas);
            authorities
                .map(|authority| authority.config_map.clone())
                .collect()
        })
    }

    /// Returns the PersistentVolumeClaims that policies mount in the namespaces that have opted in.
    #[must_use]
    pub fn wanted_claims(&self) -> BTreeSet<ObjectName> {
        self.mounted(|policy| claims_of(policy).into_iter().map(str::to_owned).collect())
    }

    fn mounted(&self, names: impl Fn(&Policy) -> Vec<String>) -> BTreeSet<ObjectName> {
        let mut all = BTreeSet::new();
        for policy in self.policies() {
            for namespace in self.selected_by(policy) {
                let names = names(policy).into_iter();
                all.extend(names.map(|name| (namespace.name.to_owned(), name)));
            }
        }
        all
    }
}
