//! Advice: reports mistakes that drydock cannot repair (rule R2).
//!
//! # What it does
//! Reports dind without `privileged`, the node's Docker socket in a pod, a `DOCKER_HOST` that is
//! missing, names no service of the job or has the wrong port, and a volume at `/etc/hosts`.
//!
//! # Why
//! Most of these mistakes cause the error "Cannot connect to the Docker daemon", which does not
//! name the cause.
//!
//! # Example
//! `DOCKER_HOST: tcp://docker:2375` with `docker:28-dind`, which has TLS ─► a warning that dind
//! listens on port 2376.
//!
//! # When it does nothing
//! It never changes a pod. It does not check the port of a daemon whose command line configures a
//! listener (`--host`, `--tls`).

use super::Planner;
use super::finding::FindingKind;
use crate::core::job_pod::dind::{DindContainer, is_native_sidecar};
use crate::core::job_pod::docker_host::DockerHost;
use crate::core::mount_path;
use crate::core::pod::{Container, ContainerList, Text, text};
use crate::core::policy::{Desired, Policy};
use std::collections::HashSet;

pub(super) fn plan<'a>(
    planner: &mut Planner<'_, 'a>,
    policy: &'a Policy,
    dinds: &[DindContainer<'a>],
    docker_host: &DockerHost,
) {
    let mut kinds = host_sockets(planner);
    kinds.extend(unprivileged(planner, dinds));
    if let Some(first) = dinds.first() {
        kinds.extend(check_docker_host(planner, first, dinds, docker_host));
    }
    for kind in kinds {
        planner.report(policy, kind);
    }
}

/// Reports containers that need a hostname of `hostAliases` and have a volume at `/etc/hosts`. The
/// kubelet writes no hosts file there (`pkg/kubelet/kubelet_pods.go`, `shouldMountHostsFile`).
pub(super) fn report_hosts_files<'a>(
    planner: &mut Planner<'_, 'a>,
    desired: &Desired<'a>,
    docker_host: Option<&DockerHost>,
) {
    let owner = desired.hosts.first().map(|(policy, _)| *policy);
    let dind = desired.dind.as_ref();
    let Some(policy) = owner.or(dind.map(|dind| dind.client_certs.0)) else {
        return;
    };
    let needs_alias = |container: &Container<'_>| {
        &*container.name == "build" && docker_host.is_some_and(DockerHost::is_alias)
    };
    let containers = planner.pod.containers().filter(|(id, container)| {
        let runs_with_the_job =
            id.list == ContainerList::Containers || is_native_sidecar(container);
        let needs_hostname = owner.is_some() || needs_alias(container);
        runs_with_the_job && needs_hostname && container.mounts_at("/etc/hosts")
    });
    let containers = containers.map(|(_, container)| container.name.clone());
    let containers: Vec<Text<'a>> = containers.collect();
    if !containers.is_empty() {
        planner.report(policy, FindingKind::HostsFileMounted(containers));
    }
}

/// Finds mounted volumes with the node's Docker socket ("docker out of docker").
fn host_sockets<'a>(planner: &Planner<'_, 'a>) -> Vec<FindingKind<'a>> {
    let is_socket = |path: &str| mount_path::clean(path).ends_with("/docker.sock");
    let volumes = planner.pod.volumes().iter();
    let sockets = volumes.filter(|volume| volume.host_path().is_some_and(is_socket));
    let mut sockets = sockets.peekable();
    if sockets.peek().is_none() {
        return Vec::new();
    }
    let containers = planner.pod.containers();
    let mounts = containers.flat_map(|(_, container)| container.mounts());
    let mounted: HashSet<&str> = mounts.map(|mount| &*mount.name).collect();
    let mounted = sockets.filter(|volume| mounted.contains(&*volume.name));
    let kinds = mounted.map(|volume| {
        let path = volume.host_path().unwrap_or_default().to_owned();
        FindingKind::HostDockerSocket(volume.name.clone(), Text::from(path))
    });
    kinds.collect()
}

/// Finds dind containers without `privileged`, in which dockerd cannot start. The runtimes sysbox
/// and kata do not need `privileged`.
fn unprivileged<'a>(
    planner: &Planner<'_, 'a>,
    dinds: &[DindContainer<'a>],
) -> Vec<FindingKind<'a>> {
    let runtime = text(&planner.pod.spec.runtime_class_name);
    if ["sysbox", "kata"].iter().any(|name| runtime.contains(name)) {
        return Vec::new();
    }
    let is_unprivileged = |dind: &&DindContainer<'_>| {
        let container = planner.pod.container(dind.id);
        container.is_some_and(|container| !container.is_privileged())
    };
    let dinds = dinds.iter().filter(is_unprivileged);
    let kinds = dinds.map(|dind| FindingKind::UnprivilegedDind(dind.name.clone()));
    kinds.collect()
}

/// Compares the client's `DOCKER_HOST` with the services of the job and the TLS setup of dind.
fn check_docker_host<'a>(
    planner: &Planner<'_, 'a>,
    first: &DindContainer<'a>,
    dinds: &[DindContainer<'a>],
    docker_host: &DockerHost,
) -> Option<FindingKind<'a>> {
    let container = first.name.clone();
    match docker_host {
        DockerHost::NoAlias {
            is_docker,
            others_have,
        } => Some(if *is_docker {
            FindingKind::DockerWithoutAlias(container, *others_have)
        } else {
            FindingKind::HostWithoutAlias(container, *others_have)
        }),
        DockerHost::Unset if !has_socket(planner) => Some(FindingKind::NoDockerHost),
        DockerHost::InPod { host, port } => {
            // Port 2376 is wrong for a daemon without TLS, and 2375 for a daemon with TLS.
            let has_tls = match port.as_str() {
                "2376" => false,
                "2375" => true,
                _ => return None,
            };
            let is_wrong = |dind: &DindContainer<'_>| {
                let sets_listener = planner.pod.container(dind.id).is_none_or(sets_listener);
                !sets_listener && dind.tls.is_on() == Some(has_tls)
            };
            let is_default = !dinds.iter().all(|dind| dind.is_tls_explicit);
            let host = || Text::from(host.clone());
            let all_wrong = dinds.iter().all(is_wrong);
            all_wrong.then(|| FindingKind::WrongPort(host(), has_tls, is_default))
        }
        _ => None,
    }
}

/// Returns whether `build` may have a socket at the default path of the docker client.
fn has_socket(planner: &Planner<'_, '_>) -> bool {
    const SOCKET: &str = "/var/run/docker.sock";
    // In most images /var/run is a symbolic link to /run, so a mount there counts too.
    let is_socket = |path: &str| {
        ["/run", "/run/docker.sock"].contains(&path) || mount_path::overlap(path, SOCKET)
    };
    let build = planner.pod.build();
    build.is_some_and(|(_, build)| build.mounts().iter().any(|mount| is_socket(mount.path())))
}

/// Returns whether the command line of a daemon configures a listener.
fn sets_listener(container: &Container<'_>) -> bool {
    let mut words = container.command.iter().chain(&container.args).flatten();
    words.any(|word| {
        let flags = ["--host", " -H", "--tls"];
        word.starts_with("-H") || flags.iter().any(|flag| word.contains(flag))
    })
}

#[cfg(test)]
mod tests;
