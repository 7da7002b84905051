//! Whether a job pod that is created now is repaired: by a dry run, which takes every step of the
//! real way.

use super::dry_run_pods::{Answer, Kind, Probed};
use super::finding::works as finding;
use super::installation::NamespaceMode;
use super::policy_set::policy_set;
use super::refusal::explain;
use super::report::Check;
use super::text::{count, list};
use super::view::View;
use crate::core::pod::Pod;
use crate::core::policy::set::Namespace;
use crate::core::policy::{Mode, PolicySet};
use crate::core::verdict::{Outcome, Scope, judge};
use std::collections::BTreeMap;
use std::time::Duration;

const NAME: &str = "dry-run";
/// The refusals of one namespace that are shown, each with its meaning.
const MOST_REFUSALS: usize = 3;

pub(super) fn checks(view: &View<'_>) -> Vec<Check> {
    let mut by_namespace: BTreeMap<&str, Vec<&Probed>> = BTreeMap::new();
    for probed in &view.facts.probes {
        by_namespace
            .entry(&probed.namespace)
            .or_default()
            .push(probed);
    }
    // Without the policies nothing is expected.
    let policies = view
        .facts
        .policies
        .is_ok()
        .then(|| policy_set(&view.stored));
    let mut checks = Vec::new();
    let mut unsent = Vec::new();
    for (namespace, probes) in &by_namespace {
        let first_unsent = probes.iter().find_map(|probed| match &probed.answer {
            Answer::Unread(unread) => Some(unread),
            _ => None,
        });
        match first_unsent {
            Some(unread) => unsent.push((*namespace, unread)),
            None => checks.extend(in_namespace(view, policies.as_ref(), namespace, probes)),
        }
    }
    if let Some((_, unread)) = unsent.first() {
        let mut check = unread.check("whether a job pod is repaired now");
        if unsent.len() > 1 {
            let names = list(unsent.iter().map(|(namespace, _)| namespace));
            check.text = format!("you may not create pods in {names}, not even as a dry run");
        }
        checks.push(check);
    }
    // Where many namespaces have opted in, not all are tried.
    let (tried, all) = (by_namespace.len(), view.opted_in.len());
    if tried > 0 && tried < all {
        let check = Check::good(NAME, format!("{tried} of {all} namespaces were tried"));
        checks.push(check.advice("To try another one: drydock doctor -n NAMESPACE"));
    }
    checks
}

fn in_namespace(
    view: &View<'_>,
    policies: Option<&PolicySet>,
    name: &str,
    probes: &[&Probed],
) -> Vec<Check> {
    let about = format!("namespace/{name}");
    let (sent, without): (Vec<&Probed>, Vec<&Probed>) = probes
        .iter()
        .copied()
        .partition(|probed| probed.kind != Kind::Other);
    // Where no pod at all is let in, that is the finding.
    let is_refused = |probed: &&Probed| matches!(probed.answer, Answer::Refused(_));
    let refusals = refusals(if without.iter().any(is_refused) {
        &without
    } else {
        &sent
    });
    if !refusals.is_empty() {
        let refusals = refusals.iter().take(MOST_REFUSALS);
        return refusals
            .map(|(words, kinds)| refused(view, name, words, kinds).about(&about))
            .collect();
    }
    let mode = view
        .opted_in(name)
        .map_or(NamespaceMode::Enforce, |one| one.mode);
    let is_wanted = |probed: &&&Probed| {
        let changes = |policies| is_changed(view, policies, name, probed.kind);
        mode == NamespaceMode::Enforce && policies.is_some_and(changes)
    };
    let wanted: Vec<&&Probed> = sent.iter().filter(is_wanted).collect();
    let missed = wanted.iter().filter(|probed| !probed.is_repaired());
    let missed: Vec<Kind> = missed.map(|probed| probed.kind).collect();
    let took = match (average(&sent), average(&without)) {
        (Some(with), Some(without)) => {
            let (with, without) = (with.as_millis(), without.as_millis());
            format!(", {with} ms ({without} without drydock)")
        }
        _ => String::new(),
    };
    let is_repaired = sent.iter().any(|probed| probed.is_repaired());
    let text = if !missed.is_empty() {
        return vec![not_repaired(view, name, &missed, wanted.len()).about(about)];
    } else if mode == NamespaceMode::Audit {
        format!("{name}: job pods pass as they are, in audit{took}")
    } else if wanted.is_empty() && !is_repaired {
        format!("{name}: job pods pass; no policy asks for a change{took}")
    } else {
        format!(
            "{name}: {} of job pods are repaired{took}",
            count(sent.len(), "kind")
        )
    };
    vec![Check::good(NAME, text).about(about)]
}

/// Whether the policies, as they are read here, change such a pod.
fn is_changed(view: &View<'_>, policies: &PolicySet, name: &str, kind: Kind) -> bool {
    let text = kind.pod().to_string();
    let Ok(pod) = Pod::from_json(&text) else {
        return false;
    };
    let labels = view.labels_of(name);
    let scope = Scope {
        namespace: Namespace {
            name,
            labels: labels.as_ref(),
        },
        mode: Mode::Enforce,
        own_namespace: "",
    };
    judge(pod, policies, scope).is_ok_and(|verdict| verdict.outcome == Outcome::Mutated)
}

fn not_repaired(view: &View<'_>, name: &str, missed: &[Kind], wanted: usize) -> Check {
    let kinds = missed
        .iter()
        .map(|kind| format!("not repaired: {}", kind.title()));
    let logs = view.service().map_or_else(
        || "kubectl get mutatingwebhookconfigurations".to_owned(),
        |service| format!("{} --since=5m", service.logs()),
    );
    let place = match missed.len() {
        all if all == wanted => format!("{name}: job pods"),
        some => format!("{name}: {some} of {wanted} kinds of job pods"),
    };
    finding::not_repaired(place, logs).details(kinds)
}

fn refused(view: &View<'_>, name: &str, words: &str, kinds: &[Kind]) -> Check {
    let which = match kinds.len() >= Kind::GENERATIONS.len() {
        true => "a job pod".to_owned(),
        false => list(kinds.iter().map(|kind| kind.title())),
    };
    let pod = format!("{name}: {which}");
    explain(words, &pod, name, view.service().as_ref()).details([words.to_owned()])
}

/// The texts of refusals, each with the kinds of pods that were refused so.
fn refusals<'a>(probes: &[&'a Probed]) -> Vec<(&'a str, Vec<Kind>)> {
    let mut found: Vec<(&str, Vec<Kind>)> = Vec::new();
    for probed in probes {
        let Answer::Refused(words) = &probed.answer else {
            continue;
        };
        // The pod's name, which differs from kind to kind, is no difference.
        match found
            .iter_mut()
            .find(|(known, _)| same_but_for_names(known, words))
        {
            Some((_, kinds)) => kinds.push(probed.kind),
            None => found.push((words, vec![probed.kind])),
        }
    }
    found
}

fn same_but_for_names(one: &str, other: &str) -> bool {
    let rest = |text: &str| {
        let kept = text
            .split(' ')
            .filter(|word| !word.contains("runner-drydock"));
        kept.collect::<Vec<_>>().join(" ")
    };
    rest(one) == rest(other)
}

fn average(probes: &[&Probed]) -> Option<Duration> {
    let number = u32::try_from(probes.len())
        .ok()
        .filter(|number| *number > 0)?;
    let sum: Duration = probes.iter().map(|probed| probed.took).sum();
    Some(sum / number)
}
