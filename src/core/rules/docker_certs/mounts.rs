//! The mounts that concern certificate directories (rules D4 and D5), and the uses of volumes.
//!
//! A pod may have as many directories as dind containers, and one mount of `build` may be in the
//! way of all of them. So the pod is read once, and a directory has indices of such mounts. The
//! index of a mount is its index before the first change; [`VolumeUses::current`] returns the index
//! after the changes so far.

use super::directory::Directory;
use crate::core::job_pod::dind::is_native_sidecar;
use crate::core::mount_path::{self, Outermost, SortedPaths};
use crate::core::pod::{
    Container, ContainerId, ContainerList, Pod, Text, Volume, VolumeMount, text,
};
use crate::core::rules::change::MountId;
use std::cmp::Reverse;
use std::collections::HashMap;

/// The position of a mount relative to a directory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Relation {
    At,
    /// For example a file by subPath.
    Below,
    /// The nearest mounted ancestor in dind or `build`, if it keeps the directory from being
    /// written or mounted.
    UnwritableAncestor,
}

/// A mount that concerns a directory.
#[derive(Clone, Debug)]
pub(super) struct DirectoryMount<'a> {
    pub(super) id: MountId<'a>,
    pub(super) volume: Text<'a>,
    pub(super) relation: Relation,
    /// The API server refuses the mount. A repair would make an invalid pod valid (A4).
    pub(super) is_invalid: bool,
    pub(super) read_only: bool,
    pub(super) sub_paths: SubPaths<'a>,
}

impl DirectoryMount<'_> {
    pub(super) fn is_at_directory(&self) -> bool {
        self.relation == Relation::At
    }
}

/// `subPath` and `subPathExpr`, empty if not set.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct SubPaths<'a> {
    pub(super) path: Text<'a>,
    pub(super) expr: Text<'a>,
}

/// The mounts that concern each directory.
pub(super) struct RelatedMounts<'a> {
    mounts: Vec<DirectoryMount<'a>>,
    /// For each directory, indices in `mounts`, in the pod's order.
    by_directory: Vec<Vec<usize>>,
    /// The ancestors in `build`, which uses every directory. Other containers use one.
    build_ancestors: Option<Vec<Ancestor>>,
    /// How often a container has a mount at each path as written. Read for containers that lose
    /// one.
    written_paths: HashMap<ContainerId, HashMap<Text<'a>, usize>>,
}

/// A mount above a directory.
struct Ancestor {
    index: usize,
    is_unwritable: bool,
    is_filled_by_kubelet: bool,
    /// Its index in [`RelatedMounts::mounts`], once it is in the way.
    added: Option<usize>,
}

/// A container and its place.
type Located<'p, 'a> = (ContainerId, &'p Container<'a>);

impl<'a> RelatedMounts<'a> {
    /// Reads a pod. Only the outermost directories can be freed.
    pub(super) fn find(
        pod: &Pod<'a>,
        directories: &[Directory],
        outermost: &Outermost<Text<'static>>,
    ) -> Self {
        let mut related = Self {
            mounts: Vec::new(),
            by_directory: vec![Vec::new(); directories.len()],
            build_ancestors: None,
            written_paths: HashMap::new(),
        };
        for (id, container) in pod.containers() {
            for (index, mount) in container.mounts().iter().enumerate() {
                if let Some((directory, at)) = outermost.at_or_above(mount.path()) {
                    let is_at = directory.len() == mount.path().len();
                    let relation = if is_at { Relation::At } else { Relation::Below };
                    let added = related.add(pod, (id, container), (index, mount), relation);
                    related.relate(at, added);
                }
            }
        }
        for (at, directory) in directories.iter().enumerate() {
            for id in directory.users() {
                if let Some(container) = pod.container(id) {
                    related.add_ancestors((at, directory), pod, (id, container), outermost);
                }
            }
        }
        let mounts = &related.mounts;
        for indices in &mut related.by_directory {
            indices.sort_by_key(|index| {
                let mount = mounts.get(*index);
                mount.map(|mount| (mount.id.container, mount.id.index))
            });
        }
        related
    }

    /// Returns the mounts that concern a directory and are still there, in the pod's order. An
    /// ancestor may have been removed for an earlier directory.
    pub(super) fn of_directory(
        &self,
        directory: usize,
        uses: &VolumeUses<'a>,
    ) -> Vec<&DirectoryMount<'a>> {
        let indices = self.by_directory.get(directory).into_iter().flatten();
        let mounts = indices.filter_map(|index| self.mounts.get(*index));
        let is_there = |mount: &&DirectoryMount<'a>| uses.index(&mount.id).is_some();
        mounts.filter(is_there).collect()
    }

    fn relate(&mut self, directory: usize, mount: usize) {
        if let Some(indices) = self.by_directory.get_mut(directory) {
            indices.push(mount);
        }
    }

    /// Finds the mounts of a container that lie above a directory and keep it from being written or
    /// mounted (D4): the nearest mounted ancestor, and each one that its removal reveals. The
    /// kubelet creates mount points inside the volumes that it fills, so in `build` such a volume
    /// stays and the directory is mounted on top (D7).
    fn add_ancestors(
        &mut self,
        (at, directory): (usize, &Directory),
        pod: &Pod<'a>,
        (id, container): Located<'_, 'a>,
        outermost: &Outermost<Text<'static>>,
    ) {
        let is_build = directory.build == Some(id);
        let found = self.build_ancestors.take_if(|_| is_build);
        let mut all = found.unwrap_or_else(|| ancestors(pod, container, outermost));
        for ancestor in &mut all {
            let index = ancestor.index;
            let mount = container.mounts().get(index);
            let is_above =
                |mount: &&VolumeMount<'_>| mount_path::is_below(&directory.path, mount.path());
            let Some(mount) = mount.filter(is_above) else {
                continue;
            };
            let can_have_mount_points =
                ancestor.is_filled_by_kubelet && !directory.is_written_by(id);
            if !ancestor.is_unwritable || can_have_mount_points {
                break;
            }
            let added = *ancestor.added.get_or_insert_with(|| {
                let relation = Relation::UnwritableAncestor;
                self.add(pod, (id, container), (index, mount), relation)
            });
            self.relate(at, added);
        }
        if is_build {
            self.build_ancestors = Some(all);
        }
    }

    /// Adds a mount; returns its index.
    fn add(
        &mut self,
        pod: &Pod<'a>,
        (id, container): Located<'_, 'a>,
        (index, mount): (usize, &VolumeMount<'a>),
        relation: Relation,
    ) -> usize {
        let path = mount.written_path();
        // Counted only if the mount is to be removed.
        let is_repeated = relation != Relation::At && {
            let counts = self.written_paths.entry(id).or_insert_with(|| {
                let mut counts = HashMap::new();
                for mount in container.mounts() {
                    *counts.entry(mount.written_path()).or_default() += 1;
                }
                counts
            });
            counts.get(&path).is_some_and(|count| *count > 1)
        };
        self.mounts.push(DirectoryMount {
            id: MountId {
                container: id,
                container_name: container.name.clone().unwrap_or_default(),
                index,
                path,
            },
            volume: mount.name.clone().unwrap_or_default(),
            relation,
            is_invalid: is_repeated || pod.volume(mount.volume()).is_none(),
            read_only: mount.is_read_only(),
            sub_paths: SubPaths {
                path: mount.sub_path.clone().unwrap_or_default(),
                expr: mount.sub_path_expr.clone().unwrap_or_default(),
            },
        });
        self.mounts.len() - 1
    }
}

/// Returns the mounts of a container above any of the outermost directories, the nearest first. Of
/// several at one path the last one is first.
fn ancestors<'a>(
    pod: &Pod<'a>,
    container: &Container<'a>,
    outermost: &Outermost<Text<'static>>,
) -> Vec<Ancestor> {
    let mounts = container.mounts();
    let above = mounts
        .iter()
        .enumerate()
        .filter(|(_, mount)| outermost.below(mount.path()).is_some());
    let mut above: Vec<Ancestor> = above
        .map(|(index, mount)| {
            let volume = pod.volume(mount.volume());
            Ancestor {
                index,
                is_unwritable: mount.is_read_only() || volume.is_some_and(Volume::is_read_only),
                is_filled_by_kubelet: volume.is_some_and(Volume::is_filled_by_kubelet),
                added: None,
            }
        })
        .collect();
    let length = |above: &Ancestor| mounts.get(above.index).map(|mount| mount.path().len());
    above.sort_by_key(|above| Reverse((length(above), above.index)));
    above
}

/// The uses of each volume name, and the mounts that were removed.
pub(super) struct VolumeUses<'a> {
    uses: HashMap<Text<'a>, Uses>,
    /// The paths of the items of a volume. Read for volumes at the server certificates.
    items: HashMap<Text<'a>, SortedPaths>,
    /// The indices of removed mounts, sorted.
    removed: HashMap<ContainerId, Vec<usize>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Uses {
    /// The number of volumes with the name.
    volumes: usize,
    /// The number of mounts in all containers.
    mounts: usize,
    is_block_device: bool,
    /// Whether an init container of the pod's author may have written to it before dind starts.
    is_filled_by_init: bool,
}

impl<'a> VolumeUses<'a> {
    pub(super) fn new(pod: &Pod<'a>) -> Self {
        let mut uses: HashMap<Text<'a>, Uses> = HashMap::with_capacity(pod.volumes().len());
        for volume in pod.volumes() {
            uses.entry(volume.name.clone()).or_default().volumes += 1;
        }
        for (id, container) in pod.containers() {
            let fills = id.list == ContainerList::InitContainers && !is_of_runner(container);
            for mount in container.mounts() {
                let name = || mount.name.clone().unwrap_or_default();
                let uses = match uses.get_mut(mount.volume()) {
                    Some(uses) => uses,
                    None => uses.entry(name()).or_default(),
                };
                uses.mounts += 1;
                uses.is_filled_by_init |= fills;
            }
            for device in container.volume_devices.iter().flatten() {
                if let Some(uses) = uses.get_mut(text(&device.name)) {
                    uses.is_block_device = true;
                }
            }
        }
        Self {
            uses,
            items: HashMap::new(),
            removed: HashMap::new(),
        }
    }

    fn of(&self, name: &str) -> Uses {
        self.uses.get(name).copied().unwrap_or_default()
    }

    /// Returns the number of mounts of a volume now.
    pub(super) fn mounts(&self, name: &str) -> usize {
        self.of(name).mounts
    }

    /// Whether a volume may have files when dind starts: an emptyDir has none, unless an init
    /// container writes them (D6).
    pub(super) fn may_have_files(&self, pod: &Pod<'a>, name: &str) -> bool {
        let volume = pod.volume(name);
        volume.is_none_or(|volume| !volume.is_empty_dir() || self.of(name).is_filled_by_init)
    }

    /// Whether the only uses of a volume are so many conflicting mounts, so that its source can be
    /// swapped. A volume that the API server refuses (two sources, a repeated name) stays (A4).
    pub(super) fn is_swappable(&self, pod: &Pod<'a>, name: &str, conflicts: usize) -> bool {
        let uses = self.of(name);
        let sources = pod.volume(name).map_or(0, |volume| volume.sources);
        conflicts == uses.mounts && uses.volumes == 1 && sources <= 1 && !uses.is_block_device
    }

    /// Whether a volume projects an item to a file below a clean path in the volume.
    pub(super) fn has_item_below(&mut self, volume: &Volume<'a>, path: &str) -> bool {
        let items = self.items.entry(volume.name.clone());
        let items = items.or_insert_with(|| SortedPaths::of(volume.item_paths()));
        items.has_below(path)
    }

    /// Returns the index that a mount has now, unless it was removed.
    fn index(&self, mount: &MountId<'a>) -> Option<usize> {
        let removed = self
            .removed
            .get(&mount.container)
            .map_or(&[][..], Vec::as_slice);
        let before = removed.binary_search(&mount.index).err()?;
        Some(mount.index - before)
    }

    /// Returns a mount with the index that it has now, unless it was removed.
    pub(super) fn current(&self, mount: &MountId<'a>) -> Option<MountId<'a>> {
        let index = self.index(mount)?;
        Some(MountId {
            index,
            ..mount.clone()
        })
    }

    pub(super) fn add(&mut self, volume: &Text<'a>) {
        self.uses.entry(volume.clone()).or_default().mounts += 1;
    }

    pub(super) fn subtract(&mut self, volume: &Text<'a>) {
        let uses = self.uses.entry(volume.clone()).or_default();
        uses.mounts = uses.mounts.saturating_sub(1);
    }

    /// Records the removal of a mount.
    pub(super) fn remove(&mut self, mount: &DirectoryMount<'a>) {
        let removed = self.removed.entry(mount.id.container).or_default();
        let at = removed.partition_point(|index| *index < mount.id.index);
        removed.insert(at, mount.id.index);
        self.subtract(&mount.volume);
    }
}

/// The init containers of the runner mount every volume of its configuration and write to none
/// (GitLab Runner `executors/kubernetes/kubernetes.go`: `init-permissions`, `init-logs`, …). A
/// native sidecar runs beside dind.
fn is_of_runner(container: &Container<'_>) -> bool {
    container.name().starts_with("init-") || is_native_sidecar(container)
}

#[cfg(test)]
mod tests;
