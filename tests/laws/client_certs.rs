//! The directories for certificates of docker clients in the changed pod (rules D3, D5 to D9).

use super::case::Run;
use super::certificate_directories::Directory;
use super::desired::Dind;
use super::docker_connection::mounts::{Place, is_projection, nearest, place};
use super::pod_model::{self, Answer, is_below, is_unwritable, list, parent, path, text};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Checks that dind and the client share a writable directory (rules D3, D5). The error names the
/// failed condition.
fn holds(pod: &Value, desired: &Dind<'_>, directory: &Directory) -> Result<(), String> {
    let mut shared = None;
    for container in pod_model::containers(pod, &desired.images) {
        let mut mounts = container.mounts().iter();
        if let Some(mount) = mounts.find(|mount| is_below(&path(mount), &directory.path)) {
            return Err(format!("{} has {mount} below it", container.name));
        }
        let has_own = container
            .mounts()
            .iter()
            .any(|mount| path(mount) == directory.path);
        if !has_own && !directory.concerns(&container) {
            continue;
        }
        let is_dind = directory.dinds.contains(&container.place);
        let found = place(container.json, &directory.path);
        let Place::Volume { name, .. } = &found else {
            return Err(format!("{} has nothing there", container.name));
        };
        let volume = pod_model::volume(pod, name);
        if volume.is_none_or(|volume| pod_model::source_of(volume) != "emptyDir") {
            return Err(format!("{} has {volume:?} there", container.name));
        }
        if is_dind && nearest(container.json, &directory.path).is_some_and(pod_model::is_read_only)
        {
            return Err(format!("{} cannot write there", container.name));
        }
        if let Some(above) = nearest(container.json, &parent(&directory.path)) {
            let volume = pod_model::volume(pod, text(above, "name"));
            let is_build = directory.concerns(&container);
            let is_in_the_way = is_dind || is_build && has_own && !is_projection(volume);
            if is_in_the_way && is_unwritable(above, volume) == Answer::Yes {
                return Err(format!(
                    "{} has {above} above it, which cannot be written",
                    container.name
                ));
            }
        }
        if *shared.get_or_insert(found.clone()) != found {
            return Err(format!("it is {shared:?} and {found:?}"));
        }
    }
    Ok(())
}

/// With Replace or Relocate, or with Deny without a conflict, dind and the client share the
/// directory (rules D3, D5, D7, D9).
pub fn directory_is_shared(
    pod: &Value,
    run: &Run,
    desired: &Dind<'_>,
    directory: &Directory,
) -> Result<(), TestCaseError> {
    if !directory.is_settled() || desired.on_conflict == "Report" {
        return Ok(());
    }
    let after = holds(&run.output, desired, directory);
    prop_assert!(
        after.is_ok(),
        "{} is not shared and writable (D3): {:?}",
        directory.path,
        after
    );
    if directory.conflict == Answer::No && holds(pod, desired, directory).is_ok() {
        prop_assert_eq!(
            mounts_around(pod, directory),
            mounts_around(&run.output, directory),
            "{} changed although it was already shared (A1)",
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
        .filter(|name| pod_model::volume(pod, name).is_some_and(is_empty_dir))
        .collect();
    if had.len() == 1 && is_writable_there(pod, directory) {
        prop_assert!(
            had.contains(&shared),
            "dind has the volume {:?} there, but the shared volume is {} (D7)",
            had,
            shared
        );
    }
    let now = pod_model::volume(&run.output, &shared).unwrap();
    if pod_model::volume(pod, &shared) != Some(now) {
        let memory = json!({"medium": "Memory", "sizeLimit": desired.size_limit});
        prop_assert_eq!(
            &now["emptyDir"],
            &memory,
            "wrong emptyDir of drydock's volume {} (D9)",
            shared
        );
    }
    // If a volume that dind does not use is mounted only at the directory, it must be swapped
    // instead of adding a volume.
    let could_be_swapped = list(&pod["spec"], "volumes").iter().any(|volume| {
        let name = text(volume, "name");
        let mounts = all_mounts(pod)
            .filter(|mount| text(mount, "name") == name)
            .map(path)
            .collect::<Vec<_>>();
        !is_empty_dir(volume) && !mounts.is_empty() && mounts.iter().all(|at| *at == directory.path)
    });
    if could_be_swapped && had.is_empty() && desired.on_conflict == "Replace" {
        prop_assert!(
            pod_model::volume(pod, &shared).is_some(),
            "{} was added, although an existing volume could be swapped (D7)",
            shared
        );
    }
    Ok(())
}

fn is_empty_dir(volume: &Value) -> bool {
    pod_model::source_of(volume) == "emptyDir"
}

/// Returns whether no dind container mounts the directory read-only or with a subPath.
fn is_writable_there(pod: &Value, directory: &Directory) -> bool {
    let mounts = directory
        .dinds
        .iter()
        .flat_map(|(place, index)| list(&pod["spec"][place][index], "volumeMounts"));
    let mut there = mounts.filter(|mount| path(mount) == directory.path);
    there.all(|mount| !pod_model::is_read_only(mount) && !pod_model::has_sub_path(mount))
}

fn all_mounts(pod: &Value) -> impl Iterator<Item = &Value> {
    let containers = pod_model::containers(pod, &[]);
    containers
        .into_iter()
        .flat_map(|container| container.mounts())
}

/// Returns the mounts of all containers at, below and above a directory.
fn mounts_around(pod: &Value, directory: &Directory) -> Vec<((&'static str, usize), Value)> {
    let mut around = Vec::new();
    for container in pod_model::containers(pod, &[]) {
        for mount in container.mounts() {
            let at = path(mount);
            if pod_model::overlap(&at, &directory.path) {
                around.push((container.place, mount.clone()));
            }
        }
    }
    around
}

/// A directory that drydock must not change keeps its mounts and their volumes (rules D3, D6). With
/// `onConflict: Report`, the conflict is also reported (rule D8).
pub fn unchanged_directories_keep_their_mounts(
    pod: &Value,
    run: &Run,
    desired: &Dind<'_>,
    directory: &Directory,
) -> Result<(), TestCaseError> {
    let reports = desired.on_conflict == "Report"
        && directory.is_settled()
        && directory.conflict == Answer::Yes;
    if directory.overlaps || !(reports || directory.is_unchanged()) {
        return Ok(());
    }
    let before = mounts_around(pod, directory);
    let mut after = mounts_around(&run.output, directory);
    if !reports {
        // drydock may add a mount for dind if nothing is mounted there.
        after.retain(|(container, mount)| before.contains(&(*container, mount.clone())));
    }
    prop_assert_eq!(
        &before,
        &after,
        "the mounts at {} changed (D3, D6, D8)",
        directory.path
    );
    for (_, mount) in &before {
        let name = text(mount, "name");
        prop_assert_eq!(
            pod_model::volume(pod, name),
            pod_model::volume(&run.output, name),
            "the volume {} changed (D3, D6, D8)",
            name
        );
    }
    if reports {
        prop_assert!(
            !run.findings.is_empty(),
            "the conflict is not reported (D8)"
        );
    }
    Ok(())
}

/// With `onConflict: Deny`, the pod is refused if and only if there is a conflict (rule D8).
pub fn denied_if_and_only_if_in_conflict(
    run: &Run,
    desired: &Dind<'_>,
    directories: &[Directory],
) -> Result<(), TestCaseError> {
    let settled = directories
        .iter()
        .filter(|directory| directory.is_settled());
    let conflicts = settled
        .clone()
        .any(|directory| directory.conflict == Answer::Yes);
    if desired.on_conflict != "Deny" {
        prop_assert_ne!(
            run.outcome,
            "denied",
            "denied without onConflict: Deny (D8)"
        );
    } else if conflicts {
        prop_assert_eq!(
            run.outcome,
            "denied",
            "not denied despite a conflict (D8): {:?}",
            directories
        );
        let names_it = |note: &String| {
            note.starts_with("D8")
                && directories
                    .iter()
                    .any(|directory| note.contains(&directory.path))
        };
        prop_assert!(
            run.findings.iter().any(names_it),
            "no message names the path (D8): {:?}",
            run.findings
        );
    } else if settled.count() == directories.len() {
        prop_assert_ne!(run.outcome, "denied", "denied without a conflict (D8)");
    }
    Ok(())
}
