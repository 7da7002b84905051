//! The two annotations of a changed pod (A5): whose rules changed it, and by which changes.
//!
//! A pod may be reviewed again after another webhook changed it (reinvocation). What the first round wrote is kept, but only as far as
//! it is something that drydock could have written: annotations are the job author's to forge.

use super::change::{Action, Change};
use crate::pod::Pod;
use crate::policy::Desired;

const POLICIES: &str = "drydock.dev/policies";
const CHANGES: &str = "drydock.dev/changes";

pub(super) fn of(
    original: &Pod<'_>,
    desired: &Desired<'_>,
    changes: &[Change<'_>],
) -> Vec<(&'static str, String)> {
    if changes.is_empty() {
        return Vec::new();
    }
    let before = |key| {
        original
            .annotation(key)
            .unwrap_or_default()
            .split(',')
            .collect::<Vec<_>>()
    };
    let (policies_before, changes_before) = (before(POLICIES), before(CHANGES));
    let policies = desired.policies.iter().filter(|policy| {
        policies_before.contains(&policy.label.as_str())
            || changes
                .iter()
                .any(|change| std::ptr::eq(change.policy, **policy))
    });
    let names = Action::NAMES.into_iter().filter(|name| {
        changes_before.contains(name) || changes.iter().any(|change| change.action.name() == *name)
    });
    vec![
        (
            POLICIES,
            policies
                .map(|policy| policy.label.as_str())
                .collect::<Vec<_>>()
                .join(","),
        ),
        (CHANGES, names.collect::<Vec<_>>().join(",")),
    ]
}

#[cfg(test)]
mod tests;
