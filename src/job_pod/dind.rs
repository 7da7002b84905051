//! Which containers of a job pod run a Docker daemon, and where each writes the client's certificates (rules D1, D2 and V6).
//!
//! Tags: docker-library/docker `generate-stackbrew-library.sh`. Since 23.0 the tags without a suffix are dind; `-cli` is the client only.
//! Directory: `dockerd-entrypoint.sh`, which writes to `$DOCKER_TLS_CERTDIR/client`.

use crate::mount_path;
use crate::pod::{Container, ContainerId, ContainerList, EnvValue, Pod, Text, text};
use crate::policy::{CLIENT_CERT_DIRECTORY, DOCKER_ROOT, Glob};

/// Where rootless dockerd keeps its data.
const ROOTLESS_DOCKER_ROOT: &str = "/home/rootless/.local/share/docker";
/// Where dockerd looks for the certificate authorities of registries.
const REGISTRY_CERTS: &str = "/etc/docker/certs.d";
/// The same for rootless dockerd.
const ROOTLESS_REGISTRY_CERTS: &str = "/home/rootless/.config/docker/certs.d";

/// Words that start another program, which is in their arguments.
const SHELLS_AND_INITS: [&str; 6] = ["sh", "bash", "ash", "tini", "dumb-init", "docker-init"];

/// A container that runs a Docker daemon.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DindContainer {
    /// Its place.
    pub id: ContainerId,
    /// Whether it is rootless dind.
    pub rootless: bool,
    /// Where it writes the client's certificates.
    pub certificates: Certificates,
}

impl DindContainer {
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
        mount_path::join(
            if self.rootless {
                ROOTLESS_REGISTRY_CERTS
            } else {
                REGISTRY_CERTS
            },
            host,
        )
    }
}

/// What dind does about TLS.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Certificates {
    /// It writes the client's certificates to `CERTDIR/client`; this is the clean `CERTDIR`.
    In(String),
    /// `DOCKER_TLS_CERTDIR` is set and empty: no TLS, no certificates.
    TlsOff,
    /// `DOCKER_TLS_CERTDIR` cannot be known at admission, for this reason.
    Unknown(&'static str),
}

impl Certificates {
    /// Returns the directory of the client's certificates, where it is known.
    #[must_use]
    pub fn client_directory(&self) -> Option<Text<'static>> {
        match self {
            Self::In(directory) if directory == mount_path::parent(CLIENT_CERT_DIRECTORY) => {
                Some(Text::from(CLIENT_CERT_DIRECTORY))
            }
            Self::In(directory) => Some(Text::from(mount_path::join(directory, "client"))),
            Self::TlsOff | Self::Unknown(_) => None,
        }
    }
}

/// What a look at the containers gave.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The dind containers, in the pod's order.
    pub containers: Vec<DindContainer>,
    /// Containers with an image called docker of which it cannot be said whether it runs a daemon.
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
        let listed = images.iter().any(|glob| glob.matches(image.without_digest));
        if listed || (image.kind() == Kind::Dind && runs_daemon(container)) {
            found.containers.push(DindContainer {
                id,
                rootless: image.is_rootless(),
                certificates: certificates(container),
            });
        } else if image.kind() == Kind::Undecided {
            found.undecided.push(id);
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

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Dind,
    Undecided,
    Other,
}

/// An image reference: `[REGISTRY/]PATH[:TAG][@DIGEST]`.
#[derive(Clone, Copy, Debug)]
struct Image<'i> {
    without_digest: &'i str,
    /// The last component of the path.
    name: &'i str,
    tag: Option<&'i str>,
    has_digest: bool,
}

impl<'i> Image<'i> {
    fn parse(reference: &'i str) -> Self {
        let (without_digest, digest) = match reference.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (reference, None),
        };
        let last = without_digest.rsplit('/').next().unwrap_or_default();
        let (name, tag) = match last.split_once(':') {
            Some((name, tag)) => (name, Some(tag)),
            None => (last, None),
        };
        Self {
            without_digest,
            name,
            tag,
            has_digest: digest.is_some(),
        }
    }

    fn kind(&self) -> Kind {
        if self.name != "docker" {
            return Kind::Other;
        }
        match (self.tag, self.has_digest) {
            (Some(tag), _) if is_dind_tag(tag) => Kind::Dind,
            (None, false) => Kind::Dind,
            _ => Kind::Undecided,
        }
    }

    fn is_rootless(&self) -> bool {
        self.tag
            .is_some_and(|tag| tag == "dind-rootless" || tag.ends_with("-dind-rootless"))
    }
}

fn is_dind_tag(tag: &str) -> bool {
    let has_part = |wanted: &str| tag.split('-').any(|part| part == wanted);
    if tag == "latest" || has_part("dind") {
        return true;
    }
    let version_end = tag
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(tag.len());
    let (version, suffix) = tag.split_at(version_end);
    let major: Option<u32> = version
        .split('.')
        .next()
        .and_then(|major| major.parse().ok());
    let suffix_is_of_dind = suffix.is_empty()
        || suffix == "-git"
        || suffix.starts_with("-alpine")
        || suffix.starts_with("-rc");
    // 29.0.0-rc.1-cli is a release candidate of the client.
    major.is_some_and(|major| major >= 23) && suffix_is_of_dind && !has_part("cli")
}

/// Whether a container with dind's image starts the daemon: the image's own entrypoint does, unless the pod says otherwise.
fn runs_daemon(container: &Container<'_>) -> bool {
    let mut command = container.command.iter().flatten();
    let mut args = container.args.iter().flatten();
    match (command.next(), args.next()) {
        (Some(program), first) => starts_daemon(program, command.chain(first).chain(args)),
        (None, Some(first)) => first.starts_with('-') || starts_daemon(first, args),
        (None, None) => true,
    }
}

fn starts_daemon<'w, 'a: 'w>(program: &str, mut words: impl Iterator<Item = &'w Text<'a>>) -> bool {
    let program = program.rsplit('/').next().unwrap_or_default();
    program.starts_with("dockerd")
        || (SHELLS_AND_INITS.contains(&program) && words.any(|word| word.contains("dockerd")))
}

fn certificates(container: &Container<'_>) -> Certificates {
    match &container.env.docker_tls_certdir {
        None => Certificates::In(mount_path::parent(CLIENT_CERT_DIRECTORY).to_owned()),
        Some(EnvValue::From) => Certificates::Unknown("its value comes from another object"),
        Some(EnvValue::Literal(value)) => match value.as_str() {
            "" => Certificates::TlsOff,
            value if value.contains("$(") => {
                Certificates::Unknown("its value refers to another variable")
            }
            value if !value.starts_with('/') => {
                Certificates::Unknown("its value is not an absolute path")
            }
            value => Certificates::In(mount_path::clean(value).into_owned()),
        },
    }
}

#[cfg(test)]
mod tests;
