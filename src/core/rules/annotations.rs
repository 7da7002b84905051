//! The two annotations of a changed pod (rule A5): the policies that changed it, and the names of
//! the changes.
//!
//! The API server may call the webhook again after another webhook has changed the pod
//! (reinvocation). The names that the first call wrote are kept. Names other than those of matching
//! policies and of drydock's changes are removed, because the author of the pod can forge them.

use super::change::{Change, NAMES};
use crate::core::pod::Pod;
use crate::core::policy::Desired;
use crate::core::quote::quote;
use std::collections::BTreeSet;

const POLICIES: &str = "drydock.dev/policies";
const CHANGES: &str = "drydock.dev/changes";

/// Returns a sentence that reports drydock's annotations in the original pod, if it has any.
///
/// An earlier review of the same request or the author of the pod wrote them. Removing them would
/// lose the record of the earlier review, and would change a pod that needs no change or is only
/// audited. So they stay, and the platform team is informed that this review did not write them.
pub(crate) fn existing(original: &Pod<'_>) -> Option<String> {
    let found = [POLICIES, CHANGES].into_iter().filter_map(|key| {
        let value = original.annotation(key)?;
        Some(format!("{key}={}", quote(value)))
    });
    let found: Vec<String> = found.collect();
    let found = found.join(" and ");
    let source = "which an earlier review or the author of the pod wrote";
    (!found.is_empty()).then(|| format!("the pod already had {found}, {source}"))
}

/// Returns the keys and values of the annotations that record `changes`.
pub(crate) fn render(
    original: &Pod<'_>,
    desired: &Desired<'_>,
    changes: &[Change<'_>],
) -> Vec<(&'static str, String)> {
    if changes.is_empty() {
        return Vec::new();
    }
    let mut policies = values(original, POLICIES);
    policies.extend(
        changes
            .iter()
            .map(|change| change.policy.versioned_name.as_str()),
    );
    let mut names = values(original, CHANGES);
    names.extend(changes.iter().map(|change| change.name()));
    let labels = desired
        .policies
        .iter()
        .map(|policy| policy.versioned_name.as_str());
    let labels: Vec<&str> = labels.filter(|label| policies.contains(label)).collect();
    let known = NAMES.iter().copied();
    let names: Vec<&str> = known.filter(|name| names.contains(name)).collect();
    vec![(POLICIES, labels.join(",")), (CHANGES, names.join(","))]
}

fn values<'p>(pod: &'p Pod<'_>, key: &str) -> BTreeSet<&'p str> {
    let value = pod.annotation(key).unwrap_or_default();
    value.split(',').collect()
}

#[cfg(test)]
mod tests;
