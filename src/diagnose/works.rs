//! Checks whether job pods are admitted and repaired, from the results of the dry runs.

use super::dry_run_pods::{DryRun, DryRunResult, PodKind};
use super::facts::Reason;
use super::finding::works as finding;
use super::installation::NamespaceMode;
use super::policy_set::policy_set;
use super::refusal::explain;
use super::report::Check;
use super::text::{count, list, plural};
use super::view::View;
use crate::core::pod::Pod;
use crate::core::policy::set::Namespace;
use crate::core::policy::{Mode, PolicySet};
use crate::core::verdict::{Outcome, Scope, judge};
use std::collections::BTreeMap;
use std::time::Duration;

const NAME: &str = "dry-run";
/// The maximum number of refusals that are reported for one namespace.
const MAX_REFUSALS: usize = 3;

pub(super) fn checks(view: &View<'_>) -> Vec<Check> {
    let mut by_namespace: BTreeMap<&str, Vec<&DryRun>> = BTreeMap::new();
    for dry_run in &view.facts.dry_runs {
        by_namespace
            .entry(&dry_run.namespace)
            .or_default()
            .push(dry_run);
    }
    // If the policies could not be read, the checks expect no change.
    let policies = view
        .facts
        .policies
        .is_ok()
        .then(|| policy_set(&view.stored));
    let mut checks = Vec::new();
    let mut failed = Vec::new();
    for (namespace, dry_runs) in &by_namespace {
        let first_error = dry_runs.iter().find_map(|dry_run| match &dry_run.result {
            DryRunResult::Failed(error) => Some(error),
            _ => None,
        });
        match first_error {
            Some(error) => failed.push((*namespace, error)),
            None => checks.extend(namespace_checks(
                view,
                policies.as_ref(),
                namespace,
                dry_runs,
            )),
        }
    }
    if let Some((_, error)) = failed.first() {
        let mut check = error.check("whether job pods are repaired");
        if failed.len() > 1 && error.reason == Reason::Forbidden {
            let forbidden = failed.iter();
            let forbidden = forbidden.filter(|(_, error)| error.reason == Reason::Forbidden);
            let names = list(forbidden.map(|(namespace, _)| namespace));
            check.text = format!("you are not allowed to create pods in {names}");
        }
        checks.push(check);
    }
    // `drydock doctor` creates pods in a limited number of namespaces, so the report says how many
    // namespaces were tested.
    let (tested, all) = (by_namespace.len(), view.opted_in.len());
    if tested > 0 && tested < all {
        let check = Check::info(
            NAME,
            format!("{tested} of {all} namespaces were tested with dry runs"),
        );
        checks.push(check.advice("To test another namespace, run: drydock doctor -n NAMESPACE"));
    }
    checks
}

fn namespace_checks(
    view: &View<'_>,
    policies: Option<&PolicySet>,
    name: &str,
    dry_runs: &[&DryRun],
) -> Vec<Check> {
    let about = format!("namespace/{name}");
    let (sent, without): (Vec<&DryRun>, Vec<&DryRun>) = dry_runs
        .iter()
        .copied()
        .partition(|dry_run| dry_run.kind != PodKind::Other);
    // If the namespace also refuses the pod for which the API server does not call drydock, drydock
    // is not the cause, so only that refusal is reported.
    let is_refused = |dry_run: &&DryRun| matches!(dry_run.result, DryRunResult::Refused(_));
    let refusals = refusals(if without.iter().any(is_refused) {
        &without
    } else {
        &sent
    });
    if !refusals.is_empty() {
        let refusals = refusals.iter().take(MAX_REFUSALS);
        return refusals
            .map(|(message, kinds)| refused(view, name, message, kinds).about(&about))
            .collect();
    }
    let mode = view
        .opted_in(name)
        .map_or(NamespaceMode::Enforce, |one| one.mode);
    let is_wanted = |dry_run: &&&DryRun| {
        let changes = |policies| is_changed(view, policies, name, dry_run.kind);
        mode == NamespaceMode::Enforce && policies.is_some_and(changes)
    };
    let wanted: Vec<&&DryRun> = sent.iter().filter(is_wanted).collect();
    let missed = wanted.iter().filter(|dry_run| !dry_run.is_repaired());
    let missed: Vec<PodKind> = missed.map(|dry_run| dry_run.kind).collect();
    let took = match (average(&sent), average(&without)) {
        (Some(with), Some(without)) => {
            let (with, without) = (with.as_millis(), without.as_millis());
            format!(", in {with} ms ({without} ms without drydock)")
        }
        _ => String::new(),
    };
    let is_repaired = sent.iter().any(|dry_run| dry_run.is_repaired());
    let text = if !missed.is_empty() {
        return vec![not_repaired(view, name, &missed, wanted.len()).about(about)];
    } else if mode == NamespaceMode::Audit {
        format!(
            "{name}: job pods are admitted unchanged{took}, because the namespace is in audit mode"
        )
    } else if wanted.is_empty() && !is_repaired {
        format!("{name}: job pods are admitted{took}; no policy changes them")
    } else {
        format!(
            "{name}: {} of job pods {} repaired{took}",
            count(sent.len(), "kind"),
            plural(sent.len(), "is", "are")
        )
    };
    vec![Check::good(NAME, text).about(about)]
}

/// Returns whether the policies change a pod of this kind.
fn is_changed(view: &View<'_>, policies: &PolicySet, name: &str, kind: PodKind) -> bool {
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

fn not_repaired(view: &View<'_>, name: &str, missed: &[PodKind], wanted: usize) -> Check {
    let kinds = missed
        .iter()
        .map(|kind| format!("not repaired: {}", kind.title()));
    let logs = view.service().map_or_else(
        || "kubectl get mutatingwebhookconfigurations".to_owned(),
        |service| format!("{} --since=5m", service.logs_command()),
    );
    let pods = match missed.len() {
        all if all == wanted => format!("{name}: job pods"),
        some => format!("{name}: {some} of {wanted} kinds of job pods"),
    };
    finding::not_repaired(pods, logs).details(kinds)
}

fn refused(view: &View<'_>, name: &str, message: &str, kinds: &[PodKind]) -> Check {
    let which = match kinds.len() >= PodKind::GENERATIONS.len() {
        true => "a job pod".to_owned(),
        false => list(kinds.iter().map(|kind| kind.title())),
    };
    let pod = format!("{name}: {which}");
    explain(message, &pod, name, view.service().as_ref()).details([message.to_owned()])
}

/// Returns the messages with which the API server refused pods, each with the kinds of these pods.
fn refusals<'a>(dry_runs: &[&'a DryRun]) -> Vec<(&'a str, Vec<PodKind>)> {
    let mut found: Vec<(&str, Vec<PodKind>)> = Vec::new();
    for dry_run in dry_runs {
        let DryRunResult::Refused(message) = &dry_run.result else {
            continue;
        };
        // The messages for the kinds of pods differ only in the pod name, so the comparison ignores
        // it.
        match found
            .iter_mut()
            .find(|(known, _)| are_equal_except_pod_names(known, message))
        {
            Some((_, kinds)) => kinds.push(dry_run.kind),
            None => found.push((message, vec![dry_run.kind])),
        }
    }
    found
}

fn are_equal_except_pod_names(one: &str, other: &str) -> bool {
    let rest = |text: &str| {
        let kept = text
            .split(' ')
            .filter(|word| !word.contains("runner-drydock"));
        kept.collect::<Vec<_>>().join(" ")
    };
    rest(one) == rest(other)
}

fn average(dry_runs: &[&DryRun]) -> Option<Duration> {
    let number = u32::try_from(dry_runs.len())
        .ok()
        .filter(|number| *number > 0)?;
    let sum: Duration = dry_runs.iter().map(|dry_run| dry_run.took).sum();
    Some(sum / number)
}
