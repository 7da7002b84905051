//! One change of a pod: its name for machines, its sentence for people, and what it does to the picture of the pod.
//!
//! The operations for the API server are in [`super::patch`]; both follow from the same fields.

use crate::pod::{ContainerId, HostAlias, Map, Pod, Text, Toleration, Volume, VolumeMount};
use crate::policy::{Policy, TolerationTerms};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

/// A change and the policy whose rule makes it.
#[derive(Clone, Debug)]
pub struct Change<'a> {
    /// Whose rule.
    pub policy: &'a Policy,
    /// What it does.
    pub action: Action<'a>,
}

/// What a change does. Positions are those after the changes before it.
#[derive(Clone, Debug)]
pub enum Action<'a> {
    /// Takes stale hostnames out of an entry that keeps others.
    DropHostnames {
        /// Index in `hostAliases`.
        entry: usize,
        /// The entry's address, as written.
        ip: Text<'a>,
        /// What goes.
        dropped: Vec<Text<'a>>,
        /// What stays.
        kept: Vec<Text<'a>>,
    },
    /// Adds hostnames to an entry that has the right address.
    ExtendHostAlias {
        /// Index in `hostAliases`.
        entry: usize,
        /// The entry's address, as written.
        ip: Text<'a>,
        /// Whether the entry has no list to append to.
        list_missing: bool,
        /// What is added.
        hostnames: Vec<&'a str>,
    },
    /// Appends an entry.
    AddHostAlias {
        /// Whether the pod has no list to append to.
        list_missing: bool,
        /// Its address.
        ip: IpAddr,
        /// Its hostnames.
        hostnames: Vec<&'a str>,
    },
    /// Removes an entry whose hostnames are all stale.
    RemoveHostAlias {
        /// Index in `hostAliases`.
        entry: usize,
        /// The entry's address, as written.
        ip: Text<'a>,
        /// What goes with it.
        dropped: Vec<Text<'a>>,
    },
    /// Makes a volume a memory-backed emptyDir, keeping its name.
    SwapVolume {
        /// Index in `volumes`.
        index: usize,
        /// Its name.
        name: Text<'a>,
        /// What it was, `secret` for one.
        was: Text<'a>,
        /// What it is for.
        directory: String,
        /// Its size limit.
        size_limit: &'a str,
    },
    /// Appends a volume.
    AddVolume {
        /// Whether the pod has no list to append to.
        list_missing: bool,
        /// Its name.
        name: String,
        /// What it is.
        source: NewSource<'a>,
    },
    /// Makes a mount one of another volume, or of the same one without restrictions.
    PointMount {
        /// The mount.
        mount: MountId<'a>,
        /// The volume it had.
        was: Text<'a>,
        /// The volume it gets.
        volume: Text<'a>,
        /// The restrictions that go.
        dropped: Vec<&'static str>,
    },
    /// Removes a mount.
    RemoveMount {
        /// The mount.
        mount: MountId<'a>,
        /// Its volume.
        volume: Text<'a>,
    },
    /// Appends a mount.
    AddMount {
        /// Whether the container has no list to append to.
        list_missing: bool,
        /// The container.
        container: ContainerId,
        /// The container's name.
        container_name: Text<'a>,
        /// The mount.
        mount: NewMount<'a>,
        /// The rule that asks for it.
        rule: &'static str,
    },
    /// Adds a node label that the pod's node must have.
    AddNodeSelector {
        /// Whether the pod has no object to add to.
        object_missing: bool,
        /// The label's key.
        key: &'a str,
        /// Its value.
        value: &'a str,
    },
    /// Appends a toleration.
    AddToleration {
        /// Whether the pod has no list to append to.
        list_missing: bool,
        /// What it says, after defaults.
        terms: &'a TolerationTerms,
        /// As the policy writes it.
        json: &'a RawValue,
    },
}

/// The source of a volume that is added.
#[derive(Clone, Debug)]
pub enum NewSource<'a> {
    /// A memory-backed emptyDir for certificates.
    Memory {
        /// Its size limit.
        size_limit: &'a str,
    },
    /// What a policy's volume says.
    Policy(&'a crate::policy::VolumeSource),
    /// A registry's certificate authority.
    RegistryCa(&'a crate::policy::RegistryCa),
}

impl NewSource<'_> {
    /// Returns the source's field in a volume.
    #[must_use]
    pub fn field(&self) -> &'static str {
        match self {
            Self::Memory { .. } => "emptyDir",
            Self::Policy(source) => source.field,
            Self::RegistryCa(_) => "configMap",
        }
    }
}

/// The place of a mount.
#[derive(Clone, Debug)]
pub struct MountId<'a> {
    /// Its container.
    pub container: ContainerId,
    /// Its container's name.
    pub container_name: Text<'a>,
    /// Its index in the container's `volumeMounts`.
    pub index: usize,
    /// Its path, as written.
    pub path: Text<'a>,
}

/// A mount that is added.
#[derive(Clone, Debug)]
pub struct NewMount<'a> {
    /// Its volume.
    pub volume: Cow<'a, str>,
    /// Its path.
    pub path: Cow<'a, str>,
    /// Whether it is read-only.
    pub read_only: bool,
    /// A path in the volume, or none.
    pub sub_path: Option<Text<'a>>,
    /// The same, with variables.
    pub sub_path_expr: Option<Text<'a>>,
}

impl<'a> NewMount<'a> {
    /// A mount of a whole volume.
    pub(super) fn whole(
        volume: impl Into<Cow<'a, str>>,
        path: impl Into<Cow<'a, str>>,
        read_only: bool,
    ) -> Self {
        Self {
            volume: volume.into(),
            path: path.into(),
            read_only,
            sub_path: None,
            sub_path_expr: None,
        }
    }
}

impl Action<'_> {
    /// The names of all changes.
    pub const NAMES: [&'static str; 11] = [
        "drop-stale-hostname",
        "extend-host-alias",
        "add-host-alias",
        "remove-host-alias",
        "swap-volume",
        "add-volume",
        "point-mount",
        "remove-mount",
        "add-mount",
        "add-node-selector",
        "add-toleration",
    ];

    /// Returns the stable name that metrics, logs and the pod's annotation use.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::DropHostnames { .. } => "drop-stale-hostname",
            Self::ExtendHostAlias { .. } => "extend-host-alias",
            Self::AddHostAlias { .. } => "add-host-alias",
            Self::RemoveHostAlias { .. } => "remove-host-alias",
            Self::SwapVolume { .. } => "swap-volume",
            Self::AddVolume { .. } => "add-volume",
            Self::PointMount { .. } => "point-mount",
            Self::RemoveMount { .. } => "remove-mount",
            Self::AddMount { .. } => "add-mount",
            Self::AddNodeSelector { .. } => "add-node-selector",
            Self::AddToleration { .. } => "add-toleration",
        }
    }

    /// Returns the rule of the contract that asks for the change.
    #[must_use]
    pub fn rule(&self) -> &'static str {
        match self {
            Self::DropHostnames { .. } | Self::RemoveHostAlias { .. } => "H2",
            Self::ExtendHostAlias { .. } | Self::AddHostAlias { .. } => "H5",
            Self::SwapVolume { .. } | Self::PointMount { .. } | Self::RemoveMount { .. } => "D7",
            Self::AddVolume { source, .. } => match source {
                NewSource::Memory { .. } => "D7",
                NewSource::Policy(_) => "V1",
                NewSource::RegistryCa(_) => "R1",
            },
            Self::AddMount { rule, .. } => rule,
            Self::AddNodeSelector { .. } | Self::AddToleration { .. } => "S1",
        }
    }
}

impl<'a> Action<'a> {
    /// Applies the change to a picture of the pod.
    pub(super) fn apply(&self, pod: &mut Pod<'a>) {
        match self {
            Self::DropHostnames { entry, kept, .. } => {
                if let Some(alias) = alias_mut(pod, *entry) {
                    alias.hostnames = Some(kept.clone());
                }
            }
            Self::ExtendHostAlias {
                entry, hostnames, ..
            } => {
                if let Some(alias) = alias_mut(pod, *entry) {
                    alias
                        .hostnames
                        .get_or_insert_default()
                        .extend(hostnames.iter().map(|name| Text::from(*name)));
                }
            }
            Self::AddHostAlias { ip, hostnames, .. } => {
                let hostnames = hostnames.iter().map(|name| Text::from(*name)).collect();
                pod.spec
                    .host_aliases
                    .get_or_insert_default()
                    .push(HostAlias {
                        ip: Some(Text::from(ip.to_string())),
                        hostnames: Some(hostnames),
                    });
            }
            Self::RemoveHostAlias { entry, .. } => {
                pod.spec.host_aliases.get_or_insert_default().remove(*entry);
            }
            Self::SwapVolume { index, name, .. } => {
                if let Some(volume) = pod.spec.volumes.get_or_insert_default().get_mut(*index) {
                    *volume = Volume::memory(name.clone());
                }
            }
            Self::AddVolume { name, source, .. } => {
                let name = Text::from(name.clone());
                let volume = match source {
                    NewSource::Memory { .. } => Volume::memory(name),
                    NewSource::RegistryCa(ca) => Volume::of_config_map(name, &ca.config_map),
                    NewSource::Policy(source) => Volume::of_kind(name, source.field),
                };
                pod.spec.volumes.get_or_insert_default().push(volume);
            }
            Self::PointMount { mount, volume, .. } => {
                if let Some(known) = mounts_mut(pod, mount.container).get_mut(mount.index) {
                    *known = VolumeMount {
                        name: Some(volume.clone()),
                        mount_path: known.mount_path.take(),
                        ..VolumeMount::default()
                    };
                }
            }
            Self::RemoveMount { mount, .. } => {
                mounts_mut(pod, mount.container).remove(mount.index);
            }
            Self::AddMount {
                container, mount, ..
            } => mounts_mut(pod, *container).push(mount.as_mount()),
            Self::AddNodeSelector { key, value, .. } => {
                pod.spec
                    .node_selector
                    .get_or_insert_with(Map::default)
                    .set(Text::from(*key), Text::from(*value));
            }
            Self::AddToleration { terms, .. } => {
                let text = |text: &'a str| Some(Text::from(text));
                pod.spec
                    .tolerations
                    .get_or_insert_default()
                    .push(Toleration {
                        key: text(&terms.key),
                        operator: text(&terms.operator),
                        value: text(&terms.value),
                        effect: text(&terms.effect),
                        toleration_seconds: terms.seconds,
                    });
            }
        }
    }
}

impl<'a> NewMount<'a> {
    fn as_mount(&self) -> VolumeMount<'a> {
        VolumeMount {
            name: Some(Text::from(self.volume.to_string())),
            mount_path: Some(Text::from(self.path.to_string())),
            read_only: self.read_only.then_some(true),
            sub_path: self.sub_path.clone(),
            sub_path_expr: self.sub_path_expr.clone(),
            ..VolumeMount::default()
        }
    }
}

fn alias_mut<'p, 'a>(pod: &'p mut Pod<'a>, entry: usize) -> Option<&'p mut HostAlias<'a>> {
    pod.spec.host_aliases.as_mut()?.get_mut(entry)
}

fn mounts_mut<'p, 'a>(pod: &'p mut Pod<'a>, id: ContainerId) -> &'p mut Vec<VolumeMount<'a>> {
    let container = pod
        .container_mut(id)
        .expect("a change names a container that the pod has");
    container.volume_mounts.get_or_insert_default()
}

impl fmt::Display for Change<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.action {
            Action::DropHostnames { ip, dropped, .. } => {
                write!(
                    f,
                    "took {} from the hostAliases entry {ip}, which is not the policy's address",
                    list(dropped)
                )
            }
            Action::RemoveHostAlias { ip, dropped, .. } => {
                write!(
                    f,
                    "removed the hostAliases entry {ip} ({}), which is not the policy's address",
                    list(dropped)
                )
            }
            Action::ExtendHostAlias { ip, hostnames, .. } => {
                write!(f, "added {} to the hostAliases entry {ip}", list(hostnames))
            }
            Action::AddHostAlias { ip, hostnames, .. } => {
                write!(f, "added the hostAliases entry {ip} ({})", list(hostnames))
            }
            Action::SwapVolume {
                name,
                was,
                directory,
                size_limit,
                ..
            } => write!(
                f,
                "made volume \"{name}\" a memory-backed emptyDir of {size_limit} in place of its {was}, so that dind can write the client certificates to {directory}"
            ),
            Action::AddVolume {
                name,
                source: NewSource::Memory { size_limit },
                ..
            } => {
                write!(
                    f,
                    "added the memory-backed emptyDir \"{name}\" of {size_limit} for the client certificates of dind"
                )
            }
            Action::AddVolume {
                name,
                source: NewSource::RegistryCa(ca),
                ..
            } => {
                write!(
                    f,
                    "added volume \"{name}\" with the certificate authority of {} from the ConfigMap \"{}\"",
                    ca.host, ca.config_map
                )
            }
            Action::AddVolume { name, source, .. } => {
                write!(f, "added the {} volume \"{name}\"", source.field())
            }
            Action::PointMount {
                mount,
                was,
                volume,
                dropped,
            } if was == volume => {
                write!(
                    f,
                    "took {} from the mount at {} of container \"{}\"",
                    dropped.join(", "),
                    mount.path,
                    mount.container_name
                )
            }
            Action::PointMount {
                mount, was, volume, ..
            } => write!(
                f,
                "made the mount at {} of container \"{}\" one of volume \"{volume}\" in place of \"{was}\"",
                mount.path, mount.container_name
            ),
            Action::RemoveMount { mount, volume } => {
                write!(
                    f,
                    "removed the mount of volume \"{volume}\" at {} from container \"{}\"",
                    mount.path, mount.container_name
                )
            }
            Action::AddMount {
                container_name,
                mount,
                ..
            } => write!(
                f,
                "mounted volume \"{}\" at {} in container \"{container_name}\"{}",
                mount.volume,
                mount.path,
                if mount.read_only { ", read-only" } else { "" }
            ),
            Action::AddNodeSelector { key, value, .. } => {
                write!(f, "added the node selector {key}={value}")
            }
            Action::AddToleration { terms, .. } => write!(f, "added a toleration of {terms}"),
        }
    }
}

fn list(names: &[impl fmt::Display]) -> String {
    names
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}
