//! Which daemon the job's docker client calls, by `DOCKER_HOST` (rules D3 and R2).
//!
//! A script may set the variable too, which admission cannot see.
//! Source: docker CLI, `opts/hosts.go`: the forms of a host and the default `tcp` scheme.

use super::dind::DindContainer;
use crate::core::pod::{EnvValue, Pod, Text, text};
use std::net::IpAddr;

/// The port on which dind listens without TLS.
const PLAIN_PORT: &str = "2375";

/// The daemon that `DOCKER_HOST` names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Daemon {
    /// There is no `DOCKER_HOST`: the client calls the default socket.
    Default,
    /// The value is not known at admission.
    Unknown,
    /// A socket.
    Socket,
    /// One that listens in the pod itself: the host is loopback, or a name in a loopback entry of
    /// `hostAliases`.
    InPod {
        /// The host: an alias of the pod, or loopback. Any other value of a variable is not shown
        /// to anyone (T4), so it is not kept.
        host: String,
        /// The port, as written; empty where there is none.
        port: String,
    },
    /// A host of one label that is no alias of the pod, most likely a service without that alias.
    NoAlias {
        /// Whether it is `docker`, the name that most jobs use.
        is_docker: bool,
        /// Whether services of the pod have aliases at all.
        others_have: bool,
    },
    /// A daemon elsewhere.
    Remote,
}

impl Daemon {
    /// Whether the client may call a daemon of the pod over TLS, so that it reads certificates.
    #[must_use]
    pub fn may_be_in_pod_with_tls(&self) -> bool {
        match self {
            Self::Default | Self::Unknown => true,
            Self::InPod { port, .. } => port != PLAIN_PORT,
            Self::Socket | Self::NoAlias { .. } | Self::Remote => false,
        }
    }

    /// Whether the host is a name that the pod's `hostAliases` must resolve.
    #[must_use]
    pub fn is_alias(&self) -> bool {
        match self {
            Self::InPod { host, .. } => {
                let is_name = host.parse::<IpAddr>().is_err();
                is_name && !host.is_empty() && !host.eq_ignore_ascii_case("localhost")
            }
            _ => false,
        }
    }

    /// Whether the client calls the pod's port without TLS.
    #[must_use]
    pub fn is_plain_in_pod(&self) -> bool {
        matches!(self, Self::InPod { port, .. } if port == PLAIN_PORT)
    }
}

/// Returns the daemon that the `build` container calls. With `FF_CONCRETE` it has no variables, and
/// those of the job are in its services.
#[must_use]
pub fn daemon(pod: &Pod<'_>, dinds: &[DindContainer]) -> Daemon {
    let mut containers = pod.spec.containers.iter().flatten();
    let build = containers.find(|container| container.name() == "build");
    let service = dinds
        .first()
        .filter(|_| super::has_bootstrap(pod))
        .and_then(|dind| pod.container(dind.id));
    let mut containers = [build, service].into_iter().flatten();
    match containers.find_map(|container| container.env.docker_host.as_ref()) {
        None => Daemon::Default,
        Some(EnvValue::From) => Daemon::Unknown,
        Some(EnvValue::Literal(value)) => parse(value, || loopback_aliases(pod)),
    }
}

fn parse<'p, I: Iterator<Item = &'p str>>(value: &str, aliases: impl Fn() -> I) -> Daemon {
    let is_alias = |host: &str| aliases().any(|alias| alias.eq_ignore_ascii_case(host));
    if value.is_empty() {
        return Daemon::Default;
    }
    if value.contains("$(") {
        return Daemon::Unknown;
    }
    let (scheme, rest) = value.split_once("://").unwrap_or(("tcp", value));
    if matches!(scheme, "unix" | "fd" | "npipe") {
        return Daemon::Socket;
    }
    let authority = rest.split('/').next().unwrap_or_default();
    let (host, port) = split_port(authority);
    if scheme == "ssh" {
        return Daemon::Remote;
    }
    let is_this_pod = match host.parse::<IpAddr>() {
        Ok(ip) => ip.is_loopback() || ip.is_unspecified(),
        Err(_) => host.is_empty() || host.eq_ignore_ascii_case("localhost") || is_alias(host),
    };
    if is_this_pod {
        let (host, port) = (host.to_owned(), port.to_owned());
        Daemon::InPod { host, port }
    } else if host.contains(['.', ':']) {
        Daemon::Remote
    } else {
        let is_docker = host == "docker";
        let others_have = aliases().next().is_some();
        Daemon::NoAlias {
            is_docker,
            others_have,
        }
    }
}

/// Splits `HOST:PORT`, `[IPV6]:PORT` or a host without a port.
fn split_port(authority: &str) -> (&str, &str) {
    if let Some((host, rest)) = authority
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        return (host, rest.strip_prefix(':').unwrap_or_default());
    }
    match authority.rsplit_once(':') {
        Some((host, port)) => (host, port),
        None => (authority, ""),
    }
}

/// Returns the names of the job's services.
fn loopback_aliases<'p>(pod: &'p Pod<'_>) -> impl Iterator<Item = &'p str> {
    let is_loopback = |ip: &str| ip.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let entries = pod.host_aliases().iter();
    entries
        .filter(move |entry| is_loopback(text(&entry.ip)))
        .flat_map(|entry| entry.hostnames.iter().flatten().map(Text::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn in_pod(host: &str, port: &str) -> Daemon {
        let (host, port) = (host.to_owned(), port.to_owned());
        Daemon::InPod { host, port }
    }

    #[rstest]
    #[case("", Daemon::Default)]
    #[case("unix:///var/run/docker.sock", Daemon::Socket)]
    #[case("tcp://docker:2376", in_pod("docker", "2376"))]
    #[case("tcp://DOCKER:2376/", in_pod("DOCKER", "2376"))]
    #[case("docker:2375", in_pod("docker", "2375"))]
    #[case("tcp://docker", in_pod("docker", ""))]
    #[case("tcp://localhost:2376", in_pod("localhost", "2376"))]
    #[case("tcp://127.0.0.1:2376", in_pod("127.0.0.1", "2376"))]
    #[case("tcp://[::1]:2376", in_pod("::1", "2376"))]
    #[case("tcp://0.0.0.0:2376", in_pod("0.0.0.0", "2376"))]
    #[case("https://docker:2376/v1", in_pod("docker", "2376"))]
    #[case("tcp://farm.corp.example:2376", Daemon::Remote)]
    #[case("tcp://10.1.2.3:2376", Daemon::Remote)]
    #[case("tcp://[fd00::1]:2376", Daemon::Remote)]
    #[case("ssh://docker", Daemon::Remote)]
    #[case("tcp://dockerd:2376", Daemon::NoAlias { is_docker: false, others_have: true })]
    #[case("tcp://docker2:2376", Daemon::NoAlias { is_docker: false, others_have: true })]
    #[case("tcp://$(POD_IP):2376", Daemon::Unknown)]
    fn d3_hosts(#[case] value: &str, #[case] expected: Daemon) {
        assert_eq!(parse(value, || ["db", "docker"].into_iter()), expected);
    }
}
