//! dind pods run on the nodes that are meant for them (rule S1).
//!
//! # What it does
//! Adds the policy's node labels and tolerations to a pod with a dind container.
//!
//! # Why
//! dind is privileged and ignores the pod's limits on cgroup v1; platform teams keep it away from other work (seed 002, §7.3).
//!
//! # Example
//! `nodeSelector: {role: ci}` on a pod without a `role` ─► the pod is scheduled to nodes with `role=ci`.
//!
//! # When it does nothing
//! The pod has the key already, with whatever value; it has an equal toleration.

use super::Planner;
use super::change::Action;
use super::note::Fact;
use crate::pod::{Toleration, text};
use crate::policy::set::{Asked, DesiredDind};
use crate::policy::{Policy, PolicyToleration, TolerationTerms};

pub(super) fn plan<'a>(planner: &mut Planner<'_, 'a>, desired: &DesiredDind<'a>) {
    let (changes, notes) = (planner.plan.changes.len(), planner.plan.notes.len());
    for (asked, value) in &desired.node_selector {
        select_nodes(planner, asked.policy, asked.what, value);
    }
    for asked in &desired.tolerations {
        tolerate(planner, *asked);
    }
    let policy = desired.node_selector.first().map(|(asked, _)| asked.policy);
    let policy = policy.or(desired.tolerations.first().map(|asked| asked.policy));
    let silent = (changes, notes) == (planner.plan.changes.len(), planner.plan.notes.len());
    if let (Some(policy), true) = (policy, silent) {
        planner.note(policy, Fact::SchedulingRight);
    }
}

fn select_nodes<'a>(
    planner: &mut Planner<'_, 'a>,
    policy: &'a Policy,
    key: &'a str,
    value: &'a str,
) {
    let selector = planner.pod.spec.node_selector.as_ref();
    match selector.and_then(|selector| selector.get(key)) {
        Some(theirs) if theirs == value => {}
        Some(theirs) => {
            let theirs = theirs.to_owned();
            planner.note(
                policy,
                Fact::NodeSelectorDiffers {
                    key,
                    theirs,
                    ours: value,
                },
            );
        }
        None => {
            let object_missing = selector.is_none();
            planner.change(
                policy,
                Action::AddNodeSelector {
                    object_missing,
                    key,
                    value,
                },
            );
        }
    }
}

fn tolerate<'a>(planner: &mut Planner<'_, 'a>, asked: Asked<'a, PolicyToleration>) {
    let PolicyToleration { terms, json } = asked.what;
    let theirs = planner.pod.spec.tolerations.as_deref();
    if !theirs
        .unwrap_or_default()
        .iter()
        .any(|theirs| is_equal(theirs, terms))
    {
        let list_missing = theirs.is_none();
        planner.change(
            asked.policy,
            Action::AddToleration {
                list_missing,
                terms,
                json,
            },
        );
    }
}

/// Whether a toleration of the pod says the same, after the API's default for the operator.
fn is_equal(theirs: &Toleration<'_>, terms: &TolerationTerms) -> bool {
    let operator = match text(&theirs.operator) {
        "" => "Equal",
        operator => operator,
    };
    text(&theirs.key) == terms.key
        && operator == terms.operator
        && text(&theirs.value) == terms.value
        && text(&theirs.effect) == terms.effect
        && theirs.toleration_seconds == terms.seconds
}

#[cfg(test)]
mod tests;
