//! One reading of a pod for all certificate directories: which mounts have to do with which
//! directory, and what each volume serves.
//!
//! A pod may have as many directories as dind containers, so nothing here is read once for each of
//! them. Places of mounts are those before the first change; [`Survey::position`] says where a
//! mount is now.

use super::directory::{Directory, MountKind, Relation, SubPaths};
use crate::mount_path::Outermost;
use crate::mutate::change::MountId;
use crate::pod::{Container, ContainerId, ContainerList, Pod, Text, Volume, VolumeMount, text};
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
    /// For each directory the mounts at it, below it, and the ancestors that are in its way.
    mounts: Vec<Vec<MountKind<'a>>>,
    /// The places of removed mounts, in order.
    removed: HashMap<ContainerId, Vec<usize>>,
}

impl<'a> Survey<'a> {
    /// Reads a pod; of the directories only the outermost can be freed.
    pub(super) fn new(
        pod: &Pod<'a>,
        directories: &[Directory],
        outermost: &Outermost<Text<'static>>,
    ) -> Self {
        let mut survey = Self {
            uses: uses(pod),
            mounts: vec![Vec::new(); directories.len()],
            removed: HashMap::new(),
        };
        for (id, container) in pod.containers() {
            let mounts = container.mounts().iter().map(VolumeMount::path).enumerate();
            let related = mounts.filter_map(|(index, path)| {
                let (directory, at) = outermost.at_or_above(path)?;
                let is_at = directory.len() == path.len();
                Some((
                    at,
                    index,
                    if is_at { Relation::At } else { Relation::Below },
                ))
            });
            survey.record((id, container), related);
        }
        for (at, directory) in directories.iter().enumerate() {
            for id in directory.users() {
                let Some(container) = pod.container(id) else {
                    continue;
                };
                let ancestors = directory.unwritable_ancestors(pod, &survey, (id, container));
                let ancestors = ancestors.into_iter();
                let related = ancestors.map(|index| (at, index, Relation::UnwritableAncestor));
                survey.record((id, container), related);
            }
        }
        for mounts in &mut survey.mounts {
            mounts.sort_by_key(|mount| (mount.id.container, mount.id.index));
        }
        survey
    }

    /// Records mounts of one container that have to do with directories.
    fn record(
        &mut self,
        (id, container): (ContainerId, &Container<'a>),
        related: impl Iterator<Item = (usize, usize, Relation)>,
    ) {
        // Counted only where a mount is to be removed.
        let mut texts = None;
        for (at, index, relation) in related {
            let Some(mount) = container.mounts().get(index) else {
                continue;
            };
            let is_repeated = relation != Relation::At && {
                let texts = texts.get_or_insert_with(|| written_paths(container));
                let number = texts.get(&mount.written_path());
                number.is_some_and(|number| *number > 1)
            };
            self.push(at, (id, container), (index, mount), relation, is_repeated);
        }
    }

    fn push(
        &mut self,
        at: usize,
        (container_id, container): (ContainerId, &Container<'a>),
        (index, mount): (usize, &VolumeMount<'a>),
        relation: Relation,
        is_repeated: bool,
    ) {
        let exists = self
            .uses
            .get(mount.volume())
            .is_some_and(|known| known.index.is_some());
        let kind = MountKind {
            id: MountId {
                container: container_id,
                container_name: container.name.clone().unwrap_or_default(),
                index,
                path: mount.written_path(),
            },
            volume: mount.name.clone().unwrap_or_default(),
            relation: if exists && !is_repeated {
                relation
            } else {
                Relation::LeftInvalid
            },
            is_at_directory: relation == Relation::At,
            read_only: mount.is_read_only(),
            sub_paths: SubPaths::of(mount),
        };
        if let Some(mounts) = self.mounts.get_mut(at) {
            mounts.push(kind);
        }
    }

    /// Takes the mounts that have to do with a directory, in the pod's order.
    pub(super) fn take_mounts(&mut self, directory: usize) -> Vec<MountKind<'a>> {
        let mounts = self.mounts.get_mut(directory);
        let mut mounts = mounts.map(std::mem::take).unwrap_or_default();
        // An ancestor that an earlier directory had removed.
        mounts.retain(|mount| !self.is_removed(mount.id.container, mount.id.index));
        mounts
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

    fn is_removed(&self, id: ContainerId, index: usize) -> bool {
        let removed = self.removed.get(&id);
        removed.is_some_and(|removed| removed.binary_search(&index).is_ok())
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
    container.name().starts_with("init-") || crate::job_pod::dind::is_native_sidecar(container)
}

fn written_paths<'a>(container: &Container<'a>) -> HashMap<Text<'a>, usize> {
    let mut texts = HashMap::new();
    for mount in container.mounts() {
        *texts.entry(mount.written_path()).or_default() += 1;
    }
    texts
}
