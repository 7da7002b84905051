//! The volumes that docker-in-docker needs (rules V1 to V6).
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
//! Two daemons never get one data directory: each gets a volume of its own, and of a claim, a directory of the node or an export only the first.

use super::Planner;
use super::change::{Action, NewMount, NewSource};
use super::note::Fact;
use crate::job_pod::dind::{DindContainer, is_native_sidecar};
use crate::mount_path;
use crate::pod::{ContainerId, ContainerList, Text};
use crate::policy::set::{Asked, DesiredDind};
use crate::policy::{DOCKER_ROOT, DindVolume, VolumeContainers};
use std::collections::BTreeMap;

pub(super) fn plan<'a>(
    planner: &mut Planner<'_, 'a>,
    desired: &DesiredDind<'a>,
    containers: &[DindContainer],
) {
    let directories = Directories::of(containers);
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
    directories: &Directories,
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
    directories: &Directories,
) -> Vec<Target<'a>> {
    let Asked {
        policy,
        what: volume,
    } = asked;
    let mut targets = Vec::new();
    let mut facts = Vec::new();
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
        } else if let Some(directory) = directories.spoilt_by(volume, path) {
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

/// The certificate directories of the dind containers.
struct Directories {
    /// In the order of the containers.
    all: Vec<Text<'static>>,
    /// Path of each, and its position.
    by_path: BTreeMap<Text<'static>, usize>,
    /// The direct parent of each, and the position of the first directory in it.
    by_parent: BTreeMap<Text<'static>, usize>,
}

impl Directories {
    fn of(dinds: &[DindContainer]) -> Self {
        let directories = dinds
            .iter()
            .filter_map(|dind| dind.certificates.client_directory());
        let all: Vec<Text<'static>> = directories.collect();
        let (mut by_path, mut by_parent) = (BTreeMap::new(), BTreeMap::new());
        for (position, directory) in all.iter().enumerate() {
            by_path.entry(directory.clone()).or_insert(position);
            let parent = Text::from(mount_path::parent(directory).to_owned());
            by_parent.entry(parent).or_insert(position);
        }
        Self {
            all,
            by_path,
            by_parent,
        }
    }

    /// Returns the first directory that a mount would spoil: one that it lies at or in, or whose direct parent it would make unwritable.
    /// For `/certs/client` a policy is refused when it is written; a job may choose another directory.
    fn spoilt_by(&self, volume: &DindVolume, path: &str) -> Option<Text<'static>> {
        let unwritable = volume.read_only || volume.source.is_read_only();
        let as_parent = self.by_parent.get(path).filter(|_| unwritable);
        let ancestors = std::iter::successors(Some(path), |path| {
            (*path != "/").then(|| mount_path::parent(path))
        });
        let spoilt = ancestors.filter_map(|ancestor| self.by_path.get(ancestor));
        let first = spoilt.chain(as_parent).min()?;
        self.all.get(*first).cloned()
    }
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
