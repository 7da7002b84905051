//! Image references: whether an image is docker:dind, and its docker version (rules D1 and D2).

/// Whether an image is docker:dind, according to its reference.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Dind,
    Undecided,
    Other,
}

/// An image reference: `[REGISTRY/]PATH[:TAG][@DIGEST]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Image<'i> {
    pub(super) without_digest: &'i str,
    /// The last component of the path.
    name: &'i str,
    tag: Option<&'i str>,
    has_digest: bool,
    /// Whether the tag contains the version of docker.
    has_docker_version: bool,
}

impl<'i> Image<'i> {
    pub(super) fn parse(reference: &'i str) -> Self {
        let (without_digest, has_digest) = match reference.split_once('@') {
            Some((rest, _)) => (rest, true),
            None => (reference, false),
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
            has_digest,
            has_docker_version: name == "docker",
        }
    }

    /// Returns the image without a docker version. Used for images that a policy lists, because
    /// their tags may have another meaning.
    pub(super) fn unversioned(self) -> Self {
        Self {
            has_docker_version: false,
            ..self
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match (self.name, self.tag) {
            ("docker", Some(tag)) if is_dind_tag(tag) => Kind::Dind,
            ("docker", None) if !self.has_digest => Kind::Dind,
            ("docker", _) => Kind::Undecided,
            _ => Kind::Other,
        }
    }

    pub(super) fn is_rootless(&self) -> bool {
        let is_rootless = |tag: &str| tag == "dind-rootless" || tag.ends_with("-dind-rootless");
        self.tag.is_some_and(is_rootless)
    }

    /// Returns whether the path or tag of the image contains `dind`. The registry host is ignored.
    pub(super) fn mentions_dind(&self) -> bool {
        let is_host = |part: &str| part.contains(['.', ':']) || part == "localhost";
        let path = match self.without_digest.split_once('/') {
            Some((host, path)) if is_host(host) => path,
            _ => self.without_digest,
        };
        path.to_ascii_lowercase().contains("dind")
    }

    /// Returns the docker version at the start of the tag, if there is one.
    pub(super) fn version(&self) -> Option<Version> {
        let tag = self.tag.filter(|_| self.has_docker_version)?;
        let (numbers, _) = split_version(tag);
        let mut numbers = numbers.split('.').map(str::parse::<u32>);
        let major = numbers.next()?.ok()?;
        let mut part = || numbers.next().and_then(Result::ok);
        let (minor, patch) = (part(), part());
        Some(Version {
            major,
            minor,
            patch,
        })
    }
}

fn split_version(tag: &str) -> (&str, &str) {
    let end = tag.find(|c: char| !c.is_ascii_digit() && c != '.');
    tag.split_at(end.unwrap_or(tag.len()))
}

fn is_dind_tag(tag: &str) -> bool {
    let has_part = |wanted: &str| tag.split('-').any(|part| part == wanted);
    if tag == "latest" || has_part("dind") {
        return true;
    }
    let (version, suffix) = split_version(tag);
    let major = version
        .split('.')
        .next()
        .and_then(|major| major.parse::<u32>().ok());
    let is_suffix_of_dind =
        matches!(suffix, "" | "-git") || suffix.starts_with("-alpine") || suffix.starts_with("-rc");
    // For example, 29.0.0-rc.1-cli is a release candidate of the client.
    major.is_some_and(|major| major >= 23) && is_suffix_of_dind && !has_part("cli")
}

/// A docker version. A version without a minor or patch number is the newest release of its line:
/// `19` is 19.03.
///
/// Source: history of docker-library/docker, `dockerd-entrypoint.sh` and the Dockerfiles.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Version {
    major: u32,
    minor: Option<u32>,
    patch: Option<u32>,
}

impl Version {
    fn is_before(self, major: u32, minor: u32, patch: u32) -> bool {
        let part = |part: Option<u32>| part.unwrap_or(u32::MAX);
        (self.major, part(self.minor), part(self.patch)) < (major, minor, patch)
    }

    /// Returns whether the entrypoint can generate certificates: since 18.09 (docker-library commit
    /// 6438624).
    pub(super) fn supports_tls(self) -> bool {
        !self.is_before(18, 9, 0)
    }

    /// Returns whether the image sets `DOCKER_TLS_CERTDIR=/certs`: since 19.03.
    pub(super) fn has_tls_by_default(self) -> bool {
        !self.is_before(19, 0, 0)
    }

    /// Returns whether a daemon that cannot write its certificates starts without TLS: before
    /// 20.10.24, and in 23.0.0 (docker-library commit 38e13c8).
    pub(super) fn falls_back_to_plaintext(self) -> bool {
        let is_23_0_0 = (self.major, self.minor, self.patch) == (23, Some(0), Some(0));
        is_23_0_0 || self.is_before(20, 10, 24)
    }
}
