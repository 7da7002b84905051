//! Parsed policies. Only parsing creates a [`Policy`], so every [`Policy`] is valid.
//!
//! ```text
//! text ─► document::split ─► schema::check ─► parse ─► Policy ─► set::PolicySet ─► Desired
//!                                 └───────────┴─► errors, with their fields
//! ```
//!
//! Parsing reports all errors of a policy, not only the first.

mod file;
mod hint;
mod parse;
mod quantity;
mod schema;
pub mod selector;
pub mod set;
mod suffixes;
mod unreadable;

pub use file::{PolicyError, PolicyFile, read, read_object, read_stored};
pub use hint::{Hint, hints};
pub use parse::{FieldError, fixed_address};
pub use set::{Desired, PolicySet};
pub use suffixes::{HostnameSuffixes, IngressHostnames, RecordedHostnames};
pub use unreadable::UnreadablePolicy;

use k8s_openapi::api::core::v1::Toleration;
use selector::Selector;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

pub use crate::core::crd::{Mode, OnConflict, VolumeContainers};

/// The directory in which dind creates the certificates of the docker client if
/// `DOCKER_TLS_CERTDIR` is not set.
pub const CLIENT_CERT_DIRECTORY: &str = "/certs/client";
/// The data directory of dockerd.
pub const DOCKER_ROOT: &str = "/var/lib/docker";

/// A valid `JobPodPolicy`.
#[derive(Clone, Debug)]
pub struct Policy {
    /// `metadata.name`.
    pub name: String,
    /// `name@generation`, for the annotation of the pod. Only `name` for a policy from a file.
    pub versioned_name: String,
    /// The policy with the highest priority takes precedence.
    pub priority: i32,
    /// Whether the policy changes pods or only reports the changes.
    pub mode: Mode,
    /// Selects job pods.
    pub pod_selector: Selector,
    /// Selects namespaces, among those that opted in.
    pub namespace_selector: Selector,
    /// Hostnames and the sources of their addresses, in the order of the policy.
    pub host_aliases: Vec<HostAlias>,
    /// The settings for pods with a dind container. If `None`, drydock makes no changes for Docker.
    pub dind: Option<Dind>,
}

/// An address and its hostnames.
#[derive(Clone, Debug)]
pub struct HostAlias {
    /// The address, or its source.
    pub address: Address,
    /// RFC 1123 subdomains in lower case. If empty, the rules of an Ingress define the hostnames.
    pub hostnames: Vec<String>,
    /// The hostnames to accept from the rules of an Ingress, if `hostnames` is empty.
    pub suffixes: HostnameSuffixes,
}

/// A fixed address, or the object that has the address.
#[derive(Clone, Debug)]
pub enum Address {
    /// A fixed address, which is neither a loopback address nor the unspecified address.
    Fixed(IpAddr),
    /// The address of an object that drydock watches. Without a cluster, `--address` sets the
    /// address.
    Live(AddressSource),
}

/// A reference to an object with addresses, as in `ingress/cicd/gitlab-registry`.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct AddressSource {
    /// The kind of the object, and of its addresses.
    pub kind: AddressSourceKind,
    /// The namespace of the object.
    pub namespace: String,
    /// The name of the object.
    pub name: String,
}

/// The kinds of objects with addresses.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum AddressSourceKind {
    /// An Ingress of `networking.k8s.io`.
    Ingress,
    /// A Service, with the addresses of its load balancer.
    Service,
    /// A Service, with its cluster IPs.
    ServiceClusterIp,
    /// A Gateway of `gateway.networking.k8s.io`.
    Gateway,
}

impl AddressSourceKind {
    /// Returns the name of the kind in `from` and `--address`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Service | Self::ServiceClusterIp => "service",
            Self::Gateway => "gateway",
        }
    }
}

impl fmt::Display for AddressSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.kind.name(), self.namespace, self.name)?;
        match self.kind {
            AddressSourceKind::ServiceClusterIp => f.write_str(" (ClusterIP)"),
            _ => Ok(()),
        }
    }
}

impl std::str::FromStr for AddressSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split('/').collect();
        let [kind, namespace, name] = *parts else {
            return Err(format!(
                "\"{text}\" must have the form KIND/NAMESPACE/NAME, as in ingress/cicd/gitlab-registry"
            ));
        };
        let kinds = [
            AddressSourceKind::Ingress,
            AddressSourceKind::Service,
            AddressSourceKind::Gateway,
        ];
        let Some(kind) = kinds.into_iter().find(|known| known.name() == kind) else {
            return Err(format!(
                "\"{kind}\" is not supported; use ingress, service or gateway"
            ));
        };
        if namespace.is_empty() || name.is_empty() {
            return Err(format!("\"{text}\" must have a namespace and a name"));
        }
        Ok(Self {
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }
}

/// The current addresses of each source.
pub type AddressesBySource = BTreeMap<AddressSource, ResolvedAddresses>;

/// The current addresses of a source, or the last known addresses.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ResolvedAddresses {
    /// The addresses, in the order in which the source lists them.
    pub addresses: Vec<IpAddr>,
    /// The hostnames in the rules of an Ingress, in their order and without duplicates.
    pub hostnames: Vec<String>,
}

impl FromIterator<IpAddr> for ResolvedAddresses {
    fn from_iter<T: IntoIterator<Item = IpAddr>>(addresses: T) -> Self {
        Self {
            addresses: addresses.into_iter().collect(),
            hostnames: Vec::new(),
        }
    }
}

/// The settings for pods with a dind container.
#[derive(Clone, Debug)]
pub struct Dind {
    /// Images of dind, in addition to those that drydock always recognises.
    pub images: Vec<Glob>,
    /// Settings for the directory of the client certificates.
    pub client_certs: ClientCerts,
    /// Volumes, in the order of the policy.
    pub volumes: Vec<DindVolume>,
    /// CA certificates of registries.
    pub registry_cas: Vec<RegistryCa>,
    /// Labels to add to the nodeSelector of the pod.
    pub node_selector: Vec<(String, String)>,
    /// Tolerations to add to the pod.
    pub tolerations: Vec<Toleration>,
}

/// Settings for the directory of the client certificates.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientCerts {
    /// The action if a container mounts another volume at the directory.
    pub on_conflict: OnConflict,
    /// The clean path at which [`OnConflict::Relocate`] mounts the other volume.
    pub relocate_to: String,
    /// The size limit, a Kubernetes quantity of bytes.
    pub size_limit: String,
    /// A memory-backed emptyDir with that size limit.
    pub volume: VolumeSource,
}

/// A volume for dind.
#[derive(Clone, Debug)]
pub struct DindVolume {
    /// The name in the pod, unless the pod already has a volume with this name.
    pub name: String,
    /// The mount path, absolute and clean.
    pub path: String,
    /// Whether the mount is read-only.
    pub read_only: bool,
    /// The containers that mount the volume.
    pub containers: VolumeContainers,
    /// The source of the volume.
    pub source: VolumeSource,
}

/// The source of a volume.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VolumeSource {
    /// The field of the source in a Volume of the API, as in `emptyDir`.
    pub field: &'static str,
    /// The value of the field.
    pub json: Value,
    /// The name of the claim, the path on the node or the NFS export. Volumes with the same
    /// identity share a directory. `None` for other sources.
    pub identity: Option<String>,
}

impl VolumeSource {
    /// Returns whether the source is a path on the node.
    pub fn is_host_path(&self) -> bool {
        self.field == "hostPath"
    }

    /// Returns whether the source is read-only, even if the mount is not.
    pub fn is_read_only(&self) -> bool {
        matches!(self.field, "configMap" | "secret")
    }
}

/// The CA certificate of a registry, in a ConfigMap.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RegistryCa {
    /// The registry, as `host` or `host:port`.
    pub host: String,
    /// The name of the ConfigMap.
    pub config_map: String,
    /// The key in the ConfigMap.
    pub key: String,
    /// The volume source that projects this key of the ConfigMap to the file `ca.crt`.
    pub source: VolumeSource,
}

/// Returns the fields by which tolerations are compared, with the defaults of the API: key,
/// operator, value, effect and seconds.
pub(crate) fn toleration_fields(toleration: &Toleration) -> ([&str; 4], Option<i64>) {
    let [key, value, effect] = [&toleration.key, &toleration.value, &toleration.effect]
        .map(|field| field.as_deref().unwrap_or_default());
    let operator = toleration.operator.as_deref().unwrap_or("Equal");
    (
        [key, operator, value, effect],
        toleration.toleration_seconds,
    )
}

/// A pattern in which `*` matches any text, including `/` and the empty text.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Glob(String);

impl Glob {
    /// Creates a glob from a pattern that is not empty.
    pub fn new(pattern: &str) -> Self {
        Self(pattern.to_owned())
    }

    /// Returns whether the whole text matches the pattern.
    pub fn matches(&self, text: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else {
            return self.0 == text;
        };
        let Some(mut remaining) = text.strip_prefix(first) else {
            return false;
        };
        let mut parts: Vec<&str> = rest.split('*').collect();
        let last = parts.pop().unwrap_or_default();
        // The leftmost match of each part leaves the most text for the following parts.
        for part in parts {
            let Some(at) = remaining.find(part) else {
                return false;
            };
            remaining = remaining.get(at + part.len()..).unwrap_or_default();
        }
        remaining.ends_with(last)
    }
}
