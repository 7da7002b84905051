//! The daemon that the job's docker client calls, according to `DOCKER_HOST` (rules D3 and R2).
//!
//! The job's script can set the variable too, but the pod does not contain the script.
//! Source: docker CLI, `opts/hosts.go`: the forms of a host and the default scheme `tcp`.

use super::dind::DindContainer;
use crate::core::pod::{Container, EnvValue, Pod, Text, text};
use std::net::IpAddr;

/// The port on which dind listens without TLS.
const PLAINTEXT_PORT: &str = "2375";

/// The daemon that `DOCKER_HOST` names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum DockerHost {
    /// The variable is empty or not set, so the client calls the default socket.
    Unset,
    /// The value is unknown at admission.
    Unknown,
    /// A Unix socket or a named pipe.
    Socket,
    /// A daemon of the pod: the host is a loopback address, or an alias in a loopback entry of
    /// `hostAliases`. Other variants do not have the host, because it must not be shown (T4).
    InPod {
        host: String,
        /// The port as written, or an empty string if there is none.
        port: String,
    },
    /// A host that has no dot and is not an alias of the pod, probably because dind has no alias.
    NoAlias {
        /// Whether the host is `docker`, as in most jobs.
        is_docker: bool,
        /// Whether other services of the pod have aliases.
        others_have: bool,
    },
    /// A daemon on another machine.
    Remote,
}

impl DockerHost {
    /// Reads `DOCKER_HOST` from the `build` container. With `FF_CONCRETE` that container has no
    /// variables, so `DOCKER_HOST` is read from the dind container, which has the job's variables.
    pub(crate) fn of<'a>(pod: &Pod<'a>, dinds: &[DindContainer<'a>]) -> Self {
        let build = pod.build().map(|(_, build)| build);
        let service = dinds.first().filter(|_| super::has_bootstrap(pod));
        let service = service.and_then(|dind| pod.container(dind.id));
        let value = |container: &Container<'a>| container.env.docker_host.clone();
        match build.and_then(value).or_else(|| service.and_then(value)) {
            None => Self::Unset,
            Some(EnvValue::ValueFrom) => Self::Unknown,
            Some(EnvValue::Literal(value)) => Self::parse(&value, || loopback_aliases(pod)),
        }
    }

    fn parse<'p, I: Iterator<Item = &'p str>>(value: &str, aliases: impl Fn() -> I) -> Self {
        if value.is_empty() {
            return Self::Unset;
        }
        if value.contains("$(") {
            return Self::Unknown;
        }
        let (scheme, rest) = value.split_once("://").unwrap_or(("tcp", value));
        match scheme {
            "unix" | "fd" | "npipe" => return Self::Socket,
            "ssh" => return Self::Remote,
            _ => {}
        }
        let (host, port) = split_port(rest.split('/').next().unwrap_or_default());
        let is_alias = || aliases().any(|alias| alias.eq_ignore_ascii_case(host));
        let is_in_pod = match host.parse::<IpAddr>() {
            Ok(ip) => ip.is_loopback() || ip.is_unspecified(),
            Err(_) => host.is_empty() || host.eq_ignore_ascii_case("localhost") || is_alias(),
        };
        if is_in_pod {
            let (host, port) = (host.to_owned(), port.to_owned());
            Self::InPod { host, port }
        } else if host.contains(['.', ':']) {
            Self::Remote
        } else {
            let is_docker = host == "docker";
            let others_have = aliases().next().is_some();
            Self::NoAlias {
                is_docker,
                others_have,
            }
        }
    }

    /// Returns whether the client may call a daemon of the pod with TLS, and so needs certificates.
    pub(crate) fn may_need_certificates(&self) -> bool {
        match self {
            Self::Unset | Self::Unknown => true,
            Self::InPod { port, .. } => port != PLAINTEXT_PORT,
            Self::Socket | Self::NoAlias { .. } | Self::Remote => false,
        }
    }

    /// Returns whether the host is an alias in the pod's `hostAliases`.
    pub(crate) fn is_alias(&self) -> bool {
        let Self::InPod { host, .. } = self else {
            return false;
        };
        let is_address = host.parse::<IpAddr>().is_ok();
        !is_address && !host.is_empty() && !host.eq_ignore_ascii_case("localhost")
    }

    /// Returns whether the client calls a daemon of the pod without TLS.
    pub(crate) fn is_plaintext_in_pod(&self) -> bool {
        matches!(self, Self::InPod { port, .. } if port == PLAINTEXT_PORT)
    }
}

/// Splits `HOST:PORT`, `[IPV6]:PORT` or `HOST` into host and port.
fn split_port(authority: &str) -> (&str, &str) {
    let bracketed = authority
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'));
    match bracketed {
        Some((host, rest)) => (host, rest.strip_prefix(':').unwrap_or_default()),
        None => authority.rsplit_once(':').unwrap_or((authority, "")),
    }
}

/// Returns the hostnames of loopback entries: the aliases of the job's services.
fn loopback_aliases<'p>(pod: &'p Pod<'_>) -> impl Iterator<Item = &'p str> {
    let is_loopback = |ip: &str| ip.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let entries = pod
        .host_aliases()
        .iter()
        .filter(move |entry| is_loopback(text(&entry.ip)));
    entries.flat_map(|entry| entry.hostnames.iter().flatten().map(Text::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn in_pod(host: &str, port: &str) -> DockerHost {
        let (host, port) = (host.to_owned(), port.to_owned());
        DockerHost::InPod { host, port }
    }

    #[rstest]
    #[case("", DockerHost::Unset)]
    #[case("unix:///var/run/docker.sock", DockerHost::Socket)]
    #[case("tcp://docker:2376", in_pod("docker", "2376"))]
    #[case("tcp://DOCKER:2376/", in_pod("DOCKER", "2376"))]
    #[case("docker:2375", in_pod("docker", "2375"))]
    #[case("tcp://docker", in_pod("docker", ""))]
    #[case("tcp://localhost:2376", in_pod("localhost", "2376"))]
    #[case("tcp://127.0.0.1:2376", in_pod("127.0.0.1", "2376"))]
    #[case("tcp://[::1]:2376", in_pod("::1", "2376"))]
    #[case("tcp://0.0.0.0:2376", in_pod("0.0.0.0", "2376"))]
    #[case("https://docker:2376/v1", in_pod("docker", "2376"))]
    #[case("tcp://farm.corp.example:2376", DockerHost::Remote)]
    #[case("tcp://10.1.2.3:2376", DockerHost::Remote)]
    #[case("tcp://[fd00::1]:2376", DockerHost::Remote)]
    #[case("ssh://docker", DockerHost::Remote)]
    #[case("tcp://dockerd:2376", DockerHost::NoAlias { is_docker: false, others_have: true })]
    #[case("tcp://docker2:2376", DockerHost::NoAlias { is_docker: false, others_have: true })]
    #[case("tcp://$(POD_IP):2376", DockerHost::Unknown)]
    fn d3_hosts(#[case] value: &str, #[case] expected: DockerHost) {
        assert_eq!(
            DockerHost::parse(value, || ["db", "docker"].into_iter()),
            expected
        );
    }
}
