//! Explains a verdict in sentences, for `drydock mutate -o explain`: the changes and findings of
//! each policy.

use crate::core::policy::set::Desired;
use crate::core::policy::{Mode, Policy};
use crate::core::rules::finding::FindingKind;
use crate::core::rules::{Audience, Change, Finding, Plan};
use crate::core::verdict::{AuditReason, Outcome, SkipReason, Verdict};
use std::fmt::Display;

/// Returns the explanation of a verdict. `title` names the pod.
pub(super) fn explain(title: &str, verdict: &Verdict<'_>, mode: Mode) -> String {
    let mut lines = Lines(format!("{title}: {}\n", summary(verdict, mode)));
    if let Some(mark) = verdict.mark {
        lines.add(
            1,
            format_args!("recognised as a job pod by {}", mark.description()),
            "P2",
        );
    }
    if let Some(sentence) = &verdict.existing_annotations {
        lines.add(1, sentence, "A5");
    }
    let is_applied = !matches!(verdict.outcome, Outcome::Audited(_));
    let matching = &verdict.matching;
    for (desired, plan, is_applied) in [
        (&matching.enforce, &verdict.enforced, is_applied),
        (&matching.audit, &verdict.audited, false),
    ] {
        for policy in &desired.policies {
            lines.add_policy(policy, desired, plan, is_applied);
        }
    }
    let others = "its podSelector or namespaceSelector requires other labels";
    let unknown = "its namespaceSelector requires labels, and the labels of the namespace are \
                   unknown; set them with --namespace-labels";
    let others = matching.others().map(|policy| (policy, others));
    let undecided = matching.undecided.iter().map(|policy| (*policy, unknown));
    for (Policy { name, .. }, why) in others.chain(undecided) {
        let sentence = format_args!("policy \"{name}\" does not match: {why}");
        lines.add(1, sentence, "M1");
    }
    lines.0
}

fn summary(verdict: &Verdict<'_>, mode: Mode) -> String {
    match verdict.outcome {
        Outcome::Mutated => match verdict.enforced.changes.len() {
            1 => "mutated, 1 change".to_owned(),
            changes => format!("mutated, {changes} changes"),
        },
        Outcome::Unchanged => "unchanged, because it already conforms to the policies".to_owned(),
        Outcome::Denied => "denied".to_owned(),
        Outcome::Skipped(reason) => {
            let why = match reason {
                SkipReason::NotPodCreation => "the request does not create a pod",
                SkipReason::ExcludedNamespace => "drydock never changes pods in this namespace",
                SkipReason::NotJobPod(reason) => reason.sentence(),
                SkipReason::NoPolicy => "no policy matches it",
            };
            format!("skipped, because {why}")
        }
        Outcome::Audited(reason) => {
            let why = match mode {
                Mode::Audit => "the namespace is in audit mode",
                Mode::Enforce => "policies in Audit mode only report changes",
            };
            let result = match reason {
                AuditReason::WouldMutate => "the pod would have been changed",
                AuditReason::WouldDeny => "the pod would have been refused",
                AuditReason::NothingToChange => "nothing would have been changed",
            };
            format!("audited ({why}); {result}")
        }
    }
}

/// The lines of an explanation. Each sentence ends with the code of its rule in brackets.
struct Lines(String);

impl Lines {
    fn heading(&mut self, depth: usize, text: impl Display) {
        self.0 += &format!("{:indent$}{text}\n", "", indent = 2 * depth);
    }

    fn add(&mut self, depth: usize, sentence: impl Display, rule: &str) {
        self.heading(depth, format_args!("{sentence} ({rule})"));
    }

    /// Adds the changes and findings of a policy. If `is_applied` is false, describes the changes
    /// that would be made in enforce mode.
    fn add_policy(
        &mut self,
        policy: &Policy,
        desired: &Desired<'_>,
        plan: &Plan<'_>,
        is_applied: bool,
    ) {
        let Policy {
            name,
            priority,
            mode,
            ..
        } = policy;
        let mode = match mode {
            Mode::Enforce => "Enforce",
            Mode::Audit => "Audit",
        };
        self.heading(
            1,
            format_args!("policy \"{name}\" (priority {priority}, {mode}):"),
        );
        let length = self.0.len();
        for overridden in &desired.overrides {
            if overridden.policy.name == *name {
                let (subject, by) = (&overridden.subject, &overridden.by.name);
                let sentence =
                    format_args!("{subject} is overridden by policy \"{by}\", which ranks higher");
                self.add(2, sentence, "M4");
            }
        }
        for change in &plan.changes {
            if change.policy.name == *name {
                let sentence = if is_applied {
                    change.to_string()
                } else {
                    would(change)
                };
                self.add(2, sentence, change.rule());
            }
        }
        let findings = plan.findings.iter().chain(&plan.denial);
        let findings: Vec<&Finding<'_>> = findings
            .filter(|finding| finding.policy.name == *name)
            .collect();
        let findings_for = |audience| {
            let findings = findings.iter();
            findings.filter(move |finding| finding.audience() == audience)
        };
        for finding in findings_for(Audience::Explain) {
            self.add(2, finding, finding.rule());
        }
        for (number, finding) in findings_for(Audience::Author).enumerate() {
            if number == 0 {
                let condition = if is_applied { "" } else { ", in enforce mode" };
                self.heading(2, format_args!("for the author of the job{condition}:"));
            }
            self.add(3, finding.for_author(), finding.rule());
        }
        for (number, finding) in findings_for(Audience::Team).enumerate() {
            if number == 0 {
                self.heading(2, "for the platform team:");
            }
            // A volume is displaced only if the change is made. The other findings are true without
            // the change, so they need no condition.
            let is_result = matches!(finding.kind, FindingKind::VolumeDisplaced { .. });
            let condition = if is_result && !is_applied {
                "in enforce mode: "
            } else {
                ""
            };
            self.add(3, format_args!("{condition}{finding}"), finding.rule());
        }
        if self.0.len() == length {
            self.heading(2, "no changes for this pod");
        }
    }
}

/// Returns the sentence for a change that was not made: "would add …" instead of "added …".
fn would(change: &Change<'_>) -> String {
    let sentence = change.to_string();
    let (verb, rest) = sentence.split_once(' ').unwrap_or((&sentence, ""));
    let verb = match verb {
        "added" => "add",
        "changed" => "change",
        "mounted" => "mount",
        "removed" => "remove",
        "replaced" => "replace",
        other => other,
    };
    format!("would {verb} {rest}")
}

#[cfg(test)]
mod tests;
