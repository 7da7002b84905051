//! The volume that all containers share at a certificate directory (rules D3, D7 and D9).

use super::Repairer;
use super::directory::Directory;
use super::mounts::{DirectoryMount, VolumeUses};
use crate::core::pod::{Pod, Text, VolumeMount};
use crate::core::policy::{ClientCerts, OnConflict};
use crate::core::rules::change::{Action, NewMount};
use std::collections::HashMap;

/// The preferred name of a new volume.
const NEW_VOLUME: &str = "drydock-docker-certs";

/// The shared volume.
pub(super) enum SharedVolume<'a> {
    /// A volume of the pod, unchanged. All containers mount the same part of it as this mount.
    Kept(VolumeMount<'a>),
    /// A volume of the pod, whose source becomes a memory-backed emptyDir.
    Swapped { name: Text<'a>, index: usize },
    /// A new volume.
    New,
}

impl<'a> SharedVolume<'a> {
    /// Chooses the emptyDir that dind mounts at the directory, if it is writable or in memory;
    /// otherwise the first conflicting volume without other mounts; otherwise a new volume. With
    /// `onConflict: Relocate` no conflicting volume is chosen, because it keeps its source.
    /// `mounts` has only valid mounts.
    pub(super) fn choose(
        pod: &Pod<'a>,
        certs: &ClientCerts,
        directory: &Directory,
        mounts: &[DirectoryMount<'a>],
        uses: &VolumeUses<'a>,
    ) -> Self {
        if let Some(dind_mount) = find_dind_mount(pod, directory, mounts, uses) {
            return Self::Kept(common_mount(directory, mounts, dind_mount));
        }
        if certs.on_conflict == OnConflict::Relocate {
            return Self::New;
        }
        // dind has no volume that can be kept, so every mount counts as a conflict.
        let mut conflicts: HashMap<&Text<'a>, usize> = HashMap::new();
        for mount in mounts {
            *conflicts.entry(mount.volume()).or_default() += 1;
        }
        let swappable = conflicts
            .into_iter()
            .filter(|(name, count)| uses.is_swappable(pod, name, *count))
            .filter_map(|(name, _)| uses.index(name));
        let first = swappable.min();
        match first.and_then(|index| Some((index, pod.volumes().get(index)?))) {
            None => Self::New,
            Some((_, volume)) if volume.is_memory() => Self::Kept(whole(&volume.name)),
            Some((index, volume)) => Self::Swapped {
                name: volume.name.clone(),
                index,
            },
        }
    }

    /// Returns whether a mount conflicts with the shared volume at the directory (D4).
    pub(super) fn conflicts_with(&self, directory: &Directory, mount: &DirectoryMount<'a>) -> bool {
        match self {
            Self::Kept(kept) if mount.is_at_directory() => {
                let is_read_only = mount.mount.is_read_only();
                !mounts_same_part(&mount.mount, kept)
                    || (is_read_only && directory.is_written_by(mount.id.container))
            }
            _ => true,
        }
    }

    /// Returns whether the shared volume is this volume of the pod, unchanged.
    pub(super) fn keeps(&self, volume: &Text<'_>) -> bool {
        matches!(self, Self::Kept(kept) if kept.name == *volume)
    }
}

impl<'a> Repairer<'_, '_, 'a> {
    /// Swaps or adds the volume if necessary. Returns its mount at the directory.
    pub(super) fn provide_volume(
        &mut self,
        shared: SharedVolume<'a>,
        directory: &Directory,
    ) -> NewMount<'a> {
        let certs = self.certs;
        let (name, sub_path) = match shared {
            SharedVolume::Kept(kept) => (kept.name, kept.sub_path),
            SharedVolume::Swapped { name, index } => {
                let volume = self.planner.pod.volumes().get(index);
                let action = Action::SwapVolume(
                    index,
                    name.clone(),
                    volume.map(|volume| volume.kind.clone()).unwrap_or_default(),
                    directory.path.clone(),
                    certs,
                );
                self.planner.change(self.policy, action);
                (name, Text::default())
            }
            SharedVolume::New => {
                let purpose = format!(
                    " (in memory, {}) for the client certificates of dind",
                    certs.size_limit
                );
                let (planner, policy) = (&mut *self.planner, self.policy);
                let name = planner.add_volume(policy, NEW_VOLUME, &certs.volume, "D7", purpose);
                (name, Text::default())
            }
        };
        NewMount {
            sub_path,
            ..NewMount::new(name, directory.path.clone(), false)
        }
    }
}

/// Returns dind's mount of an emptyDir at the directory, if the mount is writable or the emptyDir
/// is in memory. A volume that `build` mounts at the directory too is preferred. Of several mounts,
/// the last one is returned.
fn find_dind_mount<'m, 'a>(
    pod: &Pod<'a>,
    directory: &Directory,
    mounts: &'m [DirectoryMount<'a>],
    uses: &VolumeUses<'a>,
) -> Option<&'m DirectoryMount<'a>> {
    let at_directory = || mounts.iter().filter(|mount| mount.is_at_directory());
    let candidates = || {
        at_directory().filter(|mount| {
            directory.is_written_by(mount.id.container)
                && uses.volume(pod, mount.volume()).is_some_and(|volume| {
                    volume.is_empty_dir() && (volume.is_memory() || !mount.mount.is_read_only())
                })
        })
    };
    let build_mount = at_directory().rfind(|mount| Some(mount.id.container) == directory.build);
    build_mount
        .and_then(|build| candidates().rfind(|mount| mount.volume() == build.volume()))
        .or_else(|| candidates().next_back())
}

/// Returns a mount of the part of dind's volume that all containers can mount. A `subPathExpr`
/// needs variables that another container may not have. So it is kept only if all containers have
/// it; otherwise the whole volume is mounted.
fn common_mount<'a>(
    directory: &Directory,
    mounts: &[DirectoryMount<'a>],
    dind_mount: &DirectoryMount<'a>,
) -> VolumeMount<'a> {
    let at_directory = || mounts.iter().filter(|mount| mount.is_at_directory());
    let is_common = || {
        at_directory().all(|mount| mounts_same_part(&mount.mount, &dind_mount.mount))
            && directory
                .users()
                .all(|id| at_directory().any(|mount| mount.id.container == id))
    };
    if dind_mount.mount.sub_path_expr.is_empty() || is_common() {
        dind_mount.mount.clone()
    } else {
        whole(dind_mount.volume())
    }
}

/// Returns a mount of a whole volume.
fn whole<'a>(volume: &Text<'a>) -> VolumeMount<'a> {
    VolumeMount {
        name: volume.clone(),
        ..VolumeMount::default()
    }
}

fn mounts_same_part(one: &VolumeMount<'_>, other: &VolumeMount<'_>) -> bool {
    one.name == other.name && one.sub_paths() == other.sub_paths()
}

#[cfg(test)]
mod tests;
