//! The mounts of a container: the volume at a path, whether the container can write there, and
//! whether it starts.
//!
//! - Mount paths are cleaned. If two mounts have the same path, the later one is visible (observed
//!   with Kubernetes 1.36 and containerd 1.6).
//! - Secret, ConfigMap, projected and downward API volumes are always read-only (kubelet,
//!   `mustMountRO`). The kubelet creates mount points of other volumes inside them
//!   (`pkg/volume/util/nested_volumes.go`), at the root of the volume.
//! - An emptyDir has mode 0777 (`pkg/volume/emptydir`), and is empty when the pod starts.
//! - The container runtime creates missing parents of a mount point as root.

use super::super::pod_model::{self, Answer, clean, is_below, list, path, source_of, text};
use serde_json::Value;

/// The file system that a container has at a path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Place {
    /// The container's own file system.
    Image,
    /// A path in a volume.
    Volume { name: String, path: String },
}

/// Returns `No` if an answer is `No`, otherwise `Open` if an answer is `Open`, otherwise `Yes`.
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

/// Returns the mount that contains a path: the one with the longest path, and the last if several
/// have the same path.
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
    // Assumes that the same expression has the same value in all containers of a pod.
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

/// Returns whether the kubelet fills a volume from the API, so that no container can write to it.
pub fn is_projection(volume: Option<&Value>) -> bool {
    let kinds = ["secret", "configMap", "projected", "downwardAPI"];
    volume.is_some_and(|volume| kinds.contains(&source_of(volume)))
}

/// Directories in docker's images to which the image's user can write.
const IN_THE_IMAGE: [&str; 4] = [
    "/certs/client",
    "/certs",
    "/home/rootless/.local/share/docker",
    "/home/rootless",
];

/// Returns whether a container's process can write files to a directory, which it creates if it
/// does not exist.
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

/// Returns whether the container runtime creates one of the directories between `root` and
/// `directory`, because a volume is mounted below it.
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

/// Returns whether a volume contains a file when the pod starts. Volumes that the kubelet fills
/// contain their items; an emptyDir is empty.
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
        // Keys cannot contain a slash, so only `items` can create directories.
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

/// Returns whether the container runtime can create the mount points of all containers.
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
        // A key is a file, below which nothing can be mounted.
        _ if is_projection(volume) => Answer::Open,
        // The mount point may exist already, but the content of these volumes is unknown.
        Some("emptyDir") if pod_model::is_read_only(above) => Answer::No,
        Some("emptyDir") => Answer::Yes,
        Some("hostPath" | "persistentVolumeClaim" | "ephemeral") => {
            is(!pod_model::is_read_only(above))
        }
        _ => Answer::Open,
    }
}
