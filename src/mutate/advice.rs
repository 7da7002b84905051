//! What will not work although nothing here can change it (rule R2).
//!
//! # What it does
//! Tells of dind without privileges, of the node's Docker socket in a pod, and of a client that looks for the daemon where it does not listen.
//!
//! # Why
//! Each of them ends in "Cannot connect to the Docker daemon", which says nothing about the cause.
//!
//! # Example
//! `DOCKER_HOST: tcp://docker:2375` beside a dind with TLS ─► told that it listens on 2376.
//!
//! # When it does nothing
//! It never changes a pod. A dind with a listener of its own (`--host`, `--tls`) is not judged.

use super::Planner;
use super::note::Fact;
use crate::job_pod::dind::{Certificates, DindContainer};
use crate::pod::{Container, EnvValue, Text};
use crate::policy::Policy;

pub(super) fn give<'a>(planner: &mut Planner<'_, 'a>, policy: &'a Policy, dinds: &[DindContainer]) {
    let mut facts = host_sockets(planner);
    for dind in dinds {
        if let Some(container) = planner
            .pod
            .container(dind.id)
            .filter(|container| !container.is_privileged())
        {
            facts.push(Fact::NotPrivileged {
                container: container.name.clone().unwrap_or_default(),
            });
        }
    }
    facts.extend(host_mismatch(planner, dinds));
    for fact in facts {
        planner.note(policy, fact);
    }
}

/// Returns the mounted volumes that are the node's Docker socket ("docker out of docker").
fn host_sockets<'a>(planner: &Planner<'_, 'a>) -> Vec<Fact<'a>> {
    let is_mounted = |volume: &str| {
        planner.pod.containers().any(|(_, container)| {
            container
                .mounts()
                .iter()
                .any(|mount| mount.volume() == volume)
        })
    };
    let is_socket = |path: &str| crate::mount_path::clean(path).ends_with("/docker.sock");
    let sockets = planner
        .pod
        .volumes()
        .iter()
        .filter(|volume| volume.host_path().is_some_and(is_socket) && is_mounted(&volume.name));
    sockets
        .map(|volume| Fact::HostSocket {
            volume: volume.name.clone(),
            path: Text::from(volume.host_path().unwrap_or_default().to_owned()),
        })
        .collect()
}

/// Judges the client's `DOCKER_HOST` against the daemons' TLS. A build container without variables has those of the services (`FF_CONCRETE`).
fn host_mismatch<'a>(planner: &Planner<'_, 'a>, dinds: &[DindContainer]) -> Option<Fact<'a>> {
    let build = planner
        .pod
        .spec
        .containers
        .iter()
        .flatten()
        .find(|container| container.name() == "build");
    let first_dind = dinds
        .first()
        .and_then(|dind| planner.pod.container(dind.id));
    let host = [build, first_dind]
        .into_iter()
        .flatten()
        .find_map(|container| container.env.docker_host.as_ref())?;
    let EnvValue::Literal(host) = host else {
        return None;
    };
    let wants_tls = match host.trim_end_matches('/').rsplit_once(':') {
        Some((_, "2376")) => true,
        Some((_, "2375")) => false,
        _ => return None,
    };
    let offers = |tls: bool| {
        dinds.iter().any(|dind| match dind.certificates {
            Certificates::In(_) => tls,
            Certificates::TlsOff => !tls,
            Certificates::Unknown(_) => true,
        })
    };
    let listens_elsewhere = dinds
        .iter()
        .filter_map(|dind| planner.pod.container(dind.id))
        .any(sets_listener);
    let mismatch = !dinds.is_empty() && !listens_elsewhere && !offers(wants_tls);
    mismatch.then_some(Fact::HostMismatch { tls: !wants_tls })
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
