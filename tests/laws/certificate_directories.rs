//! The directories of the original pod for certificates of docker clients (rule D2), and what must
//! happen to each (rules D3 to D6).

use super::container_start::{variable, version};
use super::desired::Dind;
use super::docker_connection::mounts::{Place, is_projection, nearest, place};
use super::pod_model::{
    self, Answer, Container, clean, is_below, is_unwritable, list, parent, path, text,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// A directory to which one or more dind containers write client certificates.
#[derive(Debug)]
pub struct Directory {
    /// Cleaned.
    pub path: String,
    /// The list and index of each dind container that writes to it.
    pub dinds: Vec<(&'static str, usize)>,
    /// Whether the user supplies the server's certificates (rule D6).
    pub own_ca: Answer,
    /// Whether the rules do not define the result, because another directory or a mount of a policy
    /// is at, above or below it, or because it is unknown whether dind writes to it.
    pub overlaps: bool,
    /// Whether the client in `build` may call this daemon (rule D3).
    pub build: Answer,
    /// Whether the client in `build` calls another machine (rule D3).
    pub is_remote: Answer,
    /// Whether the original pod has a conflict there (rule D4).
    pub conflict: Answer,
}

impl Directory {
    /// Returns whether the rules define the exact result.
    pub fn is_settled(&self) -> bool {
        self.own_ca == Answer::No
            && self.is_remote == Answer::No
            && self.build != Answer::Open
            && !self.overlaps
            && self.conflict != Answer::Open
    }

    /// Returns whether drydock must not change the mounts there (rules D3, D6).
    pub fn is_unchanged(&self) -> bool {
        self.own_ca == Answer::Yes || self.is_remote == Answer::Yes
    }

    pub fn concerns(&self, container: &Container<'_>) -> bool {
        container.is_build && self.build == Answer::Yes || self.dinds.contains(&container.place)
    }
}

/// Returns the certificate directories of the original pod.
pub fn directories(pod: &Value, desired: &Dind<'_>) -> Vec<Directory> {
    let containers = pod_model::containers(pod, &desired.images);
    let mut found: BTreeMap<String, (String, Vec<&Container<'_>>)> = BTreeMap::new();
    for container in containers.iter().filter(|container| container.is_dind) {
        if container.may_generate() {
            let entry = found.entry("/certs/client".to_owned());
            entry.or_insert(("/certs".to_owned(), Vec::new()));
        } else if let Ok(Some(root)) = container.certificate_root() {
            let directory = clean(&format!("{root}/client"));
            let entry = found.entry(directory).or_insert((root, Vec::new()));
            entry.1.push(container);
        }
    }
    let is_open = containers
        .iter()
        .any(|container| container.is_dind && container.may_generate());
    // A client that reads there may call a daemon that generates no certificates.
    let direct: Vec<String> = containers
        .iter()
        .filter(|container| container.is_dind)
        .filter_map(Container::ungenerated_directory)
        .collect();
    let paths: Vec<String> = found.keys().cloned().collect();
    let (build, is_remote) = client(pod, &containers);
    let directory = |(path, (root, dinds)): (String, (String, Vec<&Container<'_>>))| {
        let mut answers: Vec<Answer> = dinds.iter().map(|dind| own_ca(pod, dind, &root)).collect();
        answers.dedup();
        let policy_paths = desired.volumes.keys().chain([&desired.relocate_to]);
        let server = clean(&format!("{root}/server"));
        let is_occupied =
            |other: &String| pod_model::overlap(other, &path) || pod_model::overlap(other, &server);
        let overlaps = paths
            .iter()
            .any(|other| *other != path && pod_model::overlap(other, &path))
            || policy_paths.clone().any(is_occupied) && root != "/certs";
        let mut directory = Directory {
            dinds: dinds.iter().map(|dind| dind.place).collect(),
            own_ca: if let [one] = answers[..] {
                one
            } else {
                Answer::Open
            },
            overlaps: overlaps || is_open || direct.contains(&path),
            build,
            is_remote,
            conflict: Answer::No,
            path,
        };
        directory.conflict = conflict(pod, &containers, &directory);
        // Images before version 23 start without TLS if they cannot write there. The rules do not
        // define whether that is repaired for a client that uses port 2375.
        let is_old =
            |dind: &&Container<'_>| version(dind.json).is_some_and(|(major, _)| major < 23);
        if directory.build == Answer::No && dinds.iter().any(is_old) {
            directory.build = Answer::Open;
        }
        let build = containers.iter().find(|container| container.is_build);
        let touches = |mount: &Value| pod_model::overlap(&pod_model::path(mount), &directory.path);
        if directory.build == Answer::No
            && build.is_some_and(|build| build.mounts().iter().any(touches))
        {
            // The rules do not define what happens to a mount in a `build` container that does not
            // need the directory.
            directory.build = Answer::Open;
        }
        directory
    };
    found.into_iter().map(directory).collect()
}

/// Returns whether the client in `build` may call a daemon of this pod with TLS, and whether it
/// calls another machine (rule D3).
fn client(pod: &Value, containers: &[Container<'_>]) -> (Answer, Answer) {
    let has_host = |container: &Container<'_>| variable(container.json, "DOCKER_HOST") != Ok(None);
    let Some(build) = containers.iter().find(|container| container.is_build) else {
        return (Answer::No, Answer::No);
    };
    let host = match variable(build.json, "DOCKER_HOST") {
        Ok(Some(host)) if !host.is_empty() => host,
        // With FF_CONCRETE, a `build` container without variables may have those of the services.
        Ok(None) if list(build.json, "env").is_empty() && containers.iter().any(has_host) => {
            return (Answer::Open, Answer::Open);
        }
        _ => return (Answer::Yes, Answer::No),
    };
    if host.starts_with("unix://") {
        return (Answer::No, Answer::No);
    }
    let hides_aliases = build
        .mounts()
        .iter()
        .any(|mount| path(mount) == "/etc/hosts");
    let Some(address) = host.strip_prefix("tcp://").filter(|_| !hides_aliases) else {
        return (Answer::Open, Answer::Open);
    };
    let address = address.trim_end_matches('/');
    let (name, port) = address.rsplit_once(':').unwrap_or((address, ""));
    match (is_loopback(pod, name), port) {
        (true, "2375") => (Answer::No, Answer::No),
        (true, _) => (Answer::Yes, Answer::No),
        (false, "2375") => (Answer::No, Answer::Open),
        (false, _) => (Answer::No, Answer::Yes),
    }
}

fn is_loopback(pod: &Value, name: &str) -> bool {
    let parsed = name.parse::<IpAddr>();
    let is_named = |entry: &Value| {
        let mut names = list(entry, "hostnames").iter().filter_map(Value::as_str);
        let address = text(entry, "ip").parse::<IpAddr>();
        names.any(|other| other.eq_ignore_ascii_case(name))
            && address.is_ok_and(|address| address.is_loopback())
    };
    name == "localhost"
        || parsed.is_ok_and(|address| address.is_loopback())
        || list(&pod["spec"], "hostAliases").iter().any(is_named)
}

/// Returns whether a volume with content supplies the server's certificates (rule D6).
fn own_ca(pod: &Value, dind: &Container<'_>, root: &str) -> Answer {
    let server = clean(&format!("{root}/server"));
    let mut answer = Answer::No;
    for mount in dind.mounts() {
        let at = path(mount);
        let volume = pod_model::volume(pod, text(mount, "name"));
        if at == server || is_below(&at, &server) {
            match volume.map(pod_model::source_of) {
                Some("emptyDir") => continue,
                Some(_) => return Answer::Yes,
                None => answer = Answer::Open,
            }
        }
        if at == root && volume.is_some_and(has_server_item) {
            // The content of a subPath of this volume is unknown.
            answer = if pod_model::has_sub_path(mount) || root == "/" {
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

/// Returns whether the pod has a conflict at the directory (rule D4).
fn conflict(pod: &Value, containers: &[Container<'_>], directory: &Directory) -> Answer {
    let mounts = |container: &Container<'_>| list(container.json, "volumeMounts").to_vec();
    let is_below_it = |mount: &Value| is_below(&path(mount), &directory.path);
    if containers
        .iter()
        .any(|container| mounts(container).iter().any(is_below_it))
    {
        return Answer::Yes;
    }
    let mut answers = vec![Answer::No];
    // The volumes and subPaths that dind and other containers mount at the directory.
    let (mut in_dind, mut elsewhere) = (BTreeSet::new(), BTreeSet::new());
    for container in containers {
        let is_dind = directory.dinds.contains(&container.place);
        let there: Vec<&Value> = container
            .mounts()
            .iter()
            .filter(|mount| path(mount) == directory.path)
            .collect();
        if there.len() > 1 || there.is_empty() && is_dind && directory.dinds.len() > 1 {
            answers.push(Answer::Open);
        }
        for mount in there {
            answers.push(
                match pod_model::volume(pod, text(mount, "name")).map(pod_model::source_of) {
                    Some("emptyDir") if is_dind && pod_model::is_read_only(mount) => Answer::Yes,
                    Some("emptyDir") if !text(mount, "subPathExpr").is_empty() => Answer::Open,
                    Some("emptyDir") => Answer::No,
                    Some(_) => Answer::Yes,
                    None => Answer::Open,
                },
            );
            let shown = (text(mount, "name"), text(mount, "subPath"));
            if is_dind {
                in_dind.insert(shown)
            } else {
                elsewhere.insert(shown)
            };
        }
        if directory.concerns(container) {
            answers.push(blocks_from_above(pod, containers, container, directory));
        }
    }
    answers.push(match (in_dind.len(), elsewhere.len()) {
        (0, 0) | (1, 0) => Answer::No,
        // The rules do not define whether dind gets a volume that only other containers mount
        // there.
        (0, _) => Answer::Open,
        (1, _) if elsewhere.is_subset(&in_dind) => Answer::No,
        _ => Answer::Yes,
    });
    if answers.contains(&Answer::Yes) {
        return Answer::Yes;
    }
    if answers.contains(&Answer::Open) {
        Answer::Open
    } else {
        Answer::No
    }
}

/// Returns whether the nearest mounted ancestor is a conflict because it is not writable.
fn blocks_from_above(
    pod: &Value,
    containers: &[Container<'_>],
    container: &Container<'_>,
    directory: &Directory,
) -> Answer {
    let Some(above) = nearest(container.json, &parent(&directory.path)) else {
        return Answer::No;
    };
    let volume = pod_model::volume(pod, text(above, "name"));
    let is_dind = directory.dinds.contains(&container.place);
    let is_one = container
        .mounts()
        .iter()
        .filter(|mount| path(mount) == path(above))
        .count()
        == 1;
    let has_own = container
        .mounts()
        .iter()
        .any(|mount| path(mount) == directory.path);
    match is_unwritable(above, volume) {
        Answer::No => Answer::No,
        Answer::Yes if !is_one => Answer::Open,
        Answer::Yes if is_dind => Answer::Yes,
        // Rule D4 removes the mount; rule D7 keeps it and mounts the directory below it.
        Answer::Yes if is_projection(volume) || has_own => Answer::Open,
        Answer::Yes if is_served(pod, containers, directory) => Answer::No,
        answer => answer,
    }
}

/// Returns whether dind and `build` already share the directory, as the same path in an emptyDir
/// that is mounted above it (rule D5).
fn is_served(pod: &Value, containers: &[Container<'_>], directory: &Directory) -> bool {
    let concerned = containers
        .iter()
        .filter(|container| directory.concerns(container));
    let mut places: Vec<Place> = concerned
        .map(|container| place(container.json, &directory.path))
        .collect();
    places.dedup();
    match &places[..] {
        [Place::Volume { name, .. }] => pod_model::volume(pod, name)
            .is_some_and(|volume| pod_model::source_of(volume) == "emptyDir"),
        _ => false,
    }
}
