//! A certificate directory, and how each mount of the pod relates to it (rules D4, D5 and D6).

use super::is_restricted;
use crate::mount_path;
use crate::mutate::change::MountId;
use crate::pod::{Container, ContainerId, ContainerList, Pod, Text, VolumeMount, text};

/// A directory to which dind writes the client's certificates.
pub(super) struct Directory {
    /// Clean: `/certs/client`.
    pub(super) path: Text<'static>,
    /// The dind containers that write to it.
    pub(super) dinds: Vec<ContainerId>,
}

/// How a mount relates to a directory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Relation {
    /// At the directory.
    At,
    /// Below it: a file by subPath, for one.
    Below,
    /// The direct parent, in dind or `build`, and it cannot be written.
    UnwritableParent,
    /// In the way, but wrong in a manner that the API server refuses: mending it would let an invalid pod pass (A4).
    LeftInvalid,
}

impl Relation {
    /// Whether it is in the way as long as no volume is shared.
    pub(super) fn is_conflict(self) -> bool {
        matches!(self, Self::At | Self::Below | Self::UnwritableParent)
    }
}

/// A mount and its relation to a directory.
#[derive(Clone, Debug)]
pub(super) struct MountKind<'a> {
    pub(super) id: MountId<'a>,
    pub(super) volume: Text<'a>,
    pub(super) relation: Relation,
    /// Whether the mount's own fields keep the volume from being written or seen whole.
    pub(super) restricted: bool,
}

impl Directory {
    /// Whether a container always has the directory: dind, which writes, and `build`, which reads.
    pub(super) fn is_user(&self, id: ContainerId, container: &Container<'_>) -> bool {
        self.dinds.contains(&id)
            || (id.list == ContainerList::Containers && container.name() == "build")
    }

    /// Returns the mounts of the pod that have to do with the directory.
    pub(super) fn mounts<'a>(&self, pod: &Pod<'a>) -> Vec<MountKind<'a>> {
        let mut mounts = Vec::new();
        for (id, container) in pod.containers() {
            for (index, mount) in container.mounts().iter().enumerate() {
                let Some(relation) = self.relation(pod, id, container, mount) else {
                    continue;
                };
                mounts.push(MountKind {
                    relation,
                    id: MountId {
                        container: id,
                        container_name: container.name.clone().unwrap_or_default(),
                        index,
                        path: mount.written_path(),
                    },
                    volume: mount.name.clone().unwrap_or_default(),
                    restricted: is_restricted(mount),
                });
            }
        }
        mounts
    }

    fn relation(
        &self,
        pod: &Pod<'_>,
        id: ContainerId,
        container: &Container<'_>,
        mount: &VolumeMount<'_>,
    ) -> Option<Relation> {
        let path = mount.path();
        let relation = if *path == *self.path {
            Relation::At
        } else if mount_path::is_below(path, &self.path) {
            Relation::Below
        } else if path == mount_path::parent(&self.path)
            && self.is_user(id, container)
            && is_unwritable(pod, mount)
        {
            Relation::UnwritableParent
        } else {
            return None;
        };
        let same_text = container
            .mounts()
            .iter()
            .filter(|other| other.written_path() == mount.written_path())
            .count();
        let mended_by_removal = relation != Relation::At && same_text > 1;
        let is_left = mended_by_removal || pod.volume(mount.volume()).is_none();
        Some(if is_left {
            Relation::LeftInvalid
        } else {
            relation
        })
    }

    /// Returns the writable emptyDir at the parent that dind and `build` share, which serves the directory as it is (D5).
    /// `build` only reads, so there it may be read-only.
    pub(super) fn serving_parent<'a>(&self, pod: &Pod<'a>) -> Option<Text<'a>> {
        let parent = mount_path::parent(&self.path);
        // Of several mounts at one place the later one wins.
        let at_parent = |container: &Container<'a>| {
            container
                .mounts()
                .iter()
                .rfind(|mount| mount.path() == parent)
                .cloned()
        };
        let mut users = pod
            .containers()
            .filter(|(id, container)| self.is_user(*id, container));
        let (_, first) = users.next()?;
        let first = at_parent(first)?;
        let volume = first.name.clone().unwrap_or_default();
        let is_empty_dir = pod
            .volume(&volume)
            .is_some_and(crate::pod::Volume::is_empty_dir);
        let serves = |id: ContainerId, mount: &VolumeMount<'_>| {
            mount.volume() == &*volume
                && mount.sub_paths() == (text(&first.sub_path), "")
                && (!mount.is_read_only() || !self.dinds.contains(&id))
        };
        let all_serve = pod
            .containers()
            .filter(|(id, container)| self.is_user(*id, container))
            .all(|(id, container)| at_parent(container).is_some_and(|mount| serves(id, &mount)));
        (is_empty_dir && all_serve).then_some(volume)
    }

    /// Returns the dind container that is given its server certificates, if one is (D6): it manages its own authority,
    /// and a client directory that is not writable is then deliberate.
    pub(super) fn own_authority<'a>(&self, pod: &Pod<'a>) -> Option<Text<'a>> {
        let server = mount_path::join(mount_path::parent(&self.path), "server");
        let supplies = |mount: &VolumeMount<'_>| {
            let path = mount.path();
            if path == server || mount_path::is_below(path, &server) {
                return true;
            }
            let sub_path = mount_path::clean(mount.sub_paths().0);
            let projects = |item: &str| {
                let item = mount_path::clean(item);
                let shown = if &*sub_path == "/" {
                    Some(&*item)
                } else {
                    item.strip_prefix(&*sub_path)
                };
                shown
                    .filter(|shown| shown.starts_with('/'))
                    .is_some_and(|shown| {
                        mount_path::is_below(&mount_path::clean(&format!("{path}{shown}")), &server)
                    })
            };
            mount_path::is_below(&server, path)
                && pod
                    .volume(mount.volume())
                    .is_some_and(|volume| volume.item_paths().any(projects))
        };
        let container = self
            .dinds
            .iter()
            .filter_map(|id| pod.container(*id))
            .find(|container| container.mounts().iter().any(supplies))?;
        Some(container.name.clone().unwrap_or_default())
    }
}

/// Whether nothing can be written through a mount: it says so, or its volume never can be.
fn is_unwritable(pod: &Pod<'_>, mount: &VolumeMount<'_>) -> bool {
    mount.is_read_only()
        || pod
            .volume(mount.volume())
            .is_some_and(crate::pod::Volume::is_read_only)
}

/// Whether a container uses a volume as a raw block device.
pub(super) fn is_device(pod: &Pod<'_>, volume: &str) -> bool {
    pod.containers().any(|(_, container)| {
        container
            .volume_devices
            .iter()
            .flatten()
            .any(|device| text(&device.name) == volume)
    })
}

#[cfg(test)]
mod tests;
