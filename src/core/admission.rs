//! Answers an AdmissionReview request with an AdmissionReview response (admission.k8s.io/v1),
//! synchronously and without I/O.
//!
//! Source:
//! <https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#webhook-request-and-response>.
//! An unreadable request gets an HTTP error (F1). Then the `failurePolicy` of the webhook decides
//! whether the pod is admitted. If the pod is refused, the job log contains the error.

mod request;
mod response;
mod skim;

pub use request::ReviewError;
pub(crate) use request::namespace;

use crate::core::object_name::{NamespaceName, PodName};
use crate::core::policy::Mode;
use crate::core::policy::PolicySet;
use crate::core::policy::set::{Labels, Matching, Namespace};
use crate::core::quote::{BoundedList, quote, truncate};
use crate::core::rules::{Audience, Change, Finding, Plan};
use crate::core::verdict::{self, Outcome, Scope, SkipReason, Verdict};

/// Maximum length in bytes of all findings, or of all policies, in a log line or audit annotation.
const MAX_FIELD_BYTES: usize = 4096;
/// Maximum number of findings of a pod for the author.
const MAX_AUTHOR_FINDINGS: usize = 8;
/// Maximum length in bytes of a finding for the author: about the limit for the text of an Event.
const MAX_AUTHOR_FINDING_BYTES: usize = 1000;
/// Maximum length in characters of the name of an object.
const MAX_NAME_CHARS: usize = 253;

/// The inputs of a review in addition to its body.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The policies in force.
    pub policies: &'a PolicySet,
    /// The mode of the namespace.
    pub mode: Mode,
    /// The labels of the pod's namespace, which an AdmissionReview does not contain. If `None`,
    /// policies that select namespaces by labels do not apply.
    pub namespace_labels: Option<&'a Labels>,
    /// drydock's own namespace; empty if it has none.
    pub own_namespace: &'a str,
}

/// The answer to a review.
#[derive(Debug)]
pub struct Answer {
    /// The AdmissionReview with the response, as JSON.
    pub body: Vec<u8>,
    /// The patch of the response, before base64 encoding.
    pub patch: Option<String>,
    /// The record for logs, metrics and Events.
    pub record: Record,
}

/// The record of a review, for logs, metrics, audit annotations and Events. It contains no body, no
/// value of an environment variable and no patch (T4).
#[derive(Debug)]
pub struct Record {
    /// Whether the pod was changed, refused, audited, skipped or left unchanged.
    pub outcome: Outcome,
    /// The `uid` of the request.
    pub uid: String,
    /// The namespace of the pod; empty if there is none.
    pub namespace: String,
    /// The name of the pod, or its `generateName`, escaped.
    pub pod: String,
    /// The matching policies in the order of their rank, separated by commas.
    pub policies: String,
    /// The name of each change.
    pub changes: Vec<&'static str>,
    /// The name of each change that was planned but not made, because the mode of its policy or of
    /// the namespace is audit.
    pub audit_changes: Vec<&'static str>,
    /// The findings for the platform team, separated by semicolons.
    pub findings: String,
    /// The findings for the author of the job; `None` if no Event will be created (T2).
    pub author_findings: Option<AuthorFindings>,
}

/// Findings for the author of a job, which become Events of the pod. The runner prints these Events
/// in the log of a failed job.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AuthorFindings {
    /// The namespace of the request.
    pub namespace: NamespaceName,
    /// The name of the pod.
    pub pod: PodName,
    /// A sentence for each finding.
    pub sentences: Vec<String>,
}

/// Answers a review.
///
/// # Errors
/// Returns an error if the body is not an AdmissionReview of version v1 with a readable pod, if an
/// unreadable policy may match the pod, or if the patch is too large.
pub fn review(body: &[u8], context: Context<'_>) -> Result<Answer, ReviewError> {
    let request = request::read(body)?;
    let namespace = request.namespace()?;
    let namespace_name = namespace.as_deref().unwrap_or_default().to_owned();
    let uid = request.uid().to_owned();
    let name = quote(request.pod_name())
        .at_most(MAX_NAME_CHARS)
        .to_string();
    let created = request.stored_pod_name();
    let scope = Scope {
        namespace: Namespace {
            name: &namespace_name,
            labels: context.namespace_labels,
        },
        mode: context.mode,
        own_namespace: context.own_namespace,
    };
    let verdict = match request.into_pod()? {
        Some(pod) => verdict::judge(pod, context.policies, scope)?,
        None => Verdict::skipped(SkipReason::NotPodCreation),
    };
    if let Some(policy) = verdict.matching.unreadable
        && context.mode == Mode::Enforce
    {
        return Err(ReviewError::PolicyUnreadable(policy.name.clone()));
    }
    let mut record = record(&verdict, uid, namespace_name, name);
    record.author_findings = namespace
        .zip(created)
        .and_then(|(namespace, pod)| author_findings(&verdict, namespace, pod));
    Ok(Answer {
        body: response::render(&verdict, &record),
        patch: verdict.patch,
        record,
    })
}

fn record(verdict: &Verdict<'_>, uid: String, namespace: String, pod: String) -> Record {
    let names = |plan: &Plan<'_>| plan.changes.iter().map(Change::name).collect();
    let (mut changes, mut audit_changes): (Vec<_>, Vec<_>) =
        (names(&verdict.enforced), names(&verdict.audited));
    // Without a patch, no change is made. Then all changes are audit changes, those of Enforce
    // policies first.
    if verdict.patch.is_none() {
        changes.append(&mut audit_changes);
        audit_changes = std::mem::take(&mut changes);
    }
    let mut policies = BoundedList::new(",", MAX_FIELD_BYTES);
    let Matching { enforce, audit, .. } = &verdict.matching;
    for policy in enforce.policies.iter().chain(&audit.policies) {
        policies.add(&policy.versioned_name);
    }
    let mut findings = BoundedList::new("; ", MAX_FIELD_BYTES);
    for (finding, mode) in verdict.findings(Audience::Team) {
        let mode = match mode {
            Mode::Enforce => "",
            Mode::Audit => ", audit",
        };
        findings.add(format_args!("{finding} ({}{mode})", finding.rule()));
    }
    if let Some(claims) = &verdict.existing_annotations {
        findings.add(format_args!("{claims} (A5)"));
    }
    Record {
        outcome: verdict.outcome,
        uid,
        namespace,
        pod,
        policies: policies.finish(),
        changes,
        audit_changes,
        findings: findings.finish(),
        // `review` sets the findings, because they need the parsed names of the request.
        author_findings: None,
    }
}

/// Returns the findings for the author. An audited pod has none, because drydock does not change
/// it. A refused pod has none, because the message of the refusal contains the reason.
fn author_findings(
    verdict: &Verdict<'_>,
    namespace: NamespaceName,
    pod: PodName,
) -> Option<AuthorFindings> {
    if !matches!(verdict.outcome, Outcome::Mutated | Outcome::Unchanged) {
        return None;
    }
    let mut findings: Vec<_> = verdict.findings(Audience::Author).collect();
    findings.retain(|(_, mode)| *mode == Mode::Enforce);
    let sentence =
        |finding: &Finding<'_>, _| truncate(finding.for_author(), MAX_AUTHOR_FINDING_BYTES);
    let sentences = render(&findings, MAX_AUTHOR_FINDINGS, "", sentence);
    (!sentences.is_empty()).then_some(AuthorFindings {
        namespace,
        pod,
        sentences,
    })
}

/// Renders at most `max` sentences. If there are more findings, the last sentence says how many.
fn render(
    findings: &[(&Finding<'_>, Mode)],
    max: usize,
    prefix: &str,
    sentence: impl Fn(&Finding<'_>, Mode) -> String,
) -> Vec<String> {
    let shown = if findings.len() > max { max - 1 } else { max };
    let sentences = findings
        .iter()
        .map(|(finding, mode)| sentence(finding, *mode));
    let mut rendered: Vec<String> = sentences.take(shown).collect();
    if findings.len() > max {
        let more = findings.len() - shown;
        rendered.push(format!("{prefix}and {more} more findings for this pod"));
    }
    rendered
}

/// Joins the names of changes without duplicates, in the order of the changes.
pub(crate) fn distinct(changes: &[&'static str]) -> String {
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
