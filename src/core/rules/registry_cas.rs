//! Registry CAs: dind trusts the registries of the platform (rule R1).
//!
//! # What it does
//! Mounts one key of a ConfigMap in each dind container, as the file `ca.crt` in the read-only
//! directory `/etc/docker/certs.d/HOST`.
//!
//! # Why
//! Users mount the CA of a registry at `/certs/client`, where dockerd does not read it (incident
//! 004 in `tests/incidents.rs`). The mount has no `subPath`, so the file follows changes of the
//! ConfigMap. If the ConfigMap is missing, the directory is empty and the job starts.
//!
//! # Example
//! `registry.mylab.com:5000` ─► `/etc/docker/certs.d/registry.mylab.com:5000/ca.crt`; in rootless
//! dind, the directory is below `/home/rootless/.config/docker`.
//!
//! # When it does nothing
//! The container has a mount at, above or below that directory.

use super::Planner;
use super::change::NewMount;
use super::finding::FindingKind;
use crate::core::job_pod::dind::{DindContainer, ROOTLESS_CONFIG};
use crate::core::mount_path;
use crate::core::pod::{ContainerId, Text};
use crate::core::policy::set::DesiredDind;
use crate::core::policy::{ClientCerts, Policy, RegistryCa};
use std::collections::HashSet;

pub(super) fn plan<'a>(
    planner: &mut Planner<'_, 'a>,
    desired: &DesiredDind<'a>,
    dinds: &[DindContainer<'a>],
) {
    // Rootless containers for which a writable configuration directory was added.
    let mut configured = HashSet::new();
    for (policy, ca) in &desired.registry_cas {
        let mut volume: Option<Text<'a>> = None;
        for dind in dinds {
            let directory = dind.registry_directory(&ca.host);
            if let Some(kind) = check_mounts(planner, dind, ca, &directory, &configured) {
                planner.report(policy, kind);
                continue;
            }
            if dind.rootless && configured.insert(dind.id) {
                make_config_writable(planner, policy, dind.id, desired.client_certs.1);
            }
            let name = volume.get_or_insert_with(|| {
                let purpose = format!(
                    " with the CA of {} from ConfigMap \"{}\"",
                    ca.host, ca.config_map
                );
                planner.add_volume(policy, volume_name(&ca.host), &ca.source, "R1", purpose)
            });
            let mount = NewMount::new(name.clone(), directory, true);
            planner.add_mount(policy, "R1", dind.id, mount);
        }
    }
}

/// Returns a finding if a mount is at, above or below the directory of a registry. Mounts that this
/// rule added are ignored.
fn check_mounts<'a>(
    planner: &Planner<'_, 'a>,
    dind: &DindContainer<'a>,
    ca: &'a RegistryCa,
    directory: &str,
    configured: &HashSet<ContainerId>,
) -> Option<FindingKind<'a>> {
    let (host, container) = (ca.host.as_str(), dind.name.clone());
    let mut mounts = planner.pod.container(dind.id)?.mounts().iter();
    let mount = mounts.find(|mount| {
        let is_added_here = mount.path() == ROOTLESS_CONFIG && configured.contains(&dind.id);
        !is_added_here && mount_path::overlap(mount.path(), directory)
    })?;
    let volume = planner.pod.volume(&mount.name);
    let config_map = volume.and_then(|volume| volume.config_map());
    if mount.path() == directory && config_map == Some(&ca.config_map) {
        return Some(FindingKind::RegistryCaCorrect(host, container));
    }
    let path = Text::from(mount.path().to_owned());
    Some(FindingKind::RegistryDirectoryInUse(host, container, path))
}

/// Mounts an emptyDir at the configuration directory of rootless dockerd. Otherwise the container
/// runtime would create it as root, because it is a parent of a mount, and dockerd before 23 could
/// not write `~/.config/docker/key.json`.
fn make_config_writable<'a>(
    planner: &mut Planner<'_, 'a>,
    policy: &'a Policy,
    id: ContainerId,
    certs: &'a ClientCerts,
) {
    let container = planner.pod.container(id);
    // The pod may have such a mount from its author or from an earlier review.
    if container.is_none_or(|container| container.mounts_at(ROOTLESS_CONFIG)) {
        return;
    }
    let purpose = format!(
        " (in memory, {}) for the configuration of rootless dockerd, which must be writable",
        certs.size_limit
    );
    let name = planner.add_volume(
        policy,
        "drydock-docker-config",
        &certs.volume,
        "R1",
        purpose,
    );
    let mount = NewMount::new(name, ROOTLESS_CONFIG, false);
    planner.add_mount(policy, "R1", id, mount);
}

/// Returns the name of the volume for the CA of a registry. It is an RFC 1123 label.
fn volume_name(host: &str) -> String {
    let is_kept = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let host = host.replace(|c: char| !is_kept(c), "-");
    let name = format!("registry-ca-{}", host.trim_matches('-'));
    let label = name.get(..63).unwrap_or(&name);
    label.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests;
