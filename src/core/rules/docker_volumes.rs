//! The volumes that docker-in-docker needs (rules V1 to V7).
//!
//! # What it does
//! Mounts each volume of `dind.volumes` in the dind containers, or with `containers: All` in every container and native sidecar.
//!
//! # Why
//! dockerd's overlay cannot sit on the container's own overlay, and `modprobe` needs the node's modules;
//! a runner's `config.toml` can only mount such volumes into all containers, and only for that runner.
//!
//! # Example
//! ```text
//! docker:  (nothing at /var/lib/docker)  ─►  dind-storage (emptyDir) at /var/lib/docker
//! ```
//!
//! # When it does nothing
//! A container that mounts something at the path keeps it. A directory of the node goes to privileged containers only:
//! in another one it would be useless and could get the pod refused by Pod Security.
//! A pod whose local storage is limited gets no emptyDir for a daemon's data: the image's own volume
//! is not counted against the limit, the emptyDir is.
//! Two daemons never get one data directory: each gets a volume of its own, and of a claim, a directory of the node or an export only the first.

use super::Planner;
use super::change::{Action, NewMount, NewSource};
use super::note::Fact;
use crate::core::job_pod::dind::{Certificates, DindContainer, is_native_sidecar};
use crate::core::mount_path::Outermost;
use crate::core::pod::{ContainerId, ContainerList, Text};
use crate::core::policy::set::{Asked, DesiredDind};
use crate::core::policy::{DOCKER_ROOT, DindVolume, VolumeContainers};
use std::collections::BTreeMap;

pub(super) fn plan<'a>(
    planner: &mut Planner<'_, 'a>,
    desired: &DesiredDind<'a>,
    containers: &[DindContainer],
) {
    let certificates = containers.iter().map(|dind| &dind.certificates);
    let directories = Outermost::of(certificates.filter_map(Certificates::client_directory));
    for asked in &desired.volumes {
        add(planner, *asked, containers, &directories);
    }
    tell_of_shared_data(planner, desired, containers);
}

/// A container that lacks a volume, and where it goes there.
struct Target<'a> {
    id: ContainerId,
    name: Text<'a>,
    path: &'a str,
    /// Whether the volume is the data directory of a daemon in this container.
    is_data: bool,
}

fn add<'a>(
    planner: &mut Planner<'_, 'a>,
    asked: Asked<'a, DindVolume>,
    dinds: &[DindContainer],
    directories: &Outermost<Text<'static>>,
) {
    let Asked {
        policy,
        what: volume,
    } = asked;
    let targets = targets(planner, asked, dinds, directories);
    let mut data_is_taken = volume
        .source
        .identity
        .as_deref()
        .is_some_and(|identity| has_data_in(planner, dinds, volume.source.field, identity));
    // What containers without data of their own share, and whether a daemon has its data on it.
    let mut shared: Option<(Text<'a>, bool)> = None;
    for target in targets {
        if target.is_data && volume.source.identity.is_some() && data_is_taken {
            planner.note(
                policy,
                Fact::DataKeptApart {
                    volume: &volume.name,
                    container: target.name,
                },
            );
            continue;
        }
        let name = match &shared {
            Some((name, has_data)) if !(target.is_data && *has_data) => name.clone(),
            _ => {
                let name = planner.free_volume_name(volume.name.as_str());
                let list_missing = planner.pod.spec.volumes.is_none();
                planner.change(
                    policy,
                    Action::AddVolume {
                        list_missing,
                        name: name.clone(),
                        source: NewSource::Policy(&volume.source),
                    },
                );
                name
            }
        };
        let has_data = target.is_data
            || shared
                .as_ref()
                .is_some_and(|(known, has_data)| *known == name && *has_data);
        shared = Some((name.clone(), has_data));
        data_is_taken |= target.is_data;
        let list_missing = planner
            .pod
            .container(target.id)
            .is_none_or(|container| container.volume_mounts.is_none());
        let mount = NewMount::whole(name, target.path, volume.read_only);
        planner.change(
            policy,
            Action::AddMount {
                list_missing,
                container: target.id,
                container_name: target.name,
                mount,
                rule: "V1",
            },
        );
    }
}

/// Returns the containers that lack a volume; tells of those that are not to have it.
fn targets<'a>(
    planner: &mut Planner<'_, 'a>,
    asked: Asked<'a, DindVolume>,
    dinds: &[DindContainer],
    directories: &Outermost<Text<'static>>,
) -> Vec<Target<'a>> {
    let Asked {
        policy,
        what: volume,
    } = asked;
    let mut targets = Vec::new();
    let mut facts = Vec::new();
    // Image layers are at this path, whichever container gets the volume.
    let is_counted =
        volume.path == DOCKER_ROOT && volume.source.field == "emptyDir" && limits_storage(planner);
    // They stand in the pod's order.
    let mut dinds = dinds.iter().peekable();
    for (id, container) in planner.pod.containers() {
        let dind = dinds.next_if(|dind| dind.id == id);
        let wanted = match volume.containers {
            VolumeContainers::Dind => dind.is_some(),
            VolumeContainers::All => {
                dind.is_some()
                    || id.list == ContainerList::Containers
                    || is_native_sidecar(container)
            }
        };
        if !wanted {
            continue;
        }
        let path = dind.map_or(volume.path.as_str(), |dind| dind.path_of(&volume.path));
        let name = container.name.clone().unwrap_or_default();
        if container.mounts_at(path) {
            facts.push(Fact::PathTaken {
                volume: &volume.name,
                container: name,
                path,
            });
        } else if volume.source.is_host_path() && !container.is_privileged() {
            facts.push(Fact::NotForUnprivileged {
                volume: &volume.name,
                container: name,
            });
        } else if is_counted {
            facts.push(Fact::StorageIsLimited {
                volume: &volume.name,
                container: name,
            });
        } else if let Some(directory) = spoilt_by(directories, volume, path) {
            facts.push(Fact::InTheWay {
                volume: &volume.name,
                container: name,
                directory,
            });
        } else {
            targets.push(Target {
                id,
                name,
                path,
                is_data: dind.is_some_and(|dind| path == dind.docker_root()),
            });
        }
    }
    for fact in facts {
        planner.note(policy, fact);
    }
    targets
}

/// Whether the kubelet limits the local storage of the pod: it adds up the limits of all containers,
/// and evicts a pod that uses more, emptyDirs included (`podEphemeralStorageLimitEviction`).
fn limits_storage(planner: &Planner<'_, '_>) -> bool {
    let mut containers = planner.pod.containers();
    containers.any(|(_, container)| container.limits_ephemeral_storage())
}

/// Returns the certificate directory that a mount would spoil: one that it lies at or in, or that an
/// unwritable mount above it would hide. For `/certs/client` a policy is refused when it is written;
/// a job may choose another directory.
fn spoilt_by(
    directories: &Outermost<Text<'static>>,
    volume: &DindVolume,
    path: &str,
) -> Option<Text<'static>> {
    let is_unwritable = volume.read_only || volume.source.is_read_only();
    let above = directories
        .at_or_above(path)
        .map(|(directory, _)| directory);
    let below = || directories.below(path).filter(|_| is_unwritable);
    above.or_else(below).cloned()
}

/// Whether some dind container has its data on the one directory that a source stands for.
fn has_data_in(
    planner: &Planner<'_, '_>,
    dinds: &[DindContainer],
    field: &str,
    identity: &str,
) -> bool {
    data_volumes(planner, dinds).iter().any(|(_, volume)| {
        planner.pod.volume(volume).is_some_and(|volume| {
            &*volume.kind == field && volume.identity().as_deref() == Some(identity)
        })
    })
}

/// Returns the dind containers that mount something for their data, with its volume. Of several mounts at one place the later one wins.
fn data_volumes<'a>(
    planner: &Planner<'_, 'a>,
    dinds: &[DindContainer],
) -> Vec<(Text<'a>, Text<'a>)> {
    let mut volumes = Vec::new();
    for dind in dinds {
        let Some(container) = planner.pod.container(dind.id) else {
            continue;
        };
        if let Some(mount) = container
            .mounts()
            .iter()
            .rfind(|mount| mount.path() == dind.docker_root())
        {
            volumes.push((
                container.name.clone().unwrap_or_default(),
                mount.name.clone().unwrap_or_default(),
            ));
        }
    }
    volumes
}

fn tell_of_shared_data<'a>(
    planner: &mut Planner<'_, 'a>,
    desired: &DesiredDind<'a>,
    dinds: &[DindContainer],
) {
    let mounted = data_volumes(planner, dinds);
    if mounted.len() < 2 {
        return;
    }
    let mut sharing: BTreeMap<Text<'a>, Vec<Text<'a>>> = BTreeMap::new();
    for (container, volume) in mounted {
        sharing.entry(volume).or_default().push(container);
    }
    let policy = desired
        .volumes
        .iter()
        .find(|asked| asked.what.path == DOCKER_ROOT)
        .map_or(desired.client_certs.policy, |asked| asked.policy);
    let volumes = planner.pod.volumes().iter();
    let facts: Vec<Fact<'a>> = volumes
        .filter_map(|volume| {
            let (volume, containers) = sharing.remove_entry(&*volume.name)?;
            (containers.len() > 1).then_some(Fact::DataShared { volume, containers })
        })
        .collect();
    for fact in facts {
        planner.note(policy, fact);
    }
}

#[cfg(test)]
mod tests;
