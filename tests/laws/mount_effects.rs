//! The required changes of mounts: volumes of policies (rules V1 to V7), CAs of registries (rule
//! R1) and displaced volumes (rules D8, T2).

use super::certificate_directories::Directory;
use super::mount_changes::{
    DATA, ROOTLESS_HOME, View, ca_path, gets_volume, is_target, volume_path,
};
use super::pod_model::{self, Container, is_below, list, path, text};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::Value;
use std::collections::BTreeMap;

impl View<'_> {
    /// Each container that needs a volume of a policy has it (rules V1, V3, V5).
    pub fn desired_volumes_are_mounted(&self) -> Result<(), TestCaseError> {
        let Some(desired) = self
            .desired
            .filter(|_| self.containers.iter().any(|container| container.is_dind))
        else {
            return Ok(());
        };
        for (asked, (_, spec)) in &desired.volumes {
            let takers: Vec<_> = self
                .containers
                .iter()
                .filter(|container| gets_volume(container, spec))
                .collect();
            let own = asked == DATA && takers.len() > 1;
            // Two daemons cannot use the same directory for their data.
            let is_one = own
                && ["persistentVolumeClaim", "hostPath", "nfs", "configMap"]
                    .iter()
                    .any(|source| spec.get(*source).is_some());
            let mut data: BTreeMap<&str, &str> = BTreeMap::new();
            // The first daemon that can use the directory must have it.
            let is_config_map = spec.get("configMap").is_some();
            let mut first_of_one =
                (is_one && !is_config_map && !self.some_have_data(&takers)).then_some(());
            for container in &takers {
                let at = volume_path(asked, container);
                let mounts = list(
                    &self.after["spec"][container.place.0][container.place.1],
                    "volumeMounts",
                );
                let mut there = mounts.iter().filter(|mount| path(mount) == at).peekable();
                let is_unprivileged = spec.get("hostPath").is_some() && !container.is_privileged();
                // A certificate directory or a target of Relocate must not be covered by other
                // volumes.
                let is_occupied = self
                    .directories
                    .iter()
                    .any(|directory| pod_model::overlap(&directory.path, &at))
                    || pod_model::overlap(&desired.relocate_to, &at);
                // Image layers in an emptyDir would count against the limit (rule V7).
                let is_counted =
                    asked == DATA && spec.get("emptyDir").is_some() && self.is_limited();
                let added = &self.changes[&container.place].added;
                let is_added = added.iter().any(|mount| path(mount) == at);
                prop_assert!(
                    !(is_counted && is_added),
                    "{} got an emptyDir for its data (V7)",
                    container.name
                );
                let has_own = container.mounts().iter().any(|mount| path(mount) == at);
                let is_reported = self.team_findings.iter().any(|note| note.starts_with("V7"));
                prop_assert!(
                    !is_counted || has_own || is_reported || is_occupied,
                    "the missing volume of {} is not reported (V7)",
                    container.name
                );
                let excused = is_unprivileged || is_occupied || is_counted;
                let is_left_out =
                    is_one && container.is_dind && (excused || first_of_one.take().is_none());
                let excused = excused || is_left_out;
                prop_assert!(
                    there.peek().is_some() || excused,
                    "{} has no mount at {} (V1)",
                    container.name,
                    at
                );
                for mount in self.changes[&container.place]
                    .added
                    .iter()
                    .filter(|mount| path(mount) == at && container.is_dind && asked == DATA)
                {
                    let earlier = data.insert(text(mount, "name"), container.name);
                    prop_assert_eq!(
                        earlier,
                        None,
                        "{} shares {} with another daemon (V3)",
                        container.name,
                        mount
                    );
                }
            }
            if data.len() > 1 {
                prop_assert!(
                    spec.get("persistentVolumeClaim").is_none(),
                    "several daemons have the same claim (V3): {:?}",
                    data
                );
            }
        }
        Ok(())
    }

    /// Returns whether a dind container already has a mount for its data, which may be the
    /// directory of the policy.
    fn some_have_data(&self, takers: &[&Container<'_>]) -> bool {
        takers.iter().any(|container| {
            let at = volume_path(DATA, container);
            container.mounts().iter().any(|mount| path(mount) == at)
        })
    }

    /// An image that may contain a daemon is reported with the field of the policy that decides it
    /// (rule D1).
    pub fn undecided_images_are_reported(&self) -> Result<(), TestCaseError> {
        let undecided = |container: &&Container<'_>| container.is_undecided;
        for container in self
            .containers
            .iter()
            .filter(undecided)
            .filter(|_| self.desired.is_some())
        {
            let names_it = |note: &String| {
                note.starts_with("D1")
                    && note.contains(container.name)
                    && note.contains("dind.images")
            };
            prop_assert!(
                self.team_findings.iter().any(names_it),
                "the undecided image of {} is not reported (D1): {:?}",
                container.name,
                self.team_findings
            );
        }
        Ok(())
    }

    /// Returns whether a container has a limit on ephemeral storage (rule V7).
    fn is_limited(&self) -> bool {
        self.containers.iter().any(|container| {
            let limit = "/resources/limits/ephemeral-storage";
            container
                .json
                .pointer(limit)
                .is_some_and(|limit| !limit.is_null())
        })
    }

    /// Each dind container has the CAs of registries, unless a volume is mounted at, above or below
    /// the path (rule R1).
    pub fn registry_cas_are_mounted(&self) -> Result<(), TestCaseError> {
        let Some(desired) = self.desired else {
            return Ok(());
        };
        for host in desired.registry_cas.keys() {
            for container in self.containers.iter().filter(|container| container.is_dind) {
                let at = ca_path(host, container);
                let is_occupied = |other: &String| pod_model::overlap(other, &at);
                let mounted: Vec<String> = container
                    .mounts()
                    .iter()
                    .map(path)
                    .chain(desired.volumes.keys().cloned())
                    .collect();
                let has_it = self.changes[&container.place]
                    .added
                    .iter()
                    .any(|mount| path(mount) == at);
                prop_assert!(
                    has_it || mounted.iter().any(is_occupied),
                    "{} lacks the CA of {} (R1)",
                    container.name,
                    host
                );
                let home = ROOTLESS_HOME.to_owned();
                if has_it
                    && at.starts_with(&home)
                    && !mounted.iter().any(|at| pod_model::overlap(at, &home))
                {
                    let added = &self.changes[&container.place].added;
                    let position =
                        |desired: &str| added.iter().position(|mount| path(mount) == desired);
                    prop_assert!(
                        position(&home).is_some() && position(&home) < position(&at),
                        "{} cannot write to {} (R1)",
                        container.name,
                        home
                    );
                }
            }
        }
        Ok(())
    }

    /// With Relocate, each displaced volume is mounted at the target with its subPath, unless
    /// another volume is mounted there (rule D8).
    pub fn displaced_volumes_are_relocated(&self) -> Result<(), TestCaseError> {
        let Some(desired) = self
            .desired
            .filter(|desired| desired.on_conflict == "Relocate")
        else {
            return Ok(());
        };
        if !self.directories.iter().all(Directory::is_settled) {
            return Ok(());
        }
        let target = &desired.relocate_to;
        let mut displaced = self.changes.values().flat_map(|changes| &changes.displaced);
        let has_file = displaced.any(|mount| pod_model::has_sub_path(mount));
        for container in &self.containers {
            let changes = &self.changes[&container.place];
            let is_occupied = container
                .mounts()
                .iter()
                .map(path)
                .chain(desired.volumes.keys().cloned())
                .any(|at| at == *target || is_below(&at, target));
            for old in changes
                .displaced
                .iter()
                .filter(|old| pod_model::volume(self.before, text(old, "name")).is_some())
            {
                let name = text(old, "name");
                let is_shared = self.directories.iter().any(|directory| {
                    let (place, index) = container.place;
                    let mounts = list(&self.after["spec"][place][index], "volumeMounts");
                    mounts
                        .iter()
                        .any(|mount| path(mount) == directory.path && text(mount, "name") == name)
                });
                // A volume cannot be mounted below a path that may be a file. This must be
                // reported.
                let not_mounted = format!("volume \"{name}\" is not mounted");
                let is_reported = self.findings.iter().any(|note| note.contains(&not_mounted));
                if is_shared || is_occupied || has_file && is_reported {
                    continue;
                }
                let mut found = changes.added.iter().filter(|mount| {
                    text(mount, "name") == name && is_target(target, &path(mount), name)
                });
                let keeps = |mount: &&&Value| {
                    ["subPath", "subPathExpr"].iter().all(|field| {
                        changes.displaced.iter().any(|old| {
                            text(old, "name") == name && text(old, field) == text(mount, field)
                        })
                    })
                };
                prop_assert!(
                    found.any(|mount| keeps(&mount)),
                    "{} lost {} without a mount at the target (D8); added mounts: {:?}",
                    container.name,
                    old,
                    changes.added
                );
            }
        }
        Ok(())
    }

    /// Displaced volumes are reported to the author (rule T2).
    pub fn displaced_mounts_are_reported(&self) -> Result<(), TestCaseError> {
        let mut displaced = self.changes.values().flat_map(|changes| &changes.displaced);
        let is_displaced_volume = |old: &&&Value| {
            let volume = pod_model::volume(self.before, text(old, "name"));
            volume.is_some_and(|volume| pod_model::source_of(volume) != "emptyDir")
        };
        if let Some(old) = displaced.find(is_displaced_volume) {
            let is_reported = self
                .findings
                .iter()
                .any(|note| note.starts_with('D') && note.contains(text(old, "name")));
            prop_assert!(
                is_reported,
                "the displaced mount {} is not reported (T2): {:?}",
                old,
                self.findings
            );
        }
        Ok(())
    }
}
