//! The required effects on mounts: V1 to V7, R1, and D8 and T2 for displaced volumes.

use super::certificate_directories::Directory;
use super::mount_changes::{DATA, ROOTLESS_HOME, View, ca_path, gets, is_target, volume_path};
use super::pod_model::{self, Container, is_below, list, path, text};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::Value;
use std::collections::BTreeMap;

impl View<'_> {
    /// V1, V3, V5: each container that must have a volume has one.
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
                .filter(|container| gets(container, spec))
                .collect();
            let own = asked == DATA && takers.len() > 1;
            // Two daemons cannot each have the same directory as their own.
            let is_one = own
                && ["persistentVolumeClaim", "hostPath", "nfs", "configMap"]
                    .iter()
                    .any(|source| spec.get(*source).is_some());
            let mut data: BTreeMap<&str, &str> = BTreeMap::new();
            // Of the daemons for one directory, the first that can have it must have it.
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
                // A directory of clientCerts, or a target of Relocate, is not free for other
                // volumes.
                let is_crowded = self
                    .directories
                    .iter()
                    .any(|directory| pod_model::overlap(&directory.path, &at))
                    || pod_model::overlap(&desired.relocate_to, &at);
                // V7: image layers would count against the limit.
                let is_counted =
                    asked == DATA && spec.get("emptyDir").is_some() && self.is_limited();
                let added = &self.moves[&container.place].added;
                let is_added = added.iter().any(|mount| path(mount) == at);
                prop_assert!(
                    !(is_counted && is_added),
                    "V7: {} has its data in an emptyDir",
                    container.name
                );
                let has_own = container.mounts().iter().any(|mount| path(mount) == at);
                let is_told = self.told_team.iter().any(|note| note.starts_with("V7"));
                prop_assert!(
                    !is_counted || has_own || is_told || is_crowded,
                    "V7: nobody is told of {}",
                    container.name
                );
                let excused = is_unprivileged || is_crowded || is_counted;
                let is_left_out =
                    is_one && container.is_dind && (excused || first_of_one.take().is_none());
                let excused = excused || is_left_out;
                prop_assert!(
                    there.peek().is_some() || excused,
                    "V1: {} has nothing at {}",
                    container.name,
                    at
                );
                for mount in self.moves[&container.place]
                    .added
                    .iter()
                    .filter(|mount| path(mount) == at && container.is_dind && asked == DATA)
                {
                    let earlier = data.insert(text(mount, "name"), container.name);
                    prop_assert_eq!(earlier, None, "V3: {} shares {}", container.name, mount);
                }
            }
            if data.len() > 1 {
                prop_assert!(
                    spec.get("persistentVolumeClaim").is_none(),
                    "V3: one claim for {:?}",
                    data
                );
            }
        }
        Ok(())
    }

    /// Whether some dind container mounts something for its data already, which may be the one
    /// directory of a policy.
    fn some_have_data(&self, takers: &[&Container<'_>]) -> bool {
        takers.iter().any(|container| {
            let at = volume_path(DATA, container);
            container.mounts().iter().any(|mount| path(mount) == at)
        })
    }

    /// D1: an image that may run a daemon is reported, with the line that decides it.
    pub fn undecided_images_are_told(&self) -> Result<(), TestCaseError> {
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
                self.told_team.iter().any(names_it),
                "D1: {} is undecided: {:?}",
                container.name,
                self.told_team
            );
        }
        Ok(())
    }

    /// V7: a container has a limit on ephemeral storage.
    fn is_limited(&self) -> bool {
        self.containers.iter().any(|container| {
            let limit = "/resources/limits/ephemeral-storage";
            container
                .json
                .pointer(limit)
                .is_some_and(|limit| !limit.is_null())
        })
    }

    /// R1: each dind container has the CA, unless something is mounted at, above or below.
    pub fn registry_cas_are_mounted(&self) -> Result<(), TestCaseError> {
        let Some(desired) = self.desired else {
            return Ok(());
        };
        for host in desired.registry_cas.keys() {
            for container in self.containers.iter().filter(|container| container.is_dind) {
                let at = ca_path(host, container);
                let is_crowded = |other: &String| pod_model::overlap(other, &at);
                let mounted: Vec<String> = container
                    .mounts()
                    .iter()
                    .map(path)
                    .chain(desired.volumes.keys().cloned())
                    .collect();
                let has_it = self.moves[&container.place]
                    .added
                    .iter()
                    .any(|mount| path(mount) == at);
                prop_assert!(
                    has_it || mounted.iter().any(is_crowded),
                    "R1: {} lacks the CA of {}",
                    container.name,
                    host
                );
                let home = ROOTLESS_HOME.to_owned();
                if has_it
                    && at.starts_with(&home)
                    && !mounted.iter().any(|at| pod_model::overlap(at, &home))
                {
                    let added = &self.moves[&container.place].added;
                    let position =
                        |desired: &str| added.iter().position(|mount| path(mount) == desired);
                    prop_assert!(
                        position(&home).is_some() && position(&home) < position(&at),
                        "R1: {} cannot write to {}",
                        container.name,
                        home
                    );
                }
            }
        }
        Ok(())
    }

    /// D8: with Relocate each displaced volume can still be read, with its subPath, unless there is
    /// another mount at that path.
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
        let mut displaced = self.moves.values().flat_map(|moves| &moves.displaced);
        let has_file = displaced.any(|mount| pod_model::has_sub_path(mount));
        for container in &self.containers {
            let moves = &self.moves[&container.place];
            let is_crowded = container
                .mounts()
                .iter()
                .map(path)
                .chain(desired.volumes.keys().cloned())
                .any(|at| at == *target || is_below(&at, target));
            for old in moves
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
                // Nothing can be mounted below a path that may be a file; then this is reported.
                let not_mounted = format!("volume \"{name}\" is not mounted");
                let is_told = self.told.iter().any(|note| note.contains(&not_mounted));
                if is_shared || is_crowded || has_file && is_told {
                    continue;
                }
                let mut found = moves.added.iter().filter(|mount| {
                    text(mount, "name") == name && is_target(target, &path(mount), name)
                });
                let keeps = |mount: &&&Value| {
                    ["subPath", "subPathExpr"].iter().all(|field| {
                        moves.displaced.iter().any(|old| {
                            text(old, "name") == name && text(old, field) == text(mount, field)
                        })
                    })
                };
                prop_assert!(
                    found.any(|mount| keeps(&mount)),
                    "D8: {} lost {} and {:?} is all it got",
                    container.name,
                    old,
                    moves.added
                );
            }
        }
        Ok(())
    }

    /// T2: displaced volumes are reported to the author.
    pub fn displaced_mounts_are_told(&self) -> Result<(), TestCaseError> {
        let mut displaced = self.moves.values().flat_map(|moves| &moves.displaced);
        let is_silent = |old: &&&Value| {
            let volume = pod_model::volume(self.before, text(old, "name"));
            volume.is_some_and(|volume| pod_model::source_of(volume) != "emptyDir")
        };
        if let Some(old) = displaced.find(is_silent) {
            let is_told = self
                .told
                .iter()
                .any(|note| note.starts_with('D') && note.contains(text(old, "name")));
            prop_assert!(
                is_told,
                "T2: {} was displaced and nobody is told: {:?}",
                old,
                self.told
            );
        }
        Ok(())
    }
}
