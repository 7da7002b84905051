//! Changes: the steps of a mutation. Each has a stable name, a sentence, and an effect on the pod.
//!
//! The JSON Patch operations of a change are in [`super::patch`].

mod apply;

use crate::core::pod::{ContainerId, Text};
use crate::core::policy::{ClientCerts, Policy, VolumeSource, toleration_fields};
use crate::core::quote::join_names;
use k8s_openapi::api::core::v1::Toleration;
use serde::Serialize;
use std::fmt;
use std::net::IpAddr;

/// A change, and the policy that causes it.
#[derive(Clone, Debug)]
pub struct Change<'a> {
    pub(crate) policy: &'a Policy,
    pub(super) action: Action<'a>,
    /// Whether the pod lacks the list or object to which the action adds an element.
    pub(super) is_list_missing: bool,
}

/// Declares the actions. Each row has the fields of an action, its stable name in metrics, logs and
/// annotations, its rule, and its sentence.
macro_rules! actions {
    ($(#[$meta:meta])* enum $enum:ident<$life:lifetime> { $(
        $(#[$doc:meta])*
        $action:ident($($field:ident: $type:ty),*) => $name:literal, $rule:expr,
        ($($sentence:tt)+);
    )+ }) => {
        $(#[$meta])*
        pub(super) enum $enum<$life> { $($(#[$doc])* $action($($type),*)),+ }

        /// The names of all changes.
        pub(crate) const NAMES: &[&str] = &[$($name),+];

        #[allow(unused_variables, reason = "a row uses some of the fields of its action")]
        impl Change<'_> {
            /// Returns the stable name in metrics, logs and the annotation of the pod.
            pub fn name(&self) -> &'static str {
                match &self.action { $($enum::$action { .. } => $name),+ }
            }

            /// Returns the code of the rule, as in docs/rules.md.
            pub fn rule(&self) -> &'static str {
                match &self.action { $($enum::$action($($field),*) => $rule),+ }
            }
        }

        #[allow(unused_variables, reason = "a row uses some of the fields of its action")]
        impl fmt::Display for Change<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match &self.action { $($enum::$action($($field),*) => write!(f, $($sentence)+)),+ }
            }
        }
    };
}

actions! {
/// The effect of a change. Its indices refer to the pod after all earlier changes.
#[derive(Clone, Debug)]
enum Action<'a> {
    /// Removes stale hostnames from an entry. `kept` contains the remaining hostnames, or is `None`
    /// if a later change sets the hostnames of the entry or removes the entry.
    DropHostnames(entry: usize, ip: Text<'a>, dropped: Vec<Text<'a>>, kept: Option<Vec<Text<'a>>>) => "drop-stale-hostname", "H2",
        ("removed {} from the hostAliases entry {ip}, because {ip} is not the policy's address for {}",
          join_names(dropped, ", "), these_hostnames(dropped));
    ExtendHostAlias(entry: usize, ip: Text<'a>, hostnames: Vec<&'a str>)
        => "extend-host-alias", "H5",
        ("added {} to the hostAliases entry {ip}", join_names(hostnames, ", "));
    AddHostAlias(ip: IpAddr, hostnames: Vec<&'a str>) => "add-host-alias", "H5",
        ("added the hostAliases entry {ip} ({})", join_names(hostnames, ", "));
    /// Removes an entry whose hostnames are all stale.
    RemoveHostAlias(entry: usize, ip: Text<'a>, dropped: Vec<Text<'a>>)
        => "remove-host-alias", "H2",
        ("removed the hostAliases entry {ip} ({}), because {ip} is not the policy's address for {}",
          join_names(dropped, ", "), these_hostnames(dropped));
    /// Replaces the source of a volume with a memory-backed emptyDir. `was` is the field of the old
    /// source, for example `secret`.
    SwapVolume(
        index: usize, name: Text<'a>, was: Text<'a>,
        directory: Text<'a>, certs: &'a ClientCerts
    ) => "swap-volume", "D7",
        ("replaced the {was} of volume \"{name}\" with a memory-backed emptyDir of {}, so that dind \
          can write the client certificates to {directory}", certs.size_limit);
    /// Adds a volume. `purpose` is the end of the sentence.
    AddVolume(name: Text<'a>, source: &'a VolumeSource, rule: &'static str, purpose: String)
        => "add-volume", rule,
        ("added the {} volume \"{name}\"{purpose}", source.field);
    /// Changes a mount of volume `was` to a mount of `volume`, which can be the same volume, and
    /// removes the fields `dropped`. `sub_path` is the new subPath of the mount.
    PointMount(
        mount: MountId<'a>, was: Text<'a>, volume: Text<'a>, dropped: Vec<&'static str>,
        sub_path: Text<'a>
    ) => "point-mount", "D7",
        ("changed the mount at {} of container \"{}\": {}", mount.path, mount.container_name,
          if was != volume { format!("volume \"{volume}\" instead of \"{was}\"") }
          else if dropped.is_empty() { format!("with subPath {sub_path}") }
          else { format!("without {}", dropped.join(", ")) });
    RemoveMount(mount: MountId<'a>, volume: Text<'a>) => "remove-mount", "D7",
        ("removed the mount of volume \"{volume}\" at {} from container \"{}\"",
          mount.path, mount.container_name);
    AddMount(container: ContainerId, container_name: Text<'a>, mount: NewMount<'a>, rule: &'static str) => "add-mount", rule,
        ("mounted volume \"{}\" at {} in container \"{container_name}\"{}",
          mount.name, mount.mount_path, if mount.read_only { ", read-only" } else { "" });
    AddNodeSelector(key: &'a str, value: &'a str) => "add-node-selector", "S1",
        ("added the node selector {key}={value}");
    AddToleration(toleration: &'a Toleration) => "add-toleration", "S1",
        ("added a toleration for {}", describe(toleration));
}
}

fn these_hostnames(dropped: &[Text<'_>]) -> &'static str {
    if dropped.len() == 1 {
        "this hostname"
    } else {
        "these hostnames"
    }
}

/// Returns a toleration in the notation of taints, for example `dedicated=ci:NoSchedule`.
fn describe(toleration: &Toleration) -> String {
    let ([key, operator, value, effect], _) = toleration_fields(toleration);
    let taint = match (key, operator) {
        ("", _) => "every taint".to_owned(),
        (key, "Exists") => key.to_owned(),
        (key, _) => format!("{key}={value}"),
    };
    match effect {
        "" => taint,
        effect => format!("{taint}:{effect}"),
    }
}

/// An existing mount of a container.
#[derive(Clone, Debug)]
pub(super) struct MountId<'a> {
    pub(super) container: ContainerId,
    pub(super) container_name: Text<'a>,
    /// The index in `volumeMounts`.
    pub(super) index: usize,
    /// The path, as written.
    pub(super) path: Text<'a>,
}

/// A mount to add. It is serialised as an element of `volumeMounts`.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewMount<'a> {
    pub(super) name: Text<'a>,
    pub(super) mount_path: Text<'a>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) read_only: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) sub_path: Text<'a>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) sub_path_expr: Text<'a>,
}

impl<'a> NewMount<'a> {
    /// Creates a mount of the whole volume `name`.
    pub(super) fn new(name: Text<'a>, path: impl Into<Text<'a>>, read_only: bool) -> Self {
        Self {
            name,
            mount_path: path.into(),
            read_only,
            ..Self::default()
        }
    }
}
