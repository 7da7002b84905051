//! A pod with the fields that rules read. Strings borrow from the text of the request.
//!
//! Other fields, including fields of newer Kubernetes versions, are skipped. The pod keeps them,
//! because drydock returns patch operations and never serialises a pod. Every list can be absent or
//! null, and every string can be absent, because the API server calls webhooks before it validates
//! the pod.

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

/// A pod with the fields that rules read.
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
    /// The name; absent if the API server generates it.
    pub name: Option<Text<'a>>,
    /// The prefix of a generated name.
    pub generate_name: Option<Text<'a>>,
    /// The namespace; can be absent during admission.
    pub namespace: Option<Text<'a>>,
    /// `metadata.labels`.
    #[serde(default, deserialize_with = "bounds::labels")]
    pub labels: Option<Map<'a>>,
    /// `metadata.annotations`.
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
    /// Entries that the kubelet adds to `/etc/hosts`.
    #[serde(default, deserialize_with = "bounds::host_aliases")]
    pub host_aliases: Option<Vec<HostAlias<'a>>>,
    /// `spec.volumes`.
    #[serde(default, deserialize_with = "bounds::volumes")]
    pub volumes: Option<Vec<Volume<'a>>>,
    /// `spec.containers`.
    #[serde(default, deserialize_with = "bounds::containers")]
    pub containers: Option<Vec<Container<'a>>>,
    /// `spec.initContainers`, which include native sidecars.
    #[serde(default, deserialize_with = "bounds::containers")]
    pub init_containers: Option<Vec<Container<'a>>>,
    /// The restart policy; `Never` in job pods.
    pub restart_policy: Option<Text<'a>>,
    /// Labels that the node must have.
    #[serde(default, deserialize_with = "bounds::node_selector")]
    pub node_selector: Option<Map<'a>>,
    /// `spec.tolerations`.
    #[serde(default, deserialize_with = "bounds::tolerations")]
    pub tolerations: Option<Vec<Toleration<'a>>>,
    /// The operating system of the pod.
    pub os: Option<Os<'a>>,
    /// The name of the RuntimeClass.
    pub runtime_class_name: Option<Text<'a>>,
}

/// `spec.os`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct Os<'a> {
    /// `linux` or `windows`.
    pub name: Option<Text<'a>>,
}

/// An entry of `spec.hostAliases`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct HostAlias<'a> {
    /// The address, as written.
    pub ip: Option<Text<'a>>,
    /// The hostnames of the address.
    #[serde(default, deserialize_with = "bounds::hostnames")]
    pub hostnames: Option<Vec<Text<'a>>>,
}

/// A container with the fields that rules read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"), rename_all = "camelCase")]
pub struct Container<'a> {
    /// The name. The runner's containers are `build` and `helper`; the name of a service container
    /// is its alias or `svc-N`.
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
    /// The environment variables that rules read.
    #[serde(default, deserialize_with = "text::null_as_default")]
    pub env: Env<'a>,
    /// `volumeMounts`.
    #[serde(default, deserialize_with = "bounds::mounts")]
    pub volume_mounts: Option<Vec<VolumeMount<'a>>>,
    /// `volumeDevices`: raw block devices.
    #[serde(default, deserialize_with = "bounds::devices")]
    pub volume_devices: Option<Vec<VolumeDevice<'a>>>,
    /// `securityContext`.
    pub security_context: Option<SecurityContext>,
    /// `resources`.
    pub resources: Option<Resources>,
    /// The restart policy; `Always` makes an init container a native sidecar.
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
    /// `resources.limits`.
    pub limits: Option<Limits>,
}

/// The resource limits of a container that rules read.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Limits {
    /// The limit on local ephemeral storage. Rules read only whether it is set.
    #[serde(rename = "ephemeral-storage")]
    pub ephemeral_storage: Option<IgnoredAny>,
}

/// A raw block device of a container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct VolumeDevice<'a> {
    /// The name of the volume.
    #[serde(default, deserialize_with = "bounds::name")]
    pub name: Text<'a>,
}

/// A toleration of a pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"), rename_all = "camelCase")]
pub struct Toleration<'a> {
    /// The key of the taint; an empty key matches all keys.
    pub key: Option<Text<'a>>,
    /// `Equal`, the default, or `Exists`.
    pub operator: Option<Text<'a>>,
    /// The value of the taint.
    pub value: Option<Text<'a>>,
    /// The effect of the taint; an empty effect matches all effects.
    pub effect: Option<Text<'a>>,
    /// How many seconds the pod stays on a node with the taint.
    pub toleration_seconds: Option<i64>,
}

/// The list in the pod spec that contains a container.
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

    fn with_ids<'p, 'a>(
        self,
        containers: &'p Option<Vec<Container<'a>>>,
    ) -> impl Iterator<Item = (ContainerId, &'p Container<'a>)> {
        let containers = containers.iter().flatten().enumerate();
        containers.map(move |(index, container)| (ContainerId { list: self, index }, container))
    }
}

/// The position of a container in a pod. `containers` sort before `initContainers`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ContainerId {
    /// The list that contains the container.
    pub list: ContainerList,
    /// The index in the list.
    pub index: usize,
}

/// Writes the position as in a JSON Pointer, for example `containers/1`.
impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.list.field(), self.index)
    }
}

impl<'a> Pod<'a> {
    /// Reads a pod from JSON.
    ///
    /// # Errors
    /// Returns an error if the text is not JSON, a field has an unexpected type, or the pod exceeds
    /// a limit.
    pub fn from_json(text: &'a str) -> Result<Self, PodError> {
        // Tracking the path of a field is expensive, so the path is tracked only after an error.
        serde_json::from_str(text).map_err(|error| {
            if let Some(bound) = OverBound::found_in(&error) {
                return PodError::OverBound(bound);
            }
            let mut deserializer = serde_json::Deserializer::from_str(text);
            let (path, problem) =
                match serde_path_to_error::deserialize::<_, Self>(&mut deserializer) {
                    Err(error) => (error.path().to_string(), error.into_inner().to_string()),
                    Ok(_) => (".".to_owned(), "unexpected text after the pod".to_owned()),
                };
            PodError::FieldType { path, problem }
        })
    }

    /// Returns all containers: `spec.containers`, then `spec.initContainers`.
    pub fn containers(&self) -> impl Iterator<Item = (ContainerId, &Container<'a>)> {
        let containers = ContainerList::Containers.with_ids(&self.spec.containers);
        containers.chain(ContainerList::InitContainers.with_ids(&self.spec.init_containers))
    }

    /// Returns the container at a position.
    pub fn container(&self, id: ContainerId) -> Option<&Container<'a>> {
        let list = match id.list {
            ContainerList::Containers => &self.spec.containers,
            ContainerList::InitContainers => &self.spec.init_containers,
        };
        list.as_ref()?.get(id.index)
    }

    /// Returns the `build` container, which runs the script of the job.
    pub fn build(&self) -> Option<(ContainerId, &Container<'a>)> {
        let mut containers = ContainerList::Containers.with_ids(&self.spec.containers);
        containers.find(|(_, container)| &*container.name == "build")
    }

    /// Returns a mutable reference to the container at a position.
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

    /// Returns the first volume with this name.
    pub fn volume(&self, name: &str) -> Option<&Volume<'a>> {
        let mut volumes = self.volumes().iter();
        volumes.find(|volume| &*volume.name == name)
    }

    /// Returns the entries of `spec.hostAliases`.
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

    /// Returns the name, or `generateName` if there is no name. Empty if the pod has neither.
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
        /// The path of the field, for example `spec.containers[0].name`.
        path: String,
        /// The error message of serde.
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

    /// Returns whether the container is privileged.
    pub fn is_privileged(&self) -> bool {
        let context = self.security_context.as_ref();
        context.and_then(|context| context.privileged) == Some(true)
    }

    /// Returns whether the container has a limit on local ephemeral storage.
    pub fn limits_ephemeral_storage(&self) -> bool {
        let limits = self.resources.as_ref().and_then(|it| it.limits.as_ref());
        limits.is_some_and(|limits| limits.ephemeral_storage.is_some())
    }

    /// Returns whether the container has a mount at `path`, a clean path.
    pub fn mounts_at(&self, path: &str) -> bool {
        self.mounts().iter().any(|mount| mount.path() == path)
    }
}

/// Returns the string, or an empty string if the field is absent.
pub(crate) fn text<'t>(text: &'t Option<Text<'_>>) -> &'t str {
    text.as_ref().map(Text::as_str).unwrap_or_default()
}
