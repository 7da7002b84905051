//! Docker volumes: the volumes that docker-in-docker needs (rules V1 to V7).
//!
//! # What it does
//! Mounts each volume of `dind.volumes` in the dind containers, or with `containers: All` in every
//! container and native sidecar.
//!
//! # Why
//! dockerd's overlay file system does not work on the overlay file system of the container, and
//! `modprobe` needs the kernel modules of the node. The `config.toml` of a runner can mount such
//! volumes only into all containers, and only for that runner.
//!
//! # Example
//! ```text
//! docker:  (nothing at /var/lib/docker)  ─►  dind-storage (emptyDir) at /var/lib/docker
//! ```
//!
//! # When it does nothing
//! - The container has a mount at the path (V2).
//! - The volume is a hostPath, and the container is not privileged: it could not use the directory,
//!   and Pod Security could refuse the pod (V5).
//! - The volume is an emptyDir for the data of a daemon, and the pod has a limit on ephemeral
//!   storage: the kubelet counts an emptyDir against the limit, but not the volume of the image
//!   (V7).
//! - The volume would hide the certificate directory (M6).
//!
//! Two daemons never share a data directory: each gets its own volume. A persistentVolumeClaim, a
//! hostPath or an NFS export is mounted only for the first daemon (V3).

use super::Planner;
use super::change::NewMount;
use super::finding::FindingKind;
use crate::core::job_pod::dind::{DaemonTls, DindContainer, is_native_sidecar};
use crate::core::mount_path;
use crate::core::pod::{ContainerId, ContainerList, Text};
use crate::core::policy::set::{DesiredDind, Requested};
use crate::core::policy::{DOCKER_ROOT, DindVolume, VolumeContainers};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn plan<'a>(
    planner: &mut Planner<'_, 'a>,
    desired: &DesiredDind<'a>,
    dinds: &[DindContainer<'a>],
) {
    let tls = dinds.iter().map(|dind| &dind.tls);
    // A set, because most daemons have the same directory.
    let directories: BTreeSet<_> = tls.filter_map(DaemonTls::client_directory).collect();
    for requested in &desired.volumes {
        let targets = targets(planner, *requested, dinds, &directories);
        add(planner, *requested, dinds, targets);
    }
    report_shared_data(planner, desired, dinds);
}

/// A container in which a volume will be mounted.
struct Target<'a> {
    id: ContainerId,
    name: Text<'a>,
    path: &'a str,
    /// Whether the volume is the data directory of a daemon in this container.
    is_data: bool,
}

/// Returns the containers that get a volume, and reports why other containers do not get it.
fn targets<'a>(
    planner: &mut Planner<'_, 'a>,
    (policy, wanted): Requested<'a, DindVolume>,
    dinds: &[DindContainer<'a>],
    directories: &BTreeSet<Text<'static>>,
) -> Vec<Target<'a>> {
    let volume = wanted.name.as_str();
    let mut targets = Vec::new();
    let mut kinds = Vec::new();
    // `/var/lib/docker` contains image layers, which would count against the limit.
    let counts_against_limit = wanted.path == DOCKER_ROOT
        && wanted.source.field == "emptyDir"
        && limits_ephemeral_storage(planner);
    // `dinds` are in the order of the pod's containers, so both are read in one pass.
    let mut dinds = dinds.iter().peekable();
    for (id, container) in planner.pod.containers() {
        let dind = dinds.next_if(|dind| dind.id == id);
        let runs_with_the_job =
            || id.list == ContainerList::Containers || is_native_sidecar(container);
        let is_for_all = wanted.containers == VolumeContainers::All;
        if dind.is_none() && !(is_for_all && runs_with_the_job()) {
            continue;
        }
        let path = dind.map_or(wanted.path.as_str(), |dind| dind.path_of(&wanted.path));
        let name = container.name.clone();
        kinds.push(if container.mounts_at(path) {
            FindingKind::PathInUse(volume, name, path)
        } else if wanted.source.is_host_path() && !container.is_privileged() {
            FindingKind::HostPathForUnprivileged(volume, name)
        } else if counts_against_limit {
            FindingKind::EphemeralStorageLimited(volume, name)
        } else if let Some(directory) = hidden_by(wanted, path, directories) {
            FindingKind::HidesCertificates(volume, name, directory)
        } else {
            let is_data = dind.is_some_and(|dind| path == dind.docker_root());
            targets.push(Target {
                id,
                name,
                path,
                is_data,
            });
            continue;
        });
    }
    for kind in kinds {
        planner.report(policy, kind);
    }
    targets
}

/// Adds the policy's volume and mounts it in the targets. If it contains the data of daemons, each
/// daemon gets its own volume.
fn add<'a>(
    planner: &mut Planner<'_, 'a>,
    (policy, wanted): Requested<'a, DindVolume>,
    dinds: &[DindContainer<'a>],
    targets: Vec<Target<'a>>,
) {
    let identity = wanted.source.identity.as_deref();
    let mut is_data_taken = identity.is_some_and(|identity| {
        data_volumes(planner, dinds).iter().any(|(_, name)| {
            planner.pod.volume(name).is_some_and(|volume| {
                &*volume.kind == wanted.source.field
                    && volume.identity().as_deref() == Some(identity)
            })
        })
    });
    // The last added volume, and whether a daemon has its data there.
    let mut last: Option<(Text<'a>, bool)> = None;
    for target in targets {
        if target.is_data && identity.is_some() && is_data_taken {
            let (volume, container) = (&wanted.name, target.name);
            planner.report(policy, FindingKind::DataNotShared(volume, container));
            continue;
        }
        let (name, has_data) = last
            .take()
            .filter(|(_, has_data)| !(target.is_data && *has_data))
            .unwrap_or_else(|| {
                let (name, source) = (wanted.name.as_str(), &wanted.source);
                let name = planner.add_volume(policy, name, source, "V1", String::new());
                (name, false)
            });
        last = Some((name.clone(), has_data || target.is_data));
        is_data_taken |= target.is_data;
        let mount = NewMount::new(name, target.path, wanted.read_only);
        planner.add_mount(policy, "V1", target.id, mount);
    }
}

/// Returns whether the pod has a limit on local ephemeral storage. The kubelet adds up the limits
/// of all containers, and evicts a pod whose containers and emptyDirs exceed the sum
/// (`podEphemeralStorageLimitEviction`).
fn limits_ephemeral_storage(planner: &Planner<'_, '_>) -> bool {
    let mut containers = planner.pod.containers();
    containers.any(|(_, container)| container.limits_ephemeral_storage())
}

/// Returns a certificate directory that a mount of the volume at `path` would hide: a directory at
/// or above the path, or below it if the mount cannot be written. Policies cannot have a mount path
/// at, above or below `/certs/client`, but a job can set another directory.
fn hidden_by(
    volume: &DindVolume,
    path: &str,
    directories: &BTreeSet<Text<'static>>,
) -> Option<Text<'static>> {
    let is_unwritable = volume.read_only || volume.source.is_read_only();
    let hides = |directory: &&Text<'static>| {
        path == &***directory
            || mount_path::is_below(path, directory)
            || (is_unwritable && mount_path::is_below(directory, path))
    };
    directories.iter().find(hides).cloned()
}

/// Returns the name of each dind container that has a mount at its data directory, and the name of
/// the mounted volume. Of several mounts at one path, the last one is effective.
fn data_volumes<'a>(
    planner: &Planner<'_, 'a>,
    dinds: &[DindContainer<'a>],
) -> Vec<(Text<'a>, Text<'a>)> {
    let volumes = dinds.iter().filter_map(|dind| {
        let mut mounts = planner.pod.container(dind.id)?.mounts().iter();
        let mount = mounts.rfind(|mount| mount.path() == dind.docker_root())?;
        Some((dind.name.clone(), mount.name.clone()))
    });
    volumes.collect()
}

fn report_shared_data<'a>(
    planner: &mut Planner<'_, 'a>,
    desired: &DesiredDind<'a>,
    dinds: &[DindContainer<'a>],
) {
    let mounted = data_volumes(planner, dinds);
    if mounted.len() < 2 {
        return;
    }
    let mut users: BTreeMap<Text<'a>, Vec<Text<'a>>> = BTreeMap::new();
    for (container, volume) in mounted {
        users.entry(volume).or_default().push(container);
    }
    let mut volumes = desired.volumes.iter();
    let policy = volumes
        .find(|(_, volume)| volume.path == DOCKER_ROOT)
        .map_or(desired.client_certs.0, |(policy, _)| policy);
    let volumes = planner.pod.volumes().iter();
    let shared = volumes.filter_map(|volume| users.remove_entry(&*volume.name));
    let shared = shared.filter(|(_, containers)| containers.len() > 1);
    for (volume, containers) in shared.collect::<Vec<_>>() {
        planner.report(policy, FindingKind::DataShared(volume, containers));
    }
}

#[cfg(test)]
mod tests;
