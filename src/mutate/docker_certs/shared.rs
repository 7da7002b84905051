//! The one volume that all containers share at a certificate directory (rules D7 and D9).

use super::Planner;
use super::directory::{Directory, MountKind, Relation, is_device};
use crate::mutate::change::{Action, NewSource};
use crate::pod::{Pod, Text, Volume, VolumeMount};
use crate::policy::{ClientCerts, OnConflict, Policy};

/// What the volume is called that drydock adds, where the pod has no volume of that name.
const NEW_VOLUME: &str = "drydock-docker-certs";

/// The volume that all containers are to share.
pub(super) enum Shared<'a> {
    /// One that the pod has; `swap` holds its index where its source has to change.
    Existing { name: Text<'a>, swap: Option<usize> },
    /// One that is added.
    New,
}

impl<'a> Shared<'a> {
    /// Chooses the volume: the memory emptyDir that dind has there; else the first conflicting volume that is mounted nowhere else;
    /// else a new one. With Relocate what conflicts is kept, so it is never swapped.
    pub(super) fn choose(
        pod: &Pod<'a>,
        certs: &ClientCerts,
        directory: &Directory,
        mounts: &[MountKind<'a>],
    ) -> Self {
        let is_memory =
            |mount: &&MountKind<'_>| pod.volume(&mount.volume).is_some_and(Volume::is_memory);
        let at_dind = |mount: &&MountKind<'_>| {
            mount.relation == Relation::At && directory.dinds.contains(&mount.id.container)
        };
        // Of several mounts at one place the later one wins.
        if let Some(mount) = mounts.iter().filter(at_dind).rfind(is_memory) {
            return Self::Existing {
                name: mount.volume.clone(),
                swap: None,
            };
        }
        if matches!(certs.on_conflict, OnConflict::Relocate(_)) {
            return Self::New;
        }
        let can_be_shared =
            |(_, volume): &(usize, &Volume<'_>)| is_only_in_the_way(pod, volume, mounts);
        match pod.volumes().iter().enumerate().find(can_be_shared) {
            Some((index, volume)) => Self::Existing {
                name: volume.name.clone(),
                swap: (!volume.is_memory()).then_some(index),
            },
            None => Self::New,
        }
    }

    /// Whether a mount is in the way once this volume is shared (D4).
    pub(super) fn conflicts_with(&self, mount: &MountKind<'_>) -> bool {
        match (mount.relation, self) {
            (Relation::At, Self::Existing { name, swap: None }) => {
                mount.volume != *name || mount.restricted
            }
            (relation, _) => relation.is_conflict(),
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
            Self::Existing { name, swap: None } => name,
            Self::Existing {
                name,
                swap: Some(index),
            } => {
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
                let name = planner.free_volume_name(NEW_VOLUME);
                let list_missing = planner.pod.spec.volumes.is_none();
                let source = NewSource::Memory { size_limit };
                planner.change(
                    policy,
                    Action::AddVolume {
                        list_missing,
                        name: name.clone(),
                        source,
                    },
                );
                name
            }
        }
    }
}

/// Whether all that a volume does is be in the way, so that its source can be swapped.
/// A volume that the API server refuses (two sources, a name used twice) is not mended (A4).
fn is_only_in_the_way(pod: &Pod<'_>, volume: &Volume<'_>, mounts: &[MountKind<'_>]) -> bool {
    let conflicts = mounts
        .iter()
        .filter(|mount| mount.volume == volume.name && mount.relation.is_conflict())
        .count();
    let is_its = |mount: &&VolumeMount<'_>| mount.volume() == &*volume.name;
    let all_mounts = || pod.containers().flat_map(|(_, known)| known.mounts());
    conflicts > 0
        && conflicts == all_mounts().filter(is_its).count()
        && volume.sources <= 1
        && pod
            .volumes()
            .iter()
            .filter(|other| other.name == volume.name)
            .count()
            == 1
        && !is_device(pod, &volume.name)
}

#[cfg(test)]
mod tests;
