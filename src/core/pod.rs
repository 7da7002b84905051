//! A pod as the rules read it: borrowed from the request's text, only the fields that some rule looks at.
//!
//! Everything else is skipped, so that unknown fields of a newer Kubernetes cost nothing and survive:
//! changes are written as patch operations, never by writing this view back.
//! Every list may be missing or null, and every text may be missing: a pod that the API server will refuse gets here too.

mod bounds;
mod env;
mod index;
mod mount;
mod text;
mod volume;

use crate::core::shown::{sentence, shown};
use index::VolumeIndex;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};

pub(crate) use bounds::VariableCount;
pub use bounds::{Dimension, OverBound};
pub use env::{Env, EnvValue};
pub use mount::{MountPath, VolumeMount};
pub use text::{Map, Text};
pub use volume::Volume;

/// A pod.
#[derive(Clone, Debug, Default)]
pub struct Pod<'a> {
    /// Its metadata.
    pub metadata: Metadata<'a>,
    /// Its spec.
    pub spec: Spec<'a>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Pod<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename = "Pod")]
        struct Fields<'a> {
            #[serde(borrow, default, deserialize_with = "text::null_as_default")]
            metadata: Metadata<'a>,
            #[serde(borrow, default, deserialize_with = "text::null_as_default")]
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
    #[serde(borrow, default, deserialize_with = "bounds::labels")]
    pub labels: Option<Map<'a>>,
    /// Annotations; `None` where there is no object to add one to.
    #[serde(borrow, default, deserialize_with = "bounds::annotations")]
    pub annotations: Option<Map<'a>>,
    /// Owners.
    #[serde(default, deserialize_with = "bounds::owners")]
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
    #[serde(borrow, default, deserialize_with = "bounds::host_aliases")]
    pub host_aliases: Option<Vec<HostAlias<'a>>>,
    /// Volumes.
    #[serde(borrow, default, deserialize_with = "bounds::volumes")]
    pub volumes: Option<Vec<Volume<'a>>>,
    /// Containers.
    #[serde(borrow, default, deserialize_with = "bounds::containers")]
    pub containers: Option<Vec<Container<'a>>>,
    /// Init containers, native sidecars among them.
    #[serde(borrow, default, deserialize_with = "bounds::containers")]
    pub init_containers: Option<Vec<Container<'a>>>,
    /// `Never` for every job pod.
    #[serde(borrow)]
    pub restart_policy: Option<Text<'a>>,
    /// Labels that its node must have.
    #[serde(borrow, default, deserialize_with = "bounds::node_selector")]
    pub node_selector: Option<Map<'a>>,
    /// Taints that it tolerates.
    #[serde(borrow, default, deserialize_with = "bounds::tolerations")]
    pub tolerations: Option<Vec<Toleration<'a>>>,
    /// Its operating system, where it is said.
    #[serde(borrow)]
    pub os: Option<Os<'a>>,
    /// The container runtime that its node must offer.
    #[serde(borrow)]
    pub runtime_class_name: Option<Text<'a>>,
    /// Where the volumes are.
    #[serde(skip)]
    volume_index: VolumeIndex<'a>,
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
    #[serde(borrow, default, deserialize_with = "bounds::hostnames")]
    pub hostnames: Option<Vec<Text<'a>>>,
}

/// A container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container<'a> {
    /// `build` and `helper` are the runner's; services are named by alias or `svc-N`.
    #[serde(borrow, default, deserialize_with = "bounds::name")]
    pub name: Option<Text<'a>>,
    /// The image reference.
    #[serde(borrow, default, deserialize_with = "bounds::path")]
    pub image: Option<Text<'a>>,
    /// The entrypoint, where the pod sets it.
    #[serde(borrow, default, deserialize_with = "bounds::words")]
    pub command: Option<Vec<Text<'a>>>,
    /// The arguments, where the pod sets them.
    #[serde(borrow, default, deserialize_with = "bounds::words")]
    pub args: Option<Vec<Text<'a>>>,
    /// The two variables that a rule looks at.
    #[serde(borrow, default, deserialize_with = "text::null_as_default")]
    pub env: Env<'a>,
    /// Mounts.
    #[serde(borrow, default, deserialize_with = "bounds::mounts")]
    pub volume_mounts: Option<Vec<VolumeMount<'a>>>,
    /// Raw block devices.
    #[serde(borrow, default, deserialize_with = "bounds::devices")]
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
    #[serde(borrow, default, deserialize_with = "bounds::name")]
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
    /// Where the text is not JSON, a field that a rule reads has another type, or the pod has more of something than is read.
    pub fn from_json(text: &'a str) -> Result<Self, PodError> {
        // The path is worth its cost only once something is wrong.
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

    /// Returns the `build` container, which runs the script of the job.
    #[must_use]
    pub fn build(&self) -> Option<(ContainerId, &Container<'a>)> {
        let mut containers = ContainerList::Containers.places(&self.spec.containers);
        containers.find(|(_, container)| container.name() == "build")
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
        self.volumes().get(self.volume_index(name)?)
    }

    /// Returns the index of the first volume of a name.
    #[must_use]
    pub fn volume_index(&self, name: &str) -> Option<usize> {
        self.spec.volume_index.find(self.volumes(), name)
    }

    /// Appends a volume.
    pub fn add_volume(&mut self, volume: Volume<'a>) {
        let volumes = self.spec.volumes.get_or_insert_default();
        self.spec.volume_index.add(volumes.len(), &volume.name);
        volumes.push(volume);
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

/// Why a pod cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PodError {
    /// A field has a type that no Kubernetes version gives it.
    #[error("{}: {}", shown(path), sentence(problem))]
    FieldType {
        /// As in `spec.containers[0].name`.
        path: String,
        /// What serde says of it.
        problem: String,
    },
    /// The pod has more of something than is read.
    #[error(transparent)]
    OverBound(OverBound),
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
