//! dind containers: the containers of a job pod that run a Docker daemon, and their TLS setup
//! (rules D1, D2 and V6).
//!
//! Source of the tags: docker-library/docker `generate-stackbrew-library.sh`. Since 23.0 the tags
//! without a suffix are dind; `-cli` is the client only.

mod image;
mod start;

use crate::core::mount_path;
use crate::core::pod::{Container, ContainerId, ContainerList, EnvValue, Pod, Text, text};
use crate::core::policy::{CLIENT_CERT_DIRECTORY, DOCKER_ROOT, Glob};
use image::{Image, Kind, Version};
use start::Start;

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
    /// Whether `tls` follows from the variable or from the version in the tag. Otherwise it is the
    /// default for an image of unknown version.
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
    /// `CERTDIR` of the entrypoint.
    NotGenerated(String),
    /// `DOCKER_TLS_CERTDIR` is set and empty.
    Off,
    /// TLS is off by default in the version of the image, or not supported.
    OffByVersion,
    /// The value of `DOCKER_TLS_CERTDIR` is not available at admission; has the reason.
    Unknown(&'static str),
}

/// The containers of a pod that run a Docker daemon, and the undecided ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct DindContainers<'a> {
    /// In the pod's order.
    pub(crate) dinds: Vec<DindContainer<'a>>,
    /// Containers that may run a daemon: image and command do not show it. Name, image, and image
    /// without digest.
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
            let start = match start::of(container) {
                // The policy decides, with any command.
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
    /// Returns the path in this container for a policy's volume at `path` (V6).
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

    /// Returns the directory for the CA of a registry.
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
    /// Decides by `DOCKER_TLS_CERTDIR`, then by the default of the version (D2).
    fn of(container: &Container<'_>, version: Option<Version>, start: &Start) -> Self {
        // Images before 18.09 have no TLS, with any value of the variable.
        if version.is_some_and(|version| !version.supports_tls()) {
            return Self::OffByVersion;
        }
        let certdir = match (&start.certdir, &container.env.docker_tls_certdir) {
            (Some(Err(why)), _) => return Self::Unknown(why),
            (Some(Ok(certdir)), _) => certdir.as_str(),
            (None, Some(EnvValue::From)) => {
                return Self::Unknown("its value comes from another object");
            }
            (None, Some(EnvValue::Literal(value))) => value.as_str(),
            (None, None) if version.is_some_and(|version| !version.has_tls_by_default()) => {
                return Self::OffByVersion;
            }
            (None, None) => mount_path::parent(CLIENT_CERT_DIRECTORY),
        };
        match certdir {
            "" => Self::Off,
            _ if certdir.contains("$(") => Self::Unknown("its value refers to another variable"),
            _ if !certdir.starts_with('/') => Self::Unknown("its value is not an absolute path"),
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

    /// Whether the daemon listens with TLS; `None` if the setup does not show it.
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

/// Whether an init container is a native sidecar, which runs beside the containers.
pub(crate) fn is_native_sidecar(container: &Container<'_>) -> bool {
    text(&container.restart_policy) == "Always"
}

#[cfg(test)]
mod tests;
