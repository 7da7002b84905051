//! The certificate directories of a pod (rule D2), and directories that need no change (rules D5
//! and D6).

use super::Planner;
use super::mounts::VolumeUses;
use crate::core::job_pod::dind::{self, DaemonTls, DindContainer};
use crate::core::job_pod::docker_host::DockerHost;
use crate::core::mount_path;
use crate::core::pod::{ContainerId, Pod, Text, Volume, VolumeMount};
use crate::core::policy::Policy;
use crate::core::rules::finding::FindingKind;
use std::collections::HashSet;

/// A directory to which dind writes the client's certificates.
pub(super) struct Directory {
    /// A clean path, for example `/certs/client`.
    pub(super) path: Text<'static>,
    /// The dind containers that write to it, in the pod's order.
    pub(super) dinds: Vec<ContainerId>,
    /// The `build` container, if its client may read the directory (D3).
    pub(super) build: Option<ContainerId>,
    /// Whether all these dind containers start without TLS if they cannot write to the directory.
    /// If the directory became writable, they would start with TLS, and a client without TLS could
    /// no longer connect.
    pub(super) falls_back_to_plaintext: bool,
    /// Whether another daemon of the pod has the same directory, but is started without the
    /// entrypoint. A volume at the directory may contain certificates for that daemon.
    pub(super) has_direct_daemon: bool,
}

/// Returns the certificate directories, without duplicates. Reports containers that generate no
/// certificates, unknown directories, and directories that several dind containers share.
pub(super) fn find<'a>(
    planner: &mut Planner<'_, 'a>,
    policy: &'a Policy,
    dinds: &[DindContainer<'a>],
    docker_host: &DockerHost,
) -> Vec<Directory> {
    let build = planner.pod.build().map(|(id, _)| id);
    let mut directories: Vec<Directory> = Vec::new();
    let mut direct = HashSet::new();
    for dind in dinds {
        let container = dind.name.clone();
        let kind = match &dind.tls {
            DaemonTls::Generated(certdir) => {
                let path = dind::client_directory(certdir);
                let mut known = directories.iter_mut();
                match known.find(|directory| directory.path == path) {
                    Some(directory) => {
                        directory.dinds.push(dind.id);
                        directory.falls_back_to_plaintext &= dind.falls_back_to_plaintext;
                    }
                    None => directories.push(Directory {
                        path,
                        dinds: vec![dind.id],
                        build: build.filter(|_| docker_host.may_need_certificates()),
                        falls_back_to_plaintext: dind.falls_back_to_plaintext,
                        has_direct_daemon: false,
                    }),
                }
                continue;
            }
            DaemonTls::NotGenerated(certdir) => {
                let directory = dind::client_directory(certdir);
                direct.insert(directory.clone());
                let mut containers = build.into_iter().chain([dind.id]);
                let is_mounted = containers.any(|id| {
                    let container = planner.pod.container(id);
                    container.is_some_and(|container| container.mounts_at(&directory))
                });
                FindingKind::CertificatesNotGenerated(container, directory, is_mounted)
            }
            DaemonTls::Off => FindingKind::TlsOff(container),
            DaemonTls::OffByVersion => FindingKind::TlsOffByVersion(container),
            DaemonTls::Unknown(why) => FindingKind::DirectoryUnknown(container, why),
        };
        planner.report(policy, kind);
    }
    for directory in &mut directories {
        directory.has_direct_daemon = direct.contains(&directory.path);
        if directory.dinds.len() > 1 {
            let containers = directory
                .dinds
                .iter()
                .map(|id| planner.name_of(*id))
                .collect();
            let path = directory.path.clone();
            planner.report(policy, FindingKind::DirectoryShared(path, containers));
        }
    }
    directories
}

impl Directory {
    /// Returns the containers in which the directory is always mounted: `build` and dind.
    pub(super) fn users(&self) -> impl Iterator<Item = ContainerId> {
        self.build.into_iter().chain(self.dinds.iter().copied())
    }

    pub(super) fn is_used_by(&self, id: ContainerId) -> bool {
        self.build == Some(id) || self.is_written_by(id)
    }

    pub(super) fn is_written_by(&self, id: ContainerId) -> bool {
        self.dinds.binary_search(&id).is_ok()
    }

    /// Returns the writable emptyDir that dind and `build` share at the nearest mounted ancestor.
    /// If there is one, the directory needs no change (D5). In `build`, which only reads, the mount
    /// may be read-only.
    pub(super) fn serving_ancestor<'a>(&self, pod: &Pod<'a>) -> Option<Text<'a>> {
        // Of several mounts at one path, the last one is effective.
        let nearest = |id: ContainerId| {
            let mounts = pod.container(id)?.mounts().iter();
            let above = mounts.filter(|mount| mount_path::is_below(&self.path, mount.path()));
            above.max_by_key(|mount| mount.path().len())
        };
        let first = nearest(*self.dinds.first()?)?;
        let serves = |id: ContainerId| {
            nearest(id).is_some_and(|mount| {
                mount.path() == first.path()
                    && mount.name == first.name
                    && mount.sub_paths() == (&*first.sub_path, "")
                    && !(mount.is_read_only() && self.is_written_by(id))
            })
        };
        let is_empty_dir = pod.volume(&first.name).is_some_and(Volume::is_empty_dir);
        let is_shared = is_empty_dir && self.users().all(serves);
        is_shared.then(|| first.name.clone())
    }

    /// Returns a dind container that gets its server certificates from a volume (D6). Such a
    /// container has its own CA, so a read-only client directory is intended.
    pub(super) fn own_pki<'a>(&self, pod: &Pod<'a>, uses: &mut VolumeUses<'a>) -> Option<Text<'a>> {
        let server = mount_path::join(mount_path::parent(&self.path), "server");
        let mut containers = self.dinds.iter().filter_map(|id| pod.container(*id));
        let container = containers.find(|container| {
            let mut mounts = container.mounts().iter();
            mounts.any(|mount| supplies(mount, &server, pod, uses))
        })?;
        Some(container.name.clone())
    }
}

/// Returns whether a mount may provide files in a directory.
fn supplies<'a>(
    mount: &VolumeMount<'a>,
    directory: &str,
    pod: &Pod<'a>,
    uses: &mut VolumeUses<'a>,
) -> bool {
    let path = mount.path();
    if path == directory || mount_path::is_below(path, directory) {
        return uses.may_have_files(pod, &mount.name);
    }
    if !mount_path::is_below(directory, path) {
        return false;
    }
    let has_items = |volume: &&Volume<'a>| volume.item_paths().next().is_some();
    let Some(volume) = uses.volume(pod, &mount.name).filter(has_items) else {
        return false;
    };
    // The path of the directory in the volume.
    let below = directory.strip_prefix(path.trim_end_matches('/'));
    let below = below.unwrap_or_default().trim_start_matches('/');
    let sub_path = mount_path::clean(mount.sub_paths().0);
    uses.has_item_below(volume, &mount_path::join(&sub_path, below))
}

#[cfg(test)]
mod tests;
