//! Displaced volumes (rules D7 and D8): reports each volume that lost mounts, and with
//! `onConflict: Relocate` mounts it read-only at another path.

use super::Repairer;
use super::directory::Directory;
use super::mounts::{DirectoryMount, Relation};
use super::shared::SharedVolume;
use crate::core::mount_path;
use crate::core::pod::{Container, ContainerId, Text, VolumeMount};
use crate::core::policy::OnConflict;
use crate::core::rules::change::NewMount;
use crate::core::rules::finding::FindingKind;
use std::collections::{BTreeMap, HashSet};

/// A volume that lost mounts.
pub(super) struct DisplacedVolume<'a> {
    pub(super) volume: Text<'a>,
    kind: Text<'a>,
    /// The path of a lost mount, as written.
    path: Text<'a>,
    /// The container that lost the mount, if the mount was above the directory and the volume has
    /// other mounts.
    container: Option<Text<'a>>,
    /// The first lost mount of each container. Empty for the shared volume, which stays mounted.
    mounts: Vec<(ContainerId, VolumeMount<'a>)>,
}

impl<'a> Repairer<'_, '_, 'a> {
    /// Returns the volumes that a repair will displace, in the order of the pod.
    pub(super) fn displaced(
        &self,
        conflicts: &[&DirectoryMount<'a>],
        shared: &SharedVolume<'a>,
    ) -> Vec<DisplacedVolume<'a>> {
        let pod = &*self.planner.pod;
        let mut lost: BTreeMap<usize, Vec<&DirectoryMount<'a>>> = BTreeMap::new();
        for mount in conflicts {
            let stays_mounted = shared.keeps(mount.volume()) && mount.is_at_directory();
            if let (Some(index), false) = (self.uses.index(mount.volume()), stays_mounted) {
                lost.entry(index).or_default().push(mount);
            }
        }
        let displaced = lost.into_iter().filter_map(|(index, mut lost)| {
            // A mount at the directory is reported in preference to one below or above it.
            lost.sort_by_key(|mount| !mount.is_at_directory());
            let first = *lost.first()?;
            let is_ancestor = first.relation == Relation::UnwritableAncestor;
            let is_kept_by_others = is_ancestor && self.uses.mounts(first.volume()) > lost.len();
            let mut seen = HashSet::new();
            let mounts = lost
                .iter()
                .filter(|mount| !shared.keeps(mount.volume()) && seen.insert(mount.id.container))
                .map(|mount| (mount.id.container, mount.mount.clone()));
            Some(DisplacedVolume {
                volume: first.volume().clone(),
                kind: pod.volumes().get(index)?.kind.clone(),
                path: first.id.path.clone(),
                container: is_kept_by_others.then(|| first.id.container_name.clone()),
                mounts: mounts.collect(),
            })
        });
        displaced.collect()
    }

    /// Reports the displaced volumes of a directory, and with `onConflict: Relocate` mounts them.
    pub(super) fn report_displaced(
        &mut self,
        directory: &Directory,
        displaced: Vec<DisplacedVolume<'a>>,
    ) {
        for lost in displaced {
            let volume = lost.volume;
            let base = &self.certs.relocate_to;
            let now_at = match self.certs.on_conflict {
                OnConflict::Relocate if !lost.mounts.is_empty() => {
                    // Nothing can be mounted below a read-only volume, so each further volume has
                    // its own path.
                    let is_first = !std::mem::replace(&mut self.has_relocated, true);
                    let path = if is_first {
                        base.clone()
                    } else {
                        format!("{base}-{volume}")
                    };
                    Some(Text::from(path))
                }
                _ => None,
            };
            let kind = FindingKind::VolumeDisplaced(
                volume.clone(),
                lost.kind,
                lost.path,
                lost.container,
                directory.path.clone(),
                now_at.clone(),
            );
            self.planner.report(self.policy, kind);
            if let Some(path) = now_at {
                for (id, mount) in lost.mounts {
                    self.relocate(id, &volume, mount, &path);
                }
            }
        }
    }

    /// Mounts a displaced volume in one container, unless the path is in use or the mount would
    /// hide certificates.
    fn relocate(
        &mut self,
        id: ContainerId,
        volume: &Text<'a>,
        was: VolumeMount<'a>,
        path: &Text<'a>,
    ) {
        let is_taken = |container: &Container<'a>| container.mounts_at(path);
        let mut directories = self.directories.iter();
        let why = if self.planner.pod.container(id).is_some_and(is_taken) {
            Some("another mount is at that path")
        } else if directories.any(|directory| mount_path::overlap(&directory.path, path)) {
            Some("it would hide the certificates of dind")
        } else {
            None
        };
        let volume = volume.clone();
        if let Some(why) = why {
            let (container, path) = (self.planner.name_of(id), path.clone());
            let kind = FindingKind::NotRelocated(volume, container, path, why);
            return self.planner.report(self.policy, kind);
        }
        self.uses.add(&volume);
        let mount = NewMount {
            sub_path: was.sub_path,
            sub_path_expr: was.sub_path_expr,
            ..NewMount::new(volume, path.clone(), true)
        };
        self.planner.add_mount(self.policy, "D8", id, mount);
    }
}

#[cfg(test)]
mod tests;
