//! AdmissionReview in, AdmissionReview out (admission.k8s.io/v1). Synchronous, without I/O.
//!
//! Source: <https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#webhook-request-and-response>.
//! What cannot be read is an error for the transport to answer (rule F1): whether the pod is then admitted is the cluster's
//! `failurePolicy` to decide, and the API server quotes the message in the job log.

mod request;
mod response;
mod skim;

pub use request::ReviewError;

use crate::mutate::Audience;
use crate::policy::Mode;
use crate::policy::PolicySet;
use crate::policy::set::Namespace;
use crate::verdict::{self, Outcome, Place, SkipReason, Standing, Verdict};
use std::collections::BTreeMap;

/// What a review is judged with.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The policies in force.
    pub policies: &'a PolicySet,
    /// What the namespace opted in to.
    pub mode: Mode,
    /// The namespace's labels, where they are known: a review does not carry them.
    pub namespace_labels: Option<&'a BTreeMap<String, String>>,
    /// drydock's own namespace; empty where it has none.
    pub own_namespace: &'a str,
}

/// The answer to a review, and what there is to record of it.
#[derive(Debug)]
pub struct Answer {
    /// The AdmissionReview with its response: JSON.
    pub body: Vec<u8>,
    /// The patch in it, before base64.
    pub patch: Option<String>,
    /// For logs and metrics.
    pub record: Record,
}

/// What there is to record of a review. Never a pod's body, values of variables or the patch (T4).
#[derive(Debug)]
pub struct Record {
    /// The one outcome.
    pub outcome: Outcome,
    /// The request's id.
    pub uid: String,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name, or what its name will begin with.
    pub pod: String,
    /// The policies that match, in rank.
    pub policies: Vec<String>,
    /// The name of each change made.
    pub changes: Vec<&'static str>,
    /// The name of each change that would have been made.
    pub audit_changes: Vec<&'static str>,
    /// What there is to tell the platform team.
    pub notes: Vec<String>,
}

/// Answers a review.
///
/// # Errors
/// Where the body is no AdmissionReview of version v1 with a pod that can be read.
pub fn review(body: &[u8], context: Context<'_>) -> Result<Answer, ReviewError> {
    let request = request::read(body)?;
    let (uid, namespace, name) = (
        request.uid().to_owned(),
        request.namespace().to_owned(),
        request.pod_name().to_owned(),
    );
    let place = Place {
        namespace: Namespace {
            name: &namespace,
            labels: context.namespace_labels,
        },
        mode: context.mode,
        own_namespace: context.own_namespace,
    };
    let verdict = match request.into_pod()? {
        Some(pod) => verdict::judge(pod, context.policies, place),
        None => Verdict::skipped(SkipReason::NotPodCreation),
    };
    let record = record(&verdict, uid, namespace, name);
    Ok(Answer {
        body: response::render(&verdict, &record),
        patch: verdict.patch,
        record,
    })
}

fn record(verdict: &Verdict<'_>, uid: String, namespace: String, pod: String) -> Record {
    let names = |plan: &crate::mutate::Plan<'_>| {
        plan.changes
            .iter()
            .map(|change| change.action.name())
            .collect::<Vec<_>>()
    };
    let (mut changes, mut audit_changes) = (names(&verdict.enforced), names(&verdict.audited));
    if verdict.patch.is_none() {
        changes.append(&mut audit_changes);
        audit_changes = std::mem::take(&mut changes);
    }
    let policies = verdict
        .matching
        .enforce
        .policies
        .iter()
        .chain(&verdict.matching.audit.policies);
    let note = |(note, standing): (&crate::mutate::Note<'_>, Standing)| match standing {
        Standing::InForce => format!("{}: {note}", note.rule()),
        Standing::Audit => format!("{} (audit): {note}", note.rule()),
    };
    Record {
        outcome: verdict.outcome,
        uid,
        namespace,
        pod,
        policies: policies.map(|policy| policy.label.clone()).collect(),
        changes,
        audit_changes,
        notes: verdict.notes(Audience::Team).map(note).collect(),
    }
}

/// Returns the names of changes for people, each once, in the order of the changes.
#[must_use]
pub fn distinct(changes: &[&'static str]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for change in changes {
        if !names.contains(change) {
            names.push(change);
        }
    }
    names.join(",")
}

#[cfg(test)]
mod tests;
