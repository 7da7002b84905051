//! The directory to which dind writes the docker client's certificates is free for it (rules D2 to
//! D9).
//!
//! # What it does
//! Makes `$DOCKER_TLS_CERTDIR/client` (`/certs/client`) one writable emptyDir, shared by the dind
//! container, `build` and every other container that mounts something there.
//!
//! # Why
//! dind generates the client's certificates when it starts. Where a Secret, a ConfigMap or anything
//! else that cannot be written sits in the way, images since 2023 exit 1, and older ones run without
//! TLS on 0.0.0.0:2375 (seed 004).
//! Where each container has a volume of its own there, the client never sees what dind wrote.
//!
//! # Example
//! ```text
//! volumes: mylab-ca-pem (secret)                        mylab-ca-pem (emptyDir, Memory, 1Mi)
//! build:   mylab-ca-pem at /certs/client, readOnly ─►   mylab-ca-pem at /certs/client
//! docker:  mylab-ca-pem at /certs/client, readOnly      mylab-ca-pem at /certs/client
//! ```
//! The volume is swapped in place: its name stays, so mounts keep resolving, also those that a build
//! container rebinds by name.
//!
//! # When it does nothing
//! dind generates nothing: TLS is off, or `dockerd` is started directly; the directory cannot be
//! known; dind is given its server certificates (then it manages its own authority); the client
//! calls another daemon; a writable emptyDir at or above the directory serves it already; the policy
//! says Report, or Deny.

mod directories;
mod directory;
mod related;
mod relocate;
mod shared;
mod survey;

use super::Planner;
use super::change::{Action, MountId, NewMount};
use super::note::{Conflict, Fact};
use crate::core::job_pod::client::Daemon;
use crate::core::job_pod::dind::DindContainer;
use crate::core::mount_path::Outermost;
use crate::core::pod::{ContainerId, Text};
use crate::core::policy::set::DesiredDind;
use crate::core::policy::{ClientCerts, OnConflict, Policy};
use directory::{Directory, MountKind, Relation};
use related::Related;
use relocate::Relocation;
use shared::Shared;
use std::collections::{BTreeSet, HashSet};
use survey::Survey;

pub(super) fn plan<'a>(
    planner: &mut Planner<'_, 'a>,
    desired: &DesiredDind<'a>,
    containers: &[DindContainer],
    daemon: &Daemon,
) {
    let (policy, certs) = (desired.client_certs.policy, desired.client_certs.what);
    let directories = directories::find(planner, policy, containers, daemon);
    let paths = Outermost::of(directories.iter().map(|directory| directory.path.clone()));
    let mut rule = Rule {
        policy,
        certs,
        relocation: Relocation::new(&paths),
        survey: Survey::new(planner.pod),
        left: HashSet::new(),
    };
    let related = Related::find(planner.pod, &rule.survey, &directories, &paths);
    for (at, directory) in directories.iter().enumerate() {
        let path = &directory.path;
        let mounts = related.of_directory(at, &rule.survey);
        let is_in_the_way = mounts.iter().any(|mount| mount.relation.is_conflict());
        let outer = paths.at_or_above(path).filter(|(outer, _)| *outer != path);
        let fact = if let Some((outer, _)) = outer {
            Fact::DirectoryNested {
                directory: path.clone(),
                outer: outer.clone(),
            }
        } else if let Some(container) = directory.own_authority(planner.pod, &mut rule.survey) {
            Fact::OwnAuthority {
                directory: path.clone(),
                container,
            }
        } else if matches!(daemon, Daemon::NoAlias { .. }) {
            // The missing alias is reported instead (R2).
            continue;
        } else if is_in_the_way && directory.is_of_direct_daemon {
            // It was reported with the other daemon (D2).
            continue;
        } else if *daemon == Daemon::Remote {
            Fact::OtherDaemon {
                directory: path.clone(),
                is_in_the_way,
            }
        } else if is_in_the_way && directory.falls_back_to_plain && daemon.is_plain_in_pod() {
            Fact::FallsBackToPlain {
                directory: path.clone(),
            }
        } else {
            rule.free(planner, directory, &mounts);
            continue;
        };
        planner.note(policy, fact);
    }
}

fn name_of<'a>(planner: &Planner<'_, 'a>, id: ContainerId) -> Text<'a> {
    planner
        .pod
        .container(id)
        .and_then(|container| container.name.clone())
        .unwrap_or_default()
}

/// What freeing each directory needs.
struct Rule<'p, 'a> {
    policy: &'a Policy,
    certs: &'a ClientCerts,
    relocation: Relocation<'p>,
    survey: Survey<'a>,
    /// The mounts that are left invalid and were told of: one may be in the way of each directory.
    left: HashSet<(ContainerId, usize)>,
}

impl<'a> Rule<'_, 'a> {
    /// Makes one directory free, unless it is already or the policy says otherwise.
    fn free(
        &mut self,
        planner: &mut Planner<'_, 'a>,
        directory: &Directory,
        mounts: &[&MountKind<'a>],
    ) {
        let policy = self.policy;
        for mount in mounts {
            let MountId {
                container, index, ..
            } = mount.id;
            if mount.relation == Relation::LeftInvalid && self.left.insert((container, index)) {
                let (container, path) = (mount.id.container_name.clone(), mount.id.path.clone());
                planner.note(policy, Fact::LeftInvalid { container, path });
            }
        }
        // An ancestor serves, unless the directory is mounted on top of it.
        let is_mounted = mounts
            .iter()
            .any(|mount| matches!(mount.relation, Relation::At | Relation::Below));
        if !is_mounted && let Some(volume) = directory.serving_ancestor(planner.pod, &self.survey) {
            let directory = directory.path.clone();
            return planner.note(policy, Fact::ParentServes { directory, volume });
        }
        let shared = Shared::choose(planner.pod, self.certs, directory, mounts, &self.survey);
        let conflicts: Vec<&MountKind<'a>> = mounts
            .iter()
            .copied()
            .filter(|mount| shared.conflicts_with(directory, mount))
            .collect();
        let lacking = lacking(directory, mounts, &conflicts);
        let sub_path = shared.sub_path();
        let Some(first) = conflicts.first() else {
            if lacking.is_empty() {
                let directory = directory.path.clone();
                return planner.note(policy, Fact::CertificatesRight { directory });
            }
            let name = shared.provide(planner, policy, self.certs, directory);
            return self.mount(planner, directory, lacking, &Part { name, sub_path });
        };
        let conflict = self.conflict(planner, first, directory);
        match self.certs.on_conflict {
            OnConflict::Report => return planner.note(policy, Fact::Reported(conflict)),
            OnConflict::Deny => {
                let fact = Fact::Denied(conflict);
                planner
                    .plan
                    .denial
                    .get_or_insert(super::Note { policy, fact });
                return;
            }
            OnConflict::Replace | OnConflict::Relocate(_) => {}
        }
        let displaced = relocate::displaced(planner, &conflicts, &shared, &self.survey);
        let name = shared.provide(planner, policy, self.certs, directory);
        let is_told = relocate::tells_of(&displaced, &name);
        let part = Part { name, sub_path };
        self.repoint(planner, &conflicts, &part, is_told);
        self.remove(planner, &conflicts);
        self.mount(planner, directory, lacking, &part);
        self.relocation.tell_and_mount(
            planner,
            policy,
            self.certs,
            directory,
            &displaced,
            &mut self.survey,
        );
    }

    fn conflict(
        &self,
        planner: &Planner<'_, 'a>,
        mount: &MountKind<'a>,
        directory: &Directory,
    ) -> Conflict<'a> {
        let volume = self.survey.volume(planner.pod, &mount.volume);
        Conflict {
            container: mount.id.container_name.clone(),
            volume: mount.volume.clone(),
            kind: volume.map(|volume| volume.kind.clone()).unwrap_or_default(),
            path: mount.id.path.clone(),
            directory: directory.path.clone(),
        }
    }

    /// Points mounts at the directory to the shared volume.
    fn repoint(
        &mut self,
        planner: &mut Planner<'_, 'a>,
        conflicts: &[&MountKind<'a>],
        part: &Part<'a>,
        is_told: bool,
    ) {
        let at_directory = |mount: &&&MountKind<'a>| mount.relation == Relation::At;
        for known in conflicts.iter().filter(at_directory) {
            let index = self.survey.position(&known.id);
            let mount = MountId {
                index,
                ..known.id.clone()
            };
            let mut dropped = restrictions(planner, &mount);
            let (was, volume) = (known.volume.clone(), part.name.clone());
            let sub_path = part.sub_path.clone();
            dropped.retain(|field| sub_path.is_none() || *field != "subPath");
            let is_restricted = !dropped.is_empty() || known.sub_paths.path != part.sub_path();
            if was != volume {
                self.survey.note_pointed(&was, &volume);
            } else if !is_restricted {
                continue;
            } else if !is_told && !dropped.is_empty() {
                let (container, path) = (mount.container_name.clone(), mount.path.clone());
                let dropped = dropped.clone();
                let fact = Fact::Unrestricted {
                    container,
                    path,
                    dropped,
                };
                planner.note(self.policy, fact);
            }
            let action = Action::PointMount {
                mount,
                was,
                volume,
                dropped,
                sub_path,
            };
            planner.change(self.policy, action);
        }
    }

    /// Removes mounts below the directory and ancestors that cannot be written.
    fn remove(&mut self, planner: &mut Planner<'_, 'a>, conflicts: &[&MountKind<'a>]) {
        let removed: Vec<&MountKind<'a>> = conflicts
            .iter()
            .copied()
            .filter(|mount| mount.relation != Relation::At)
            .collect();
        // From the last to the first, so that each position still holds when its turn comes.
        let removals = removed.iter().rev().map(|known| {
            let index = self.survey.position(&known.id);
            let mount = MountId {
                index,
                ..known.id.clone()
            };
            let volume = known.volume.clone();
            (self.policy, Action::RemoveMount { mount, volume })
        });
        planner.remove(removals.collect());
        self.survey.note_removed(&removed);
    }

    /// Mounts the shared volume at the directory.
    fn mount(
        &mut self,
        planner: &mut Planner<'_, 'a>,
        directory: &Directory,
        containers: BTreeSet<ContainerId>,
        part: &Part<'a>,
    ) {
        for id in containers {
            let known = planner.pod.container(id);
            let list_missing = known.is_none_or(|container| container.volume_mounts.is_none());
            let mount = NewMount {
                sub_path: part.sub_path.clone(),
                ..NewMount::whole(part.name.clone(), directory.path.clone(), false)
            };
            let action = Action::AddMount {
                list_missing,
                container: id,
                container_name: name_of(planner, id),
                mount,
                rule: "D3",
            };
            planner.change(self.policy, action);
            self.survey.note_mounted(&part.name);
        }
    }
}

/// What is mounted at the directory in every container: a volume, or a path in it.
struct Part<'a> {
    name: Text<'a>,
    sub_path: Option<Text<'a>>,
}

impl<'a> Part<'a> {
    fn sub_path(&self) -> Text<'a> {
        self.sub_path.clone().unwrap_or_default()
    }
}

/// Returns the fields of a mount that keep the volume from being written or seen whole, as far as it
/// has them.
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

/// Returns the containers that are to have the directory and mount nothing there: dind, `build`, and
/// where something is removed.
fn lacking(
    directory: &Directory,
    mounts: &[&MountKind<'_>],
    conflicts: &[&MountKind<'_>],
) -> BTreeSet<ContainerId> {
    let is_at = |mount: &MountKind<'_>| mount.relation == Relation::At;
    let losers = conflicts.iter().filter(|mount| !is_at(mount));
    let mut lacking: BTreeSet<ContainerId> = directory
        .users()
        .chain(losers.map(|mount| mount.id.container))
        .collect();
    // A mount at the directory that the API server refuses counts as one, too.
    let at_directory = mounts.iter().filter(|mount| mount.is_at_directory);
    for mount in at_directory {
        lacking.remove(&mount.id.container);
    }
    lacking
}

#[cfg(test)]
mod tests;
