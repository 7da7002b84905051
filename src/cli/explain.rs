//! `drydock mutate -o explain`: the changes and findings of each rule in sentences.

use crate::core::policy::set::{Desired, DesiredDind};
use crate::core::policy::{Mode, Policy};
use crate::core::rules::finding::FindingKind;
use crate::core::rules::{Audience, Plan};
use crate::core::verdict::{AuditReason, Outcome, SkipReason, Verdict};
use std::fmt::Display;

/// Explains one verdict.
pub(super) fn explain(title: &str, verdict: &Verdict<'_>, mode: Mode) -> String {
    let mut lines = Lines(format!("{title}: {}\n", summary(verdict, mode)));
    if let Some(mark) = verdict.mark {
        lines.add(
            "P2",
            format_args!("it is a job pod: it has {}", mark.description()),
        );
    }
    if let Some(sentence) = &verdict.existing_annotations {
        lines.add("A5", sentence);
    }
    lines.add_policies(verdict);
    let is_audit = matches!(verdict.outcome, Outcome::Audited(_));
    let prefix = if is_audit {
        "audit only, not done: "
    } else {
        ""
    };
    lines.add_plan(&verdict.matching.enforce, &verdict.enforced, prefix);
    let prefix = "audit policy, not done: ";
    lines.add_plan(&verdict.matching.audit, &verdict.audited, prefix);
    lines.0
}

fn summary(verdict: &Verdict<'_>, mode: Mode) -> String {
    match verdict.outcome {
        Outcome::Mutated => match verdict.enforced.changes.len() {
            1 => "mutated, 1 change".to_owned(),
            changes => format!("mutated, {changes} changes"),
        },
        Outcome::Unchanged => "unchanged, it already is what the policies ask for".to_owned(),
        Outcome::Denied => "denied".to_owned(),
        Outcome::Skipped(reason) => {
            let why = match reason {
                SkipReason::NotPodCreation => "the request does not create a pod",
                SkipReason::ExcludedNamespace => "drydock never changes pods of this namespace",
                SkipReason::NotJobPod(reason) => reason.sentence(),
                SkipReason::NoPolicy => "no policy matches it",
            };
            format!("skipped, {why}")
        }
        Outcome::Audited(reason) => {
            let why = match mode {
                Mode::Audit => "the namespace is in audit",
                Mode::Enforce => "policies in Audit mode only report",
            };
            let result = match reason {
                AuditReason::WouldMutate => "it would have been changed",
                AuditReason::WouldDeny => "it would have been refused",
                AuditReason::NothingToChange => "nothing would have been changed",
            };
            format!("audited ({why}), {result}")
        }
    }
}

/// The lines of an explanation. Each has a sentence, and a rule in brackets.
struct Lines(String);

impl Lines {
    fn add(&mut self, rule: &str, sentence: impl Display) {
        self.0 += &format!("  {sentence} ({rule})\n");
    }

    fn add_of_policy(&mut self, rule: &str, policy: &Policy, sentence: impl Display) {
        self.0 += &format!("  {sentence} ({rule}, policy \"{}\")\n", policy.name);
    }

    fn add_policies(&mut self, verdict: &Verdict<'_>) {
        let matching = &verdict.matching;
        for (desired, mode) in [(&matching.enforce, "Enforce"), (&matching.audit, "Audit")] {
            for Policy { name, priority, .. } in &desired.policies {
                let state = format_args!("matches (priority {priority}, {mode})");
                self.add("M1", format_args!("policy \"{name}\" {state}"));
            }
            for overridden in &desired.overrides {
                self.add("M4", overridden);
            }
        }
        let others = "its podSelector or namespaceSelector asks for other labels";
        let unknown = "its namespaceSelector asks for labels that are unknown here; \
                       give them with --namespace-labels";
        let others = matching.others().map(|policy| (policy, others));
        let undecided = matching.undecided.iter().map(|policy| (*policy, unknown));
        for (policy, why) in others.chain(undecided) {
            self.add(
                "M1",
                format_args!("policy \"{}\" does not match: {why}", policy.name),
            );
        }
    }

    fn add_plan(&mut self, desired: &Desired<'_>, plan: &Plan<'_>, prefix: &str) {
        if desired.is_empty() {
            return;
        }
        if desired.hosts.is_empty() && desired.hostnames_from.is_empty() {
            self.add("H1", "the policies own no hostnames");
        }
        for change in &plan.changes {
            self.add_of_policy(
                change.rule(),
                change.policy,
                format_args!("{prefix}{change}"),
            );
        }
        if desired.dind.is_none() {
            self.add(
                "D1",
                "no policy has dind, so nothing about docker is changed",
            );
        }
        for finding in plan.findings.iter().chain(&plan.denial) {
            // These report a change; the others are true in any mode.
            let prefix = match finding.kind {
                FindingKind::VolumeDisplaced { .. } | FindingKind::MountUnrestricted { .. } => {
                    prefix
                }
                _ => "",
            };
            let reported = match finding.audience() {
                Audience::Author => "reported to the author: ",
                Audience::Team | Audience::Explain => "",
            };
            let sentence = format_args!("{prefix}{reported}{finding}");
            self.add_of_policy(finding.rule(), finding.policy, sentence);
        }
        let is_no_dind = |kind: &FindingKind<'_>| matches!(kind, FindingKind::NoDind);
        if let Some(dind) = &desired.dind
            && !plan
                .findings
                .iter()
                .any(|finding| is_no_dind(&finding.kind))
        {
            self.add_missing(dind);
        }
    }

    /// Adds the parts of `dind` that no policy has.
    fn add_missing(&mut self, dind: &DesiredDind<'_>) {
        if dind.volumes.is_empty() {
            self.add("V1", "the policies add no volumes for dind");
        }
        if dind.registry_cas.is_empty() {
            self.add("R1", "the policies have no registry CAs for dind");
        }
        if dind.node_selector.is_empty() && dind.tolerations.is_empty() {
            self.add("S1", "the policies have no scheduling for dind");
        }
    }
}

#[cfg(test)]
mod tests;
