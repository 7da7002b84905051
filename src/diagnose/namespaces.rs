//! Reports the namespaces that have opted in, and namespaces with wrong labels.

use super::finding::jobs as finding;
use super::pod_security::enforced_level;
use super::report::Check;
use super::text::list;
use super::view::{OptedInNamespace, View, opt_in_label};
use crate::names::OPT_IN_LABEL;
use k8s_openapi::api::core::v1::Namespace;

pub(super) fn checks(view: &View<'_>) -> Vec<Check> {
    if let Err(error) = &view.facts.namespaces {
        return vec![error.check("which namespaces have opted in")];
    }
    let mut checks: Vec<Check> = view
        .opted_in
        .iter()
        .map(|one| opted_in(view, one))
        .collect();
    for namespace in view.namespaces() {
        let name = namespace.metadata.name.as_deref().unwrap_or_default();
        let is_deleted = namespace.metadata.deletion_timestamp.is_some();
        if view.opted_in(name).is_none() && !is_deleted {
            let found = not_opted_in(view, namespace, name);
            checks.extend(found.map(|check| check.about(format!("namespace/{name}"))));
        }
    }
    let missing = view.facts.selected.iter();
    let missing = missing.filter(|name| view.namespace(name).is_none());
    checks.extend(missing.map(finding::no_namespace));
    if checks.is_empty() {
        checks.push(finding::none_opted_in(OPT_IN_LABEL, view.enforce_value()));
    }
    checks
}

fn opted_in(view: &View<'_>, one: &OptedInNamespace<'_>) -> Check {
    let mode = one.mode.name();
    let is_by_label = opt_in_label(one.object).and_then(|value| view.mode_of_label_value(value))
        == Some(one.mode);
    let note = if is_by_label { "" } else { " by its name" };
    let level = enforced_level(one.object).map(|level| format!(", Pod Security level {level}"));
    let text = format!(
        "{} has opted in{note}: {mode} mode{}",
        one.name,
        level.unwrap_or_default()
    );
    Check::info("opted-in", text).about(format!("namespace/{}", one.name))
}

fn not_opted_in(view: &View<'_>, namespace: &Namespace, name: &str) -> Option<Check> {
    let enforce = view.enforce_value();
    if let Some(value) = opt_in_label(namespace) {
        if view.mode_of_label_value(value).is_some() {
            return Some(finding::label_unused(name, OPT_IN_LABEL));
        }
        let valid = list(view.opt_in_values());
        return Some(finding::label_value(
            name,
            value,
            OPT_IN_LABEL,
            valid,
            enforce,
        ));
    }
    let metadata = &namespace.metadata;
    let mut annotations = metadata.annotations.iter().flatten();
    if annotations.any(|(key, _)| key == OPT_IN_LABEL) {
        return Some(finding::label_is_annotation(name, OPT_IN_LABEL, enforce));
    }
    let mut labels = metadata.labels.iter().flatten().map(|(key, _)| key);
    if let Some(misspelt) = labels.find(|key| key.starts_with("drydock.dev/")) {
        return Some(finding::label_misspelt(
            name,
            misspelt,
            OPT_IN_LABEL,
            enforce,
        ));
    }
    let is_selected = view.facts.selected.iter().any(|selected| selected == name);
    is_selected.then(|| finding::not_opted_in(name, OPT_IN_LABEL, enforce))
}
