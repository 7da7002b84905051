//! Names for volumes that are added (rule V4).

use crate::core::pod::{Pod, Text, text};
use std::collections::{BTreeMap, BTreeSet};

/// The number of searches through the pod before the names are collected.
const MAX_SEARCHES: usize = 8;

/// The names of the pod's volumes, and the next number for each preferred name.
#[derive(Debug, Default)]
pub(super) struct VolumeNames<'a> {
    searches: usize,
    taken: Option<BTreeSet<Text<'a>>>,
    /// The first number that may be free: a taken name stays taken.
    next: BTreeMap<Text<'a>, usize>,
}

impl<'a> VolumeNames<'a> {
    /// Returns a name that no volume or mount of the pod has: the preferred one if possible.
    /// Mounts count, because a new volume must not repair a mount of a missing volume: the API
    /// server refuses that pod.
    pub(super) fn free(&mut self, pod: &Pod<'a>, preferred: Text<'a>) -> Text<'a> {
        if !self.is_taken(pod, &preferred) {
            return preferred;
        }
        let mut number = self.next.get(&preferred).copied().unwrap_or(2);
        // The loop ends: the number of a pod's volumes is finite.
        loop {
            let name = numbered(&preferred, number);
            number += 1;
            if !self.is_taken(pod, &name) {
                self.next.insert(preferred, number);
                return Text::from(name);
            }
        }
    }

    /// Marks the name of a new volume as taken.
    pub(super) fn take(&mut self, name: &Text<'a>) {
        if let Some(taken) = &mut self.taken {
            taken.insert(name.clone());
        }
    }

    fn is_taken(&mut self, pod: &Pod<'a>, name: &str) -> bool {
        let volumes = pod.volumes().iter().map(|volume| &volume.name);
        if self.taken.is_none() && self.searches < MAX_SEARCHES {
            self.searches += 1;
            return volumes.into_iter().any(|volume| &**volume == name)
                || mounted(pod).any(|mounted| text(mounted) == name);
        }
        let taken = self.taken.get_or_insert_with(|| {
            let mounted = mounted(pod).map(|name| name.clone().unwrap_or_default());
            volumes.cloned().chain(mounted).collect()
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

/// Returns a name with a number at its end, within the 63 characters of a volume name.
fn numbered(preferred: &str, number: usize) -> String {
    let suffix = format!("-{number}");
    let length = 63_usize.saturating_sub(suffix.len());
    format!("{}{suffix}", preferred.get(..length).unwrap_or(preferred))
}
