//! AdmissionReview in, AdmissionReview out (admission.k8s.io/v1). Synchronous, without I/O.
//!
//! Source: <https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#webhook-request-and-response>.
//! What cannot be read is an error for the transport to answer (rule F1): whether the pod is then admitted is the cluster's
//! `failurePolicy` to decide, and the API server quotes the message in the job log.

mod request;
mod response;
mod skim;

pub use request::ReviewError;

use crate::core::object_name::{NamespaceName, PodName};
use crate::core::policy::Mode;
use crate::core::policy::PolicySet;
use crate::core::policy::set::{Labels, Matching, Namespace};
use crate::core::rules::{Audience, Change};
use crate::core::shown::{Joined, shown};
use crate::core::verdict::{self, Outcome, Scope, SkipReason, Verdict};
use std::collections::BTreeMap;

/// Bytes of a note in words, about.
const ROOM_FOR_A_NOTE: usize = 200;
/// Bytes of all notes in words, or of all policies, in one log line or audit annotation.
const MOST_BYTES: usize = 4096;
/// An author reads a few lines, and notes wait in a queue.
const MOST_AUTHOR_NOTES: usize = 8;
/// Bytes of a note for the author: an Event takes about as many.
const LONGEST_AUTHOR_NOTE: usize = 1000;
/// Characters of the longest name that an object can have.
const LONGEST_NAME: usize = 253;

/// What a review is judged with.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The policies in force.
    pub policies: &'a PolicySet,
    /// What the namespace opted in to.
    pub mode: Mode,
    /// Where the namespace's labels are to be found: a review does not carry them.
    pub namespace_labels: NamespaceLabels<'a>,
    /// drydock's own namespace; empty where it has none.
    pub own_namespace: &'a str,
}

/// Labels of namespaces.
#[derive(Clone, Copy, Debug)]
pub enum NamespaceLabels<'a> {
    /// There is nobody to ask: policies whose namespaceSelector asks for labels are undecided.
    Unknown,
    /// Those of the pod's namespace.
    Known(&'a Labels),
    /// Those of the namespaces that have been read. Another one has to be asked for: [`ReviewError::NamespaceNotRead`].
    Read(&'a BTreeMap<String, Labels>),
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
    /// The pod's namespace; empty where there is none.
    pub namespace: String,
    /// The pod's name, or what its name will begin with, fit to be shown.
    pub pod: String,
    /// The policies that match, in rank, with commas between.
    pub policies: String,
    /// The name of each change made.
    pub changes: Vec<&'static str>,
    /// The name of each change that would have been made.
    pub audit_changes: Vec<&'static str>,
    /// What there is to tell the platform team, with semicolons between.
    pub notes: String,
    /// What there is to tell the job's author in events, where the pod has a name to find them by (T2).
    pub author_notes: Option<AuthorNotes>,
}

/// Sentences for the author of a job, to be printed in the job log when the job fails.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AuthorNotes {
    /// The pod's namespace, as the request names it.
    pub namespace: NamespaceName,
    /// The pod's name.
    pub pod: PodName,
    /// What was displaced, shadowed or left broken.
    pub notes: Vec<String>,
}

/// Answers a review.
///
/// # Errors
/// Where the body is no AdmissionReview of version v1 with a pod that can be read, and where labels of the namespace decide that
/// are still to be read.
pub fn review(body: &[u8], context: Context<'_>) -> Result<Answer, ReviewError> {
    let request = request::read(body)?;
    let namespace = request.namespace()?;
    let (uid, name) = (
        request.uid().to_owned(),
        shown(request.pod_name()).at_most(LONGEST_NAME).to_string(),
    );
    let labels = match context.namespace_labels {
        NamespaceLabels::Unknown => None,
        NamespaceLabels::Known(labels) => Some(labels),
        NamespaceLabels::Read(namespaces) => match &namespace {
            None => None,
            Some(namespace) => match namespaces.get(namespace.as_str()) {
                None if context.policies.asks_for_namespace_labels() => {
                    return Err(ReviewError::NamespaceNotRead(namespace.clone()));
                }
                labels => labels,
            },
        },
    };
    let created = request.created_pod();
    let scope = Scope {
        namespace: Namespace {
            name: namespace.as_deref().unwrap_or_default(),
            labels,
        },
        mode: context.mode,
        own_namespace: context.own_namespace,
    };
    let verdict = match request.into_pod()? {
        Some(pod) => verdict::judge(pod, context.policies, scope)?,
        None => Verdict::skipped(SkipReason::NotPodCreation),
    };
    let namespace_name = namespace.as_deref().unwrap_or_default().to_owned();
    let mut record = record(&verdict, uid, namespace_name, name);
    record.author_notes = namespace
        .zip(created)
        .and_then(|(namespace, pod)| author_notes(&verdict, namespace, pod));
    Ok(Answer {
        body: response::render(&verdict, &record),
        patch: verdict.patch,
        record,
    })
}

fn record(verdict: &Verdict<'_>, uid: String, namespace: String, pod: String) -> Record {
    let names = |plan: &crate::core::rules::Plan<'_>| {
        plan.changes.iter().map(Change::name).collect::<Vec<_>>()
    };
    let (mut changes, mut audit_changes) = (names(&verdict.enforced), names(&verdict.audited));
    if verdict.patch.is_none() {
        changes.append(&mut audit_changes);
        audit_changes = std::mem::take(&mut changes);
    }
    let mut policies = Joined::new(",", MOST_BYTES);
    let Matching { enforce, audit, .. } = &verdict.matching;
    for policy in enforce.policies.iter().chain(&audit.policies) {
        policies.add(&policy.label);
    }
    let mut notes = Joined::new("; ", MOST_BYTES);
    for (note, mode) in verdict.findings(Audience::Team) {
        let mode = match mode {
            Mode::Enforce => "",
            Mode::Audit => ", audit",
        };
        notes.reserve(ROOM_FOR_A_NOTE);
        notes.add(format_args!("{note} ({}{mode})", note.rule()));
    }
    if let Some(claims) = &verdict.existing_annotations {
        notes.add(format_args!("{claims} (A5)"));
    }
    Record {
        outcome: verdict.outcome,
        uid,
        namespace,
        pod,
        policies: policies.finish(),
        changes,
        audit_changes,
        notes: notes.finish(),
        author_notes: None,
    }
}

/// Of an audit nothing is told: nothing was done to the author's pod. What a pod is refused for is the refusal's message.
fn author_notes(
    verdict: &Verdict<'_>,
    namespace: NamespaceName,
    pod: PodName,
) -> Option<AuthorNotes> {
    if !matches!(verdict.outcome, Outcome::Mutated | Outcome::Unchanged) {
        return None;
    }
    let in_force = || {
        let notes = verdict.findings(Audience::Author);
        notes.filter(|(_, mode)| *mode == Mode::Enforce)
    };
    let more = in_force().count().saturating_sub(MOST_AUTHOR_NOTES);
    let kept = MOST_AUTHOR_NOTES - usize::from(more > 0);
    let mut notes: Vec<String> = in_force()
        .take(kept)
        .map(|(note, _)| cut(note.to_string(), LONGEST_AUTHOR_NOTE))
        .collect();
    if more > 0 {
        notes.push(format!("and {} more notes on this pod", more + 1));
    }
    (!notes.is_empty()).then_some(AuthorNotes {
        namespace,
        pod,
        notes,
    })
}

fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        let starts = text.char_indices().map(|(at, _)| at);
        let end = starts.take_while(|at| *at <= most).last().unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
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
