//! A certificate directory, and how the mounts of its users relate to it (rules D4, D5 and D6).

use super::survey::Survey;
use crate::core::mount_path;
use crate::core::pod::{Container, ContainerId, Pod, Text, Volume, VolumeMount, text};
use crate::core::rules::change::MountId;

/// A directory to which dind writes the client's certificates.
pub(super) struct Directory {
    /// Clean: `/certs/client`.
    pub(super) path: Text<'static>,
    /// The dind containers that write to it.
    pub(super) dinds: Vec<ContainerId>,
    /// The `build` container, where its client may read from the directory (D3).
    pub(super) build: Option<ContainerId>,
    /// Whether each of these dind containers starts without TLS when it cannot write here. Where the
    /// client expects just that, writable certificates would turn TLS on, and the client away.
    pub(super) falls_back_to_plain: bool,
    /// Whether another daemon of the pod generates nothing and has the same directory: a volume there
    /// may hold the certificates of that daemon's client.
    pub(super) is_of_direct_daemon: bool,
}

/// How a mount relates to a directory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Relation {
    /// At the directory.
    At,
    /// Below it: a file by subPath, for one.
    Below,
    /// The nearest mounted ancestor, in dind or `build`, where it keeps the directory from being
    /// written or mounted.
    UnwritableAncestor,
    /// In the way, but wrong in a manner that the API server refuses: mending it would let an
    /// invalid pod pass (A4).
    LeftInvalid,
}

impl Relation {
    /// Whether it is in the way as long as no volume is shared.
    pub(super) fn is_conflict(self) -> bool {
        self != Self::LeftInvalid
    }
}

/// A mount and its relation to a directory.
#[derive(Clone, Debug)]
pub(super) struct MountKind<'a> {
    /// Its place before anything is changed.
    pub(super) id: MountId<'a>,
    pub(super) volume: Text<'a>,
    pub(super) relation: Relation,
    /// Whether it is at the directory, also where it is left because it is invalid.
    pub(super) is_at_directory: bool,
    pub(super) read_only: bool,
    pub(super) sub_paths: SubPaths<'a>,
}

/// `subPath` and `subPathExpr`, empty where they are not set.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct SubPaths<'a> {
    pub(super) path: Text<'a>,
    pub(super) expr: Text<'a>,
}

impl<'a> SubPaths<'a> {
    pub(super) fn of(mount: &VolumeMount<'a>) -> Self {
        Self {
            path: mount.sub_path.clone().unwrap_or_default(),
            expr: mount.sub_path_expr.clone().unwrap_or_default(),
        }
    }
}

impl Directory {
    /// Returns the containers that always have the directory: dind, which writes, and `build`,
    /// which reads.
    pub(super) fn users(&self) -> impl Iterator<Item = ContainerId> {
        let build = self.build.filter(|build| !self.dinds.contains(build));
        build.into_iter().chain(self.dinds.iter().copied())
    }

    pub(super) fn is_written_by(&self, id: ContainerId) -> bool {
        self.dinds.binary_search(&id).is_ok()
    }

    /// Returns the writable emptyDir at the nearest mounted ancestor that dind and `build` share,
    /// which serves the directory as it is (D5). `build` only reads, so there it may be read-only.
    pub(super) fn serving_ancestor<'a>(
        &self,
        pod: &Pod<'a>,
        survey: &Survey<'a>,
    ) -> Option<Text<'a>> {
        // Of several mounts at one place the later one wins.
        let ancestor = |id: ContainerId| {
            ancestors(pod.container(id)?, &self.path).max_by_key(|mount| mount.path().len())
        };
        let first = ancestor(*self.dinds.first()?)?;
        let is_empty_dir = survey
            .volume(pod, first.volume())
            .is_some_and(Volume::is_empty_dir);
        let serves = |id: ContainerId| {
            ancestor(id).is_some_and(|mount| {
                mount.path() == first.path()
                    && mount.volume() == first.volume()
                    && mount.sub_paths() == (text(&first.sub_path), "")
                    && !(mount.is_read_only() && self.is_written_by(id))
            })
        };
        let volume = first.name.clone().unwrap_or_default();
        (is_empty_dir && self.users().all(serves)).then_some(volume)
    }

    /// Returns the dind container that is given its server certificates, if one is (D6): it manages
    /// its own authority, and a client directory that is not writable is then deliberate.
    pub(super) fn own_authority<'a>(
        &self,
        pod: &Pod<'a>,
        survey: &mut Survey<'a>,
    ) -> Option<Text<'a>> {
        let server = mount_path::join(mount_path::parent(&self.path), "server");
        let container =
            self.dinds
                .iter()
                .filter_map(|id| pod.container(*id))
                .find(|container| {
                    let mut mounts = container.mounts().iter();
                    mounts.any(|mount| supplies(mount, &server, pod, survey))
                })?;
        Some(container.name.clone().unwrap_or_default())
    }
}

/// Whether a mount puts files into a directory, or may.
fn supplies<'a>(
    mount: &VolumeMount<'a>,
    directory: &str,
    pod: &Pod<'a>,
    survey: &mut Survey<'a>,
) -> bool {
    let path = mount.path();
    if path == directory || mount_path::is_below(path, directory) {
        return survey.brings_content(pod, mount.volume());
    }
    let volume = survey.volume(pod, mount.volume());
    let has_items = volume.is_some_and(|volume| volume.item_paths().next().is_some());
    if !has_items || !mount_path::is_below(directory, path) {
        return false;
    }
    // Where the directory is in the volume.
    let below = directory.strip_prefix(path.trim_end_matches('/'));
    let below = below.unwrap_or_default().trim_start_matches('/');
    let part = mount_path::clean(mount.sub_paths().0);
    survey.has_item_below(pod, mount.volume(), &mount_path::join(&part, below))
}

/// Returns the mounts above a clean path.
fn ancestors<'p, 'a>(
    container: &'p Container<'a>,
    path: &'p str,
) -> impl Iterator<Item = &'p VolumeMount<'a>> {
    let mounts = container.mounts().iter();
    mounts.filter(move |mount| mount_path::is_below(path, mount.path()))
}

#[cfg(test)]
mod tests;
