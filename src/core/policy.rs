//! Policies as the rules use them: parsed, so that a [`Policy`] cannot be wrong.
//!
//! ```text
//! text ─► document::split ─► schema::check ─► parse ─► Policy ─► set::PolicySet ─► Desired (per pod)
//!                              └── every error of the file, with its field ──┘
//! ```
//!
//! Parsing collects every error; nothing later has to ask whether a policy is valid.

mod file;
mod hint;
mod parse;
mod quantity;
mod schema;
pub mod selector;
pub mod set;
mod suffixes;

pub use file::{PolicyError, PolicyFile, read, read_object, read_stored};
pub use hint::hints;
pub use parse::{FieldError, fixed_address};
pub use set::{Desired, PolicySet};
pub use suffixes::{HostnameSuffixes, Recorded, Taken};

use selector::Selector;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

pub use crate::core::crd::{Mode, VolumeContainers, form};

/// The directory that dind writes the docker client's certificates to, unless `DOCKER_TLS_CERTDIR` says otherwise.
pub const CLIENT_CERT_DIRECTORY: &str = "/certs/client";
/// Where dockerd keeps its data.
pub const DOCKER_ROOT: &str = "/var/lib/docker";

/// A `JobPodPolicy`, parsed.
#[derive(Clone, Debug)]
pub struct Policy {
    /// `metadata.name`.
    pub name: String,
    /// `name@generation`, or the name where there is no generation (a file): what the pod's annotation says.
    pub label: String,
    /// Higher wins.
    pub priority: i32,
    /// Whether it changes pods.
    pub mode: Mode,
    /// Among job pods.
    pub pod_selector: Selector,
    /// Among namespaces that opted in.
    pub namespace_selector: Selector,
    /// Hostnames and where their addresses come from, in the policy's order.
    pub host_aliases: Vec<HostAlias>,
    /// What dind pods get; `None` leaves everything about docker alone.
    pub dind: Option<Dind>,
}

/// An address and its hostnames. Without hostnames (only with an Ingress) they are those of the Ingress rules.
#[derive(Clone, Debug)]
pub struct HostAlias {
    /// The address, or what has it.
    pub address: Address,
    /// RFC 1123 subdomains, lower case.
    pub hostnames: Vec<String>,
    /// Which hostnames of an Ingress' rules are taken, where `hostnames` is empty.
    pub suffixes: HostnameSuffixes,
}

/// A fixed address, or the object that has it now.
#[derive(Clone, Debug)]
pub enum Address {
    /// Never a loopback or unspecified one.
    Fixed(IpAddr),
    /// Followed in a cluster; given by `--address` offline.
    Live(Source),
}

/// An object with addresses: `ingress/cicd/gitlab-registry`.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Source {
    /// Its kind.
    pub kind: SourceKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// The kinds of objects that have addresses.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum SourceKind {
    /// `networking.k8s.io` Ingress.
    Ingress,
    /// Service, by the address of its load balancer.
    Service,
    /// Service, by its address inside the cluster.
    ServiceClusterIp,
    /// `gateway.networking.k8s.io` Gateway.
    Gateway,
}

impl SourceKind {
    /// Returns the word that `from:` and `--address` use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Service | Self::ServiceClusterIp => "service",
            Self::Gateway => "gateway",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.kind.name(), self.namespace, self.name)?;
        match self.kind {
            SourceKind::ServiceClusterIp => f.write_str(" (ClusterIP)"),
            _ => Ok(()),
        }
    }
}

impl std::str::FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('/');
        let (Some(kind), Some(namespace), Some(name), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(format!(
                "\"{text}\" is not KIND/NAMESPACE/NAME, as in ingress/cicd/gitlab-registry"
            ));
        };
        let kind = match kind {
            "ingress" => SourceKind::Ingress,
            "service" => SourceKind::Service,
            "gateway" => SourceKind::Gateway,
            other => {
                return Err(format!(
                    "\"{other}\" is not a kind with addresses; use ingress, service or gateway"
                ));
            }
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

/// What live sources have now.
pub type LiveAddresses = BTreeMap<Source, Live>;

/// What a live source has now, or had when it was last seen with an address.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Live {
    /// In the source's own order.
    pub addresses: Vec<IpAddr>,
    /// The hostnames of an Ingress' rules, in their order, each once.
    pub hostnames: Vec<String>,
}

impl FromIterator<IpAddr> for Live {
    fn from_iter<T: IntoIterator<Item = IpAddr>>(addresses: T) -> Self {
        Self {
            addresses: addresses.into_iter().collect(),
            hostnames: Vec::new(),
        }
    }
}

/// What dind pods get.
#[derive(Clone, Debug)]
pub struct Dind {
    /// Further images that count as dind.
    pub images: Vec<Glob>,
    /// The docker client's certificate directory.
    pub client_certs: ClientCerts,
    /// Volumes, in the policy's order.
    pub volumes: Vec<DindVolume>,
    /// Certificate authorities of registries.
    pub registry_cas: Vec<RegistryCa>,
    /// Node labels to add.
    pub node_selector: BTreeMap<String, String>,
    /// Tolerations to add.
    pub tolerations: Vec<PolicyToleration>,
}

/// How the docker client's certificate directory is kept free.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientCerts {
    /// What to do with what else sits there.
    pub on_conflict: OnConflict,
    /// A Kubernetes quantity of bytes.
    pub size_limit: String,
}

/// What to do with a conflicting mount.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum OnConflict {
    /// Put a memory-backed emptyDir there.
    Replace,
    /// Replace it and mount it at this clean path.
    Relocate(String),
    /// Leave it and say so.
    Report,
    /// Refuse the pod.
    Deny,
}

/// A volume for dind.
#[derive(Clone, Debug)]
pub struct DindVolume {
    /// Preferred name in the pod.
    pub name: String,
    /// Clean absolute path.
    pub path: String,
    /// Whether the mount is read-only.
    pub read_only: bool,
    /// Which containers get it.
    pub containers: VolumeContainers,
    /// Where its content comes from.
    pub source: VolumeSource,
}

/// A volume's source, rendered once.
#[derive(Clone, Debug)]
pub struct VolumeSource {
    /// The source's field in a Volume, `emptyDir` for one.
    pub field: &'static str,
    /// The source itself, as JSON.
    pub json: Box<RawValue>,
    /// For sources that are one and the same directory in every volume that names them: the claim, path or export.
    pub identity: Option<String>,
}

impl VolumeSource {
    /// Whether it is a directory of the node.
    #[must_use]
    pub fn is_host_path(&self) -> bool {
        self.field == "hostPath"
    }

    /// Whether nothing can be written through it, whatever the mount says.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        matches!(self.field, "configMap" | "secret")
    }
}

/// A registry's certificate authority.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RegistryCa {
    /// `host` or `host:port`.
    pub host: String,
    /// Name of the ConfigMap.
    pub config_map: String,
    /// Key in the ConfigMap.
    pub key: String,
}

/// A toleration, rendered once.
#[derive(Clone, Debug)]
pub struct PolicyToleration {
    /// What makes two tolerations equal.
    pub terms: TolerationTerms,
    /// The toleration as the policy writes it.
    pub json: Box<RawValue>,
}

/// A toleration after the API's defaults.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct TolerationTerms {
    /// Empty matches all keys.
    pub key: String,
    /// `Equal` unless said otherwise.
    pub operator: String,
    /// Empty with `Exists`.
    pub value: String,
    /// Empty matches all effects.
    pub effect: String,
    /// Seconds.
    pub seconds: Option<i64>,
}

impl fmt::Display for TolerationTerms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key,
            operator,
            value,
            effect,
            ..
        } = self;
        match (key.as_str(), operator.as_str()) {
            ("", _) => write!(f, "every taint")?,
            (key, "Exists") => write!(f, "{key}")?,
            (key, _) => write!(f, "{key}={value}")?,
        }
        if effect.is_empty() {
            Ok(())
        } else {
            write!(f, ":{effect}")
        }
    }
}

/// A pattern in which `*` stands for any characters, also none and also `/`.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Glob(String);

impl Glob {
    /// Takes any pattern that is not empty.
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        Self(pattern.to_owned())
    }

    /// Returns the pattern as written.
    #[must_use]
    pub fn pattern(&self) -> &str {
        &self.0
    }

    /// Whether the whole text fits the pattern.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else {
            return self.0 == text;
        };
        let Some(mut remaining) = text.strip_prefix(first) else {
            return false;
        };
        let mut parts: Vec<&str> = rest.split('*').collect();
        let last = parts.pop().unwrap_or_default();
        // The leftmost place of each part leaves the most for the ones behind it.
        for part in parts {
            let Some(at) = remaining.find(part) else {
                return false;
            };
            remaining = remaining.get(at + part.len()..).unwrap_or_default();
        }
        remaining.ends_with(last)
    }
}
