//! The mounts of the kubelet: the volume at a path of a container, the containers that can write
//! there, and whether the container starts.
//!
//! - Paths are cleaned, and of two mounts at one path the later one wins (seen on a node,
//!   Kubernetes 1.36 and containerd 1.6).
//! - Secret, ConfigMap, projected and downward API volumes are always read-only (kubelet,
//!   `mustMountRO`); the kubelet makes the mount points of other volumes inside them
//!   (`pkg/volume/util/nested_volumes.go`), at the volume's root.
//! - An emptyDir has the mode 0777 (`pkg/volume/emptydir`), and is empty when the pod starts.
//! - The container runtime creates missing parents of a mount point as root.

use super::super::pod_model::{self, Answer, clean, is_below, list, path, source_of, text};
use serde_json::Value;

/// The file system at a path of a container.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Place {
    /// The container's own file system.
    Image,
    /// A path in a volume.
    Volume { name: String, path: String },
}

/// `No` if one answer is `No`, else `Open` if one is `Open`.
pub fn all(answers: impl IntoIterator<Item = Answer>) -> Answer {
    let mut worst = Answer::Yes;
    for answer in answers {
        match answer {
            Answer::No => return Answer::No,
            Answer::Open => worst = Answer::Open,
            Answer::Yes => {}
        }
    }
    worst
}

pub fn is(condition: bool) -> Answer {
    if condition { Answer::Yes } else { Answer::No }
}

/// The mount that decides about a path: the nearest one, of several at one path the last.
pub fn nearest<'p>(container: &'p Value, at: &str) -> Option<&'p Value> {
    let mounts = list(container, "volumeMounts").iter();
    let above = mounts.filter(|mount| path(mount) == at || is_below(at, &path(mount)));
    above.max_by_key(|mount| path(mount).len())
}

pub fn place(container: &Value, at: &str) -> Place {
    let at = clean(at);
    let Some(mount) = nearest(container, &at) else {
        return Place::Image;
    };
    // The same expression in two containers of a pod counts as the same path.
    let sub_path = match text(mount, "subPathExpr") {
        "" => text(mount, "subPath"),
        expression => expression,
    };
    let rest = at.strip_prefix(&path(mount)).unwrap_or(&at);
    Place::Volume {
        name: text(mount, "name").to_owned(),
        path: clean(&format!("{sub_path}/{rest}")),
    }
}

/// Whether the kubelet fills a volume from the API, so that no container can write to it.
pub fn is_projection(volume: Option<&Value>) -> bool {
    let kinds = ["secret", "configMap", "projected", "downwardAPI"];
    volume.is_some_and(|volume| kinds.contains(&source_of(volume)))
}

/// Directories that are in docker's images and that their user can write.
const IN_THE_IMAGE: [&str; 4] = [
    "/certs/client",
    "/certs",
    "/home/rootless/.local/share/docker",
    "/home/rootless",
];

/// Whether a container's process can write files to a directory, which it makes if it is missing.
pub fn writes(pod: &Value, container: &Value, directory: &str, is_rootless: bool) -> Answer {
    let directory = clean(directory);
    let Some(mount) = nearest(container, &directory) else {
        if !is_rootless {
            return Answer::Yes;
        }
        let mut known = IN_THE_IMAGE.iter();
        let root = known.find(|known| directory == **known || is_below(&directory, known));
        return is(root.is_some_and(|root| !is_made_by_a_mount(container, root, &directory)));
    };
    if pod_model::is_read_only(mount) {
        return Answer::No;
    }
    match pod_model::volume(pod, text(mount, "name")).map(source_of) {
        Some("emptyDir") => {
            is(!is_rootless || !is_made_by_a_mount(container, &path(mount), &directory))
        }
        Some("secret" | "configMap" | "projected" | "downwardAPI" | "image") => Answer::No,
        Some("hostPath" | "persistentVolumeClaim" | "ephemeral") if !is_rootless => Answer::Yes,
        _ => Answer::Open,
    }
}

/// Whether one of the directories below `root` on the way to `directory` exists because something
/// is mounted below it.
fn is_made_by_a_mount(container: &Value, root: &str, directory: &str) -> bool {
    let mounts = || list(container, "volumeMounts").iter().map(path);
    let mut made = directory.to_owned();
    while is_below(&made, root) {
        if mounts().any(|at| is_below(&at, &made)) {
            return true;
        }
        made = pod_model::parent(&made);
    }
    false
}

/// Whether a volume has a file when it is mounted: volumes that the kubelet fills have their items;
/// an emptyDir has none.
pub fn supplies(pod: &Value, container: &Value, file: &str) -> Answer {
    let Place::Volume { name, path } = place(container, file) else {
        return is(false);
    };
    let Some(volume) = pod_model::volume(pod, &name) else {
        return Answer::Open;
    };
    let has = |source: &Value| {
        let items = list(source, "items");
        is(items.is_empty() || items.iter().any(|item| clean(text(item, "path")) == path))
    };
    match source_of(volume) {
        "emptyDir" => Answer::No,
        // Keys have no slash; only items make directories.
        "secret" | "configMap" if path[1..].contains('/') && !has_items(volume) => Answer::No,
        kind @ ("secret" | "configMap") => has(&volume[kind]),
        "downwardAPI" => Answer::No,
        "projected" => {
            let sources = list(&volume["projected"], "sources").iter();
            let mut sources = sources.filter_map(Value::as_object).flatten();
            if sources
                .any(|(_, source)| !list(source, "items").is_empty() && has(source) == Answer::Yes)
            {
                Answer::Yes
            } else {
                Answer::Open
            }
        }
        _ => Answer::Open,
    }
}

fn has_items(volume: &Value) -> bool {
    !list(&volume[source_of(volume)], "items").is_empty()
}

/// Whether the runtime can make the mount points of all containers.
pub fn starts(pod: &Value) -> Answer {
    let lists = ["containers", "initContainers"];
    let containers = lists.iter().flat_map(|field| list(&pod["spec"], field));
    all(containers.flat_map(|container| {
        let mounts = list(container, "volumeMounts").iter();
        mounts.map(|mount| can_be_mounted(pod, container, &path(mount)))
    }))
}

fn can_be_mounted(pod: &Value, container: &Value, at: &str) -> Answer {
    if at == "/" {
        return Answer::Open;
    }
    let Some(above) = nearest(container, &pod_model::parent(at)) else {
        return Answer::Yes;
    };
    let volume = pod_model::volume(pod, text(above, "name"));
    let is_whole = !pod_model::has_sub_path(above);
    match volume.map(source_of) {
        _ if is_projection(volume) && is_whole => Answer::Yes,
        // A key is a file, and below it nothing is mounted.
        _ if is_projection(volume) => Answer::Open,
        // An existing mount point is enough, but the content of these volumes is unknown.
        Some("emptyDir") if pod_model::is_read_only(above) => Answer::No,
        Some("emptyDir") => Answer::Yes,
        Some("hostPath" | "persistentVolumeClaim" | "ephemeral") => {
            is(!pod_model::is_read_only(above))
        }
        _ => Answer::Open,
    }
}
