//! Parsed policies. Only parsing creates a [`Policy`], so it is always valid.
//!
//! ```text
//! text ─► document::split ─► schema::check ─► parse ─► Policy ─► set::PolicySet ─► Desired
//!                                 └───────────┴─► errors, with their fields
//! ```
//!
//! Parsing collects every error.

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

/// The directory to which dind writes the certificates of the docker client if
/// `DOCKER_TLS_CERTDIR` is not set.
pub const CLIENT_CERT_DIRECTORY: &str = "/certs/client";
/// The data directory of dockerd.
pub const DOCKER_ROOT: &str = "/var/lib/docker";

/// A valid `JobPodPolicy`.
#[derive(Clone, Debug)]
pub struct Policy {
    /// `metadata.name`.
    pub name: String,
    /// `name@generation` for the annotation of the pod; only the name for a policy from a file.
    pub label: String,
    /// The higher priority wins.
    pub priority: i32,
    /// Whether the policy changes pods.
    pub mode: Mode,
    /// Selects job pods.
    pub pod_selector: Selector,
    /// Selects namespaces that opted in.
    pub namespace_selector: Selector,
    /// Hostnames and the sources of their addresses, in the order of the policy.
    pub host_aliases: Vec<HostAlias>,
    /// The changes of pods with a dind container; `None` changes nothing about docker.
    pub dind: Option<Dind>,
}

/// An address and its hostnames.
#[derive(Clone, Debug)]
pub struct HostAlias {
    /// The address, or its source.
    pub address: Address,
    /// RFC 1123 subdomains, lower case. Empty: the hostnames come from the rules of an Ingress.
    pub hostnames: Vec<String>,
    /// The hostnames to accept from the rules of an Ingress, if `hostnames` is empty.
    pub suffixes: HostnameSuffixes,
}

/// A fixed address, or the object that has the address.
#[derive(Clone, Debug)]
pub enum Address {
    /// Neither a loopback nor the unspecified address.
    Fixed(IpAddr),
    /// Watched in a cluster; `--address` sets it offline.
    Live(AddressSource),
}

/// An object with addresses: `ingress/cicd/gitlab-registry`.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct AddressSource {
    /// The kind.
    pub kind: AddressSourceKind,
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

/// The kinds of objects with addresses.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum AddressSourceKind {
    /// `networking.k8s.io` Ingress.
    Ingress,
    /// Service, with the address of its load balancer.
    Service,
    /// Service, with its cluster IP.
    ServiceClusterIp,
    /// `gateway.networking.k8s.io` Gateway.
    Gateway,
}

impl AddressSourceKind {
    /// Returns the name in `from:` and `--address`.
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
                "\"{text}\" is not KIND/NAMESPACE/NAME, as in ingress/cicd/gitlab-registry"
            ));
        };
        let kinds = [
            AddressSourceKind::Ingress,
            AddressSourceKind::Service,
            AddressSourceKind::Gateway,
        ];
        let Some(kind) = kinds.into_iter().find(|known| known.name() == kind) else {
            return Err(format!(
                "\"{kind}\" is not a kind with addresses; use ingress, service or gateway"
            ));
        };
        if namespace.is_empty() || name.is_empty() {
            return Err(format!("\"{text}\" lacks a namespace or a name"));
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
    /// In the order of the source.
    pub addresses: Vec<IpAddr>,
    /// The hostnames in the rules of an Ingress, in their order, each once.
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

/// The changes of pods with a dind container.
#[derive(Clone, Debug)]
pub struct Dind {
    /// Further images of dind.
    pub images: Vec<Glob>,
    /// The certificate directory of the docker client.
    pub client_certs: ClientCerts,
    /// Volumes, in the order of the policy.
    pub volumes: Vec<DindVolume>,
    /// Certificate authorities of registries.
    pub registry_cas: Vec<RegistryCa>,
    /// Node labels to add.
    pub node_selector: Vec<(String, String)>,
    /// Tolerations to add.
    pub tolerations: Vec<Toleration>,
}

/// The certificate directory of the docker client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientCerts {
    /// The action for other content mounted there.
    pub on_conflict: OnConflict,
    /// The clean path at which Relocate mounts that content.
    pub relocate_to: String,
    /// A Kubernetes quantity of bytes.
    pub size_limit: String,
    /// A memory-backed emptyDir of that size.
    pub volume: VolumeSource,
}

/// A volume for dind.
#[derive(Clone, Debug)]
pub struct DindVolume {
    /// The preferred name in the pod.
    pub name: String,
    /// A clean absolute path.
    pub path: String,
    /// Whether the mount is read-only.
    pub read_only: bool,
    /// The containers that mount it.
    pub containers: VolumeContainers,
    /// The source.
    pub source: VolumeSource,
}

/// The source of a volume.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VolumeSource {
    /// The field of the source in a Volume, as in `emptyDir`.
    pub field: &'static str,
    /// The source.
    pub json: Value,
    /// The claim, path or export: volumes with the same one share a directory. `None` for other
    /// sources.
    pub identity: Option<String>,
}

impl VolumeSource {
    /// Whether the source is a directory on the node.
    pub fn is_host_path(&self) -> bool {
        self.field == "hostPath"
    }

    /// Whether the source is read-only, also in a writable mount.
    pub fn is_read_only(&self) -> bool {
        matches!(self.field, "configMap" | "secret")
    }
}

/// The certificate authority of a registry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RegistryCa {
    /// `host` or `host:port`.
    pub host: String,
    /// Name of the ConfigMap.
    pub config_map: String,
    /// Key in the ConfigMap.
    pub key: String,
    /// The key, as the file `ca.crt`.
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

    /// Whether the whole text matches the pattern.
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
