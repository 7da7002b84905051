//! Files of Secrets, ConfigMaps and similar volumes outside the certificate directories, which must
//! stay readable.

use super::super::container_start::{self, Tls};
use super::super::pod_model::{self, clean, is_below, list, path, text};
use super::mounts::{Place, is_projection, place};
use serde_json::Value;

/// A file that a container can read, and the file system at its path.
#[derive(Debug, Eq, PartialEq)]
pub struct Kept {
    pub container: (&'static str, usize),
    pub file: String,
    pub place: Place,
}

/// Returns the directories to which the pod's daemons may write client certificates.
fn directories(pod: &Value) -> Vec<String> {
    let mut found = vec!["/certs/client".to_owned()];
    for container in pod_model::containers(pod, &[]) {
        if let Tls::Directory(root) =
            container_start::tls(container.json, &container_start::start(container.json))
        {
            found.push(clean(&format!("{root}/client")));
        }
    }
    found
}

/// Returns the files that must stay readable: one in each mounted volume that the kubelet fills.
///
/// Excluded are mounts at or below a certificate directory, and mounts above one in a service,
/// because dind must write there. A key that is mounted with a subPath above such a directory is
/// excluded, too, because a file cannot be a parent directory.
pub fn files(pod: &Value) -> Vec<Kept> {
    let directories = directories(pod);
    let mut kept = Vec::new();
    for container in pod_model::containers(pod, &[]) {
        let is_runners = matches!(container.name, "build" | "helper");
        for mount in container.mounts() {
            let at = path(mount);
            let is_key = pod_model::has_sub_path(mount);
            let is_above = |directory: &String| is_below(directory, &at);
            let is_inside = |directory: &String| at == *directory || is_below(&at, directory);
            if directories.iter().any(is_inside)
                || directories.iter().any(is_above)
                    && (is_key || container.runs_along && !is_runners)
                || !is_projection(pod_model::volume(pod, text(mount, "name")))
            {
                continue;
            }
            let file = if is_key {
                at
            } else {
                clean(&format!("{at}/some-key.crt"))
            };
            let place = place(container.json, &file);
            // Another mount may hide the file.
            if matches!(&place, Place::Volume { name, .. } if name == text(mount, "name")) {
                kept.push(Kept {
                    container: container.place,
                    file,
                    place,
                });
            }
        }
    }
    kept
}

/// Returns whether the changed pod has a file at the same path from the same volume source.
pub fn is_readable(before: &Value, after: &Value, kept: &Kept) -> bool {
    let (list_name, index) = kept.container;
    let container = &list(&after["spec"], list_name)[index];
    let Place::Volume { name, .. } = &kept.place else {
        return false;
    };
    place(container, &kept.file) == kept.place
        && pod_model::volume(before, name) == pod_model::volume(after, name)
}
