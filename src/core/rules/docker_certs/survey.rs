//! One reading of a pod for all certificate directories: what each volume serves.
//!
//! A pod may have as many directories as dind containers, so nothing here is read once for each of
//! them. Places of mounts are those before the first change; [`Survey::position`] says where a
//! mount is now.

use super::directory::MountKind;
use crate::core::mount_path::SortedPaths;
use crate::core::pod::{Container, ContainerId, ContainerList, Pod, Text, Volume, text};
use crate::core::rules::change::MountId;
use std::collections::HashMap;

/// What is known of a volume name.
#[derive(Clone, Copy, Debug, Default)]
struct Use {
    /// The first volume of the name, in the pod's list.
    index: Option<usize>,
    /// How many volumes have the name.
    volumes: usize,
    /// How many mounts name it, in all containers.
    mounts: usize,
    /// Whether a container uses it as a raw block device.
    is_device: bool,
    /// Whether an init container of the pod's author may have written to it before dind starts.
    is_filled_at_start: bool,
}

pub(super) struct Survey<'a> {
    uses: HashMap<Text<'a>, Use>,
    /// The paths of a volume's items, by its place, where that was asked.
    items: HashMap<usize, SortedPaths>,
    /// The places of removed mounts, in order.
    removed: HashMap<ContainerId, Vec<usize>>,
}

impl<'a> Survey<'a> {
    /// Reads a pod.
    pub(super) fn new(pod: &Pod<'a>) -> Self {
        Self {
            uses: uses(pod),
            items: HashMap::new(),
            removed: HashMap::new(),
        }
    }

    /// Returns the first volume of a name.
    pub(super) fn volume<'p>(&self, pod: &'p Pod<'a>, name: &str) -> Option<&'p Volume<'a>> {
        pod.volumes().get(self.volume_index(name)?)
    }

    pub(super) fn volume_index(&self, name: &str) -> Option<usize> {
        self.uses.get(name)?.index
    }

    /// Whether a volume may hold files when dind starts: an emptyDir is empty then, unless an init
    /// container fills it (D6).
    pub(super) fn brings_content(&self, pod: &Pod<'a>, name: &str) -> bool {
        let is_filled = self
            .uses
            .get(name)
            .is_some_and(|known| known.is_filled_at_start);
        self.volume(pod, name)
            .is_none_or(|volume| !volume.is_empty_dir() || is_filled)
    }

    /// Whether `conflicts` are all that a volume does, so that its source can be swapped.
    /// A volume that the API server refuses (two sources, a name used twice) is not mended (A4).
    pub(super) fn serves_nothing_else(&self, pod: &Pod<'a>, name: &str, conflicts: usize) -> bool {
        let Some(known) = self.uses.get(name) else {
            return false;
        };
        let sources = self.volume(pod, name).map_or(0, |volume| volume.sources);
        conflicts == known.mounts && known.volumes == 1 && sources <= 1 && !known.is_device
    }

    /// Whether a volume projects an item to a file below a clean path of its own.
    pub(super) fn has_item_below(&mut self, pod: &Pod<'a>, name: &str, path: &str) -> bool {
        let Some(index) = self.volume_index(name) else {
            return false;
        };
        let Some(volume) = pod.volumes().get(index) else {
            return false;
        };
        let items = self.items.entry(index);
        let items = items.or_insert_with(|| SortedPaths::of(volume.item_paths()));
        items.has_below(path)
    }

    /// Returns the places of the mounts of a container that were removed, in order.
    pub(super) fn removed_of(&self, id: ContainerId) -> &[usize] {
        self.removed.get(&id).map_or(&[], Vec::as_slice)
    }

    /// Returns the index that a mount has now.
    pub(super) fn position(&self, id: &MountId<'a>) -> usize {
        let removed = self.removed.get(&id.container);
        let before = removed.map_or(0, |removed| removed.partition_point(|at| *at < id.index));
        id.index - before
    }

    /// Returns how many mounts name a volume now.
    pub(super) fn mounts_of(&self, name: &str) -> usize {
        self.uses.get(name).map_or(0, |known| known.mounts)
    }

    /// Takes note that mounts were removed.
    pub(super) fn note_removed(&mut self, mounts: &[&MountKind<'a>]) {
        for mount in mounts {
            let removed = self.removed.entry(mount.id.container).or_default();
            let at = removed.partition_point(|at| *at < mount.id.index);
            removed.insert(at, mount.id.index);
            self.count(&mount.volume, |mounts| mounts.saturating_sub(1));
        }
    }

    /// Takes note that a mount now names another volume.
    pub(super) fn note_pointed(&mut self, was: &Text<'a>, volume: &Text<'a>) {
        self.count(was, |mounts| mounts.saturating_sub(1));
        self.note_mounted(volume);
    }

    /// Takes note of a new mount.
    pub(super) fn note_mounted(&mut self, volume: &Text<'a>) {
        self.count(volume, |mounts| mounts + 1);
    }

    fn count(&mut self, volume: &Text<'a>, change: impl Fn(usize) -> usize) {
        let known = self.uses.entry(volume.clone()).or_default();
        known.mounts = change(known.mounts);
    }
}

fn uses<'a>(pod: &Pod<'a>) -> HashMap<Text<'a>, Use> {
    let mut uses: HashMap<Text<'a>, Use> = HashMap::with_capacity(pod.volumes().len());
    for (index, volume) in pod.volumes().iter().enumerate() {
        let known = uses.entry(volume.name.clone()).or_default();
        known.index.get_or_insert(index);
        known.volumes += 1;
    }
    for (id, container) in pod.containers() {
        let fills = id.list == ContainerList::InitContainers && !is_of_the_runner(container);
        for mount in container.mounts() {
            let known = match uses.get_mut(mount.volume()) {
                Some(known) => known,
                None => uses
                    .entry(mount.name.clone().unwrap_or_default())
                    .or_default(),
            };
            known.mounts += 1;
            known.is_filled_at_start |= fills;
        }
        for device in container.volume_devices.iter().flatten() {
            if let Some(known) = uses.get_mut(text(&device.name)) {
                known.is_device = true;
            }
        }
    }
    uses
}

/// The runner's own init containers mount every volume of its configuration and fill none
/// (GitLab Runner `executors/kubernetes/kubernetes.go`: `init-permissions`, `init-logs`, …). A
/// native sidecar runs beside dind.
fn is_of_the_runner(container: &Container<'_>) -> bool {
    container.name().starts_with("init-")
        || crate::core::job_pod::dind::is_native_sidecar(container)
}
