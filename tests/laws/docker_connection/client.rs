//! The docker client in `build`: the daemon that it calls and the directory from which it reads its
//! certificates (docker/cli, `cli/flags/options.go`).
//!
//! GitLab Runner does not run the entrypoint of the job's image, so only variables configure it.

use super::super::container_start::variable;
use super::super::pod_model::{Answer, list, text};
use serde_json::Value;
use std::net::IpAddr;

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Target {
    Socket(String),
    /// A port of the pod.
    Pod(u16),
    /// Another machine.
    Remote,
    Unknown,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Client {
    pub target: Target,
    /// The directory from which it reads certificates; `None` without TLS.
    pub certificates: Option<String>,
}

/// Returns the client that the variables of `build` configure, or `None` if their values are
/// unknown.
pub fn client(pod: &Value, build: &Value) -> Option<Client> {
    let get = |name: &str| Some(variable(build, name).ok()?.unwrap_or_default());
    let is_tls = !get("DOCKER_TLS_VERIFY")?.is_empty() || !get("DOCKER_TLS")?.is_empty();
    let directory = match get("DOCKER_CERT_PATH")? {
        "" => "/root/.docker",
        path if !path.starts_with('/') => return None,
        path => path,
    };
    Some(Client {
        target: target(pod, build, get("DOCKER_HOST")?, is_tls),
        certificates: is_tls.then(|| directory.to_owned()),
    })
}

fn target(pod: &Value, build: &Value, host: &str, is_tls: bool) -> Target {
    if host.is_empty() {
        return Target::Socket("/var/run/docker.sock".to_owned());
    }
    if let Some(path) = host.strip_prefix("unix://") {
        return Target::Socket(path.to_owned());
    }
    let Some(address) = host.strip_prefix("tcp://") else {
        return Target::Unknown;
    };
    let address = address.trim_end_matches('/');
    let default = if is_tls { 2376 } else { 2375 };
    let (name, port) = match address.rsplit_once(':') {
        Some((name, port)) => (name, port.parse().unwrap_or(default)),
        None => (address, default),
    };
    match is_loopback(pod, build, name) {
        Answer::Yes => Target::Pod(port),
        Answer::No => Target::Remote,
        Answer::Open => Target::Unknown,
    }
}

/// Returns whether a host is the pod itself. dind listens on the IPv4 addresses of the pod's
/// network namespace.
fn is_loopback(pod: &Value, build: &Value, host: &str) -> Answer {
    if let Ok(address) = host.parse::<IpAddr>() {
        return match address {
            IpAddr::V4(address) if address.is_loopback() => Answer::Yes,
            IpAddr::V4(_) => Answer::No,
            IpAddr::V6(_) => Answer::Open,
        };
    }
    // The kubelet does not write hostAliases if a volume is mounted at exactly this path.
    let mut mounts = list(build, "volumeMounts").iter();
    if mounts.any(|mount| text(mount, "mountPath") == "/etc/hosts") {
        return Answer::Open;
    }
    if host == "localhost" {
        return Answer::Yes;
    }
    let mut found = Vec::new();
    for entry in list(&pod["spec"], "hostAliases") {
        let mut names = list(entry, "hostnames").iter().filter_map(Value::as_str);
        if names.any(|name| name.eq_ignore_ascii_case(host)) {
            found.push(text(entry, "ip").parse::<IpAddr>().ok());
        }
    }
    let is_pod = |address: &Option<IpAddr>| matches!(address, Some(IpAddr::V4(address)) if address.is_loopback());
    let is_other =
        |address: &Option<IpAddr>| matches!(address, Some(address) if !address.is_loopback());
    match &found[..] {
        all if all.iter().all(is_other) => Answer::No,
        all if all.iter().all(is_pod) => Answer::Yes,
        _ => Answer::Open,
    }
}
