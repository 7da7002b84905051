//! What becomes of the volumes that had to make room (rule D8): told, and with Relocate mounted read-only somewhere else.

use super::directory::{Directory, MountKind, Relation};
use super::{Planner, Shared};
use crate::mount_path;
use crate::mutate::change::{Action, NewMount};
use crate::mutate::note::Fact;
use crate::pod::{ContainerId, Text, VolumeMount};
use crate::policy::{ClientCerts, OnConflict, Policy};

/// A volume that no longer is where it was.
pub(super) struct Displaced<'a> {
    volume: Text<'a>,
    kind: Text<'a>,
    /// The first mount that it had there, in each container. Empty for the shared volume, which only lost mounts below the directory.
    mounts: Vec<(ContainerId, VolumeMount<'a>)>,
    /// Whether some mount may be that of a file: it lay below the directory, by subPath.
    may_be_file: bool,
}

/// Returns the volumes that conflicts displace, before anything is changed: in the pod's order, those that may be files last,
/// because what is mounted below a file keeps its container from starting.
pub(super) fn displaced<'a>(
    planner: &Planner<'_, 'a>,
    conflicts: &[&MountKind<'a>],
    shared: &Shared<'a>,
) -> Vec<Displaced<'a>> {
    let is_shared = |volume: &Text<'_>| matches!(shared, Shared::Existing { name, swap: None } if name == volume);
    let mut displaced: Vec<Displaced<'a>> = Vec::new();
    for volume in planner.pod.volumes() {
        let is_shared = is_shared(&volume.name);
        let mut lost: Vec<&MountKind<'a>> = conflicts
            .iter()
            .copied()
            .filter(|mount| {
                mount.volume == volume.name && !(is_shared && mount.relation == Relation::At)
            })
            .collect();
        if lost.is_empty() || displaced.iter().any(|known| known.volume == volume.name) {
            continue;
        }
        // A mount at the directory itself speaks for the volume before one below it.
        lost.sort_by_key(|mount| mount.relation != Relation::At);
        let mut entry = Displaced {
            volume: volume.name.clone(),
            kind: volume.kind.clone(),
            mounts: Vec::new(),
            may_be_file: false,
        };
        for kind in lost.into_iter().filter(|_| !is_shared) {
            let mount = planner
                .pod
                .container(kind.id.container)
                .and_then(|container| container.mounts().get(kind.id.index));
            let is_first = !entry.mounts.iter().any(|(id, _)| *id == kind.id.container);
            if let (Some(mount), true) = (mount, is_first) {
                entry.may_be_file |=
                    kind.relation == Relation::Below && mount.sub_paths() != ("", "");
                entry.mounts.push((kind.id.container, mount.clone()));
            }
        }
        displaced.push(entry);
    }
    displaced.sort_by_key(|entry| entry.may_be_file);
    displaced
}

/// Whether a volume is among those that will be told of.
pub(super) fn tells_of(displaced: &[Displaced<'_>], volume: &Text<'_>) -> bool {
    displaced.iter().any(|entry| entry.volume == *volume)
}

/// Where displaced volumes of a pod go: the first one to the policy's path, further ones below it by name.
pub(super) struct Relocation<'p> {
    /// Every certificate directory of the pod.
    directories: &'p [Text<'static>],
    /// What went to the policy's path, if something did: whether it may be a file.
    first: Option<bool>,
}

impl<'p> Relocation<'p> {
    /// Begins with nothing displaced.
    pub(super) fn new(directories: &'p [Text<'static>]) -> Self {
        Self {
            directories,
            first: None,
        }
    }

    /// Tells what one directory displaced, and with Relocate mounts it.
    pub(super) fn tell_and_mount<'a>(
        &mut self,
        planner: &mut Planner<'_, 'a>,
        policy: &'a Policy,
        certs: &ClientCerts,
        directory: &Directory,
        displaced: &[Displaced<'a>],
    ) {
        for entry in displaced {
            let place = match &certs.on_conflict {
                OnConflict::Relocate(base) if !entry.mounts.is_empty() => {
                    Some(self.next(base, entry))
                }
                _ => None,
            };
            let fact = Fact::Displaced {
                volume: entry.volume.clone(),
                kind: entry.kind.clone(),
                directory: directory.path.clone(),
                now_at: place.as_ref().map(|place| place.path.clone()),
            };
            planner.note(policy, fact);
            for (id, mount) in &entry.mounts {
                if let Some(place) = &place {
                    relocate(planner, policy, &entry.volume, (*id, mount), place);
                }
            }
        }
    }

    fn next(&mut self, base: &str, entry: &Displaced<'_>) -> Place<'p> {
        let directories = self.directories;
        match self.first {
            None => {
                self.first = Some(entry.may_be_file);
                Place {
                    path: base.to_owned(),
                    below_file: false,
                    directories,
                }
            }
            Some(below_file) => Place {
                path: mount_path::join(base, &entry.volume),
                below_file,
                directories,
            },
        }
    }
}

/// Where a displaced volume goes.
struct Place<'p> {
    path: String,
    /// Whether it lies below what may be a file.
    below_file: bool,
    /// Every certificate directory of the pod.
    directories: &'p [Text<'static>],
}

fn relocate<'a>(
    planner: &mut Planner<'_, 'a>,
    policy: &'a Policy,
    volume: &Text<'a>,
    (id, was): (ContainerId, &VolumeMount<'a>),
    place: &Place<'_>,
) {
    let Some(container) = planner.pod.container(id) else {
        return;
    };
    let container_name = container.name.clone().unwrap_or_default();
    let obstacle = if container.mounts_at(&place.path) {
        Some("something is mounted there, and stays")
    } else if place
        .directories
        .iter()
        .any(|directory| mount_path::overlap(&place.path, directory))
    {
        Some("it would lie in the way of dind's certificates")
    } else if place.below_file {
        Some("what is mounted above it may be a file")
    } else {
        None
    };
    if let Some(why) = obstacle {
        let path = place.path.clone();
        return planner.note(
            policy,
            Fact::NotRelocated {
                volume: volume.clone(),
                container: container_name,
                path,
                why,
            },
        );
    }
    let list_missing = container.volume_mounts.is_none();
    let mount = NewMount {
        sub_path: was.sub_path.clone(),
        sub_path_expr: was.sub_path_expr.clone(),
        ..NewMount::whole(volume.clone(), place.path.clone(), true)
    };
    planner.change(
        policy,
        Action::AddMount {
            list_missing,
            container: id,
            container_name,
            mount,
            rule: "D8",
        },
    );
}

#[cfg(test)]
mod tests;
