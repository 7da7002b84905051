//! Faults that drydock reports and cannot repair (rule R2).
//!
//! # What it does
//! Reports dind without privileges, the node's Docker socket in a pod, a `DOCKER_HOST` that names no
//! service of the job, a wrong port or nothing, and a volume at `/etc/hosts`.
//!
//! # Why
//! Most of them end in "Cannot connect to the Docker daemon", which says nothing about the cause.
//!
//! # Example
//! `DOCKER_HOST: tcp://docker:2375` beside `docker:28-dind`, which has TLS: the author reads that
//! it listens on port 2376.
//!
//! # When it does nothing
//! It never changes a pod. A daemon with a listener of its own (`--host`, `--tls`) is not judged.

use super::Planner;
use super::note::Fact;
use crate::core::job_pod::client::Daemon;
use crate::core::job_pod::dind::{DindContainer, is_native_sidecar};
use crate::core::mount_path;
use crate::core::pod::{Container, ContainerList, Text, text};
use crate::core::policy::{Desired, Policy};
use std::collections::HashSet;

pub(super) fn give<'a>(
    planner: &mut Planner<'_, 'a>,
    policy: &'a Policy,
    dinds: &[DindContainer],
    daemon: &Daemon,
) {
    let mut facts = host_sockets(planner);
    facts.extend(without_privileges(planner, dinds));
    if let Some(first) = dinds.first() {
        facts.extend(docker_host(planner, first, dinds, daemon));
    }
    for fact in facts {
        planner.note(policy, fact);
    }
}

/// Reports containers that need a name of `hostAliases` and mount a hosts file of their own: the
/// kubelet writes none there (`pkg/kubelet/kubelet_pods.go`, `shouldMountHostsFile`).
pub(super) fn on_hosts_files<'a>(
    planner: &mut Planner<'_, 'a>,
    desired: &Desired<'a>,
    daemon: Option<&Daemon>,
) {
    let needs_alias = |container: &Container<'_>| {
        container.name() == "build" && daemon.is_some_and(Daemon::is_alias)
    };
    let owner = desired.hosts.first().map(|asked| asked.policy);
    let has_owned = owner.is_some();
    let dind = desired.dind.as_ref();
    let Some(policy) = owner.or(dind.map(|dind| dind.client_certs.policy)) else {
        return;
    };
    let containers = planner.pod.containers().filter(|(id, container)| {
        let runs_with_the_job =
            id.list == ContainerList::Containers || is_native_sidecar(container);
        let needs_name = has_owned || needs_alias(container);
        runs_with_the_job && needs_name && container.mounts_at("/etc/hosts")
    });
    let containers: Vec<Text<'a>> = containers
        .map(|(_, container)| container.name.clone().unwrap_or_default())
        .collect();
    if !containers.is_empty() {
        planner.note(policy, Fact::OwnHostsFile { containers });
    }
}

/// Returns the mounted volumes that are the node's Docker socket ("docker out of docker").
fn host_sockets<'a>(planner: &Planner<'_, 'a>) -> Vec<Fact<'a>> {
    let is_socket = |path: &str| mount_path::clean(path).ends_with("/docker.sock");
    let mut sockets = planner
        .pod
        .volumes()
        .iter()
        .filter(|volume| volume.host_path().is_some_and(is_socket))
        .peekable();
    if sockets.peek().is_none() {
        return Vec::new();
    }
    let containers = planner.pod.containers();
    let mounted: HashSet<&str> = containers
        .flat_map(|(_, container)| container.mounts())
        .map(|mount| mount.volume())
        .collect();
    sockets
        .filter(|volume| mounted.contains(&*volume.name))
        .map(|volume| Fact::HostSocket {
            volume: volume.name.clone(),
            path: Text::from(volume.host_path().unwrap_or_default().to_owned()),
        })
        .collect()
}

/// Some container runtimes are made to run a daemon without `privileged`.
fn without_privileges<'a>(planner: &Planner<'_, 'a>, dinds: &[DindContainer]) -> Vec<Fact<'a>> {
    let runtime = text(&planner.pod.spec.runtime_class_name);
    if ["sysbox", "kata"].iter().any(|name| runtime.contains(name)) {
        return Vec::new();
    }
    let containers = dinds
        .iter()
        .filter_map(|dind| planner.pod.container(dind.id));
    containers
        .filter(|container| !container.is_privileged())
        .map(|container| Fact::NotPrivileged {
            container: container.name.clone().unwrap_or_default(),
        })
        .collect()
}

/// Judges the client's `DOCKER_HOST` against the services of the job and the daemons' TLS.
fn docker_host<'a>(
    planner: &Planner<'_, 'a>,
    first: &DindContainer,
    dinds: &[DindContainer],
    daemon: &Daemon,
) -> Option<Fact<'a>> {
    match daemon {
        Daemon::NoAlias {
            is_docker,
            others_have,
        } => Some(Fact::HostIsNoAlias {
            is_docker: *is_docker,
            others_have: *others_have,
            container: planner
                .pod
                .container(first.id)?
                .name
                .clone()
                .unwrap_or_default(),
        }),
        Daemon::Default if !has_socket(planner) => Some(Fact::NoDockerHost),
        Daemon::InPod { host, port } => {
            let wants_tls = match port.as_str() {
                "2376" => true,
                "2375" => false,
                _ => return None,
            };
            let mismatches = |dind: &DindContainer| {
                let listens_elsewhere = planner.pod.container(dind.id).is_none_or(sets_listener);
                !listens_elsewhere && dind.certificates.listens_with_tls() == Some(!wants_tls)
            };
            dinds.iter().all(mismatches).then(|| Fact::HostMismatch {
                host: Text::from(host.clone()),
                tls: !wants_tls,
                is_known: dinds.iter().all(|dind| dind.tls_is_known),
            })
        }
        _ => None,
    }
}

/// Whether the `build` container may have a socket at the client's default place.
fn has_socket(planner: &Planner<'_, '_>) -> bool {
    const SOCKET: &str = "/var/run/docker.sock";
    let mut containers = planner.pod.spec.containers.iter().flatten();
    let build = containers.find(|container| container.name() == "build");
    build.is_some_and(|build| {
        let mut paths = build.mounts().iter().map(|mount| mount.path());
        paths.any(|path| {
            // In most images /var/run is a link to /run.
            ["/run", "/run/docker.sock"].contains(&path) || mount_path::overlap(path, SOCKET)
        })
    })
}

/// Whether a daemon's words say where it listens.
fn sets_listener(container: &Container<'_>) -> bool {
    let mut words = container
        .command
        .iter()
        .chain(container.args.iter())
        .flatten();
    words.any(|word| {
        word.starts_with("-H")
            || ["--host", " -H", "--tls"]
                .iter()
                .any(|flag| word.contains(flag))
    })
}

#[cfg(test)]
mod tests;
