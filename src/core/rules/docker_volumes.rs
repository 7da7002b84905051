//! Docker volumes: the volumes that docker-in-docker needs (rules V1 to V7).
//!
//! # What it does
//! Mounts each volume of `dind.volumes` in the dind containers, or with `containers: All` in every
//! container and native sidecar.
//!
//! # Why
//! dockerd's overlay file system does not work on the overlay of the container, and `modprobe`
//! needs the node's modules. The `config.toml` of a runner can mount such volumes only into all
//! containers, and only for that runner.
//!
//! # Example
//! ```text
//! docker:  (nothing at /var/lib/docker)  ─►  dind-storage (emptyDir) at /var/lib/docker
//! ```
//!
//! # When it does nothing
//! - The container has a mount at the path (V2).
//! - A directory of the node in a container without `privileged`: the container could not use it,
//!   and Pod Security could refuse the pod (V5).
//! - An emptyDir for the data of a daemon in a pod with a limit on ephemeral storage: the kubelet
//!   counts the emptyDir against the limit, but not the volume of the image (V7).
//! - A volume that would hide the certificate directory (M6).
//!
//! Two daemons never get the same data directory: each gets its own volume. A claim, a directory of
//! the node or an export goes to the first daemon only (V3).

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
    // Most daemons have the same directory, so it is looked up once.
    let directories: BTreeSet<_> = tls.filter_map(DaemonTls::client_directory).collect();
    for requested in &desired.volumes {
        let targets = targets(planner, *requested, dinds, &directories);
        add(planner, *requested, dinds, targets);
    }
    report_shared_data(planner, desired, dinds);
}

/// A container that gets a volume.
struct Target<'a> {
    id: ContainerId,
    name: Text<'a>,
    path: &'a str,
    /// Whether the volume is the data directory of a daemon in this container.
    is_data: bool,
}

/// Returns the containers that get a volume, and reports the containers that do not.
fn targets<'a>(
    planner: &mut Planner<'_, 'a>,
    (policy, what): Requested<'a, DindVolume>,
    dinds: &[DindContainer<'a>],
    directories: &BTreeSet<Text<'static>>,
) -> Vec<Target<'a>> {
    let volume = what.name.as_str();
    let mut targets = Vec::new();
    let mut kinds = Vec::new();
    // This path contains image layers.
    let is_counted = what.path == DOCKER_ROOT
        && what.source.field == "emptyDir"
        && limits_ephemeral_storage(planner);
    // In the order of the pod.
    let mut dinds = dinds.iter().peekable();
    for (id, container) in planner.pod.containers() {
        let dind = dinds.next_if(|dind| dind.id == id);
        let runs_with_the_job =
            || id.list == ContainerList::Containers || is_native_sidecar(container);
        let is_for_all = what.containers == VolumeContainers::All;
        if dind.is_none() && !(is_for_all && runs_with_the_job()) {
            continue;
        }
        let path = dind.map_or(what.path.as_str(), |dind| dind.path_of(&what.path));
        let name = container.name.clone();
        kinds.push(if container.mounts_at(path) {
            FindingKind::PathInUse(volume, name, path)
        } else if what.source.is_host_path() && !container.is_privileged() {
            FindingKind::HostPathForUnprivileged(volume, name)
        } else if is_counted {
            FindingKind::EphemeralStorageLimited(volume, name)
        } else if let Some(directory) = hidden_by(what, path, directories) {
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

/// Adds and mounts the policy's volume. If it contains the data of daemons, each daemon gets its
/// own volume.
fn add<'a>(
    planner: &mut Planner<'_, 'a>,
    (policy, what): Requested<'a, DindVolume>,
    dinds: &[DindContainer<'a>],
    targets: Vec<Target<'a>>,
) {
    let identity = what.source.identity.as_deref();
    let mut is_data_taken = identity.is_some_and(|identity| {
        data_volumes(planner, dinds).iter().any(|(_, name)| {
            planner.pod.volume(name).is_some_and(|volume| {
                &*volume.kind == what.source.field && volume.identity().as_deref() == Some(identity)
            })
        })
    });
    // The last added volume, and whether a daemon has its data there.
    let mut last: Option<(Text<'a>, bool)> = None;
    for target in targets {
        if target.is_data && identity.is_some() && is_data_taken {
            let (volume, container) = (&what.name, target.name);
            planner.report(policy, FindingKind::DataNotShared(volume, container));
            continue;
        }
        let (name, has_data) = last
            .take()
            .filter(|(_, has_data)| !(target.is_data && *has_data))
            .unwrap_or_else(|| {
                let (name, source) = (what.name.as_str(), &what.source);
                let name = planner.add_volume(policy, name, source, "V1", String::new());
                (name, false)
            });
        last = Some((name.clone(), has_data || target.is_data));
        is_data_taken |= target.is_data;
        let mount = NewMount::new(name, target.path, what.read_only);
        planner.add_mount(policy, "V1", target.id, mount);
    }
}

/// Whether the kubelet limits the local storage of the pod. It adds up the limits of all
/// containers, and evicts a pod whose containers and emptyDirs exceed the sum
/// (`podEphemeralStorageLimitEviction`).
fn limits_ephemeral_storage(planner: &Planner<'_, '_>) -> bool {
    let mut containers = planner.pod.containers();
    containers.any(|(_, container)| container.limits_ephemeral_storage())
}

/// Returns a certificate directory that a mount would hide: a directory at or above the path of the
/// mount, or below the path of an unwritable mount. Policies cannot mount anything near
/// `/certs/client`, but a job may use another directory.
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

/// Returns the dind containers with a mount for their data, each with its volume. Of several mounts
/// at one path the last one wins.
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
