//! Scheduling: pods with dind run on the nodes that the policy selects (rule S1).
//!
//! # What it does
//! Adds the policy's node selector and tolerations to a pod with a dind container.
//!
//! # Why
//! dind is privileged, and on cgroup v1 its containers ignore the limits of the pod. Platform teams
//! run it on separate nodes (incident 002 in `tests/incidents.rs`).
//!
//! # Example
//! `nodeSelector: {role: ci}` on a pod without a `role` ─► the pod runs on nodes with `role=ci`.
//!
//! # When it does nothing
//! - The pod has a node selector with the same key, with any value.
//! - The pod has an equal toleration.

use super::Planner;
use super::change::Action;
use super::finding::FindingKind;
use crate::core::pod::{Text, Toleration, text};
use crate::core::policy::set::DesiredDind;
use crate::core::policy::toleration_fields;
use std::collections::BTreeSet;

pub(super) fn plan<'a>(planner: &mut Planner<'_, 'a>, desired: &DesiredDind<'a>) {
    let lengths =
        |planner: &Planner<'_, '_>| (planner.plan.changes.len(), planner.plan.findings.len());
    let before = lengths(planner);
    for (policy, (key, ours)) in &desired.node_selector {
        let selector = planner.pod.spec.node_selector.as_ref();
        match selector.and_then(|selector| selector.get(key)) {
            None => planner.change(policy, Action::AddNodeSelector(key, ours)),
            Some(theirs) if theirs == ours => {}
            Some(theirs) => {
                let theirs = Text::from(theirs.to_owned());
                let kind = FindingKind::NodeSelectorDiffers(key, theirs, ours);
                planner.report(policy, kind);
            }
        }
    }
    if !desired.tolerations.is_empty() {
        let theirs = planner.pod.spec.tolerations.iter().flatten();
        let theirs: BTreeSet<TolerationFields<'_>> = theirs.map(fields_of_pod).collect();
        let requested = desired.tolerations.iter();
        let missing = requested.filter(|(_, ours)| !theirs.contains(&toleration_fields(ours)));
        for (policy, toleration) in missing.collect::<Vec<_>>() {
            planner.change(policy, Action::AddToleration(toleration));
        }
    }
    let policy = desired.node_selector.first().map(|(policy, _)| policy);
    let policy = policy.or(desired.tolerations.first().map(|(policy, _)| policy));
    if let Some(policy) = policy.filter(|_| before == lengths(planner)) {
        planner.report(policy, FindingKind::SchedulingCorrect);
    }
}

/// The key, operator, value and effect of a toleration, and its `tolerationSeconds`.
type TolerationFields<'t> = ([&'t str; 4], Option<i64>);

fn fields_of_pod<'t>(toleration: &'t Toleration<'_>) -> TolerationFields<'t> {
    let operator = match text(&toleration.operator) {
        // The API server's default.
        "" => "Equal",
        operator => operator,
    };
    let [key, value, effect] = [&toleration.key, &toleration.value, &toleration.effect].map(text);
    (
        [key, operator, value, effect],
        toleration.toleration_seconds,
    )
}

#[cfg(test)]
mod tests;
