//! One change of a pod: its name for machines, its sentence for people, and what it does to the picture of the pod.
//!
//! The operations for the API server are in [`super::patch`]; both follow from the same fields.

mod apply;
mod sentence;

pub(super) use apply::apply_removals;

use crate::core::pod::{ContainerId, Text};
use crate::core::policy::{Policy, TolerationTerms};
use serde_json::value::RawValue;
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
        /// What stays; `None` where a later change of the entry says it, or removes the entry.
        kept: Option<Vec<Text<'a>>>,
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
        /// The field that goes, where it was not an emptyDir.
        dropped: Option<Text<'a>>,
        /// What it is for.
        directory: Text<'a>,
        /// Its size limit.
        size_limit: &'a str,
    },
    /// Appends a volume.
    AddVolume {
        /// Whether the pod has no list to append to.
        list_missing: bool,
        /// Its name.
        name: Text<'a>,
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
        /// The path in the volume that it gets; the whole volume where there is none.
        sub_path: Option<Text<'a>>,
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
    Policy(&'a crate::core::policy::VolumeSource),
    /// A registry's certificate authority.
    RegistryCa(&'a crate::core::policy::RegistryCa),
    /// A memory-backed emptyDir for the configuration of rootless dockerd, which must be able to
    /// write beside the registries' authorities.
    RootlessConfig {
        /// Its size limit.
        size_limit: &'a str,
    },
}

impl NewSource<'_> {
    /// Returns the source's field in a volume.
    #[must_use]
    pub fn field(&self) -> &'static str {
        match self {
            Self::Memory { .. } | Self::RootlessConfig { .. } => "emptyDir",
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
    pub volume: Text<'a>,
    /// Its path.
    pub path: Text<'a>,
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
        volume: impl Into<Text<'a>>,
        path: impl Into<Text<'a>>,
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
                NewSource::RegistryCa(_) | NewSource::RootlessConfig { .. } => "R1",
            },
            Self::AddMount { rule, .. } => rule,
            Self::AddNodeSelector { .. } | Self::AddToleration { .. } => "S1",
        }
    }
}
