//! The two annotations of a changed pod (rule A5): the policies that changed it, and the names of
//! the changes.
//!
//! The API server may call the webhook again after another webhook has changed the pod
//! (reinvocation). Values of the first call are kept, but only if drydock could have written them:
//! the author of the job can forge annotations.

use super::change::{Change, NAMES};
use crate::core::pod::Pod;
use crate::core::policy::Desired;
use crate::core::quote::quote;
use std::collections::BTreeSet;

const POLICIES: &str = "drydock.dev/policies";
const CHANGES: &str = "drydock.dev/changes";

/// Returns a sentence about annotations of drydock in the original pod; `None` without them.
///
/// Either an earlier review of the same admission wrote the annotations, or the author of the pod.
/// Removing them would lose the record of the first review, and would change a pod that is correct
/// or only audited. So they stay, and the platform team reads that this review did not write them.
pub(crate) fn existing(original: &Pod<'_>) -> Option<String> {
    let found = [POLICIES, CHANGES].into_iter().filter_map(|key| {
        let value = original.annotation(key)?;
        Some(format!("{key}={}", quote(value)))
    });
    let found: Vec<String> = found.collect();
    let found = found.join(" and ");
    let source = "from an earlier review of its admission or from its author";
    (!found.is_empty()).then(|| format!("the pod already had {found}, {source}"))
}

/// Returns the annotations that record `changes`: keys and values.
pub(crate) fn render(
    original: &Pod<'_>,
    desired: &Desired<'_>,
    changes: &[Change<'_>],
) -> Vec<(&'static str, String)> {
    if changes.is_empty() {
        return Vec::new();
    }
    let mut policies = values(original, POLICIES);
    policies.extend(changes.iter().map(|change| change.policy.label.as_str()));
    let mut names = values(original, CHANGES);
    names.extend(changes.iter().map(|change| change.name()));
    let labels = desired.policies.iter().map(|policy| policy.label.as_str());
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
