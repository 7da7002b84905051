//! The docker client's certificate directories of a pod as it arrives: D2, and what D4, D5 and D6 say of each.

use super::facts::{
    self, Answer, Container, clean, is_below, is_memory, is_unwritable, list, parent, path, text,
};
use super::wanted::Dind;
use serde_json::Value;
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

    pub fn concerns(&self, container: &Container<'_>) -> bool {
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
pub fn shares_parent(pod: &Value, containers: &[Container<'_>], directory: &Directory) -> Answer {
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
