//! Changes in sentences, for people.

use super::{Action, Change, NewSource};
use crate::core::shown::list;
use std::fmt;

impl fmt::Display for Change<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.action {
            Action::DropHostnames { ip, dropped, .. } => {
                write!(
                    f,
                    "took {} from the hostAliases entry {ip}, which is not the policy's address",
                    list(dropped, ", ")
                )
            }
            Action::RemoveHostAlias { ip, dropped, .. } => {
                write!(
                    f,
                    "removed the hostAliases entry {ip} ({}), which is not the policy's address",
                    list(dropped, ", ")
                )
            }
            Action::ExtendHostAlias { ip, hostnames, .. } => {
                write!(
                    f,
                    "added {} to the hostAliases entry {ip}",
                    list(hostnames, ", ")
                )
            }
            Action::AddHostAlias { ip, hostnames, .. } => {
                write!(
                    f,
                    "added the hostAliases entry {ip} ({})",
                    list(hostnames, ", ")
                )
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
                source: NewSource::RootlessConfig { size_limit },
                ..
            } => write!(
                f,
                "added the memory-backed emptyDir \"{name}\" of {size_limit} for the configuration directory of rootless dockerd, which must be writable"
            ),
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
                ..
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
