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
use crate::policy::TolerationTerms;
use crate::policy::set::DesiredDind;

pub(super) fn plan<'a>(planner: &mut Planner<'_, 'a>, desired: &DesiredDind<'a>) {
    for (asked, value) in &desired.node_selector {
        let (policy, key) = (asked.policy, asked.what);
        match planner
            .pod
            .spec
            .node_selector
            .as_ref()
            .and_then(|selector| selector.get(key))
        {
            Some(theirs) if theirs == *value => {}
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
                let object_missing = planner.pod.spec.node_selector.is_none();
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
    for asked in &desired.tolerations {
        let terms = &asked.what.terms;
        if !planner
            .pod
            .spec
            .tolerations
            .iter()
            .flatten()
            .any(|theirs| is_equal(theirs, terms))
        {
            let list_missing = planner.pod.spec.tolerations.is_none();
            planner.change(
                asked.policy,
                Action::AddToleration {
                    list_missing,
                    terms,
                    json: &asked.what.json,
                },
            );
        }
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
