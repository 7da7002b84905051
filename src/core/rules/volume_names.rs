//! Unused names for the volumes to add (rule V4).

use crate::core::pod::{Pod, Text};
use std::collections::{BTreeMap, BTreeSet};

/// The names of the pod's volumes, and the next number for each preferred name.
#[derive(Debug, Default)]
pub(super) struct VolumeNames<'a> {
    /// The names in use; `None` as long as every preferred name was unused.
    taken: Option<BTreeSet<Text<'a>>>,
    /// For each preferred name, the lowest number that may be unused.
    next: BTreeMap<Text<'a>, usize>,
}

impl<'a> VolumeNames<'a> {
    /// Returns a name that no volume or mount of the pod has: `preferred`, or `preferred` with a
    /// number. Names in mounts count too: the API server refuses a mount of a missing volume, and a
    /// new volume must not make such a pod valid.
    pub(super) fn take(&mut self, pod: &Pod<'a>, preferred: Text<'a>) -> Text<'a> {
        if self.taken.is_none() && !names(pod).any(|name| *name == preferred) {
            return preferred;
        }
        let taken = self
            .taken
            .get_or_insert_with(|| names(pod).cloned().collect());
        if taken.insert(preferred.clone()) {
            return preferred;
        }
        let number = self.next.entry(preferred.clone()).or_insert(2);
        // The loop ends, because the set of used names is finite.
        loop {
            let name = Text::from(numbered(&preferred, *number));
            *number += 1;
            if taken.insert(name.clone()) {
                return name;
            }
        }
    }
}

/// Returns the names of the pod's volumes, and the names in mounts and block devices.
fn names<'p, 'a>(pod: &'p Pod<'a>) -> impl Iterator<Item = &'p Text<'a>> {
    let volumes = pod.volumes().iter().map(|volume| &volume.name);
    volumes.chain(pod.containers().flat_map(|(_, container)| {
        let mounts = container.mounts().iter().map(|mount| &mount.name);
        let devices = container.volume_devices.iter().flatten();
        mounts.chain(devices.map(|device| &device.name))
    }))
}

/// Appends a number to a name. Truncates the name so that the result has at most 63 characters.
fn numbered(preferred: &str, number: usize) -> String {
    let suffix = format!("-{number}");
    let length = 63_usize.saturating_sub(suffix.len());
    format!("{}{suffix}", preferred.get(..length).unwrap_or(preferred))
}
