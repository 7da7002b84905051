//! The mounts at, below and above a certificate directory (rules D4 and D5), and uses of volumes.

use super::directory::Directory;
use crate::core::job_pod::dind::is_native_sidecar;
use crate::core::mount_path::{self, SortedPaths};
use crate::core::pod::{Container, ContainerId, ContainerList, Pod, Text, Volume, VolumeMount};
use crate::core::rules::change::MountId;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

/// The position of a mount relative to a directory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Relation {
    At,
    /// Below the directory, for example a file that is mounted with `subPath`.
    Below,
    /// Above the directory, in dind or `build`. Because of this mount, dind cannot write to the
    /// directory, or nothing can be mounted at the directory.
    UnwritableAncestor,
}

/// The position of a mount at, below or above a certificate directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct MountPosition {
    pub(super) container: ContainerId,
    /// The index in `volumeMounts`.
    pub(super) index: usize,
    pub(super) relation: Relation,
    /// Whether the API server refuses the mount. Such a mount is not repaired, because that would
    /// make an invalid pod valid (A4).
    pub(super) is_invalid: bool,
}

impl MountPosition {
    /// Returns the mount and its container.
    pub(super) fn find<'p, 'a>(
        &self,
        pod: &'p Pod<'a>,
    ) -> Option<(&'p Container<'a>, &'p VolumeMount<'a>)> {
        let container = pod.container(self.container)?;
        Some((container, container.mounts().get(self.index)?))
    }
}

/// A copy of a valid mount at, below or above a certificate directory. It is a copy because a
/// repair changes the pod.
#[derive(Clone, Debug)]
pub(super) struct DirectoryMount<'a> {
    pub(super) id: MountId<'a>,
    pub(super) mount: VolumeMount<'a>,
    pub(super) relation: Relation,
}

impl<'a> DirectoryMount<'a> {
    pub(super) fn of(pod: &Pod<'a>, position: &MountPosition) -> Option<Self> {
        let (container, mount) = position.find(pod)?;
        Some(Self {
            id: MountId {
                container: position.container,
                container_name: container.name.clone(),
                index: position.index,
                path: mount.written_path(),
            },
            mount: mount.clone(),
            relation: position.relation,
        })
    }

    pub(super) fn is_at_directory(&self) -> bool {
        self.relation == Relation::At
    }

    pub(super) fn volume(&self) -> &Text<'a> {
        &self.mount.name
    }
}

/// Returns the mounts that prevent writing to a directory below them, or mounting a volume there
/// (D4): the nearest mount, if it is unwritable, and the ones above up to a writable one. The
/// kubelet can create mount points in the volumes that it fills. So in `build` these volumes stay,
/// and the directory is mounted inside them (D7).
fn unwritable_ancestors<'p, 'a>(
    pod: &'p Pod<'a>,
    directory: &Directory,
    (id, container): (ContainerId, &'p Container<'a>),
    uses: &VolumeUses<'a>,
) -> impl Iterator<Item = (usize, &'p VolumeMount<'a>)> {
    let mounts = container.mounts().iter().enumerate();
    let is_above = |(_, mount): &(usize, &VolumeMount<'a>)| {
        mount_path::is_below(&directory.path, mount.path())
    };
    let mut above: Vec<(usize, &VolumeMount<'a>)> = mounts.filter(is_above).collect();
    // The nearest mount is first. Of several mounts at one path, the last one is effective.
    above.sort_by_key(|(index, mount)| Reverse((mount.path().len(), *index)));
    above.into_iter().take_while(move |(_, mount)| {
        let volume = uses.volume(pod, &mount.name);
        let can_have_mount_points =
            volume.is_some_and(Volume::is_filled_by_kubelet) && !directory.is_written_by(id);
        let is_unwritable = mount.is_read_only() || volume.is_some_and(Volume::is_read_only);
        is_unwritable && !can_have_mount_points
    })
}

/// The uses of each volume, by its name.
pub(super) struct VolumeUses<'a> {
    uses: HashMap<Text<'a>, Uses>,
    /// The item paths of volumes that may provide server certificates.
    items: HashMap<Text<'a>, SortedPaths>,
    /// Each container and path, as written, at which the container has several mounts. Collected
    /// before the first removal of a mount.
    repeated_paths: Option<HashSet<(ContainerId, Text<'a>)>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Uses {
    /// The index of the first volume with the name.
    first: Option<usize>,
    /// The number of volumes with the name.
    volumes: usize,
    /// The number of mounts in all containers.
    mounts: usize,
    is_block_device: bool,
    /// Whether an init container of the pod's author may write to the volume before dind starts.
    is_filled_by_init: bool,
}

impl<'a> VolumeUses<'a> {
    pub(super) fn new(pod: &Pod<'a>) -> Self {
        let mut uses: HashMap<Text<'a>, Uses> = HashMap::with_capacity(pod.volumes().len());
        for (index, volume) in pod.volumes().iter().enumerate() {
            let uses = uses.entry(volume.name.clone()).or_default();
            uses.first.get_or_insert(index);
            uses.volumes += 1;
        }
        for (id, container) in pod.containers() {
            let may_write =
                id.list == ContainerList::InitContainers && !is_of_runner_or_sidecar(container);
            for mount in container.mounts() {
                let uses = match uses.get_mut(&mount.name) {
                    Some(uses) => uses,
                    None => uses.entry(mount.name.clone()).or_default(),
                };
                uses.mounts += 1;
                uses.is_filled_by_init |= may_write;
            }
            for device in container.volume_devices.iter().flatten() {
                if let Some(uses) = uses.get_mut(&device.name) {
                    uses.is_block_device = true;
                }
            }
        }
        Self {
            uses,
            items: HashMap::new(),
            repeated_paths: None,
        }
    }

    fn of(&self, name: &str) -> Uses {
        self.uses.get(name).copied().unwrap_or_default()
    }

    /// Returns the index of the first volume with this name in the original pod.
    pub(super) fn index(&self, name: &str) -> Option<usize> {
        self.of(name).first
    }

    /// Returns the first volume with this name in the original pod.
    pub(super) fn volume<'p>(&self, pod: &'p Pod<'a>, name: &str) -> Option<&'p Volume<'a>> {
        pod.volumes().get(self.index(name)?)
    }

    /// Returns the positions of the mounts at, below and above a directory, in pod order.
    pub(super) fn mounts_of(&mut self, pod: &Pod<'a>, directory: &Directory) -> Vec<MountPosition> {
        let relation = |mount: &VolumeMount<'a>| {
            let path = mount.path();
            if path == &*directory.path {
                return Some(Relation::At);
            }
            mount_path::is_below(path, &directory.path).then_some(Relation::Below)
        };
        let mut positions = Vec::new();
        for (id, container) in pod.containers() {
            let mounts = container.mounts().iter().enumerate();
            let inside = mounts.filter_map(|(index, mount)| Some((index, mount, relation(mount)?)));
            let mut found: Vec<(usize, &VolumeMount<'a>, Relation)> = inside.collect();
            if directory.is_used_by(id) {
                let above = unwritable_ancestors(pod, directory, (id, container), self);
                let above =
                    above.map(|(index, mount)| (index, mount, Relation::UnwritableAncestor));
                found.extend(above);
                found.sort_by_key(|(index, ..)| *index);
            }
            positions.extend(found.into_iter().map(|(index, mount, relation)| {
                // Mounts below and above the directory are removed. The removal of a repeated mount
                // would make an invalid pod valid, so such a mount counts as invalid.
                let is_repeated = relation != Relation::At && self.is_repeated(pod, id, mount);
                MountPosition {
                    container: id,
                    index,
                    relation,
                    is_invalid: is_repeated || self.index(&mount.name).is_none(),
                }
            }));
        }
        positions
    }

    /// Returns whether a container has another mount with the same path as written.
    fn is_repeated(&mut self, pod: &Pod<'a>, id: ContainerId, mount: &VolumeMount<'a>) -> bool {
        let repeated = self.repeated_paths.get_or_insert_with(|| {
            let paths = pod.containers().flat_map(|(id, container)| {
                let mounts = container.mounts().iter();
                mounts.map(move |mount| (id, mount.written_path()))
            });
            let mut seen = HashSet::new();
            paths.filter(|path| !seen.insert(path.clone())).collect()
        });
        repeated.contains(&(id, mount.written_path()))
    }

    /// Returns the current number of mounts of a volume.
    pub(super) fn mounts(&self, name: &str) -> usize {
        self.of(name).mounts
    }

    /// Returns whether a volume may have files when dind starts. An emptyDir has files only if an
    /// init container writes them (D6).
    pub(super) fn may_have_files(&self, pod: &Pod<'a>, name: &str) -> bool {
        let volume = self.volume(pod, name);
        volume.is_none_or(|volume| !volume.is_empty_dir() || self.of(name).is_filled_by_init)
    }

    /// Returns whether the source of a volume can be swapped: its only uses must be conflicting
    /// mounts, whose number is `conflicts`. A volume that the API server refuses (two sources, a
    /// repeated name) stays (A4).
    pub(super) fn is_swappable(&self, pod: &Pod<'a>, name: &str, conflicts: usize) -> bool {
        let uses = self.of(name);
        let volume = self.volume(pod, name);
        let is_valid = uses.volumes == 1 && volume.is_none_or(|volume| volume.source_count <= 1);
        is_valid && conflicts == uses.mounts && !uses.is_block_device
    }

    /// Returns whether a volume has an item below `path`, a clean path in the volume.
    pub(super) fn has_item_below(&mut self, volume: &Volume<'a>, path: &str) -> bool {
        let items = self.items.entry(volume.name.clone());
        let items = items.or_insert_with(|| SortedPaths::of(volume.item_paths()));
        items.has_below(path)
    }

    pub(super) fn add(&mut self, volume: &Text<'a>) {
        self.uses.entry(volume.clone()).or_default().mounts += 1;
    }

    pub(super) fn subtract(&mut self, volume: &str) {
        if let Some(uses) = self.uses.get_mut(volume) {
            uses.mounts = uses.mounts.saturating_sub(1);
        }
    }
}

/// Returns whether an init container belongs to the runner or is a native sidecar. The runner's
/// init containers mount every volume of its configuration and write to none (GitLab Runner
/// `executors/kubernetes/kubernetes.go`: `init-permissions`, `init-logs`, …). A native sidecar runs
/// at the same time as dind, not before it.
fn is_of_runner_or_sidecar(container: &Container<'_>) -> bool {
    container.name.starts_with("init-") || is_native_sidecar(container)
}

#[cfg(test)]
mod tests;
