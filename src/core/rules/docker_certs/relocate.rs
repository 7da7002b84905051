//! Displaced volumes (rules D7 and D8): each is reported, and with Relocate mounted read-only
//! somewhere else.

use super::directory::{Directory, MountKind, Relation};
use super::survey::Survey;
use super::{Planner, Shared};
use crate::core::mount_path::Outermost;
use crate::core::pod::{ContainerId, Text, VolumeMount};
use crate::core::policy::{ClientCerts, OnConflict, Policy};
use crate::core::rules::change::{Action, NewMount};
use crate::core::rules::note::Fact;
use std::collections::{BTreeMap, HashMap, HashSet};

/// A volume that is no longer mounted where it was.
pub(super) struct Displaced<'a> {
    volume: Text<'a>,
    kind: Text<'a>,
    /// The path that it was mounted at, as written.
    path: Text<'a>,
    /// The one container that it was taken from, where others keep it.
    only_from: Option<Text<'a>>,
    /// The first mount that it lost, in each container. Empty for the shared volume, which only
    /// lost mounts below the directory.
    mounts: Vec<(ContainerId, VolumeMount<'a>)>,
}

/// Returns the volumes that conflicts displace, in the pod's order. Nothing is changed yet.
pub(super) fn displaced<'a>(
    planner: &Planner<'_, 'a>,
    conflicts: &[&MountKind<'a>],
    shared: &Shared<'a>,
    survey: &Survey<'a>,
) -> Vec<Displaced<'a>> {
    let mut lost: BTreeMap<usize, Vec<&MountKind<'a>>> = BTreeMap::new();
    for mount in conflicts {
        let only_restricted = shared.keeps(&mount.volume) && mount.relation == Relation::At;
        if let (Some(index), false) = (survey.volume_index(&mount.volume), only_restricted) {
            lost.entry(index).or_default().push(*mount);
        }
    }
    let volumes = planner.pod.volumes();
    let entries = lost.into_iter().filter_map(|(index, mut lost)| {
        // A mount at the directory itself speaks for the volume before one below it.
        lost.sort_by_key(|mount| mount.relation != Relation::At);
        let first = *lost.first()?;
        let is_ancestor = first.relation == Relation::UnwritableAncestor;
        let keeps_mounts = is_ancestor && survey.mounts_of(&first.volume) > lost.len();
        let mut seen = HashSet::new();
        let mounts = lost
            .iter()
            .filter(|mount| !shared.keeps(&mount.volume) && seen.insert(mount.id.container))
            .filter_map(|mount| {
                let container = planner.pod.container(mount.id.container)?;
                let known = container.mounts().get(survey.position(&mount.id))?;
                Some((mount.id.container, known.clone()))
            });
        Some(Displaced {
            volume: first.volume.clone(),
            kind: volumes.get(index)?.kind.clone(),
            path: first.id.path.clone(),
            only_from: keeps_mounts.then(|| first.id.container_name.clone()),
            mounts: mounts.collect(),
        })
    });
    entries.collect()
}

/// Whether a volume is among those that will be reported.
pub(super) fn tells_of(displaced: &[Displaced<'_>], volume: &Text<'_>) -> bool {
    displaced.iter().any(|entry| entry.volume == *volume)
}

/// Where displaced volumes of a pod go: the first one to the policy's path, each further one beside
/// it, at a path with its name.
pub(super) struct Relocation<'p> {
    /// The certificate directories of the pod.
    directories: &'p Outermost<Text<'static>>,
    first_is_placed: bool,
    /// The paths of the mounts in each container that got one.
    taken: HashMap<ContainerId, HashSet<String>>,
}

impl<'p> Relocation<'p> {
    /// Begins with nothing displaced.
    pub(super) fn new(directories: &'p Outermost<Text<'static>>) -> Self {
        Self {
            directories,
            first_is_placed: false,
            taken: HashMap::new(),
        }
    }

    /// Reports the volumes that one directory displaced, and with Relocate mounts them.
    pub(super) fn tell_and_mount<'a>(
        &mut self,
        planner: &mut Planner<'_, 'a>,
        policy: &'a Policy,
        certs: &ClientCerts,
        directory: &Directory,
        displaced: &[Displaced<'a>],
        survey: &mut Survey<'a>,
    ) {
        for entry in displaced {
            let path = match &certs.on_conflict {
                OnConflict::Relocate(base) if !entry.mounts.is_empty() => {
                    Some(self.next(base, entry))
                }
                _ => None,
            };
            let fact = Fact::Displaced {
                volume: entry.volume.clone(),
                kind: entry.kind.clone(),
                path: entry.path.clone(),
                container: entry.only_from.clone(),
                directory: directory.path.clone(),
                now_at: path.clone(),
            };
            planner.note(policy, fact);
            for (id, mount) in &entry.mounts {
                if let Some(path) = &path
                    && self.relocate(planner, policy, &entry.volume, (*id, mount), path)
                {
                    survey.note_mounted(&entry.volume);
                }
            }
        }
    }

    fn overlaps_a_directory(&self, path: &str) -> bool {
        self.directories.at_or_above(path).is_some() || self.directories.below(path).is_some()
    }

    /// Nothing can be mounted below a read-only volume, so further ones go beside the first.
    fn next(&mut self, base: &str, entry: &Displaced<'_>) -> String {
        if std::mem::replace(&mut self.first_is_placed, true) {
            format!("{base}-{}", entry.volume)
        } else {
            base.to_owned()
        }
    }

    /// Mounts a displaced volume in one container; says whether it did.
    fn relocate<'a>(
        &mut self,
        planner: &mut Planner<'_, 'a>,
        policy: &'a Policy,
        volume: &Text<'a>,
        (id, was): (ContainerId, &VolumeMount<'a>),
        path: &str,
    ) -> bool {
        let Some(container) = planner.pod.container(id) else {
            return false;
        };
        let container_name = container.name.clone().unwrap_or_default();
        let overlaps = self.overlaps_a_directory(path);
        let taken = self.taken.entry(id).or_insert_with(|| {
            let mounts = container.mounts().iter();
            mounts.map(|mount| mount.path().to_owned()).collect()
        });
        let obstacle = if taken.contains(path) {
            Some("something is mounted there, and stays")
        } else if overlaps {
            Some("it would lie in the way of dind's certificates")
        } else {
            None
        };
        if let Some(why) = obstacle {
            let fact = Fact::NotRelocated {
                volume: volume.clone(),
                container: container_name,
                path: path.to_owned(),
                why,
            };
            planner.note(policy, fact);
            return false;
        }
        taken.insert(path.to_owned());
        let mount = NewMount {
            sub_path: was.sub_path.clone(),
            sub_path_expr: was.sub_path_expr.clone(),
            ..NewMount::whole(volume.clone(), path.to_owned(), true)
        };
        let action = Action::AddMount {
            list_missing: container.volume_mounts.is_none(),
            container: id,
            container_name,
            mount,
            rule: "D8",
        };
        planner.change(policy, action);
        true
    }
}

#[cfg(test)]
mod tests;
