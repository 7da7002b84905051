//! What becomes of one pod: recognised or left alone, planned for, and named by one outcome of a closed set (rule P4).
//!
//! The webhook, `drydock mutate` and the tests all come through [`judge`].

use crate::core::job_pod::{self, NotJobPod, Recognised};
use crate::core::pod::Pod;
use crate::core::policy::set::{Matching, Namespace};
use crate::core::policy::{Mode, PolicySet};
use crate::core::rules::{self, Audience, Note, PatchTooLarge, Plan};

/// Where a pod is created.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Its namespace.
    pub namespace: Namespace<'a>,
    /// What the namespace opted in to; in a cluster the webhook's path says it.
    pub mode: Mode,
    /// drydock's own namespace, which is never changed, whatever its labels (P1).
    pub own_namespace: &'a str,
}

/// What became of a pod.
#[derive(Debug)]
pub struct Verdict<'a> {
    /// The one outcome.
    pub outcome: Outcome,
    /// How the pod was recognised, where it was.
    pub recognised: Option<Recognised>,
    /// The policies that match it.
    pub matching: Matching<'a>,
    /// What Enforce policies do, or would do where the namespace is in audit.
    pub enforced: Plan<'a>,
    /// What Audit policies would do to the result.
    pub audited: Plan<'a>,
    /// The patch: a JSON array of RFC 6902 operations, where the pod is changed.
    pub patch: Option<String>,
    /// Which of drydock's annotations the pod came with, in a sentence: this review is not what wrote them (A5).
    pub claims: Option<String>,
}

/// The outcome of a review. Metrics, logs, annotations and `explain` use the same names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The pod was changed.
    Mutated,
    /// Nothing had to be changed.
    Unchanged,
    /// The pod is none of drydock's business.
    Skipped(SkipReason),
    /// Nothing was changed because policies or the namespace only audit.
    Audited(AuditReason),
    /// The pod was refused.
    Denied,
}

/// Why a pod was skipped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SkipReason {
    /// The request is not the creation of a pod.
    NotPodCreation,
    /// The namespace is kube-system or drydock's own.
    ExcludedNamespace,
    /// The pod is no job pod.
    NotJobPod(NotJobPod),
    /// No policy matches.
    NoPolicy,
}

/// What an audit found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AuditReason {
    /// The pod would have been changed.
    WouldMutate,
    /// The pod would have been refused.
    WouldDeny,
    /// Nothing would have been changed.
    NothingToChange,
}

impl Outcome {
    /// Returns the outcome's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mutated => "mutated",
            Self::Unchanged => "unchanged",
            Self::Skipped(_) => "skipped",
            Self::Audited(_) => "audited",
            Self::Denied => "denied",
        }
    }

    /// Returns the reason's name; empty where the outcome says all.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Mutated | Self::Unchanged | Self::Denied => "",
            Self::Skipped(SkipReason::NotPodCreation) => "not-pod-creation",
            Self::Skipped(SkipReason::ExcludedNamespace) => "excluded-namespace",
            Self::Skipped(SkipReason::NotJobPod(reason)) => reason.name(),
            Self::Skipped(SkipReason::NoPolicy) => "no-policy",
            Self::Audited(AuditReason::WouldMutate) => "would-mutate",
            Self::Audited(AuditReason::WouldDeny) => "would-deny",
            Self::Audited(AuditReason::NothingToChange) => "nothing-to-change",
        }
    }
}

impl<'a> Verdict<'a> {
    /// A verdict on something that is left alone.
    #[must_use]
    pub fn skipped(reason: SkipReason) -> Self {
        Self {
            outcome: Outcome::Skipped(reason),
            recognised: None,
            matching: Matching::default(),
            enforced: Plan::default(),
            audited: Plan::default(),
            patch: None,
            claims: None,
        }
    }

    /// Returns the notes that concern an audience, or one that is told less: those of Enforce policies first.
    pub fn notes(&self, audience: Audience) -> impl Iterator<Item = (&Note<'a>, Standing)> {
        let enforced = match self.outcome {
            Outcome::Audited(_) => Standing::Audit,
            _ => Standing::InForce,
        };
        let plans = [(&self.enforced, enforced), (&self.audited, Standing::Audit)];
        let notes = plans.into_iter().flat_map(|(plan, standing)| {
            plan.notes
                .iter()
                .chain(&plan.denial)
                .map(move |note| (note, standing))
        });
        notes.filter(move |(note, _)| match audience {
            Audience::Curious => true,
            Audience::Team => note.audience() != Audience::Curious,
            Audience::Author => note.audience() == Audience::Author,
        })
    }
}

/// Whether what a note or change says was done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It was done.
    InForce,
    /// It would have been done.
    Audit,
}

/// Judges a pod.
///
/// # Errors
/// Where its changes take more than is written.
pub fn judge<'a>(
    pod: Pod<'a>,
    policies: &'a PolicySet,
    place: Place<'_>,
) -> Result<Verdict<'a>, PatchTooLarge> {
    let claims = rules::claims(&pod);
    Ok(Verdict {
        claims,
        ..judged(pod, policies, place)?
    })
}

fn judged<'a>(
    mut pod: Pod<'a>,
    policies: &'a PolicySet,
    place: Place<'_>,
) -> Result<Verdict<'a>, PatchTooLarge> {
    if matches!(place.namespace.name, "kube-system")
        || (!place.own_namespace.is_empty() && place.namespace.name == place.own_namespace)
    {
        return Ok(Verdict::skipped(SkipReason::ExcludedNamespace));
    }
    let recognised = match job_pod::recognise(&pod) {
        Ok(recognised) => recognised,
        Err(reason) => return Ok(Verdict::skipped(SkipReason::NotJobPod(reason))),
    };
    let matching = policies.matching(|key| pod.label(key), place.namespace);
    if matching.enforce.is_empty() && matching.audit.is_empty() {
        return Ok(Verdict {
            recognised: Some(recognised),
            matching,
            ..Verdict::skipped(SkipReason::NoPolicy)
        });
    }
    let enforced = rules::plan(&mut pod, &matching.enforce);
    let audited = if enforced.denial.is_none() {
        rules::plan(&mut pod, &matching.audit)
    } else {
        Plan::default()
    };
    let outcome = outcome(&matching, &enforced, &audited, place.mode);
    let patch = (outcome == Outcome::Mutated).then(|| {
        // Rules change the spec only, so the annotations are still the original's.
        let annotations = rules::annotations(&pod, &matching.enforce, &enforced.changes);
        rules::patch(&pod, &enforced.changes, &annotations)
    });
    let patch = patch.transpose()?;
    Ok(Verdict {
        outcome,
        recognised: Some(recognised),
        matching,
        enforced,
        audited,
        patch,
        claims: None,
    })
}

fn outcome(
    matching: &Matching<'_>,
    enforced: &Plan<'_>,
    audited: &Plan<'_>,
    mode: Mode,
) -> Outcome {
    let would = |denied: bool, changed: bool| {
        Outcome::Audited(match (denied, changed) {
            (true, _) => AuditReason::WouldDeny,
            (false, true) => AuditReason::WouldMutate,
            (false, false) => AuditReason::NothingToChange,
        })
    };
    let (changed, denied) = (!enforced.changes.is_empty(), enforced.denial.is_some());
    let (audit_changed, audit_denied) = (!audited.changes.is_empty(), audited.denial.is_some());
    match mode {
        Mode::Audit => would(denied || audit_denied, changed || audit_changed),
        Mode::Enforce if denied => Outcome::Denied,
        Mode::Enforce if changed => Outcome::Mutated,
        Mode::Enforce if audit_changed || audit_denied || matching.enforce.is_empty() => {
            would(audit_denied, audit_changed)
        }
        Mode::Enforce => Outcome::Unchanged,
    }
}

#[cfg(test)]
mod tests;
