//! Fields that drydock never changes (rule A1), validity of the pod (rule A4), the patch (rule A3),
//! annotations (rule A5) and scheduling (rule S1).

use super::case::{Case, Run};
use super::desired::{Desired, Dind};
use super::pod_model::{self, list, text};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

const POLICIES: &str = "drydock.dev/policies";
const CHANGES: &str = "drydock.dev/changes";

/// All fields that rules do not write are unchanged (rule A1).
pub fn fields_without_rules_are_unchanged(case: &Case, run: &Run) -> Result<(), TestCaseError> {
    prop_assert_eq!(
        frame(&case.pod),
        frame(&run.output),
        "a field that no rule writes changed (A1)"
    );
    if run.patch.is_none() {
        prop_assert_eq!(&case.pod, &run.output);
    }
    Ok(())
}

fn frame(pod: &Value) -> Value {
    let mut pod = pod.clone();
    for place in ["containers", "initContainers"] {
        for container in pod["spec"]
            .get_mut(place)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            container.as_object_mut().unwrap().remove("volumeMounts");
        }
    }
    let spec = pod["spec"].as_object_mut().unwrap();
    for field in ["hostAliases", "volumes", "nodeSelector", "tolerations"] {
        spec.remove(field);
    }
    let metadata = pod["metadata"].as_object_mut().unwrap();
    let mut annotations: Map<String, Value> = metadata
        .get("annotations")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    annotations.retain(|name, _| !name.starts_with("drydock.dev/"));
    metadata.insert("annotations".to_owned(), json!(annotations));
    pod
}

/// The changed pod has no new validation error, and drydock does not hide existing ones (rule A4).
pub fn no_new_faults(case: &Case, run: &Run) -> Result<(), TestCaseError> {
    let (before, after) = (faults(&case.pod), faults(&run.output));
    for (fault, count) in &after {
        let known = before.get(fault).copied().unwrap_or(0);
        prop_assert!(*count <= known, "new validation error (A4): {}", fault);
    }
    let lasting = before
        .keys()
        .filter(|fault| fault.starts_with("volume name"));
    for fault in lasting {
        prop_assert!(
            after.contains_key(fault),
            "a validation error was hidden (A4): {}",
            fault
        );
    }
    Ok(())
}

/// Returns the number of each fault in volumes and mounts for which the API server rejects a pod.
pub fn faults(pod: &Value) -> BTreeMap<String, usize> {
    let mut faults = BTreeMap::new();
    let mut fault = |what: String| *faults.entry(what).or_insert(0) += 1;
    let mut names = BTreeSet::new();
    for volume in list(&pod["spec"], "volumes") {
        if !names.insert(text(volume, "name")) {
            fault(format!("volume name {} twice", text(volume, "name")));
        }
    }
    for container in pod_model::containers(pod, &[]) {
        let mut paths = BTreeSet::new();
        for mount in container.mounts() {
            if !paths.insert(text(mount, "mountPath")) {
                fault(format!(
                    "path {} twice in {}",
                    text(mount, "mountPath"),
                    container.name
                ));
            }
            if !names.contains(text(mount, "name")) {
                fault(format!(
                    "mount of missing {} in {}",
                    text(mount, "name"),
                    container.name
                ));
            }
        }
    }
    faults
}

/// Missing node labels and tolerations are added to dind pods; existing ones do not change (rule
/// S1).
pub fn scheduling_is_added(
    case: &Case,
    run: &Run,
    desired: Option<&Dind<'_>>,
) -> Result<(), TestCaseError> {
    let (before, after) = (&case.pod["spec"], &run.output["spec"]);
    let images = desired.map_or(&[][..], |desired| &desired.images);
    let has_dind = pod_model::containers(&case.pod, images)
        .iter()
        .any(|container| container.is_dind);
    let mut selector: Map<String, Value> = before["nodeSelector"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    let mut tolerations = list(before, "tolerations").to_vec();
    let known = (selector.len(), tolerations.len());
    if let Some(desired) = desired.filter(|_| has_dind) {
        for (key, (_, value)) in &desired.node_selector {
            selector.entry(*key).or_insert_with(|| json!(value));
        }
        for (_, toleration) in &desired.tolerations {
            if !tolerations
                .iter()
                .any(|known| terms(known) == terms(toleration))
            {
                tolerations.push((*toleration).clone());
            }
        }
    }
    if known == (selector.len(), tolerations.len()) {
        for field in ["nodeSelector", "tolerations"] {
            prop_assert_eq!(
                before.get(field),
                after.get(field),
                "{} changed (S1)",
                field
            );
        }
    }
    prop_assert_eq!(
        &selector,
        &after["nodeSelector"]
            .as_object()
            .cloned()
            .unwrap_or_default(),
        "wrong nodeSelector (S1)"
    );
    prop_assert_eq!(
        &tolerations[..],
        list(after, "tolerations"),
        "wrong tolerations (S1)"
    );
    Ok(())
}

/// Returns the fields of a toleration with the defaults of the API.
fn terms(toleration: &Value) -> [String; 4] {
    let or_equal = match text(toleration, "operator") {
        "" => "Equal",
        operator => operator,
    };
    [
        text(toleration, "key"),
        or_equal,
        text(toleration, "value"),
        text(toleration, "effect"),
    ]
    .map(str::to_owned)
}

/// The annotations of a changed pod list the policies by rank and the changes; an unchanged pod has
/// no such annotations (rule A5). `changing_policies` are policies that must be listed.
pub fn annotations_are_correct(
    case: &Case,
    run: &Run,
    desired: Option<&Desired<'_>>,
    changing_policies: &BTreeSet<&str>,
) -> Result<(), TestCaseError> {
    let annotations = &run.output["metadata"]["annotations"];
    let Some(desired) = desired.filter(|_| run.output != case.pod) else {
        prop_assert!(
            annotations.get(POLICIES).is_none() && annotations.get(CHANGES).is_none(),
            "an unchanged pod has annotations (A5)"
        );
        prop_assert_eq!(&run.patch, &None, "a patch without changes (P4, A6)");
        return Ok(());
    };
    let named: Vec<&str> = text(annotations, POLICIES).split(',').collect();
    let in_rank = desired
        .labels
        .iter()
        .filter(|(_, label)| named.contains(&label.as_str()));
    prop_assert_eq!(
        in_rank
            .clone()
            .map(|(_, label)| label.as_str())
            .collect::<Vec<_>>(),
        &named[..],
        "the policies are not listed by rank (A5)"
    );
    for changing_policy in changing_policies {
        prop_assert!(
            in_rank.clone().any(|(name, _)| name == changing_policy),
            "policy {} caused a change and is not listed (A5)",
            changing_policy
        );
    }
    let changes: Vec<&str> = text(annotations, CHANGES).split(',').collect();
    prop_assert!(
        changes
            .iter()
            .all(|change| !change.is_empty() && change.len() <= 63),
        "invalid names of changes (A5): {:?}",
        changes
    );
    Ok(())
}

/// The patch has only operations that cannot fail, on paths that exist (rule A3).
pub fn the_patch_always_applies(case: &Case, run: &Run) -> Result<(), TestCaseError> {
    let operations: Value = serde_json::from_str(run.patch.as_deref().unwrap_or("[]")).unwrap();
    let mut pod = case.pod.clone();
    for operation in operations.as_array().unwrap() {
        let (kind, pointer) = (text(operation, "op"), text(operation, "path"));
        prop_assert!(
            matches!(kind, "add" | "replace" | "remove"),
            "unexpected kind of operation (A3): {}",
            operation
        );
        let is_there = pod.pointer(pointer).is_some();
        prop_assert!(
            kind == "add" || is_there,
            "the path does not exist (A3): {}",
            operation
        );
        let (holder, last) = pointer.rsplit_once('/').unwrap();
        let holder = pod.pointer(holder);
        prop_assert!(
            holder.is_some_and(|holder| holder.is_object() || holder.is_array()),
            "the parent of the path does not exist (A3): {}",
            operation
        );
        // The patch must append to an existing list, not replace it.
        let overwrites = kind == "add" && pod.pointer(pointer).is_some_and(Value::is_array);
        prop_assert!(
            !overwrites,
            "the operation replaces a list (A3): {}",
            operation
        );
        prop_assert!(
            kind == "remove" || operation.get("value").is_some(),
            "the operation has no value (A3): {}",
            operation
        );
        prop_assert!(
            last != "-" || kind == "add",
            "\"-\" without add (A3): {}",
            operation
        );
        let one: json_patch::Patch = serde_json::from_value(json!([operation])).unwrap();
        prop_assert!(
            json_patch::patch(&mut pod, &one).is_ok(),
            "the operation does not apply (A3): {}",
            operation
        );
    }
    prop_assert_eq!(&pod, &run.output);
    Ok(())
}
