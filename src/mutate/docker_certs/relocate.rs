//! What becomes of the volumes that had to make room (rule D8): told, and with Relocate mounted read-only somewhere else.

use super::directory::{Directory, MountKind, Relation};
use super::{Planner, Shared};
use crate::mount_path;
use crate::mutate::change::{Action, NewMount};
use crate::mutate::note::Fact;
use crate::pod::{ContainerId, Text, VolumeMount};
use crate::policy::{ClientCerts, OnConflict, Policy};

/// A volume that no longer is where it was, and the mounts that it had there.
pub(super) struct Displaced<'a> {
    volume: Text<'a>,
    kind: Text<'a>,
    /// The first mount of each container.
    mounts: Vec<(ContainerId, VolumeMount<'a>)>,
}

/// Returns the volumes that conflicts displace, in the pod's order, before anything is changed.
pub(super) fn displaced<'a>(
    planner: &Planner<'_, 'a>,
    conflicts: &[&MountKind<'a>],
    shared: &Shared<'a>,
) -> Vec<Displaced<'a>> {
    let stays = |volume: &Text<'_>| matches!(shared, Shared::Existing { name, swap: None } if name == volume);
    let mut displaced: Vec<Displaced<'a>> = Vec::new();
    for volume in planner
        .pod
        .volumes()
        .iter()
        .filter(|volume| !stays(&volume.name))
    {
        if displaced.iter().any(|known| known.volume == volume.name) {
            continue;
        }
        let mut mounts: Vec<(ContainerId, VolumeMount<'a>)> = Vec::new();
        // A mount at the directory itself speaks for the volume before one below it.
        let (at, others): (Vec<&MountKind<'a>>, Vec<&MountKind<'a>>) = conflicts
            .iter()
            .copied()
            .filter(|mount| mount.volume == volume.name)
            .partition(|mount| mount.relation == Relation::At);
        for kind in at.into_iter().chain(others) {
            let mount = planner
                .pod
                .container(kind.id.container)
                .and_then(|container| container.mounts().get(kind.id.index));
            if let (Some(mount), false) =
                (mount, mounts.iter().any(|(id, _)| *id == kind.id.container))
            {
                mounts.push((kind.id.container, mount.clone()));
            }
        }
        if !mounts.is_empty() {
            displaced.push(Displaced {
                volume: volume.name.clone(),
                kind: volume.kind.clone(),
                mounts,
            });
        }
    }
    displaced
}

/// Tells what was displaced, and with Relocate mounts it: the first volume at the policy's path, further ones below it by name.
pub(super) fn tell_and_mount<'a>(
    planner: &mut Planner<'_, 'a>,
    policy: &'a Policy,
    certs: &ClientCerts,
    directory: &Directory,
    directories: &[String],
    displaced: &[Displaced<'a>],
) {
    for (number, displaced) in displaced.iter().enumerate() {
        let place = match &certs.on_conflict {
            OnConflict::Relocate(path) if number == 0 => Some(path.clone()),
            OnConflict::Relocate(path) => Some(mount_path::join(path, &displaced.volume)),
            _ => None,
        };
        planner.note(
            policy,
            Fact::Displaced {
                volume: displaced.volume.clone(),
                kind: displaced.kind.clone(),
                directory: directory.path.clone(),
                now_at: place.clone(),
            },
        );
        let (Some(place), OnConflict::Relocate(base)) = (place, &certs.on_conflict) else {
            continue;
        };
        for (id, mount) in &displaced.mounts {
            relocate(
                planner,
                policy,
                &displaced.volume,
                (*id, mount),
                &Place {
                    path: &place,
                    base,
                    directories,
                },
            );
        }
    }
}

/// Where a displaced volume goes.
struct Place<'p> {
    path: &'p str,
    /// The policy's relocateTo, which is `path` or its parent.
    base: &'p str,
    /// Every certificate directory of the pod.
    directories: &'p [String],
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
    let base_is_a_file_perhaps = container.mounts().iter().any(|mount| {
        place.path != place.base && mount.path() == place.base && mount.sub_paths() != ("", "")
    });
    let obstacle = if container
        .mounts()
        .iter()
        .any(|mount| mount.path() == place.path && mount.volume() == &**volume)
    {
        // Already there, from an earlier round.
        return;
    } else if container.mounts_at(place.path) {
        Some("something is mounted there, and stays")
    } else if place
        .directories
        .iter()
        .any(|directory| mount_path::overlap(place.path, directory))
    {
        Some("it would lie in the way of dind's certificates")
    } else if base_is_a_file_perhaps {
        Some("what is mounted above it may be a file")
    } else {
        None
    };
    if let Some(why) = obstacle {
        return planner.note(
            policy,
            Fact::NotRelocated {
                volume: volume.clone(),
                container: container_name,
                path: place.path.to_owned(),
                why,
            },
        );
    }
    let list_missing = container.volume_mounts.is_none();
    let mount = NewMount {
        sub_path: was.sub_path.clone(),
        sub_path_expr: was.sub_path_expr.clone(),
        ..NewMount::whole(volume.to_string(), place.path.to_owned(), true)
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
