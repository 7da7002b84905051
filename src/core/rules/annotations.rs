//! The two annotations of a changed pod (A5): whose rules changed it, and by which changes.
//!
//! A pod may be reviewed again after another webhook changed it (reinvocation). What the first round wrote is kept, but only as far as
//! it is something that drydock could have written: annotations are the job author's to forge.

use super::change::{Action, Change};
use crate::core::pod::Pod;
use crate::core::policy::Desired;
use crate::core::shown::shown;
use std::collections::BTreeSet;

const POLICIES: &str = "drydock.dev/policies";
const CHANGES: &str = "drydock.dev/changes";

/// Says which of the two annotations a pod came with, if any (A5).
///
/// An unchanged pod gets none, so one that has them was changed in an earlier round of its admission, or its author wrote them. The two
/// look alike. Taking them away would take the first round's from a pod that is reviewed again, and would change a pod that needs no
/// change, or is only audited; so they stay, and the platform team is told at each review that it was not the one that wrote them.
pub(super) fn claims(original: &Pod<'_>) -> Option<String> {
    let claims: Vec<String> = [POLICIES, CHANGES]
        .into_iter()
        .filter_map(|key| Some(format!("{key}={}", shown(original.annotation(key)?))))
        .collect();
    (!claims.is_empty()).then(|| {
        format!(
            "the pod came with {}, from an earlier round of its admission or from its author",
            claims.join(" and ")
        )
    })
}

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
            .collect::<BTreeSet<_>>()
    };
    let (policies_before, changes_before) = (before(POLICIES), before(CHANGES));
    let policies_now: BTreeSet<_> = changes
        .iter()
        .map(|change| std::ptr::from_ref(change.policy))
        .collect();
    let changes_now: BTreeSet<_> = changes.iter().map(|change| change.action.name()).collect();
    let policies = desired.policies.iter().filter(|policy| {
        policies_before.contains(&policy.label.as_str())
            || policies_now.contains(&std::ptr::from_ref(**policy))
    });
    let names = Action::NAMES
        .into_iter()
        .filter(|name| changes_before.contains(name) || changes_now.contains(name));
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
