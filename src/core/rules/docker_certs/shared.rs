//! The one volume that all containers share at a certificate directory (rules D3, D7 and D9).

use super::Planner;
use super::directory::{Directory, MountKind, Relation, SubPaths};
use super::survey::Survey;
use crate::core::pod::{Pod, Text, Volume};
use crate::core::policy::{ClientCerts, OnConflict, Policy};
use crate::core::rules::change::{Action, NewSource};
use std::collections::HashMap;

/// What the volume is called that drydock adds, where the pod has no volume of that name.
const NEW_VOLUME: &str = "drydock-docker-certs";

/// The volume that all containers are to share.
pub(super) enum Shared<'a> {
    /// One that the pod has and that stays as it is; all mount the same part of it.
    Kept {
        name: Text<'a>,
        sub_paths: SubPaths<'a>,
    },
    /// One that the pod has, whose source becomes a memory-backed emptyDir.
    Swapped { name: Text<'a>, index: usize },
    /// One that is added.
    New,
}

impl<'a> Shared<'a> {
    /// Chooses the volume: the emptyDir that dind has there, writable or in memory; else the first
    /// conflicting volume that is mounted nowhere else; else a new one. With Relocate a conflicting
    /// volume is kept, so it is never swapped.
    pub(super) fn choose(
        pod: &Pod<'a>,
        certs: &ClientCerts,
        directory: &Directory,
        mounts: &[&MountKind<'a>],
        survey: &Survey<'a>,
    ) -> Self {
        if let Some(mount) = of_dind(pod, directory, mounts, survey) {
            return Self::Kept {
                name: mount.volume.clone(),
                sub_paths: common_sub_paths(directory, mounts, mount),
            };
        }
        if matches!(certs.on_conflict, OnConflict::Relocate(_)) {
            return Self::New;
        }
        let mut conflicts: HashMap<&Text<'a>, usize> = HashMap::new();
        for mount in mounts.iter().filter(|mount| mount.relation.is_conflict()) {
            *conflicts.entry(&mount.volume).or_default() += 1;
        }
        let only_in_the_way = conflicts
            .into_iter()
            .filter(|(name, number)| survey.serves_nothing_else(pod, name, *number))
            .filter_map(|(name, _)| survey.volume_index(name));
        let first = only_in_the_way.min();
        match first.and_then(|index| Some((index, pod.volumes().get(index)?))) {
            None => Self::New,
            Some((_, volume)) if volume.is_memory() => Self::Kept {
                name: volume.name.clone(),
                sub_paths: SubPaths::default(),
            },
            Some((index, volume)) => Self::Swapped {
                name: volume.name.clone(),
                index,
            },
        }
    }

    /// Whether a mount is in the way once this volume is shared (D4).
    pub(super) fn conflicts_with(&self, directory: &Directory, mount: &MountKind<'a>) -> bool {
        match (mount.relation, self) {
            (Relation::At, Self::Kept { name, sub_paths }) => {
                let is_blocked = mount.read_only && directory.is_written_by(mount.id.container);
                mount.volume != *name || mount.sub_paths != *sub_paths || is_blocked
            }
            (relation, _) => relation.is_conflict(),
        }
    }

    /// Whether the pod has this volume and it stays as it is.
    pub(super) fn keeps(&self, volume: &Text<'_>) -> bool {
        matches!(self, Self::Kept { name, .. } if name == volume)
    }

    /// Returns the part of the volume that is mounted.
    pub(super) fn sub_path(&self) -> Option<Text<'a>> {
        match self {
            Self::Kept { sub_paths, .. } if !sub_paths.path.is_empty() => {
                Some(sub_paths.path.clone())
            }
            _ => None,
        }
    }

    /// Makes the volume exist; returns its name.
    pub(super) fn provide(
        self,
        planner: &mut Planner<'_, 'a>,
        policy: &'a Policy,
        certs: &'a ClientCerts,
        directory: &Directory,
    ) -> Text<'a> {
        let size_limit = certs.size_limit.as_str();
        match self {
            Self::Kept { name, .. } => name,
            Self::Swapped { name, index } => {
                let volume = planner.pod.volumes().get(index);
                let was = volume.map(|volume| volume.kind.clone()).unwrap_or_default();
                let dropped = volume.and_then(Volume::foreign_source);
                let directory = directory.path.clone();
                let action = Action::SwapVolume {
                    index,
                    name: name.clone(),
                    was,
                    dropped,
                    directory,
                    size_limit,
                };
                planner.change(policy, action);
                name
            }
            Self::New => {
                let source = NewSource::Memory { size_limit };
                planner.add_volume(policy, NEW_VOLUME, source)
            }
        }
    }
}

/// Returns dind's mount of an emptyDir at the directory that all can share. Of several mounts at one
/// place the later one wins; of several dind containers, the one that shares with `build`.
fn of_dind<'m, 'a>(
    pod: &Pod<'a>,
    directory: &Directory,
    mounts: &[&'m MountKind<'a>],
    survey: &Survey<'a>,
) -> Option<&'m MountKind<'a>> {
    let at_directory = |mount: &&MountKind<'_>| mount.relation == Relation::At;
    let can_be_shared = |mount: &&MountKind<'_>| {
        directory.is_written_by(mount.id.container)
            && survey.volume(pod, &mount.volume).is_some_and(|volume| {
                volume.is_empty_dir() && (volume.is_memory() || !mount.read_only)
            })
    };
    let of_build = mounts
        .iter()
        .copied()
        .filter(at_directory)
        .rfind(|mount| Some(mount.id.container) == directory.build);
    let candidates = || {
        let mounts = mounts.iter().copied();
        mounts.filter(at_directory).filter(can_be_shared)
    };
    of_build
        .and_then(|of_build| candidates().rfind(|mount| mount.volume == of_build.volume))
        .or_else(|| candidates().next_back())
}

/// Returns the part of dind's volume that all are to mount. A `subPathExpr` needs variables that
/// another container may lack, so it stays only where no mount has to be changed or added for it.
fn common_sub_paths<'a>(
    directory: &Directory,
    mounts: &[&MountKind<'a>],
    of_dind: &MountKind<'a>,
) -> SubPaths<'a> {
    let is_same = |mount: &MountKind<'a>| {
        mount.volume == of_dind.volume && mount.sub_paths == of_dind.sub_paths
    };
    let at_directory = || {
        let mounts = mounts.iter().copied();
        mounts.filter(|mount| mount.relation == Relation::At)
    };
    let has_it = |id| at_directory().any(|mount| mount.id.container == id);
    let is_common = at_directory().all(is_same) && directory.users().all(has_it);
    if of_dind.sub_paths.expr.is_empty() || is_common {
        of_dind.sub_paths.clone()
    } else {
        SubPaths::default()
    }
}

#[cfg(test)]
mod tests;
