//! Writes the AdmissionReview response.
//!
//! The response type of kube writes the patch as a list of numbers (kube-rs/kube#1781), but the
//! documented form is base64. The API server rejects `patchType` without `patch`, so a response
//! without changes has neither.

use super::{Record, distinct, render as render_findings};
use crate::core::policy::Mode;
use crate::core::rules::Audience;
use crate::core::verdict::{Outcome, Verdict};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

/// Maximum number of warnings. The API server drops warnings after a total of 4096 characters, and
/// each has at most 120.
const MAX_WARNINGS: usize = 20;

/// The approximate length in bytes of a response without its patch.
const BASE_BYTES: usize = 2048;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a> {
    api_version: &'a str,
    kind: &'a str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    audit_annotations: AuditAnnotations<'a>,
}

/// The audit annotations. The API server puts the name of the webhook and a slash before each key,
/// and the result must be a qualified name.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct AuditAnnotations<'a> {
    #[serde(skip_serializing_if = "String::is_empty")]
    changes: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    findings: &'a str,
    outcome: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    policies: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    would_change: String,
}

impl<'a> AuditAnnotations<'a> {
    fn of(record: &'a Record) -> Self {
        Self {
            changes: distinct(&record.changes),
            findings: &record.findings,
            outcome: record.outcome.name(),
            policies: &record.policies,
            reason: record.outcome.reason(),
            would_change: distinct(&record.audit_changes),
        }
    }
}

#[derive(Serialize)]
struct Status {
    code: u16,
    reason: &'static str,
    message: String,
}

/// Renders the response.
pub(super) fn render(verdict: &Verdict<'_>, record: &Record) -> Vec<u8> {
    let denial = verdict.enforced.denial.as_ref();
    let denial = denial.filter(|_| verdict.outcome == Outcome::Denied);
    let review = Review {
        api_version: "admission.k8s.io/v1",
        kind: "AdmissionReview",
        response: Response {
            uid: &record.uid,
            allowed: denial.is_none(),
            status: denial.map(|denial| Status {
                code: 403,
                reason: "Forbidden",
                message: format!("{} ({})", denial.for_author(), denial.rule()),
            }),
            warnings: warnings(verdict),
            audit_annotations: AuditAnnotations::of(record),
        },
    };
    let patch = verdict.patch.as_deref().unwrap_or_default();
    let mut answer = Vec::with_capacity(BASE_BYTES + patch.len() / 3 * 4);
    serde_json::to_writer(&mut answer, &review).expect("strings should serialise");
    if verdict.patch.is_some() {
        add_patch(&mut answer, patch);
    }
    answer
}

/// Adds the patch to a serialised response. The patch is not written by serde_json, because base64
/// needs no escaping.
fn add_patch(answer: &mut Vec<u8>, patch: &str) {
    const END: &[u8] = b"}}";
    answer.truncate(answer.len() - END.len());
    answer.extend_from_slice(br#","patchType":"JSONPatch","patch":""#);
    let start = answer.len();
    answer.resize(start + patch.len().div_ceil(3) * 4, 0);
    STANDARD
        .encode_slice(patch, answer.split_at_mut(start).1)
        .expect("the buffer should have the length of the base64 text");
    answer.push(b'"');
    answer.extend_from_slice(END);
}

fn warnings(verdict: &Verdict<'_>) -> Vec<String> {
    let prefix = |mode| match mode {
        Mode::Enforce => "drydock",
        Mode::Audit => "drydock (audit, not done)",
    };
    // A refused pod needs no warning: the message of the refusal contains the reason.
    if verdict.outcome == Outcome::Denied {
        return Vec::new();
    }
    let findings: Vec<_> = verdict.findings(Audience::Author).collect();
    render_findings(&findings, MAX_WARNINGS, "drydock: ", |finding, mode| {
        finding.warning(prefix(mode))
    })
}
