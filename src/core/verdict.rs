//! The verdict on one pod: whether it is a job pod, the planned changes, and one outcome (rule P4).
//!
//! The webhook, `drydock mutate` and the tests all call [`judge`].

use crate::core::job_pod::{self, JobPodMark, NotJobPod};
use crate::core::pod::Pod;
use crate::core::policy::set::{Matching, Namespace};
use crate::core::policy::{Mode, PolicySet};
use crate::core::rules::{self, Audience, Finding, PatchTooLarge, Plan, annotations};

/// The namespaces and the mode that apply to a review.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The namespace of the pod.
    pub namespace: Namespace<'a>,
    /// The mode of the namespace. In a cluster, the URL path of the request determines it.
    pub mode: Mode,
    /// drydock's own namespace, whose pods it never changes (P1); empty if it has none.
    pub own_namespace: &'a str,
}

/// The result of a review.
#[derive(Debug, Default)]
pub struct Verdict<'a> {
    /// Whether the pod was changed, refused, audited, skipped or left unchanged.
    pub outcome: Outcome,
    /// The mark by which the job pod was recognised; `None` for other pods.
    pub mark: Option<JobPodMark>,
    /// The policies that match the pod.
    pub matching: Matching<'a>,
    /// The plan of Enforce policies. It is not applied if the mode of the namespace is `audit`.
    pub enforced: Plan<'a>,
    /// The plan of Audit policies, for the pod with the enforced changes.
    pub audited: Plan<'a>,
    /// The JSON Patch, if the pod is changed.
    pub patch: Option<String>,
    /// A sentence that reports annotations of drydock in the original pod (A5).
    pub existing_annotations: Option<String>,
}

/// The outcome of a review. Its name is the same in metrics, logs, annotations and `explain`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Outcome {
    /// The pod was changed.
    Mutated,
    /// The pod needed no change.
    #[default]
    Unchanged,
    /// The pod is out of scope.
    Skipped(SkipReason),
    /// The pod is unchanged because the mode of its policies or of its namespace is audit.
    Audited(AuditReason),
    /// The pod was refused.
    Denied,
}

/// The reason why a pod is skipped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SkipReason {
    /// The request does not create a pod.
    NotPodCreation,
    /// The namespace is kube-system or drydock's own.
    ExcludedNamespace,
    /// The pod is not a job pod.
    NotJobPod(NotJobPod),
    /// No policy matches.
    NoPolicy,
}

/// The result of an audit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AuditReason {
    /// The pod would have been changed.
    WouldMutate,
    /// The pod would have been refused.
    WouldDeny,
    /// The pod would not have been changed.
    NothingToChange,
}

impl Outcome {
    fn name_and_reason(self) -> (&'static str, &'static str) {
        match self {
            Self::Mutated => ("mutated", ""),
            Self::Unchanged => ("unchanged", ""),
            Self::Denied => ("denied", ""),
            Self::Skipped(SkipReason::NotPodCreation) => ("skipped", "not-pod-creation"),
            Self::Skipped(SkipReason::ExcludedNamespace) => ("skipped", "excluded-namespace"),
            Self::Skipped(SkipReason::NotJobPod(reason)) => ("skipped", reason.name()),
            Self::Skipped(SkipReason::NoPolicy) => ("skipped", "no-policy"),
            Self::Audited(AuditReason::WouldMutate) => ("audited", "would-mutate"),
            Self::Audited(AuditReason::WouldDeny) => ("audited", "would-deny"),
            Self::Audited(AuditReason::NothingToChange) => ("audited", "nothing-to-change"),
        }
    }

    /// Returns the name in metrics, logs, annotations and `explain`.
    pub fn name(self) -> &'static str {
        self.name_and_reason().0
    }

    /// Returns the name of the reason, or an empty string if the outcome has none.
    pub fn reason(self) -> &'static str {
        self.name_and_reason().1
    }
}

impl<'a> Verdict<'a> {
    /// Creates the verdict on a skipped pod.
    pub fn skipped(reason: SkipReason) -> Self {
        Self {
            outcome: Outcome::Skipped(reason),
            ..Self::default()
        }
    }

    /// Returns the findings for an audience, each with the mode in which its rule ran. The findings
    /// of Enforce policies are first.
    pub fn findings(&self, audience: Audience) -> impl Iterator<Item = (&Finding<'a>, Mode)> {
        let enforced = match self.outcome {
            Outcome::Audited(_) => Mode::Audit,
            _ => Mode::Enforce,
        };
        let plans = [(&self.enforced, enforced), (&self.audited, Mode::Audit)];
        let findings = plans.into_iter().flat_map(|(plan, mode)| {
            let findings = plan.findings.iter().chain(&plan.denial);
            findings.map(move |finding| (finding, mode))
        });
        findings.filter(move |(finding, _)| finding.audience() >= audience)
    }
}

/// Compares a pod with all policies, and decides its outcome.
///
/// # Errors
/// Returns an error if the patch exceeds its size limit.
pub fn judge<'a>(
    mut pod: Pod<'a>,
    policies: &'a PolicySet,
    scope: Scope<'_>,
) -> Result<Verdict<'a>, PatchTooLarge> {
    let mut verdict = Verdict {
        existing_annotations: annotations::existing(&pod),
        ..Verdict::default()
    };
    let namespace = scope.namespace;
    let is_own = !scope.own_namespace.is_empty() && namespace.name == scope.own_namespace;
    if namespace.name == "kube-system" || is_own {
        verdict.outcome = Outcome::Skipped(SkipReason::ExcludedNamespace);
        return Ok(verdict);
    }
    match job_pod::recognise(&pod) {
        Ok(mark) => verdict.mark = Some(mark),
        Err(reason) => {
            verdict.outcome = Outcome::Skipped(SkipReason::NotJobPod(reason));
            return Ok(verdict);
        }
    }
    verdict.matching = policies.matching(|key| pod.label(key), namespace);
    let Matching { enforce, audit, .. } = &verdict.matching;
    if enforce.is_empty() && audit.is_empty() {
        verdict.outcome = Outcome::Skipped(SkipReason::NoPolicy);
        return Ok(verdict);
    }
    verdict.enforced = rules::plan(&mut pod, enforce);
    if verdict.enforced.denial.is_none() {
        verdict.audited = rules::plan(&mut pod, audit);
    }
    verdict.outcome = outcome(&verdict, scope.mode);
    if verdict.outcome == Outcome::Mutated {
        let changes = &verdict.enforced.changes;
        // Rules change the spec only, so the pod still has its original annotations.
        let annotations = annotations::render(&pod, enforce, changes);
        verdict.patch = Some(rules::patch(&pod, changes, &annotations)?);
    }
    Ok(verdict)
}

fn outcome(verdict: &Verdict<'_>, mode: Mode) -> Outcome {
    let would = |is_denied: bool, is_changed: bool| {
        Outcome::Audited(match (is_denied, is_changed) {
            (true, _) => AuditReason::WouldDeny,
            (false, true) => AuditReason::WouldMutate,
            (false, false) => AuditReason::NothingToChange,
        })
    };
    let state = |plan: &Plan<'_>| (plan.denial.is_some(), !plan.changes.is_empty());
    let (denies, changes) = state(&verdict.enforced);
    let (audit_denies, audit_changes) = state(&verdict.audited);
    match mode {
        Mode::Audit => would(denies || audit_denies, changes || audit_changes),
        Mode::Enforce if denies => Outcome::Denied,
        Mode::Enforce if changes => Outcome::Mutated,
        Mode::Enforce if audit_changes || audit_denies || verdict.matching.enforce.is_empty() => {
            would(audit_denies, audit_changes)
        }
        Mode::Enforce => Outcome::Unchanged,
    }
}

#[cfg(test)]
mod tests;
