//! A pod with the fields that rules read, borrowed from the text of the request.
//!
//! Other fields are skipped. They stay in the pod, also fields of a newer Kubernetes: changes are
//! patch operations, and a pod is never serialised. Every list may be absent or null, and every
//! string may be absent: the API server calls webhooks before it validates the pod.

mod bounds;
mod env;
mod mount;
mod text;
mod volume;

use crate::core::quote::{escape, quote};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};
use std::fmt;

pub(crate) use bounds::check_variables;
pub use bounds::{Dimension, OverBound};
pub use env::{Env, EnvValue};
pub use mount::{MountPath, VolumeMount};
pub use text::{Map, Text};
pub use volume::Volume;

/// A pod.
#[derive(Clone, Debug, Default)]
pub struct Pod<'a> {
    /// `metadata`.
    pub metadata: Metadata<'a>,
    /// `spec`.
    pub spec: Spec<'a>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Pod<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(bound(deserialize = "'de: 'a"), rename = "Pod")]
        struct Fields<'a> {
            #[serde(default, deserialize_with = "text::null_as_default")]
            metadata: Metadata<'a>,
            #[serde(default, deserialize_with = "text::null_as_default")]
            spec: Spec<'a>,
        }
        let Fields { metadata, spec } = Fields::deserialize(deserializer)?;
        let pod = Self { metadata, spec };
        bounds::check_sums(&pod)?;
        Ok(pod)
    }
}

/// A pod's metadata.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"), rename_all = "camelCase")]
pub struct Metadata<'a> {
    /// Absent if the API server generates it.
    pub name: Option<Text<'a>>,
    /// The prefix of a generated name.
    pub generate_name: Option<Text<'a>>,
    /// Can be absent during admission.
    pub namespace: Option<Text<'a>>,
    /// Labels.
    #[serde(default, deserialize_with = "bounds::labels")]
    pub labels: Option<Map<'a>>,
    /// Annotations; `None` if the pod has no `annotations` object.
    #[serde(default, deserialize_with = "bounds::annotations")]
    pub annotations: Option<Map<'a>>,
    /// `metadata.ownerReferences`.
    #[serde(default, deserialize_with = "bounds::owners")]
    pub owner_references: Option<Vec<OwnerReference>>,
}

/// An owner of a pod.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct OwnerReference {
    /// Whether the owner is the controller of the pod.
    pub controller: Option<bool>,
}

/// A pod's spec.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"), rename_all = "camelCase")]
pub struct Spec<'a> {
    /// Entries of `/etc/hosts`.
    #[serde(default, deserialize_with = "bounds::host_aliases")]
    pub host_aliases: Option<Vec<HostAlias<'a>>>,
    /// Volumes.
    #[serde(default, deserialize_with = "bounds::volumes")]
    pub volumes: Option<Vec<Volume<'a>>>,
    /// Containers.
    #[serde(default, deserialize_with = "bounds::containers")]
    pub containers: Option<Vec<Container<'a>>>,
    /// Init containers, native sidecars among them.
    #[serde(default, deserialize_with = "bounds::containers")]
    pub init_containers: Option<Vec<Container<'a>>>,
    /// `Never` for every job pod.
    pub restart_policy: Option<Text<'a>>,
    /// Labels that the node must have.
    #[serde(default, deserialize_with = "bounds::node_selector")]
    pub node_selector: Option<Map<'a>>,
    /// Tolerations of taints.
    #[serde(default, deserialize_with = "bounds::tolerations")]
    pub tolerations: Option<Vec<Toleration<'a>>>,
    /// The operating system.
    pub os: Option<Os<'a>>,
    /// The RuntimeClass.
    pub runtime_class_name: Option<Text<'a>>,
}

/// `spec.os`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Os<'a> {
    /// `linux` or `windows`.
    pub name: Option<Text<'a>>,
}

/// An entry of `/etc/hosts`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct HostAlias<'a> {
    /// The address, as written.
    pub ip: Option<Text<'a>>,
    /// The hostnames of the address.
    #[serde(default, deserialize_with = "bounds::hostnames")]
    pub hostnames: Option<Vec<Text<'a>>>,
}

/// A container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"), rename_all = "camelCase")]
pub struct Container<'a> {
    /// `build` and `helper` belong to the runner; a service has its alias or `svc-N`.
    #[serde(default, deserialize_with = "bounds::name")]
    pub name: Text<'a>,
    /// The image reference.
    #[serde(default, deserialize_with = "bounds::path")]
    pub image: Text<'a>,
    /// The entrypoint, if the pod sets it.
    #[serde(default, deserialize_with = "bounds::words")]
    pub command: Option<Vec<Text<'a>>>,
    /// The arguments, if the pod sets them.
    #[serde(default, deserialize_with = "bounds::words")]
    pub args: Option<Vec<Text<'a>>>,
    /// The two variables that rules read.
    #[serde(default, deserialize_with = "text::null_as_default")]
    pub env: Env<'a>,
    /// Mounts.
    #[serde(default, deserialize_with = "bounds::mounts")]
    pub volume_mounts: Option<Vec<VolumeMount<'a>>>,
    /// Raw block devices.
    #[serde(default, deserialize_with = "bounds::devices")]
    pub volume_devices: Option<Vec<VolumeDevice<'a>>>,
    /// `securityContext`.
    pub security_context: Option<SecurityContext>,
    /// `resources`.
    pub resources: Option<Resources>,
    /// `Always` makes an init container a native sidecar.
    pub restart_policy: Option<Text<'a>>,
}

/// The security context of a container.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct SecurityContext {
    /// Whether the container is privileged.
    pub privileged: Option<bool>,
}

/// A container's `resources`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Resources {
    /// The limits.
    pub limits: Option<Limits>,
}

/// The limits of a container that rules read.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Limits {
    /// The limit of local storage. Rules only read whether it is set.
    #[serde(rename = "ephemeral-storage")]
    pub ephemeral_storage: Option<IgnoredAny>,
}

/// A raw block device of a container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct VolumeDevice<'a> {
    /// The volume.
    #[serde(default, deserialize_with = "bounds::name")]
    pub name: Text<'a>,
}

/// A toleration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"), rename_all = "camelCase")]
pub struct Toleration<'a> {
    /// Empty matches all keys.
    pub key: Option<Text<'a>>,
    /// `Equal` by default.
    pub operator: Option<Text<'a>>,
    /// The taint's value.
    pub value: Option<Text<'a>>,
    /// Empty matches all effects.
    pub effect: Option<Text<'a>>,
    /// Seconds.
    pub toleration_seconds: Option<i64>,
}

/// The list of the pod that contains a container.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ContainerList {
    /// `spec.containers`.
    Containers,
    /// `spec.initContainers`.
    InitContainers,
}

impl ContainerList {
    /// Returns the name of the field.
    pub fn field(self) -> &'static str {
        match self {
            Self::Containers => "containers",
            Self::InitContainers => "initContainers",
        }
    }

    fn places<'p, 'a>(
        self,
        containers: &'p Option<Vec<Container<'a>>>,
    ) -> impl Iterator<Item = (ContainerId, &'p Container<'a>)> {
        let containers = containers.iter().flatten().enumerate();
        containers.map(move |(index, container)| (ContainerId { list: self, index }, container))
    }
}

/// The position of a container in a pod: `containers` come before `initContainers`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ContainerId {
    /// The list.
    pub list: ContainerList,
    /// The index in the list.
    pub index: usize,
}

/// As in a JSON Pointer: `containers/1`.
impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.list.field(), self.index)
    }
}

impl<'a> Pod<'a> {
    /// Reads a pod from JSON.
    ///
    /// # Errors
    /// If the text is not JSON, a field has an unexpected type, or the pod exceeds a limit.
    pub fn from_json(text: &'a str) -> Result<Self, PodError> {
        // Tracking the path is expensive, so a second reading does it after an error.
        serde_json::from_str(text).map_err(|error| {
            if let Some(bound) = OverBound::found_in(&error) {
                return PodError::OverBound(bound);
            }
            let mut deserializer = serde_json::Deserializer::from_str(text);
            let (path, problem) =
                match serde_path_to_error::deserialize::<_, Self>(&mut deserializer) {
                    Err(error) => (error.path().to_string(), error.into_inner().to_string()),
                    Ok(_) => (
                        ".".to_owned(),
                        "the pod is followed by something else".to_owned(),
                    ),
                };
            PodError::FieldType { path, problem }
        })
    }

    /// Returns all containers: `spec.containers`, then `spec.initContainers`.
    pub fn containers(&self) -> impl Iterator<Item = (ContainerId, &Container<'a>)> {
        let containers = ContainerList::Containers.places(&self.spec.containers);
        containers.chain(ContainerList::InitContainers.places(&self.spec.init_containers))
    }

    /// Returns a container.
    pub fn container(&self, id: ContainerId) -> Option<&Container<'a>> {
        let list = match id.list {
            ContainerList::Containers => &self.spec.containers,
            ContainerList::InitContainers => &self.spec.init_containers,
        };
        list.as_ref()?.get(id.index)
    }

    /// Returns the `build` container, which runs the script of the job.
    pub fn build(&self) -> Option<(ContainerId, &Container<'a>)> {
        let mut containers = ContainerList::Containers.places(&self.spec.containers);
        containers.find(|(_, container)| &*container.name == "build")
    }

    /// Returns a container for a change.
    pub fn container_mut(&mut self, id: ContainerId) -> Option<&mut Container<'a>> {
        let list = match id.list {
            ContainerList::Containers => &mut self.spec.containers,
            ContainerList::InitContainers => &mut self.spec.init_containers,
        };
        list.as_mut()?.get_mut(id.index)
    }

    /// Returns the volumes.
    pub fn volumes(&self) -> &[Volume<'a>] {
        self.spec.volumes.as_deref().unwrap_or_default()
    }

    /// Returns the first volume with a name.
    pub fn volume(&self, name: &str) -> Option<&Volume<'a>> {
        let mut volumes = self.volumes().iter();
        volumes.find(|volume| &*volume.name == name)
    }

    /// Returns the entries of `/etc/hosts`.
    pub fn host_aliases(&self) -> &[HostAlias<'a>] {
        self.spec.host_aliases.as_deref().unwrap_or_default()
    }

    /// Returns the value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.metadata.labels.as_ref()?.get(key)
    }

    /// Returns the value of an annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata.annotations.as_ref()?.get(key)
    }

    /// Returns the name, or the prefix of a generated one; empty if the pod has neither.
    pub fn name(&self) -> &str {
        match text(&self.metadata.name) {
            "" => text(&self.metadata.generate_name),
            name => name,
        }
    }
}

/// An error in the JSON of a pod.
#[derive(Debug, thiserror::Error)]
pub enum PodError {
    /// A field has an unexpected type.
    #[error("{}: {}", quote(path), escape(problem))]
    FieldType {
        /// As in `spec.containers[0].name`.
        path: String,
        /// The error of serde.
        problem: String,
    },
    /// The pod exceeds a limit.
    #[error(transparent)]
    OverBound(OverBound),
}

impl<'a> Container<'a> {
    /// Returns the mounts.
    pub fn mounts(&self) -> &[VolumeMount<'a>] {
        self.volume_mounts.as_deref().unwrap_or_default()
    }

    /// Whether the container is privileged.
    pub fn is_privileged(&self) -> bool {
        let context = self.security_context.as_ref();
        context.and_then(|context| context.privileged) == Some(true)
    }

    /// Whether a limit of local storage is set.
    pub fn limits_ephemeral_storage(&self) -> bool {
        let limits = self.resources.as_ref().and_then(|it| it.limits.as_ref());
        limits.is_some_and(|limits| limits.ephemeral_storage.is_some())
    }

    /// Whether something is mounted at a clean path.
    pub fn mounts_at(&self, path: &str) -> bool {
        self.mounts().iter().any(|mount| mount.path() == path)
    }
}

/// Returns a string, or the empty string if it is absent.
pub(crate) fn text<'t>(text: &'t Option<Text<'_>>) -> &'t str {
    text.as_ref().map(Text::as_str).unwrap_or_default()
}
