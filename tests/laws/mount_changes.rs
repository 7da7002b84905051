//! Volumes and mounts change only for a reason that a rule defines.

use super::case::Run;
use super::certificate_directories::Directory;
use super::desired::Dind;
use super::docker_connection::mounts::is_projection;
use super::pod_model::{self, Answer, Container, clean, is_below, list, path, text};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

pub const DATA: &str = "/var/lib/docker";
const ROOTLESS_DATA: &str = "/home/rootless/.local/share/docker";

/// The configuration directory of rootless dockerd.
pub const ROOTLESS_HOME: &str = "/home/rootless/.config/docker";

/// The changes of one container's mounts.
#[derive(Debug, Default)]
pub struct MountChanges<'p> {
    /// Removed, or pointed to another volume, because of a certificate directory.
    pub displaced: Vec<&'p Value>,
    pub added: Vec<&'p Value>,
}

/// The input of the laws about mounts.
pub struct View<'v> {
    pub before: &'v Value,
    pub after: &'v Value,
    pub findings: &'v [String],
    pub team_findings: &'v [String],
    pub desired: Option<&'v Dind<'v>>,
    pub directories: &'v [Directory],
    pub containers: Vec<Container<'v>>,
    pub changes: BTreeMap<(&'static str, usize), MountChanges<'v>>,
}

impl<'v> View<'v> {
    /// Compares the mounts of the original and the changed pod.
    ///
    /// # Errors
    /// Fails if a mount or volume was removed, moved or changed without a reason.
    pub fn new(
        before: &'v Value,
        run: &'v Run,
        desired: Option<&'v Dind<'v>>,
        directories: &'v [Directory],
    ) -> Result<Self, TestCaseError> {
        let images = desired.map_or(&[][..], |desired| &desired.images);
        let mut view = Self {
            before,
            after: &run.output,
            findings: &run.findings,
            team_findings: &run.team_findings,
            desired,
            directories,
            containers: pod_model::containers(before, images),
            changes: BTreeMap::new(),
        };
        for container in &view.containers {
            let changes = view.mount_changes(container)?;
            view.changes.insert(container.place, changes);
        }
        view.check_volumes()?;
        Ok(view)
    }

    fn mount_changes(&self, container: &Container<'v>) -> Result<MountChanges<'v>, TestCaseError> {
        let (place, index) = container.place;
        let json = &self.after["spec"][place][index];
        let mut rest = list(json, "volumeMounts").iter().peekable();
        let mut changes = MountChanges::default();
        for mount in container.mounts() {
            let directories = self
                .directories
                .iter()
                .filter(|directory| !directory.is_unchanged());
            let (is_at, may_go) = directories.fold((false, false), |(is_at, may_go), directory| {
                let (at, volume) = (
                    path(mount),
                    pod_model::volume(self.before, text(mount, "name")),
                );
                // The kubelet creates mount points inside volumes that it fills, so such a volume
                // is displaced only in dind (rule D7).
                let must_write = container.is_dind
                    || container.is_build
                        && (!is_projection(volume) || pod_model::has_sub_path(mount));
                let is_blocked = is_below(&directory.path, &at)
                    && must_write
                    && pod_model::is_unwritable(mount, volume) != Answer::No;
                (
                    is_at || at == directory.path,
                    may_go || is_below(&at, &directory.path) || is_blocked,
                )
            });
            match rest.peek() {
                Some(next) if *next == mount => drop(rest.next()),
                Some(next) if is_at && is_repointed(mount, next) => {
                    changes.displaced.push(mount);
                    rest.next();
                }
                _ if may_go => changes.displaced.push(mount),
                next => prop_assert!(
                    false,
                    "{}: {} was changed, moved or removed (A1); found {:?}",
                    container.name,
                    mount,
                    next
                ),
            }
        }
        changes.added = rest.collect();
        if changes.displaced.is_empty() && changes.added.is_empty() {
            prop_assert_eq!(
                container.json,
                json,
                "{} changed although its mounts did not (A1)",
                container.name
            );
        }
        Ok(changes)
    }

    /// Volumes keep their position and content, except for a swapped one, and added volumes have
    /// new names (rules A1, D7, V4).
    fn check_volumes(&self) -> Result<(), TestCaseError> {
        let (before, after) = (
            list(&self.before["spec"], "volumes"),
            list(&self.after["spec"], "volumes"),
        );
        prop_assert!(before.len() <= after.len(), "a volume was removed (D7)");
        let names: BTreeSet<&str> = before.iter().map(|volume| text(volume, "name")).collect();
        for (old, new) in before.iter().zip(after) {
            if old == new {
                continue;
            }
            let name = text(old, "name");
            let mut swapped = old.clone();
            swapped
                .as_object_mut()
                .unwrap()
                .remove(pod_model::source_of(old));
            swapped["emptyDir"] = new["emptyDir"].clone();
            prop_assert_eq!(new, &swapped, "more than the source was replaced (D7)");
            let on_conflict = self.desired.map(|desired| desired.on_conflict);
            prop_assert!(
                on_conflict != Some("Relocate"),
                "the source of {} was replaced with Relocate (D8)",
                name
            );
            for container in &self.containers {
                for mount in container
                    .mounts()
                    .iter()
                    .filter(|mount| text(mount, "name") == name)
                {
                    let displaced = &self.changes[&container.place].displaced;
                    let is_at = self
                        .directories
                        .iter()
                        .any(|directory| directory.path == path(mount));
                    prop_assert!(
                        is_at || displaced.contains(&mount),
                        "{} was swapped although {} uses it (D7)",
                        name,
                        mount
                    );
                }
            }
        }
        for new in &after[before.len()..] {
            let name = text(new, "name");
            prop_assert!(
                !names.contains(name),
                "the pod already had a volume {} (V4)",
                name
            );
            prop_assert!(
                name.len() <= 63 && !name.is_empty(),
                "{} is not a valid volume name (A4)",
                name
            );
            let is_used = self.changes.values().any(|changes| {
                changes
                    .added
                    .iter()
                    .any(|mount| text(mount, "name") == name)
            });
            let is_used = is_used
                || pod_model::containers(self.after, &[])
                    .iter()
                    .any(|container| {
                        container
                            .mounts()
                            .iter()
                            .any(|mount| text(mount, "name") == name)
                    });
            prop_assert!(is_used, "the added volume {} is not mounted (A1)", name);
        }
        Ok(())
    }

    /// Returns a volume of the changed pod, if it was added.
    fn new_volume(&self, name: &str) -> Option<&'v Value> {
        let known = list(&self.before["spec"], "volumes").len();
        let mut new = list(&self.after["spec"], "volumes").iter().skip(known);
        new.find(|volume| text(volume, "name") == name)
    }

    /// Each added mount has a reason, and no two mounts of a container have the same reason (rules
    /// A1, D1).
    pub fn every_new_mount_has_a_reason(&self) -> Result<(), TestCaseError> {
        for container in &self.containers {
            let mut reasons = BTreeSet::new();
            for mount in &self.changes[&container.place].added {
                let reason = self.reason(container, mount);
                prop_assert!(
                    reason.is_some(),
                    "{}: no rule requires {} (A1)",
                    container.name,
                    mount
                );
                let reason = reason.unwrap_or_default();
                prop_assert!(
                    reasons.insert(reason.clone()),
                    "{}: two mounts for {} (A1)",
                    container.name,
                    reason
                );
            }
        }
        Ok(())
    }

    fn reason(&self, container: &Container<'v>, mount: &Value) -> Option<String> {
        let desired = self.desired?;
        let (at, name) = (path(mount), text(mount, "name"));
        let was_there = container.mounts().iter().any(|mount| path(mount) == at);
        let displaced = &self.changes[&container.place].displaced;
        let is_relocated =
            is_target(&desired.relocate_to, &at, name) && desired.on_conflict == "Relocate";
        if is_relocated
            && !was_there
            && pod_model::is_read_only(mount)
            && displaced.iter().any(|old| text(old, "name") == name)
        {
            return Some(format!("Relocate {at}"));
        }
        if was_there {
            // A mount that exists at the path is kept or pointed to another volume, so no mount is
            // added (rules V2, D3).
            return None;
        }
        let directory = self
            .directories
            .iter()
            .find(|directory| directory.path == at);
        if directory.is_some_and(|directory| directory.own_ca != Answer::Yes) && is_whole(mount) {
            let lost = !displaced.is_empty();
            return (container.is_dind || container.is_build || lost)
                .then(|| format!("the directory {at}"));
        }
        let volume = self.new_volume(name)?;
        let is_home = at == ROOTLESS_HOME && container.is_dind && container.is_rootless();
        if is_home && pod_model::source_of(volume) == "emptyDir" && is_whole(mount) {
            // The container runtime creates missing parents of a mount as root (rule R1).
            let is_free = container.mounts().iter().all(|mount| path(mount) != at);
            return is_free.then(|| "the home of rootless dind".to_owned());
        }
        for (asked, (_, spec)) in &desired.volumes {
            if at == volume_path(asked, container)
                && has_source_of(volume, spec)
                && gets_volume(container, spec)
            {
                let privileged = spec.get("hostPath").is_none() || container.is_privileged();
                let is_right = pod_model::is_read_only(mount) == pod_model::is_read_only(spec)
                    && !pod_model::has_sub_path(mount);
                return (privileged && is_right).then(|| format!("volume {asked}"));
            }
        }
        for (host, (_, ca)) in &desired.registry_cas {
            let items = json!([{"key": ca["configMap"]["key"], "path": "ca.crt"}]);
            let source = json!({"name": ca["configMap"]["name"], "items": items, "optional": true});
            let is_it = at == ca_path(host, container)
                && volume["configMap"] == source
                && container.is_dind;
            if is_it && pod_model::is_read_only(mount) && !pod_model::has_sub_path(mount) {
                return Some(format!("the CA of {host}"));
            }
        }
        None
    }
}

/// Returns whether a mount was pointed to another volume, without fields that prevent writing.
fn is_repointed(before: &Value, after: &Value) -> bool {
    let without = |mount: &Value, fields: &[&str]| -> Map<String, Value> {
        let mut mount = mount.as_object().unwrap().clone();
        mount.retain(|field, _| !fields.contains(&field.as_str()));
        mount
    };
    let gone = [
        "name",
        "readOnly",
        "recursiveReadOnly",
        "subPath",
        "subPathExpr",
        "mountPropagation",
    ];
    // These fields may remain with a value that has no effect.
    let has_no_effect =
        |value: &Value| *value == json!(null) || *value == json!(false) || *value == json!("");
    let mut rest = without(after, &["name", "subPath"]);
    rest.retain(|field, value| !(gone.contains(&field.as_str()) && has_no_effect(value)));
    without(before, &gone) == rest
}

/// Returns whether a mount has only a volume, a path, and the subPath of dind's mount (rule D3).
fn is_whole(mount: &Value) -> bool {
    let mut fields = mount.as_object().into_iter().flatten();
    fields.all(|(name, _)| matches!(name.as_str(), "name" | "mountPath" | "subPath"))
}

/// Returns whether Relocate may mount a volume at this path (rule D8).
pub fn is_target(target: &str, at: &str, name: &str) -> bool {
    at == target || at == clean(&format!("{target}-{name}"))
}

/// Returns whether a container gets a volume of a policy (rule V1).
pub fn gets_volume(container: &Container<'_>, spec: &Value) -> bool {
    container.is_dind || text(spec, "containers") == "All" && container.runs_along
}

/// Returns the mount path of a policy's volume, which differs for data of rootless dind (rule V6).
pub fn volume_path(asked: &str, container: &Container<'_>) -> String {
    let is_moved = asked == DATA && container.is_dind && container.is_rootless();
    if is_moved { ROOTLESS_DATA } else { asked }.to_owned()
}

/// Returns the directory for the CA of a registry (rules R1, V6).
pub fn ca_path(host: &str, container: &Container<'_>) -> String {
    let root = if container.is_rootless() {
        ROOTLESS_HOME
    } else {
        "/etc/docker"
    };
    format!("{root}/certs.d/{host}")
}

/// Returns whether a volume has the source of a policy's volume. The size limit of an emptyDir in
/// memory is ignored, because drydock may set it (rule D9).
fn has_source_of(volume: &Value, spec: &Value) -> bool {
    let source = pod_model::source_of(volume);
    let mut found = volume[source].clone();
    if found["medium"] == "Memory"
        && let Some(fields) = found.as_object_mut()
    {
        fields.remove("sizeLimit");
    }
    spec.get(source) == Some(&found)
}
