//! A pod as the rules read it: borrowed from the request's text, only the fields that some rule looks at.
//!
//! Everything else is skipped, so that unknown fields of a newer Kubernetes cost nothing and survive:
//! changes are written as patch operations, never by writing this view back.
//! Every list may be missing or null, and every text may be missing: a pod that the API server will refuse gets here too.

mod env;
mod mount;
mod text;
mod volume;

use serde::Deserialize;
use serde::de::IgnoredAny;

pub use env::{Env, EnvValue};
pub use mount::{MountPath, VolumeMount};
pub use text::{Map, Text};
pub use volume::Volume;

/// A pod.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Pod<'a> {
    /// Its metadata.
    #[serde(borrow, default, deserialize_with = "text::null_as_default")]
    pub metadata: Metadata<'a>,
    /// Its spec.
    #[serde(borrow, default, deserialize_with = "text::null_as_default")]
    pub spec: Spec<'a>,
}

/// A pod's metadata.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata<'a> {
    /// Missing where the API server is to generate it.
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    /// What the generated name begins with.
    #[serde(borrow)]
    pub generate_name: Option<Text<'a>>,
    /// May be missing during admission.
    #[serde(borrow)]
    pub namespace: Option<Text<'a>>,
    /// Labels.
    #[serde(borrow)]
    pub labels: Option<Map<'a>>,
    /// Annotations; `None` where there is no object to add one to.
    #[serde(borrow)]
    pub annotations: Option<Map<'a>>,
    /// Owners.
    pub owner_references: Option<Vec<OwnerReference>>,
}

/// An owner of a pod.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct OwnerReference {
    /// Whether it controls the pod.
    pub controller: Option<bool>,
}

/// A pod's spec.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec<'a> {
    /// What `/etc/hosts` gets.
    #[serde(borrow)]
    pub host_aliases: Option<Vec<HostAlias<'a>>>,
    /// Volumes.
    #[serde(borrow)]
    pub volumes: Option<Vec<Volume<'a>>>,
    /// Containers.
    #[serde(borrow)]
    pub containers: Option<Vec<Container<'a>>>,
    /// Init containers, native sidecars among them.
    #[serde(borrow)]
    pub init_containers: Option<Vec<Container<'a>>>,
    /// `Never` for every job pod.
    #[serde(borrow)]
    pub restart_policy: Option<Text<'a>>,
    /// Labels that its node must have.
    #[serde(borrow)]
    pub node_selector: Option<Map<'a>>,
    /// Taints that it tolerates.
    #[serde(borrow)]
    pub tolerations: Option<Vec<Toleration<'a>>>,
    /// Its operating system, where it is said.
    #[serde(borrow)]
    pub os: Option<Os<'a>>,
    /// The container runtime that its node must offer.
    #[serde(borrow)]
    pub runtime_class_name: Option<Text<'a>>,
}

/// `spec.os`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Os<'a> {
    /// `linux` or `windows`.
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
}

/// One line of `/etc/hosts`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct HostAlias<'a> {
    /// The address, as written.
    #[serde(borrow)]
    pub ip: Option<Text<'a>>,
    /// Its hostnames.
    #[serde(borrow)]
    pub hostnames: Option<Vec<Text<'a>>>,
}

/// A container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container<'a> {
    /// `build` and `helper` are the runner's; services are named by alias or `svc-N`.
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    /// The image reference.
    #[serde(borrow)]
    pub image: Option<Text<'a>>,
    /// The entrypoint, where the pod sets it.
    #[serde(borrow)]
    pub command: Option<Vec<Text<'a>>>,
    /// The arguments, where the pod sets them.
    #[serde(borrow)]
    pub args: Option<Vec<Text<'a>>>,
    /// The two variables that a rule looks at.
    #[serde(borrow, default, deserialize_with = "text::null_as_default")]
    pub env: Env<'a>,
    /// Mounts.
    #[serde(borrow)]
    pub volume_mounts: Option<Vec<VolumeMount<'a>>>,
    /// Raw block devices.
    #[serde(borrow)]
    pub volume_devices: Option<Vec<VolumeDevice<'a>>>,
    /// Its privileges.
    pub security_context: Option<SecurityContext>,
    /// Its limits.
    pub resources: Option<Resources>,
    /// `Always` makes an init container a native sidecar.
    #[serde(borrow)]
    pub restart_policy: Option<Text<'a>>,
}

/// A container's privileges.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct SecurityContext {
    /// Whether it runs privileged.
    pub privileged: Option<bool>,
}

/// A container's `resources`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Resources {
    /// The limits.
    pub limits: Option<Limits>,
}

/// The limits of a container, as far as a rule asks for them.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Limits {
    /// Whether local storage is limited; the quantity does not matter.
    #[serde(rename = "ephemeral-storage")]
    pub ephemeral_storage: Option<IgnoredAny>,
}

/// A raw block device of a container.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct VolumeDevice<'a> {
    /// The volume.
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
}

/// A toleration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Toleration<'a> {
    /// Empty matches all keys.
    #[serde(borrow)]
    pub key: Option<Text<'a>>,
    /// `Equal` by default.
    #[serde(borrow)]
    pub operator: Option<Text<'a>>,
    /// The taint's value.
    #[serde(borrow)]
    pub value: Option<Text<'a>>,
    /// Empty matches all effects.
    #[serde(borrow)]
    pub effect: Option<Text<'a>>,
    /// Seconds.
    pub toleration_seconds: Option<i64>,
}

/// Which of a pod's lists a container is in.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ContainerList {
    /// `spec.containers`.
    Containers,
    /// `spec.initContainers`.
    InitContainers,
}

impl ContainerList {
    /// Returns the list's field.
    #[must_use]
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

/// The place of a container in a pod: `containers` come before `initContainers`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ContainerId {
    /// Its list.
    pub list: ContainerList,
    /// Its index there.
    pub index: usize,
}

impl<'a> Pod<'a> {
    /// Reads a pod from JSON.
    ///
    /// # Errors
    /// Where the text is not JSON or a field that a rule reads has another type, with the field's path.
    pub fn from_json(text: &'a str) -> Result<Self, FieldTypeError> {
        // The path is worth its cost only once something is wrong.
        serde_json::from_str(text).map_err(|_| {
            match serde_path_to_error::deserialize::<_, Self>(
                &mut serde_json::Deserializer::from_str(text),
            ) {
                Err(error) => FieldTypeError {
                    path: error.path().to_string(),
                    source: error.into_inner(),
                },
                Ok(_) => FieldTypeError {
                    path: ".".to_owned(),
                    source: serde::de::Error::custom("the pod is followed by something else"),
                },
            }
        })
    }

    /// Returns all containers: `spec.containers`, then `spec.initContainers`.
    pub fn containers(&self) -> impl Iterator<Item = (ContainerId, &Container<'a>)> {
        let Spec {
            containers,
            init_containers,
            ..
        } = &self.spec;
        ContainerList::Containers
            .places(containers)
            .chain(ContainerList::InitContainers.places(init_containers))
    }

    /// Returns a container.
    #[must_use]
    pub fn container(&self, id: ContainerId) -> Option<&Container<'a>> {
        let list = match id.list {
            ContainerList::Containers => &self.spec.containers,
            ContainerList::InitContainers => &self.spec.init_containers,
        };
        list.as_ref()?.get(id.index)
    }

    /// Returns a container, to change it.
    pub fn container_mut(&mut self, id: ContainerId) -> Option<&mut Container<'a>> {
        let list = match id.list {
            ContainerList::Containers => &mut self.spec.containers,
            ContainerList::InitContainers => &mut self.spec.init_containers,
        };
        list.as_mut()?.get_mut(id.index)
    }

    /// Returns the volumes.
    #[must_use]
    pub fn volumes(&self) -> &[Volume<'a>] {
        self.spec.volumes.as_deref().unwrap_or_default()
    }

    /// Returns the first volume of a name.
    #[must_use]
    pub fn volume(&self, name: &str) -> Option<&Volume<'a>> {
        self.volumes().iter().find(|volume| &*volume.name == name)
    }

    /// Returns the entries of `/etc/hosts`.
    #[must_use]
    pub fn host_aliases(&self) -> &[HostAlias<'a>] {
        self.spec.host_aliases.as_deref().unwrap_or_default()
    }

    /// Returns the value of a label.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        self.metadata.labels.as_ref()?.get(key)
    }

    /// Returns the value of an annotation.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata.annotations.as_ref()?.get(key)
    }

    /// Returns the name, or what it begins with; empty where neither is said.
    #[must_use]
    pub fn name(&self) -> &str {
        [&self.metadata.name, &self.metadata.generate_name]
            .into_iter()
            .flatten()
            .map(Text::as_str)
            .find(|name| !name.is_empty())
            .unwrap_or_default()
    }
}

/// A field of a pod has a type that no Kubernetes version gives it.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub struct FieldTypeError {
    /// As in `spec.containers[0].name`.
    pub path: String,
    /// What serde says of it.
    source: serde_json::Error,
}

impl<'a> Container<'a> {
    /// Returns its name; empty where it has none.
    #[must_use]
    pub fn name(&self) -> &str {
        text(&self.name)
    }

    /// Returns its mounts.
    #[must_use]
    pub fn mounts(&self) -> &[VolumeMount<'a>] {
        self.volume_mounts.as_deref().unwrap_or_default()
    }

    /// Whether it runs privileged.
    #[must_use]
    pub fn is_privileged(&self) -> bool {
        self.security_context
            .as_ref()
            .and_then(|context| context.privileged)
            == Some(true)
    }

    /// Whether its local storage is limited.
    #[must_use]
    pub fn limits_ephemeral_storage(&self) -> bool {
        let limits = self.resources.as_ref().and_then(|it| it.limits.as_ref());
        limits.is_some_and(|limits| limits.ephemeral_storage.is_some())
    }

    /// Whether something is mounted at a clean path.
    #[must_use]
    pub fn mounts_at(&self, path: &str) -> bool {
        self.mounts().iter().any(|mount| mount.path() == path)
    }
}

/// Returns a text, or the empty one.
pub(crate) fn text<'t>(text: &'t Option<Text<'_>>) -> &'t str {
    text.as_ref().map(Text::as_str).unwrap_or_default()
}
