//! dind trusts the registries of the platform (rule R1).
//!
//! # What it does
//! Mounts one key of a ConfigMap as the directory `/etc/docker/certs.d/HOST` with the file `ca.crt`, read-only, in each dind container.
//!
//! # Why
//! A registry's own authority belongs there, and not to `/certs/client`, where people put it (seed 004).
//! The directory, not a subPath: it follows changes, and a missing ConfigMap leaves an empty directory instead of keeping the job from starting.
//!
//! # Example
//! `registry.mylab.com:5000` ─► `/etc/docker/certs.d/registry.mylab.com:5000/ca.crt`; in rootless dind below `/home/rootless/.config/docker`.
//!
//! # When it does nothing
//! Something is mounted at, above or below that directory: it stays.

use super::Planner;
use super::change::{Action, NewMount, NewSource};
use super::note::Fact;
use crate::core::job_pod::dind::{DindContainer, ROOTLESS_CONFIG};
use crate::core::mount_path;
use crate::core::pod::{ContainerId, Text};
use crate::core::policy::set::{Asked, DesiredDind};
use crate::core::policy::{Policy, RegistryCa};
use std::collections::HashSet;

pub(super) fn plan<'a>(
    planner: &mut Planner<'_, 'a>,
    desired: &DesiredDind<'a>,
    containers: &[DindContainer],
) {
    // Rootless containers that got a writable configuration directory here.
    let mut configured = HashSet::new();
    for asked in &desired.registry_cas {
        let size_limit = &desired.client_certs.what.size_limit;
        add(planner, *asked, containers, size_limit, &mut configured);
    }
}

fn add<'a>(
    planner: &mut Planner<'_, 'a>,
    asked: Asked<'a, RegistryCa>,
    dinds: &[DindContainer],
    size_limit: &'a str,
    configured: &mut HashSet<ContainerId>,
) {
    let Asked { policy, what: ca } = asked;
    let mut name = None;
    for dind in dinds {
        let directory = dind.registry_directory(&ca.host);
        let Some(container) = planner.pod.container(dind.id) else {
            continue;
        };
        let container_name = container.name.clone().unwrap_or_default();
        let list_missing = container.volume_mounts.is_none();
        let occupant = container.mounts().iter().find(|mount| {
            let is_added_here = mount.path() == ROOTLESS_CONFIG && configured.contains(&dind.id);
            !is_added_here && mount_path::overlap(mount.path(), &directory)
        });
        if let Some(occupant) = occupant {
            let is_ours = occupant.path() == directory
                && planner
                    .pod
                    .volume(occupant.volume())
                    .and_then(|volume| volume.config_map())
                    == Some(&ca.config_map);
            let path = Text::from(occupant.path().to_owned());
            let (host, container) = (ca.host.as_str(), container_name);
            let fact = if is_ours {
                Fact::AuthorityRight { host, container }
            } else {
                Fact::RegistryDirectoryTaken {
                    host,
                    container,
                    path,
                }
            };
            planner.note(policy, fact);
            continue;
        }
        if dind.rootless && configured.insert(dind.id) {
            configure_rootless(planner, policy, dind.id, size_limit);
        }
        let list_missing = list_missing && !dind.rootless;
        let volume = match &name {
            Some(name) => Text::clone(name),
            None => {
                let source = NewSource::RegistryCa(ca);
                let free = planner.add_volume(policy, volume_name(&ca.host), source);
                name.insert(free).clone()
            }
        };
        let mount = NewMount::whole(volume, directory, true);
        planner.change(
            policy,
            Action::AddMount {
                list_missing,
                container: dind.id,
                container_name,
                mount,
                rule: "R1",
            },
        );
    }
}

/// Mounts an emptyDir at the configuration directory of rootless dockerd. The runtime makes the missing
/// parents of a mount root's, and dockerd before 23 writes a key there (`~/.config/docker/key.json`).
fn configure_rootless<'a>(
    planner: &mut Planner<'_, 'a>,
    policy: &'a Policy,
    id: ContainerId,
    size_limit: &'a str,
) {
    let Some(container) = planner.pod.container(id) else {
        return;
    };
    // Something deeper may be mounted already, from an earlier admission or by the author.
    if container.mounts_at(ROOTLESS_CONFIG) {
        return;
    }
    let list_missing = container.volume_mounts.is_none();
    let container_name = container.name.clone().unwrap_or_default();
    let source = NewSource::RootlessConfig { size_limit };
    let volume = planner.add_volume(policy, "drydock-docker-config", source);
    let action = Action::AddMount {
        list_missing,
        container: id,
        container_name,
        mount: NewMount::whole(volume, ROOTLESS_CONFIG, false),
        rule: "R1",
    };
    planner.change(policy, action);
}

/// Returns a volume name that says whose authority it holds: an RFC 1123 label.
fn volume_name(host: &str) -> String {
    let host: String = host
        .chars()
        .map(|c| {
            if c.is_ascii_lowercase() || c.is_ascii_digit() {
                c
            } else {
                '-'
            }
        })
        .collect();
    let name = format!("registry-ca-{}", host.trim_matches('-'));
    name.get(..63)
        .unwrap_or(&name)
        .trim_end_matches('-')
        .to_owned()
}

#[cfg(test)]
mod tests;
