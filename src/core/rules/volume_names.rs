//! Names for volumes that are added (rule V4).

use crate::core::pod::{Pod, Text, text};
use std::collections::{BTreeMap, BTreeSet};

/// So often the pod is searched for a name; then the names are collected.
const SEARCHES: usize = 8;

/// The names that volumes of the pod have, and what was tried of each preferred one.
#[derive(Debug, Default)]
pub(super) struct VolumeNames<'a> {
    searches: usize,
    taken: Option<BTreeSet<Text<'a>>>,
    /// The number from which on a preferred name may be free: a name that is taken stays so.
    next: BTreeMap<Text<'a>, usize>,
}

impl<'a> VolumeNames<'a> {
    /// Returns a name that no volume of the pod and no mount uses, the preferred one if possible.
    /// Mounts count, because a new volume must not give one a meaning that has none: that pod is for the API server to refuse.
    pub(super) fn free(&mut self, pod: &Pod<'a>, preferred: Text<'a>) -> Text<'a> {
        if !self.is_taken(pod, &preferred) {
            return preferred;
        }
        let mut number = self.next.get(&preferred).copied().unwrap_or(2);
        // It ends: a pod has finitely many volumes.
        loop {
            let name = numbered(&preferred, number);
            number += 1;
            if !self.is_taken(pod, &name) {
                self.next.insert(preferred, number);
                return Text::from(name);
            }
        }
    }

    /// Takes note of a volume that is added.
    pub(super) fn take(&mut self, name: &Text<'a>) {
        if let Some(taken) = &mut self.taken {
            taken.insert(name.clone());
        }
    }

    fn is_taken(&mut self, pod: &Pod<'a>, name: &str) -> bool {
        if self.taken.is_none() && self.searches < SEARCHES {
            self.searches += 1;
            let mut volumes = pod.volumes().iter();
            return volumes.any(|volume| &*volume.name == name)
                || mounted(pod).any(|mounted| text(mounted) == name);
        }
        let taken = self.taken.get_or_insert_with(|| {
            let volumes = pod.volumes().iter().map(|volume| volume.name.clone());
            // A mount without a name counts as one of the empty name.
            let mounted = mounted(pod).map(|name| name.clone().unwrap_or_default());
            volumes.chain(mounted).collect()
        });
        taken.contains(name)
    }
}

/// Returns the volumes that mounts and block devices name.
fn mounted<'p, 'a>(pod: &'p Pod<'a>) -> impl Iterator<Item = &'p Option<Text<'a>>> {
    pod.containers().flat_map(|(_, container)| {
        let mounts = container.mounts().iter().map(|mount| &mount.name);
        let devices = container.volume_devices.iter().flatten();
        mounts.chain(devices.map(|device| &device.name))
    })
}

/// Returns a name with a number behind, within what a volume's name may have.
fn numbered(preferred: &str, number: usize) -> String {
    let suffix = format!("-{number}");
    let room = 63_usize.saturating_sub(suffix.len());
    format!("{}{suffix}", preferred.get(..room).unwrap_or(preferred))
}
