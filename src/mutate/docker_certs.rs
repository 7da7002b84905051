//! The directory to which dind writes the docker client's certificates is free for it (rules D2 to D9).
//!
//! # What it does
//! Makes `$DOCKER_TLS_CERTDIR/client` (`/certs/client`) one writable memory-backed emptyDir, shared by the dind container, `build`
//! and every other container that mounts something there.
//!
//! # Why
//! dind generates the client's certificates when it starts. Where a Secret, a ConfigMap or anything else that cannot be written sits
//! in the way, images since 2023 exit 1, and older ones run without TLS on 0.0.0.0:2375 (seed 004).
//! Where each container has a volume of its own there, the client never sees what dind wrote.
//!
//! # Example
//! ```text
//! volumes: mylab-ca-pem (secret)                        mylab-ca-pem (emptyDir, Memory, 1Mi)
//! build:   mylab-ca-pem at /certs/client, readOnly ─►   mylab-ca-pem at /certs/client
//! docker:  mylab-ca-pem at /certs/client, readOnly      mylab-ca-pem at /certs/client
//! ```
//! The volume is swapped in place: its name stays, so mounts keep resolving, also those that a build container rebinds by name.
//!
//! # When it does nothing
//! TLS is off; the directory cannot be known; dind is given its server certificates (then it manages its own authority);
//! a writable emptyDir above the directory serves it already; the policy says Report, or Deny.

mod directory;
mod relocate;
mod shared;

use super::Planner;
use super::change::{Action, MountId, NewMount};
use super::note::{Conflict, Fact};
use crate::job_pod::dind::{Certificates, DindContainer};
use crate::mount_path;
use crate::pod::{ContainerId, Text, text};
use crate::policy::set::DesiredDind;
use crate::policy::{ClientCerts, OnConflict, Policy};
use directory::{Directory, MountKind, Relation};
use relocate::Relocation;
use shared::Shared;

pub(super) fn plan<'a>(
    planner: &mut Planner<'_, 'a>,
    desired: &DesiredDind<'a>,
    containers: &[DindContainer],
) {
    let policy = desired.client_certs.policy;
    let directories = directories(planner, policy, containers);
    let all: Vec<Text<'static>> = directories
        .iter()
        .map(|directory| directory.path.clone())
        .collect();
    let mut relocation = Relocation::new(&all);
    for directory in directories {
        if let Some(outer) = all
            .iter()
            .find(|outer| mount_path::is_below(&directory.path, outer))
        {
            planner.note(
                policy,
                Fact::DirectoryNested {
                    directory: directory.path,
                    outer: outer.clone(),
                },
            );
        } else if let Some(container) = directory.own_authority(planner.pod) {
            planner.note(
                policy,
                Fact::OwnAuthority {
                    directory: directory.path,
                    container,
                },
            );
        } else {
            free(
                planner,
                policy,
                desired.client_certs.what,
                &directory,
                &mut relocation,
            );
        }
    }
}

/// Returns the certificate directories of the dind containers, each once; tells of those that cannot be known.
fn directories<'a>(
    planner: &mut Planner<'_, 'a>,
    policy: &'a Policy,
    containers: &[DindContainer],
) -> Vec<Directory> {
    let mut directories: Vec<Directory> = Vec::new();
    for dind in containers {
        let container = name_of(planner, dind.id);
        match (&dind.certificates, dind.certificates.client_directory()) {
            (Certificates::TlsOff, _) => planner.note(policy, Fact::TlsOff { container }),
            (Certificates::Unknown(why), _) => {
                planner.note(policy, Fact::DirectoryUnknown { container, why })
            }
            (Certificates::In(_), Some(path)) => match directories
                .iter_mut()
                .find(|directory| directory.path == path)
            {
                Some(directory) => directory.dinds.push(dind.id),
                None => directories.push(Directory {
                    path,
                    dinds: vec![dind.id],
                }),
            },
            (Certificates::In(_), None) => {}
        }
    }
    for directory in directories
        .iter()
        .filter(|directory| directory.dinds.len() > 1)
    {
        let containers = directory
            .dinds
            .iter()
            .map(|id| name_of(planner, *id))
            .collect();
        planner.note(
            policy,
            Fact::DirectoryShared {
                directory: directory.path.clone(),
                containers,
            },
        );
    }
    directories
}

fn name_of<'a>(planner: &Planner<'_, 'a>, id: ContainerId) -> Text<'a> {
    planner
        .pod
        .container(id)
        .and_then(|container| container.name.clone())
        .unwrap_or_default()
}

/// Makes one directory free, unless it is already or the policy says otherwise.
fn free<'a>(
    planner: &mut Planner<'_, 'a>,
    policy: &'a Policy,
    certs: &'a ClientCerts,
    directory: &Directory,
    relocation: &mut Relocation<'_>,
) {
    let mounts = directory.mounts(planner.pod);
    for left in mounts
        .iter()
        .filter(|mount| mount.relation == Relation::LeftInvalid)
    {
        let (container, path) = (left.id.container_name.clone(), left.id.path.clone());
        planner.note(policy, Fact::LeftInvalid { container, path });
    }
    // An unwritable parent may be that of a build container, which only reads: then it serves, unless the directory is mounted on top.
    let is_mounted = mounts
        .iter()
        .any(|mount| matches!(mount.relation, Relation::At | Relation::Below));
    if !is_mounted && let Some(volume) = directory.serving_parent(planner.pod) {
        let directory = directory.path.clone();
        return planner.note(policy, Fact::ParentServes { directory, volume });
    }
    let shared = Shared::choose(planner.pod, certs, directory, &mounts);
    let conflicts: Vec<&MountKind<'a>> = mounts
        .iter()
        .filter(|mount| shared.conflicts_with(mount))
        .collect();
    let lacking = lacking(planner, directory, &conflicts);
    let Some(first) = conflicts.first() else {
        if lacking.is_empty() {
            let directory = directory.path.clone();
            return planner.note(policy, Fact::CertificatesRight { directory });
        }
        let volume = shared.provide(planner, policy, certs, directory);
        return mount(planner, policy, directory, lacking, &volume);
    };
    let fact = conflict(planner, first, directory);
    match certs.on_conflict {
        OnConflict::Report => return planner.note(policy, Fact::Reported(fact)),
        OnConflict::Deny => {
            planner.plan.denial.get_or_insert(super::Note {
                policy,
                fact: Fact::Denied(fact),
            });
            return;
        }
        OnConflict::Replace | OnConflict::Relocate(_) => {}
    }
    let displaced = relocate::displaced(planner, &conflicts, &shared);
    let volume = shared.provide(planner, policy, certs, directory);
    let is_told = relocate::tells_of(&displaced, &volume);
    repoint(planner, policy, &conflicts, &volume, is_told);
    mount(planner, policy, directory, lacking, &volume);
    relocation.tell_and_mount(planner, policy, certs, directory, &displaced);
}

fn conflict<'a>(
    planner: &Planner<'_, 'a>,
    mount: &MountKind<'a>,
    directory: &Directory,
) -> Conflict<'a> {
    let kind = planner
        .pod
        .volume(&mount.volume)
        .map(|volume| volume.kind.clone())
        .unwrap_or_default();
    Conflict {
        container: mount.id.container_name.clone(),
        volume: mount.volume.clone(),
        kind,
        path: mount.id.path.clone(),
        directory: directory.path.clone(),
    }
}

/// Points mounts at the directory to the shared volume, and removes those below it and unwritable parents.
fn repoint<'a>(
    planner: &mut Planner<'_, 'a>,
    policy: &'a Policy,
    conflicts: &[&MountKind<'a>],
    volume: &Text<'a>,
    is_told: bool,
) {
    for known in conflicts
        .iter()
        .filter(|mount| mount.relation == Relation::At)
    {
        let dropped = restrictions(planner, &known.id);
        let (mount, was) = (known.id.clone(), known.volume.clone());
        let changed = was != *volume;
        if known.restricted && !changed && !is_told {
            let (container, path) = (mount.container_name.clone(), mount.path.clone());
            planner.note(
                policy,
                Fact::Unrestricted {
                    container,
                    path,
                    dropped: dropped.clone(),
                },
            );
        }
        if changed || !dropped.is_empty() {
            let volume = volume.clone();
            planner.change(
                policy,
                Action::PointMount {
                    mount,
                    was,
                    volume,
                    dropped,
                },
            );
        }
    }
    // From the last to the first, so that the indices still hold.
    for known in conflicts
        .iter()
        .filter(|mount| mount.relation != Relation::At)
        .rev()
    {
        let (mount, volume) = (known.id.clone(), known.volume.clone());
        planner.change(policy, Action::RemoveMount { mount, volume });
    }
}

/// Returns the fields of a mount that keep the volume from being written or seen whole, as far as it has them.
fn restrictions(planner: &Planner<'_, '_>, id: &MountId<'_>) -> Vec<&'static str> {
    let mount = planner
        .pod
        .container(id.container)
        .and_then(|container| container.mounts().get(id.index));
    let Some(mount) = mount else {
        return Vec::new();
    };
    let fields = [
        ("readOnly", mount.read_only.is_some()),
        ("recursiveReadOnly", mount.recursive_read_only.is_some()),
        ("subPath", mount.sub_path.is_some()),
        ("subPathExpr", mount.sub_path_expr.is_some()),
        ("mountPropagation", mount.mount_propagation.is_some()),
    ];
    fields
        .into_iter()
        .filter_map(|(field, present)| present.then_some(field))
        .collect()
}

/// Returns the containers that are to have the directory and mount nothing there: dind, `build`, and where something is removed.
fn lacking(
    planner: &Planner<'_, '_>,
    directory: &Directory,
    conflicts: &[&MountKind<'_>],
) -> Vec<ContainerId> {
    let loses = |id: ContainerId| {
        conflicts
            .iter()
            .any(|mount| mount.id.container == id && mount.relation != Relation::At)
    };
    let containers = planner.pod.containers();
    let lacking = containers.filter(|(id, container)| {
        (loses(*id) || directory.is_user(*id, container)) && !container.mounts_at(&directory.path)
    });
    lacking.map(|(id, _)| id).collect()
}

/// Mounts the shared volume at the directory.
fn mount<'a>(
    planner: &mut Planner<'_, 'a>,
    policy: &'a Policy,
    directory: &Directory,
    containers: Vec<ContainerId>,
    volume: &Text<'a>,
) {
    for id in containers {
        let known = planner.pod.container(id);
        let list_missing = known.is_none_or(|container| container.volume_mounts.is_none());
        let mount = NewMount::whole(volume.clone(), directory.path.clone(), false);
        let container_name = name_of(planner, id);
        let action = Action::AddMount {
            list_missing,
            container: id,
            container_name,
            mount,
            rule: "D3",
        };
        planner.change(policy, action);
    }
}

/// Whether a mount's own fields keep the volume from being written or seen whole.
fn is_restricted(mount: &crate::pod::VolumeMount<'_>) -> bool {
    mount.is_read_only()
        || mount.sub_paths() != ("", "")
        || !matches!(text(&mount.recursive_read_only), "" | "Disabled")
}

#[cfg(test)]
mod tests;
