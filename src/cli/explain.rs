//! `drydock mutate -o explain`: for each rule what it did, or why not, in sentences.

use crate::core::policy::set::{Desired, DesiredDind};
use crate::core::policy::{Mode, Policy};
use crate::core::rules::note::Fact;
use crate::core::rules::{Audience, Plan};
use crate::core::verdict::{AuditReason, Outcome, SkipReason, Verdict};
use std::io::Write;

/// Writes the explanation of one verdict.
pub(super) fn write(
    out: &mut impl Write,
    title: &str,
    verdict: &Verdict<'_>,
    mode: Mode,
) -> anyhow::Result<()> {
    writeln!(out, "{title}: {}", summary(verdict, mode))?;
    if let Some(recognised) = verdict.recognised {
        line(
            out,
            "P2",
            &format!("it is a job pod: it has {}", recognised.sign()),
        )?;
    }
    if let Some(claims) = &verdict.claims {
        line(out, "A5", claims)?;
    }
    policies(out, verdict)?;
    let in_force = !matches!(verdict.outcome, Outcome::Audited(_));
    plan(
        out,
        &verdict.matching.enforce,
        &verdict.enforced,
        if in_force {
            ""
        } else {
            "audit only, not done: "
        },
    )?;
    plan(
        out,
        &verdict.matching.audit,
        &verdict.audited,
        "audit policy, not done: ",
    )
}

fn line(out: &mut impl Write, rule: &str, sentence: &str) -> anyhow::Result<()> {
    writeln!(out, "  {sentence} ({rule})")?;
    Ok(())
}

fn line_of_policy(
    out: &mut impl Write,
    rule: &str,
    policy: &Policy,
    sentence: &str,
) -> anyhow::Result<()> {
    writeln!(out, "  {sentence} ({rule}, policy \"{}\")", policy.name)?;
    Ok(())
}

fn summary(verdict: &Verdict<'_>, mode: Mode) -> String {
    match verdict.outcome {
        Outcome::Mutated => match verdict.enforced.changes.len() {
            1 => "mutated, 1 change".to_owned(),
            changes => format!("mutated, {changes} changes"),
        },
        Outcome::Unchanged => "unchanged, it is as the policies want it".to_owned(),
        Outcome::Denied => "denied".to_owned(),
        Outcome::Skipped(SkipReason::NotPodCreation) => {
            "skipped, the request does not create a pod".to_owned()
        }
        Outcome::Skipped(SkipReason::ExcludedNamespace) => {
            "skipped, drydock never touches this namespace".to_owned()
        }
        Outcome::Skipped(SkipReason::NotJobPod(reason)) => {
            format!("skipped, {}", reason.sentence())
        }
        Outcome::Skipped(SkipReason::NoPolicy) => "skipped, no policy matches it".to_owned(),
        Outcome::Audited(reason) => {
            let why = if mode == Mode::Audit {
                "the namespace is in audit"
            } else {
                "policies in Audit mode only speak"
            };
            match reason {
                AuditReason::WouldMutate => format!("audited ({why}), it would have been changed"),
                AuditReason::WouldDeny => format!("audited ({why}), it would have been refused"),
                AuditReason::NothingToChange => {
                    format!("audited ({why}), nothing would have been changed")
                }
            }
        }
    }
}

fn policies(out: &mut impl Write, verdict: &Verdict<'_>) -> anyhow::Result<()> {
    let matching = &verdict.matching;
    for (desired, mode) in [(&matching.enforce, "Enforce"), (&matching.audit, "Audit")] {
        for policy in &desired.policies {
            line(
                out,
                "M1",
                &format!(
                    "policy \"{}\" matches (priority {}, {mode})",
                    policy.name, policy.priority
                ),
            )?;
        }
        for loss in &desired.losses {
            line(out, "M4", &loss.to_string())?;
        }
    }
    for policy in matching.others() {
        line(
            out,
            "M1",
            &format!(
                "policy \"{}\" does not match: its podSelector or namespaceSelector asks for other labels",
                policy.name
            ),
        )?;
    }
    for policy in &matching.undecided {
        line(
            out,
            "M1",
            &format!(
                "policy \"{}\" does not match: its namespaceSelector asks for labels that are not known here; give them with --namespace-labels",
                policy.name
            ),
        )?;
    }
    Ok(())
}

fn plan(
    out: &mut impl Write,
    desired: &Desired<'_>,
    plan: &Plan<'_>,
    prefix: &str,
) -> anyhow::Result<()> {
    if desired.is_empty() {
        return Ok(());
    }
    if desired.hosts.is_empty() && desired.hostnames_from.is_empty() {
        line(out, "H1", "the policies own no hostnames")?;
    }
    for change in &plan.changes {
        let sentence = format!("{prefix}{change}");
        line_of_policy(out, change.action.rule(), change.policy, &sentence)?;
    }
    if desired.dind.is_none() {
        line(
            out,
            "D1",
            "no policy speaks about dind, so nothing about docker is changed",
        )?;
    }
    for note in plan.notes.iter().chain(&plan.denial) {
        // These tell of what was done; the others hold either way.
        let prefix = match note.fact {
            Fact::Displaced { .. } | Fact::Unrestricted { .. } => prefix,
            _ => "",
        };
        let told = if note.audience() == Audience::Author {
            "told: "
        } else {
            ""
        };
        let sentence = format!("{prefix}{told}{note}");
        line_of_policy(out, note.rule(), note.policy, &sentence)?;
    }
    // Where there is no dind, that has been said.
    let has_dind = !plan
        .notes
        .iter()
        .any(|note| matches!(note.fact, Fact::NoDind));
    for (rule, sentence) in desired
        .dind
        .iter()
        .filter(|_| has_dind)
        .flat_map(not_asked_for)
    {
        line(out, rule, sentence)?;
    }
    Ok(())
}

/// Returns what the policies could ask for in dind pods and do not.
fn not_asked_for(desired: &DesiredDind<'_>) -> Vec<(&'static str, &'static str)> {
    let nowhere = desired.node_selector.is_empty() && desired.tolerations.is_empty();
    [
        (
            desired.volumes.is_empty(),
            "V1",
            "the policies add no volumes for dind",
        ),
        (
            desired.registry_cas.is_empty(),
            "R1",
            "the policies give dind no registry's authority",
        ),
        (
            nowhere,
            "S1",
            "the policies do not say on which nodes dind runs",
        ),
    ]
    .into_iter()
    .filter_map(|(absent, rule, sentence)| absent.then_some((rule, sentence)))
    .collect()
}

#[cfg(test)]
mod tests;
