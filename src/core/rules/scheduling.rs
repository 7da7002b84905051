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
use crate::core::pod::{Text, Toleration};
use crate::core::policy::set::{Asked, DesiredDind};
use crate::core::policy::{Policy, PolicyToleration, TolerationTerms};
use std::collections::BTreeSet;

pub(super) fn plan<'a>(planner: &mut Planner<'_, 'a>, desired: &DesiredDind<'a>) {
    let (changes, notes) = (planner.plan.changes.len(), planner.plan.notes.len());
    for (asked, value) in &desired.node_selector {
        select_nodes(planner, asked.policy, asked.what, value);
    }
    tolerate(planner, &desired.tolerations);
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
            let theirs = Text::from(theirs.to_owned());
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

fn tolerate<'a>(planner: &mut Planner<'_, 'a>, desired: &[Asked<'a, PolicyToleration>]) {
    if desired.is_empty() {
        return;
    }
    let theirs = planner.pod.spec.tolerations.iter().flatten();
    let theirs: BTreeSet<Said<'a>> = theirs.map(Said::by).collect();
    for asked in desired {
        let PolicyToleration { terms, json } = asked.what;
        if !theirs.contains(&Said::of(terms)) {
            let list_missing = planner.pod.spec.tolerations.is_none();
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
}

/// What a toleration says, after the API's default for the operator. Policies ask for each once.
#[derive(Eq, Ord, PartialEq, PartialOrd)]
struct Said<'a> {
    key: Text<'a>,
    operator: Text<'a>,
    value: Text<'a>,
    effect: Text<'a>,
    seconds: Option<i64>,
}

impl<'a> Said<'a> {
    fn by(toleration: &Toleration<'a>) -> Self {
        let text = |text: &Option<Text<'a>>| text.clone().unwrap_or_default();
        let operator = match text(&toleration.operator) {
            operator if operator.is_empty() => Text::from("Equal"),
            operator => operator,
        };
        Self {
            key: text(&toleration.key),
            operator,
            value: text(&toleration.value),
            effect: text(&toleration.effect),
            seconds: toleration.toleration_seconds,
        }
    }

    fn of(terms: &'a TolerationTerms) -> Self {
        Self {
            key: Text::from(terms.key.as_str()),
            operator: Text::from(terms.operator.as_str()),
            value: Text::from(terms.value.as_str()),
            effect: Text::from(terms.effect.as_str()),
            seconds: terms.seconds,
        }
    }
}

#[cfg(test)]
mod tests;
