//! dind containers: the containers of a job pod that run a Docker daemon, and their TLS setup
//! (rules D1, D2 and V6).
//!
//! Source of the tags: docker-library/docker `generate-stackbrew-library.sh`. Since 23.0, images
//! with a tag without a suffix are dind, and images with the suffix `-cli` have only the client.

mod image;
mod start;

use crate::core::mount_path;
use crate::core::pod::{Container, ContainerId, ContainerList, EnvValue, Pod, Text, text};
use crate::core::policy::{CLIENT_CERT_DIRECTORY, DOCKER_ROOT, Glob};
use image::{Image, Kind, Version};
use start::StartCommand;

/// The data directory of rootless dockerd.
const ROOTLESS_DOCKER_ROOT: &str = "/home/rootless/.local/share/docker";
/// The configuration directory of rootless dockerd.
pub(crate) const ROOTLESS_CONFIG: &str = "/home/rootless/.config/docker";

/// A container that runs a Docker daemon.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct DindContainer<'a> {
    pub(crate) id: ContainerId,
    pub(crate) name: Text<'a>,
    pub(crate) rootless: bool,
    pub(crate) tls: DaemonTls,
    /// Whether `DOCKER_TLS_CERTDIR` or the version in the tag determines `tls`. Otherwise the
    /// version of the image is unknown, and `tls` is a default.
    pub(crate) is_tls_explicit: bool,
    /// Whether the entrypoint starts the daemon without TLS if it cannot write certificates.
    pub(crate) falls_back_to_plaintext: bool,
}

/// The TLS setup of a daemon.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum DaemonTls {
    /// The entrypoint writes the client's certificates to `CERTDIR/client`. The value is the clean
    /// `CERTDIR`.
    Generated(String),
    /// `dockerd` is started directly, so no certificates are written. The value is the clean
    /// `CERTDIR` that the entrypoint would use.
    NotGenerated(String),
    /// `DOCKER_TLS_CERTDIR` is set to an empty string.
    Off,
    /// The version of the image does not support TLS, or does not use TLS by default.
    OffByVersion,
    /// The value of `DOCKER_TLS_CERTDIR` is unknown at admission, or not an absolute path. The text
    /// is the reason, and completes the sentence "DOCKER_TLS_CERTDIR …".
    Unknown(&'static str),
}

/// The containers of a pod that run, or may run, a Docker daemon.
#[derive(Clone, Debug, Default)]
pub(crate) struct DindContainers<'a> {
    /// The dind containers, in the order of the pod.
    pub(crate) dinds: Vec<DindContainer<'a>>,
    /// Containers whose image and command do not show whether they run a daemon: the name, the
    /// image, and the image without its digest.
    pub(crate) undecided: Vec<(Text<'a>, Text<'a>, Text<'a>)>,
}

impl<'a> DindContainers<'a> {
    /// Finds the dind containers of a pod. `images` are the globs of `dind.images` in the policies.
    pub(crate) fn of(pod: &Pod<'a>, images: &[&Glob]) -> Self {
        let mut found = Self::default();
        for (id, container) in pod.containers() {
            let may_be_dind = match id.list {
                ContainerList::Containers => !matches!(&*container.name, "build" | "helper"),
                ContainerList::InitContainers => is_native_sidecar(container),
            };
            if !may_be_dind {
                continue;
            }
            let name = container.name.clone();
            let mut image = Image::parse(&container.image);
            let kind = image.kind();
            let is_listed = images.iter().any(|glob| glob.matches(image.without_digest));
            let start = match start::parse(container) {
                // An image that a policy lists is dind, with any command.
                start if is_listed => {
                    image = image.unversioned();
                    start.unwrap_or_default()
                }
                Some(start) if kind == Kind::Dind => start,
                _ => {
                    if kind == Kind::Undecided || image.mentions_dind() {
                        let reference = Text::from(image.without_digest.to_owned());
                        let image = container.image.clone();
                        found.undecided.push((name, image, reference));
                    }
                    continue;
                }
            };
            let version = image.version();
            let is_set = container.env.docker_tls_certdir.is_some() || start.certdir.is_some();
            found.dinds.push(DindContainer {
                id,
                name,
                rootless: image.is_rootless(),
                tls: DaemonTls::of(container, version, &start),
                is_tls_explicit: is_set || version.is_some(),
                falls_back_to_plaintext: version.is_some_and(Version::falls_back_to_plaintext),
            });
        }
        found
    }
}

impl DindContainer<'_> {
    /// Returns the path at which this container mounts a volume that has the mount path `path` in
    /// the policy. The paths differ only for the data directory of rootless dockerd (V6).
    pub(crate) fn path_of<'p>(&self, path: &'p str) -> &'p str {
        if self.rootless && path == DOCKER_ROOT {
            ROOTLESS_DOCKER_ROOT
        } else {
            path
        }
    }

    /// Returns the data directory of this daemon.
    pub(crate) fn docker_root(&self) -> &'static str {
        self.path_of(DOCKER_ROOT)
    }

    /// Returns the directory from which this daemon reads the CA of a registry.
    pub(crate) fn registry_directory(&self, host: &str) -> String {
        let config = if self.rootless {
            ROOTLESS_CONFIG
        } else {
            "/etc/docker"
        };
        format!("{config}/certs.d/{host}")
    }
}

impl DaemonTls {
    /// Determines the setup from `DOCKER_TLS_CERTDIR`, or from the default of the version (D2).
    fn of(container: &Container<'_>, version: Option<Version>, start: &StartCommand) -> Self {
        // Images before 18.09 do not support TLS, so the value of the variable has no effect.
        if version.is_some_and(|version| !version.supports_tls()) {
            return Self::OffByVersion;
        }
        let certdir = match (&start.certdir, &container.env.docker_tls_certdir) {
            (Some(Err(why)), _) => return Self::Unknown(why),
            (Some(Ok(certdir)), _) => certdir.as_str(),
            (None, Some(EnvValue::ValueFrom)) => return Self::Unknown("is set by valueFrom"),
            (None, Some(EnvValue::Literal(value))) => value.as_str(),
            (None, None) if version.is_some_and(|version| !version.has_tls_by_default()) => {
                return Self::OffByVersion;
            }
            (None, None) => mount_path::parent(CLIENT_CERT_DIRECTORY),
        };
        match certdir {
            "" => Self::Off,
            _ if certdir.contains("$(") => Self::Unknown("refers to another variable"),
            _ if !certdir.starts_with('/') => Self::Unknown("is not an absolute path"),
            _ if start.bypasses_entrypoint => {
                Self::NotGenerated(mount_path::clean(certdir).into_owned())
            }
            _ => Self::Generated(mount_path::clean(certdir).into_owned()),
        }
    }

    /// Returns the directory to which the daemon writes the client's certificates; `None` if it
    /// writes none.
    pub(crate) fn client_directory(&self) -> Option<Text<'static>> {
        match self {
            Self::Generated(certdir) => Some(client_directory(certdir)),
            _ => None,
        }
    }

    /// Returns whether the daemon listens with TLS; `None` if that is unknown.
    pub(crate) fn is_on(&self) -> Option<bool> {
        match self {
            Self::Generated(_) => Some(true),
            Self::Off | Self::OffByVersion => Some(false),
            Self::NotGenerated(_) | Self::Unknown(_) => None,
        }
    }
}

/// Returns the directory of the client's certificates below a clean `CERTDIR`.
pub(crate) fn client_directory(certdir: &str) -> Text<'static> {
    if certdir == mount_path::parent(CLIENT_CERT_DIRECTORY) {
        Text::from(CLIENT_CERT_DIRECTORY)
    } else {
        Text::from(mount_path::join(certdir, "client"))
    }
}

/// Returns whether an init container is a native sidecar, which keeps running with the containers.
pub(crate) fn is_native_sidecar(container: &Container<'_>) -> bool {
    text(&container.restart_policy) == "Always"
}

#[cfg(test)]
mod tests;
