//! Docker certificates: dind can write the client's certificates, and the client can read them
//! (rules D2 to D9).
//!
//! # What it does
//! Makes `$DOCKER_TLS_CERTDIR/client` (`/certs/client`) one writable emptyDir, shared by the dind
//! container, `build` and every other container with a mount there.
//!
//! # Why
//! dind generates the client's certificates when it starts. If it cannot write them, because a
//! Secret, a ConfigMap or another read-only volume is mounted at the directory, images since 2023
//! exit with status 1, and older images run without TLS on 0.0.0.0:2375 (incident 004 in
//! `tests/incidents.rs`). If each container has its own volume there, the client cannot read the
//! certificates.
//!
//! # Example
//! ```text
//! volumes: mylab-ca-pem (secret)                        mylab-ca-pem (emptyDir, Memory, 1Mi)
//! build:   mylab-ca-pem at /certs/client, readOnly ─►   mylab-ca-pem at /certs/client
//! docker:  mylab-ca-pem at /certs/client, readOnly      mylab-ca-pem at /certs/client
//! ```
//! The volume is swapped in place: it keeps its name, so all its mounts stay valid.
//!
//! # When it does nothing
//! - dind generates no certificates: TLS is off, or `dockerd` is started directly (D2).
//! - The directory is unknown (D2).
//! - The client calls another daemon (D3).
//! - A writable emptyDir is mounted at or above the directory already (D3, D5).
//! - A volume supplies the server certificates, so dind has its own CA (D6).
//! - The policy has `onConflict: Report` or `onConflict: Deny` (D8).

mod directory;
mod mounts;
mod relocate;
mod shared;

use super::Planner;
use super::change::{Action, NewMount};
use super::finding::{Conflict, Finding, FindingKind};
use crate::core::job_pod::dind::DindContainer;
use crate::core::job_pod::docker_host::DockerHost;
use crate::core::mount_path;
use crate::core::pod::{ContainerId, Text, VolumeMount};
use crate::core::policy::set::DesiredDind;
use crate::core::policy::{ClientCerts, OnConflict, Policy};
use directory::Directory;
use mounts::{DirectoryMount, MountPosition, Relation, VolumeUses};
use shared::SharedVolume;
use std::collections::{BTreeSet, HashSet};

pub(super) fn plan<'a>(
    planner: &mut Planner<'_, 'a>,
    desired: &DesiredDind<'a>,
    dinds: &[DindContainer<'a>],
    docker_host: &DockerHost,
) {
    let (policy, certs) = desired.client_certs;
    let directories = directory::find(planner, policy, dinds, docker_host);
    let mut repairer = Repairer {
        policy,
        certs,
        uses: VolumeUses::new(planner.pod),
        planner,
        directories: &directories,
        has_relocated: false,
        reported_invalid: HashSet::new(),
    };
    for directory in &directories {
        let path = &directory.path;
        let others = directories.iter().map(|other| &other.path);
        let outer = others.filter(|other| mount_path::is_below(path, other));
        let kind = if let Some(outer) = outer.min_by_key(|outer| outer.len()) {
            FindingKind::DirectoryNested(path.clone(), outer.clone())
        } else if let Some(container) = directory.own_pki(repairer.planner.pod, &mut repairer.uses)
        {
            FindingKind::OwnPki(path.clone(), container)
        } else {
            let mounts = repairer.uses.mounts_of(repairer.planner.pod, directory);
            let is_mounted = mounts.iter().any(|mount| !mount.is_invalid);
            if matches!(docker_host, DockerHost::NoAlias { .. })
                || (is_mounted && directory.has_direct_daemon)
            {
                // Another rule reports the missing alias (R2) or the other daemon (D2).
                continue;
            } else if *docker_host == DockerHost::Remote {
                FindingKind::RemoteDaemon(path.clone(), is_mounted)
            } else if is_mounted
                && directory.falls_back_to_plaintext
                && docker_host.is_plaintext_in_pod()
            {
                FindingKind::FallsBackToPlaintext(path.clone())
            } else {
                repairer.repair(directory, &mounts);
                continue;
            }
        };
        repairer.planner.report(policy, kind);
    }
}

/// Repairs the certificate directories of a pod.
struct Repairer<'r, 'p, 'a> {
    planner: &'r mut Planner<'p, 'a>,
    policy: &'a Policy,
    certs: &'a ClientCerts,
    uses: VolumeUses<'a>,
    /// The certificate directories of the pod.
    directories: &'r [Directory],
    /// Whether a displaced volume is mounted at `relocateTo`. Further volumes are mounted at
    /// `<relocateTo>-<volume>`.
    has_relocated: bool,
    /// The invalid mounts reported so far. A mount can conflict with several directories, but is
    /// reported once.
    reported_invalid: HashSet<(ContainerId, Text<'a>)>,
}

impl<'a> Repairer<'_, '_, 'a> {
    fn report(&mut self, kind: FindingKind<'a>) {
        self.planner.report(self.policy, kind);
    }

    /// Makes one directory writable for dind and shared with the client. Changes nothing if this is
    /// already the case, or if the policy reports or denies the conflict.
    fn repair(&mut self, directory: &Directory, positions: &[MountPosition]) {
        let path = &directory.path;
        for position in positions.iter().filter(|mount| mount.is_invalid) {
            if let Some((container, mount)) = position.find(self.planner.pod) {
                let (name, path) = (container.name.clone(), mount.written_path());
                let key = (position.container, path.clone());
                if self.reported_invalid.insert(key) {
                    self.report(FindingKind::InvalidMount(name, path));
                }
            }
        }
        let valid = positions.iter().filter(|mount| !mount.is_invalid);
        let valid = valid.filter_map(|position| DirectoryMount::of(self.planner.pod, position));
        let valid: Vec<DirectoryMount<'a>> = valid.collect();
        // A mount at or below the directory would hide an ancestor's volume, so there must be none.
        let is_ancestor =
            |mount: &DirectoryMount<'_>| mount.relation == Relation::UnwritableAncestor;
        if valid.iter().all(is_ancestor)
            && let Some(volume) = directory.serving_ancestor(self.planner.pod)
        {
            return self.report(FindingKind::AncestorServes(path.clone(), volume));
        }
        let shared =
            SharedVolume::choose(self.planner.pod, self.certs, directory, &valid, &self.uses);
        let is_conflict = |mount: &&DirectoryMount<'a>| shared.conflicts_with(directory, mount);
        let conflicts: Vec<&DirectoryMount<'a>> = valid.iter().filter(is_conflict).collect();
        let lacking = containers_without_mount(directory, positions, &conflicts);
        let Some(first) = conflicts.first() else {
            if lacking.is_empty() {
                return self.report(FindingKind::CertificatesCorrect(path.clone()));
            }
            let mount = self.provide_volume(shared, directory);
            return self.add_mounts(lacking, &mount);
        };
        match self.certs.on_conflict {
            OnConflict::Report => {
                let conflict = self.conflict(first, directory);
                return self.report(FindingKind::ConflictReported(conflict));
            }
            OnConflict::Deny => {
                let conflict = self.conflict(first, directory);
                let policy = self.policy;
                let kind = FindingKind::ConflictDenied(conflict, &policy.name);
                let denial = &mut self.planner.plan.denial;
                denial.get_or_insert(Finding { policy, kind });
                return;
            }
            OnConflict::Replace | OnConflict::Relocate => {}
        }
        let displaced = self.displaced(&conflicts, &shared);
        let mount = self.provide_volume(shared, directory);
        let is_reported = displaced.iter().any(|entry| entry.volume == mount.name);
        self.point_mounts(&conflicts, &mount, is_reported);
        self.remove_mounts(&conflicts);
        self.add_mounts(lacking, &mount);
        self.report_displaced(directory, displaced);
    }

    fn conflict(&self, mount: &DirectoryMount<'a>, directory: &Directory) -> Conflict<'a> {
        let volume = self.uses.volume(self.planner.pod, mount.volume());
        Conflict {
            container: mount.id.container_name.clone(),
            volume: mount.volume().clone(),
            kind: volume.map(|volume| volume.kind.clone()).unwrap_or_default(),
            path: mount.id.path.clone(),
            directory: directory.path.clone(),
        }
    }

    /// Changes the mounts at the directory to mounts of the shared volume. `is_reported` says
    /// whether the shared volume is reported as displaced.
    fn point_mounts(
        &mut self,
        conflicts: &[&DirectoryMount<'a>],
        wanted: &NewMount<'a>,
        is_reported: bool,
    ) {
        for conflict in conflicts.iter().filter(|mount| mount.is_at_directory()) {
            let mount = conflict.id.clone();
            let mut dropped = restrictions(&conflict.mount);
            dropped.retain(|field| wanted.sub_path.is_empty() || *field != "subPath");
            let (was, volume) = (conflict.volume().clone(), wanted.name.clone());
            let sub_path = wanted.sub_path.clone();
            if was != volume {
                self.uses.subtract(&was);
                self.uses.add(&volume);
            } else if !dropped.is_empty() {
                if !is_reported {
                    let (container, path) = (mount.container_name.clone(), mount.path.clone());
                    let dropped = dropped.clone();
                    self.report(FindingKind::MountUnrestricted(container, path, dropped));
                }
            } else if conflict.mount.sub_path == sub_path {
                continue;
            }
            let action = Action::PointMount(mount, was, volume, dropped, sub_path);
            self.planner.change(self.policy, action);
        }
    }

    /// Removes the conflicting mounts below and above the directory.
    fn remove_mounts(&mut self, conflicts: &[&DirectoryMount<'a>]) {
        // From the last to the first, so that the indices stay valid.
        for conflict in conflicts.iter().rev() {
            if !conflict.is_at_directory() {
                let volume = conflict.volume().clone();
                self.uses.subtract(&volume);
                let action = Action::RemoveMount(conflict.id.clone(), volume);
                self.planner.change(self.policy, action);
            }
        }
    }

    fn add_mounts(&mut self, containers: BTreeSet<ContainerId>, mount: &NewMount<'a>) {
        for id in containers {
            self.planner.add_mount(self.policy, "D3", id, mount.clone());
            self.uses.add(&mount.name);
        }
    }
}

/// Returns the fields of a mount that make it read-only, select a part of the volume, or set its
/// propagation.
fn restrictions(mount: &VolumeMount<'_>) -> Vec<&'static str> {
    let fields = [
        ("readOnly", mount.read_only.is_some()),
        ("recursiveReadOnly", !mount.recursive_read_only.is_empty()),
        ("subPath", !mount.sub_path.is_empty()),
        ("subPathExpr", !mount.sub_path_expr.is_empty()),
        ("mountPropagation", mount.mount_propagation.is_some()),
    ];
    let present = fields.into_iter().filter(|(_, is_present)| *is_present);
    present.map(|(field, _)| field).collect()
}

/// Returns the containers that need a mount at the directory and have none: dind, `build`, and
/// containers that lose a mount below or above the directory.
fn containers_without_mount(
    directory: &Directory,
    positions: &[MountPosition],
    conflicts: &[&DirectoryMount<'_>],
) -> BTreeSet<ContainerId> {
    let losing = conflicts.iter().filter(|mount| !mount.is_at_directory());
    let losing = losing.map(|mount| mount.id.container);
    let mut lacking: BTreeSet<ContainerId> = directory.users().chain(losing).collect();
    // An invalid mount at the directory counts as a mount.
    let at_directory = positions
        .iter()
        .filter(|mount| mount.relation == Relation::At);
    for mount in at_directory {
        lacking.remove(&mount.container);
    }
    lacking
}

#[cfg(test)]
mod tests;
