//! D2 to D9: the docker client's certificate directories.

use super::case::Run;
use super::facts::{
    self, Answer, Container, clean, is_below, is_memory, is_unwritable, list, parent, path, text,
};
use super::wanted::Dind;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A directory that one or several dind containers of the pod write their client certificates to.
#[derive(Debug)]
pub struct Directory {
    /// Clean.
    pub path: String,
    /// Places of the dind containers that use it.
    pub dinds: Vec<(&'static str, usize)>,
    /// Whether they manage their own CA (D6).
    pub own_ca: Answer,
    /// Whether another directory, or what a policy mounts, is at, above or below it: the contract leaves room then.
    pub overlaps: bool,
    /// Whether something conflicts there on arrival (D4).
    pub conflict: Answer,
}

impl Directory {
    /// Whether the contract says exactly what must hold there afterwards.
    pub fn is_settled(&self) -> bool {
        self.own_ca == Answer::No && !self.overlaps && self.conflict != Answer::Open
    }

    fn concerns(&self, container: &Container<'_>) -> bool {
        container.is_build || self.dinds.contains(&container.place)
    }
}

/// The certificate directories of a pod as it arrived.
pub fn directories(pod: &Value, wanted: &Dind<'_>) -> Vec<Directory> {
    let containers = facts::containers(pod, &wanted.images);
    let mut found: BTreeMap<String, (String, Vec<&Container<'_>>)> = BTreeMap::new();
    for container in containers.iter().filter(|container| container.is_dind) {
        if let Ok(Some(root)) = container.certificate_root() {
            let directory = clean(&format!("{root}/client"));
            let entry = found.entry(directory).or_insert((root, Vec::new()));
            entry.1.push(container);
        }
    }
    let paths: Vec<String> = found.keys().cloned().collect();
    let directory = |(path, (root, dinds)): (String, (String, Vec<&Container<'_>>))| {
        let mut answers: Vec<Answer> = dinds.iter().map(|dind| own_ca(pod, dind, &root)).collect();
        answers.dedup();
        let policy_paths = wanted.volumes.keys().chain([&wanted.relocate_to]);
        let server = clean(&format!("{root}/server"));
        let is_crowded =
            |other: &String| facts::overlap(other, &path) || facts::overlap(other, &server);
        let overlaps = paths
            .iter()
            .any(|other| *other != path && facts::overlap(other, &path))
            || policy_paths.clone().any(is_crowded) && root != "/certs";
        let mut directory = Directory {
            dinds: dinds.iter().map(|dind| dind.place).collect(),
            own_ca: if let [one] = answers[..] {
                one
            } else {
                Answer::Open
            },
            overlaps,
            conflict: Answer::No,
            path,
        };
        directory.conflict = conflict(pod, &containers, &directory);
        directory
    };
    found.into_iter().map(directory).collect()
}

/// D6: the server's certificates are supplied too.
fn own_ca(pod: &Value, dind: &Container<'_>, root: &str) -> Answer {
    let server = clean(&format!("{root}/server"));
    let mut answer = Answer::No;
    for mount in dind.mounts() {
        let at = path(mount);
        if at == server || is_below(&at, &server) {
            return Answer::Yes;
        }
        let volume = facts::volume(pod, text(mount, "name"));
        if at == root && volume.is_some_and(has_server_item) {
            // What a subPath of such a volume shows cannot be said.
            answer = if facts::has_sub_path(mount) || root == "/" {
                Answer::Open
            } else {
                Answer::Yes
            };
        }
    }
    answer
}

fn has_server_item(volume: &Value) -> bool {
    let in_items = |source: &Value| {
        list(source, "items")
            .iter()
            .any(|item| text(item, "path").starts_with("server/"))
    };
    let fields = volume
        .as_object()
        .into_iter()
        .flatten()
        .map(|(_, source)| source);
    let mut fields = fields.filter(|source| source.is_object());
    fields.any(|source| {
        let projected = list(source, "sources").iter().filter_map(Value::as_object);
        in_items(source) || projected.flatten().any(|(_, source)| in_items(source))
    })
}

/// D4.
fn conflict(pod: &Value, containers: &[Container<'_>], directory: &Directory) -> Answer {
    let mut memories = BTreeSet::new();
    let mut answer = Answer::No;
    for container in containers {
        let parents = container
            .mounts()
            .iter()
            .filter(|mount| path(mount) == parent(&directory.path))
            .count();
        for mount in container.mounts() {
            let (at, name) = (path(mount), text(mount, "name"));
            let volume = facts::volume(pod, name);
            if is_below(&at, &directory.path) {
                return Answer::Yes;
            }
            if at == directory.path {
                match volume {
                    None => answer = Answer::Open,
                    Some(volume)
                        if !is_memory(volume)
                            || facts::is_read_only(mount)
                            || facts::has_sub_path(mount) =>
                    {
                        return Answer::Yes;
                    }
                    Some(_) => drop(memories.insert(name)),
                }
            }
            if at == parent(&directory.path) && directory.concerns(container) {
                let shares = shares_parent(pod, containers, directory);
                match (is_unwritable(mount, volume), shares) {
                    (Answer::No, Answer::No | Answer::Yes) => {}
                    (Answer::Yes, Answer::No) if parents == 1 => return Answer::Yes,
                    (Answer::Yes, Answer::Yes) if !directory.dinds.contains(&container.place) => {}
                    _ => answer = Answer::Open,
                }
            }
        }
    }
    let serves_elsewhere = |name: &&str| {
        let mounts = containers.iter().flat_map(|container| container.mounts());
        let mut mounts = mounts.filter(|mount| text(mount, "name") == *name);
        mounts.any(|mount| path(mount) != directory.path)
    };
    match answer {
        _ if memories.len() > 1 => Answer::Yes,
        // Whether one that only `build` has there is shared, though it serves another path too, is not said.
        _ if memories.iter().any(serves_elsewhere) => Answer::Open,
        answer => answer,
    }
}

/// D5: dind and `build` mount one writable emptyDir at the parent, with one subPath.
fn shares_parent(pod: &Value, containers: &[Container<'_>], directory: &Directory) -> Answer {
    let mut mounted = BTreeSet::new();
    let mut answer = Answer::Yes;
    let concerned: Vec<&Container<'_>> = containers
        .iter()
        .filter(|container| directory.concerns(container))
        .collect();
    let is_there = |mount: &Value| path(mount) == parent(&directory.path);
    let some_have_it = concerned
        .iter()
        .any(|container| container.mounts().iter().any(is_there));
    if !some_have_it || !concerned.iter().any(|container| container.is_build) {
        return Answer::No;
    }
    for container in concerned {
        let mounts = container.mounts().iter().filter(|mount| is_there(mount));
        let [mount] = mounts.collect::<Vec<_>>()[..] else {
            // Which of two spellings counts, and whether each of several dinds must share it, is not said.
            let has_some = container.mounts().iter().any(is_there);
            if !has_some && directory.dinds.len() == 1 {
                return Answer::No;
            }
            answer = Answer::Open;
            continue;
        };
        let volume = facts::volume(pod, text(mount, "name"));
        let is_dind = directory.dinds.contains(&container.place);
        if volume.is_none_or(|volume| facts::source_of(volume) != "emptyDir")
            || is_dind && facts::is_read_only(mount)
        {
            if directory.dinds.len() == 1 {
                return Answer::No;
            }
            answer = Answer::Open;
        }
        if !text(mount, "subPathExpr").is_empty() {
            answer = Answer::Open;
        }
        mounted.insert((text(mount, "name"), text(mount, "subPath")));
    }
    match answer {
        Answer::Yes if mounted.len() > 1 && directory.dinds.len() == 1 => Answer::No,
        Answer::Yes if mounted.len() > 1 => Answer::Open,
        answer => answer,
    }
}

/// D3, D5: what must hold of a directory. The error says what does not.
fn holds(pod: &Value, wanted: &Dind<'_>, directory: &Directory) -> Result<(), String> {
    let containers = facts::containers(pod, &wanted.images);
    let is_there =
        |mount: &Value| path(mount) == directory.path || is_below(&path(mount), &directory.path);
    let shares = shares_parent(pod, &containers, directory);
    if shares != Answer::No
        && !containers
            .iter()
            .any(|container| container.mounts().iter().any(is_there))
    {
        return Ok(());
    }
    let mut shared = BTreeSet::new();
    for container in &containers {
        let mut has_it = false;
        for mount in container.mounts() {
            if is_below(&path(mount), &directory.path) {
                return Err(format!("{} has {mount} below it", container.name));
            }
            let volume = facts::volume(pod, text(mount, "name"));
            if path(mount) == directory.path {
                has_it = true;
                shared.insert(text(mount, "name"));
                if facts::is_read_only(mount)
                    || facts::has_sub_path(mount)
                    || !volume.is_some_and(is_memory)
                {
                    return Err(format!("{} has {mount} of {volume:?}", container.name));
                }
            }
            let is_parent = path(mount) == parent(&directory.path) && directory.concerns(container);
            if is_parent && shares == Answer::No && is_unwritable(mount, volume) == Answer::Yes {
                return Err(format!(
                    "{} has {mount} above it, which cannot be written",
                    container.name
                ));
            }
        }
        if !has_it && directory.concerns(container) {
            return Err(format!("{} has nothing there", container.name));
        }
    }
    if shared.len() == 1 {
        Ok(())
    } else {
        Err(format!("it is {shared:?}"))
    }
}

/// D3, D5, D7, D9: after Replace, Relocate and, where nothing conflicts, Deny.
pub fn directory_is_shared(
    pod: &Value,
    run: &Run,
    wanted: &Dind<'_>,
    directory: &Directory,
) -> Result<(), TestCaseError> {
    if !directory.is_settled() || wanted.on_conflict == "Report" {
        return Ok(());
    }
    let after = holds(&run.output, wanted, directory);
    prop_assert!(
        after.is_ok(),
        "D3: {} is not shared and writable: {:?}",
        directory.path,
        after
    );
    if directory.conflict == Answer::No && holds(pod, wanted, directory).is_ok() {
        prop_assert_eq!(
            mounts_around(pod, directory),
            mounts_around(&run.output, directory),
            "A1: {} was right",
            directory.path
        );
    }
    let names = |pod: &Value, place: &(&str, usize)| -> Vec<String> {
        let mounts = list(&pod["spec"][place.0][place.1], "volumeMounts").to_vec();
        let there = mounts.iter().filter(|mount| path(mount) == directory.path);
        there.map(|mount| text(mount, "name").to_owned()).collect()
    };
    let Some(shared) = directory
        .dinds
        .first()
        .and_then(|dind| names(&run.output, dind).pop())
    else {
        return Ok(());
    };
    let had = directory.dinds.iter().flat_map(|dind| names(pod, dind));
    let had: BTreeSet<String> = had
        .filter(|name| facts::volume(pod, name).is_some_and(is_memory))
        .collect();
    if had.len() == 1 && plain_there(pod, directory) {
        prop_assert!(
            had.contains(&shared),
            "D7: dind has {:?} there, yet {} is shared",
            had,
            shared
        );
    }
    let now = facts::volume(&run.output, &shared).unwrap();
    if facts::volume(pod, &shared) != Some(now) {
        let memory = json!({"medium": "Memory", "sizeLimit": wanted.size_limit});
        prop_assert_eq!(&now["emptyDir"], &memory, "D9: {} is drydock's", shared);
    }
    // Only mounted at the directory, and not what dind has: one of these is swapped, so that no new volume is needed.
    let could_be_swapped = list(&pod["spec"], "volumes").iter().any(|volume| {
        let name = text(volume, "name");
        let mounts = all_mounts(pod)
            .filter(|mount| text(mount, "name") == name)
            .map(path)
            .collect::<Vec<_>>();
        !is_memory(volume) && !mounts.is_empty() && mounts.iter().all(|at| *at == directory.path)
    });
    if could_be_swapped && had.is_empty() && wanted.on_conflict == "Replace" {
        prop_assert!(
            facts::volume(pod, &shared).is_some(),
            "D7: {} is new, though one could be swapped",
            shared
        );
    }
    Ok(())
}

/// Whether every dind mounts what it has there without read-only or subPath.
fn plain_there(pod: &Value, directory: &Directory) -> bool {
    let mounts = directory
        .dinds
        .iter()
        .flat_map(|(place, index)| list(&pod["spec"][place][index], "volumeMounts"));
    let mut there = mounts.filter(|mount| path(mount) == directory.path);
    there.all(|mount| !facts::is_read_only(mount) && !facts::has_sub_path(mount))
}

fn all_mounts(pod: &Value) -> impl Iterator<Item = &Value> {
    let containers = facts::containers(pod, &[]);
    containers
        .into_iter()
        .flat_map(|container| container.mounts())
}

/// Each container's mounts at, below and directly above a directory.
fn mounts_around(pod: &Value, directory: &Directory) -> Vec<((&'static str, usize), Value)> {
    let mut around = Vec::new();
    for container in facts::containers(pod, &[]) {
        for mount in container.mounts() {
            let at = path(mount);
            if at == directory.path
                || is_below(&at, &directory.path)
                || at == parent(&directory.path)
            {
                around.push((container.place, mount.clone()));
            }
        }
    }
    around
}

/// D2, D6 and D8's Report: a directory that is left alone keeps its mounts and their volumes, and that is told.
pub fn left_alone_is_left(
    pod: &Value,
    run: &Run,
    wanted: &Dind<'_>,
    directory: &Directory,
) -> Result<(), TestCaseError> {
    let reports = wanted.on_conflict == "Report"
        && directory.conflict == Answer::Yes
        && directory.own_ca == Answer::No;
    if directory.overlaps || !(reports || directory.own_ca == Answer::Yes) {
        return Ok(());
    }
    let (before, after) = (
        mounts_around(pod, directory),
        mounts_around(&run.output, directory),
    );
    prop_assert_eq!(&before, &after, "D6, D8: {} is left alone", directory.path);
    for (_, mount) in &before {
        let name = text(mount, "name");
        prop_assert_eq!(
            facts::volume(pod, name),
            facts::volume(&run.output, name),
            "D6, D8: so is what is there"
        );
    }
    if reports {
        prop_assert!(!run.told.is_empty(), "D8: Report tells");
    }
    Ok(())
}

/// D8: the pod is refused where something conflicts, and nowhere else.
pub fn denied_where_it_conflicts(
    run: &Run,
    wanted: &Dind<'_>,
    directories: &[Directory],
) -> Result<(), TestCaseError> {
    let settled = directories
        .iter()
        .filter(|directory| directory.is_settled());
    let conflicts = settled
        .clone()
        .any(|directory| directory.conflict == Answer::Yes);
    if wanted.on_conflict != "Deny" {
        prop_assert_ne!(run.outcome, "denied", "D8: no policy says Deny");
    } else if conflicts {
        prop_assert_eq!(run.outcome, "denied", "D8: {:?}", directories);
        let names_it = |note: &String| {
            note.starts_with("D8")
                && directories
                    .iter()
                    .any(|directory| note.contains(&directory.path))
        };
        prop_assert!(
            run.told.iter().any(names_it),
            "D8: the message names the path: {:?}",
            run.told
        );
    } else if settled.count() == directories.len() {
        prop_assert_ne!(run.outcome, "denied", "D8: nothing conflicts");
    }
    Ok(())
}
