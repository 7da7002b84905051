//! Which containers of a job pod run a Docker daemon, and whether each generates the docker client's
//! certificates (rules D1, D2 and V6).
//!
//! Tags: docker-library/docker `generate-stackbrew-library.sh`. Since 23.0 the tags without a suffix
//! are dind; `-cli` is the client only. How a container starts its daemon: `start.rs`.

mod image;
mod start;

use crate::core::mount_path;
use crate::core::pod::{Container, ContainerId, ContainerList, EnvValue, Pod, Text, text};
use crate::core::policy::{CLIENT_CERT_DIRECTORY, DOCKER_ROOT, Glob};
pub use image::Version;
use image::{Image, Kind};
use start::Start;

/// Where rootless dockerd keeps its data.
const ROOTLESS_DOCKER_ROOT: &str = "/home/rootless/.local/share/docker";
/// Where rootless dockerd has its configuration.
pub const ROOTLESS_CONFIG: &str = "/home/rootless/.config/docker";
/// The directory of certificate authorities for registries, below a daemon's configuration.
const REGISTRY_CERTS: &str = "certs.d";

/// A container that runs a Docker daemon.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DindContainer {
    /// Its place.
    pub id: ContainerId,
    /// Whether it is rootless dind.
    pub rootless: bool,
    /// What it does about TLS.
    pub certificates: Certificates,
    /// Whether `certificates` follows from the variable or the tag's version, and not from the
    /// default of an image whose version is unknown.
    pub tls_is_known: bool,
    /// Whether its entrypoint starts the daemon without TLS when it cannot write certificates.
    pub falls_back_to_plain: bool,
}

impl DindContainer {
    fn new(id: ContainerId, container: &Container<'_>, image: &Image<'_>, start: &Start) -> Self {
        let version = image.version();
        let is_set = container.env.docker_tls_certdir.is_some() || start.certdir.is_some();
        Self {
            id,
            rootless: image.is_rootless(),
            certificates: certificates(container, version, start),
            tls_is_known: is_set || version.is_some(),
            falls_back_to_plain: version.is_some_and(Version::falls_back_to_plain),
        }
    }

    /// Returns where a volume that a policy wants at `path` goes in this container (V6).
    #[must_use]
    pub fn path_of<'p>(&self, path: &'p str) -> &'p str {
        if self.rootless && path == DOCKER_ROOT {
            ROOTLESS_DOCKER_ROOT
        } else {
            path
        }
    }

    /// Returns where this daemon keeps its data.
    #[must_use]
    pub fn docker_root(&self) -> &'static str {
        self.path_of(DOCKER_ROOT)
    }

    /// Returns the directory in which this daemon looks for a registry's certificate authority.
    #[must_use]
    pub fn registry_directory(&self, host: &str) -> String {
        let config = if self.rootless {
            ROOTLESS_CONFIG
        } else {
            "/etc/docker"
        };
        format!("{config}/{REGISTRY_CERTS}/{host}")
    }
}

/// What a daemon's container does about TLS.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Certificates {
    /// The entrypoint writes the client's certificates to `CERTDIR/client`; this is the clean
    /// `CERTDIR`.
    In(String),
    /// `dockerd` is started directly, so no certificates are written; this is the clean `CERTDIR`
    /// to which the entrypoint would have written them.
    NotGenerated(String),
    /// `DOCKER_TLS_CERTDIR` is set and empty: no TLS, no certificates.
    TlsOff,
    /// The image's version has TLS off, or none at all.
    TlsOffByVersion,
    /// `DOCKER_TLS_CERTDIR` cannot be known at admission, for this reason.
    Unknown(&'static str),
}

impl Certificates {
    /// Returns the directory to which the client's certificates are written, where it is known.
    #[must_use]
    pub fn client_directory(&self) -> Option<Text<'static>> {
        match self {
            Self::In(directory) => Some(client_directory(directory)),
            _ => None,
        }
    }

    /// Whether the daemon listens with TLS; nothing where that cannot be known.
    #[must_use]
    pub fn listens_with_tls(&self) -> Option<bool> {
        match self {
            Self::In(_) => Some(true),
            Self::TlsOff | Self::TlsOffByVersion => Some(false),
            Self::NotGenerated(_) | Self::Unknown(_) => None,
        }
    }
}

/// Returns the directory of the client's certificates below a clean `CERTDIR`.
#[must_use]
pub fn client_directory(certdir: &str) -> Text<'static> {
    if certdir == mount_path::parent(CLIENT_CERT_DIRECTORY) {
        Text::from(CLIENT_CERT_DIRECTORY)
    } else {
        Text::from(mount_path::join(certdir, "client"))
    }
}

/// The containers of a pod that run a Docker daemon, or may.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The dind containers, in the pod's order.
    pub containers: Vec<DindContainer>,
    /// Containers whose image or command leaves open whether they run a daemon.
    pub undecided: Vec<ContainerId>,
}

/// Finds the dind containers of a pod; `images` are the policies' further images.
#[must_use]
pub fn find(pod: &Pod<'_>, images: &[&Glob]) -> Found {
    let mut found = Found::default();
    for (id, container) in pod
        .containers()
        .filter(|(id, container)| may_be_dind(*id, container))
    {
        let image = Image::parse(text(&container.image));
        let kind = image.kind();
        let start = start::of(container);
        let listed = images.iter().any(|glob| glob.matches(image.without_digest));
        match start {
            // The policy's word, whatever the command.
            _ if listed => {
                let (image, start) = (image.unversioned(), start.unwrap_or_default());
                let dind = DindContainer::new(id, container, &image, &start);
                found.containers.push(dind);
            }
            Some(start) if kind == Kind::Dind => {
                let dind = DindContainer::new(id, container, &image, &start);
                found.containers.push(dind);
            }
            _ if kind == Kind::Undecided || image.mentions_dind() => found.undecided.push(id),
            _ => {}
        }
    }
    found
}

/// Members of `containers` but for the runner's own two, and native sidecars.
fn may_be_dind(id: ContainerId, container: &Container<'_>) -> bool {
    match id.list {
        ContainerList::Containers => !matches!(container.name(), "build" | "helper"),
        ContainerList::InitContainers => is_native_sidecar(container),
    }
}

/// Whether an init container is a native sidecar, which runs beside the others.
#[must_use]
pub fn is_native_sidecar(container: &Container<'_>) -> bool {
    text(&container.restart_policy) == "Always"
}

/// Decides what the entrypoint does: `DOCKER_TLS_CERTDIR`, then the default of the version (D2).
fn certificates(
    container: &Container<'_>,
    version: Option<Version>,
    start: &Start,
) -> Certificates {
    // Images before 18.09 know no TLS, whatever the variable says.
    if version.is_some_and(|version| !version.knows_tls()) {
        return Certificates::TlsOffByVersion;
    }
    let default = || match version {
        Some(version) if !version.has_tls_by_default() => Certificates::TlsOffByVersion,
        _ => start.certificates(mount_path::parent(CLIENT_CERT_DIRECTORY)),
    };
    let given = match (&start.certdir, &container.env.docker_tls_certdir) {
        (Some(certdir), _) => certdir.as_deref(),
        (None, None) => return default(),
        (None, Some(EnvValue::From)) => {
            return Certificates::Unknown("its value comes from another object");
        }
        (None, Some(EnvValue::Literal(value))) => Ok(value.as_str()),
    };
    match given {
        Err(why) => Certificates::Unknown(why),
        Ok("") => Certificates::TlsOff,
        Ok(value) if value.contains("$(") => {
            Certificates::Unknown("its value refers to another variable")
        }
        Ok(value) if !value.starts_with('/') => {
            Certificates::Unknown("its value is not an absolute path")
        }
        Ok(value) => start.certificates(&mount_path::clean(value)),
    }
}

#[cfg(test)]
mod tests;
