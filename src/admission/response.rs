//! Writing the AdmissionReview that answers a request.
//!
//! kube's own response type writes the patch as a list of numbers (kube-rs/kube#1781); the documented form is base64.
//! `patchType` without `patch` is refused, and no patch at all saves the API server a decoding, so both are left out where nothing changes.

use super::{Record, distinct};
use crate::mutate::Audience;
use crate::verdict::{Outcome, Standing, Verdict};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use std::collections::BTreeMap;

/// The API server drops what exceeds 4096 characters in all; each of these has at most 120.
const MOST_WARNINGS: usize = 20;

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
    audit_annotations: BTreeMap<&'a str, String>,
}

#[derive(Serialize)]
struct Status {
    code: u16,
    reason: &'static str,
    message: String,
}

/// Renders the answer.
pub(super) fn render(verdict: &Verdict<'_>, record: &Record) -> Vec<u8> {
    let denial = verdict
        .enforced
        .denial
        .as_ref()
        .filter(|_| verdict.outcome == Outcome::Denied);
    let review = Review {
        api_version: "admission.k8s.io/v1",
        kind: "AdmissionReview",
        response: Response {
            uid: &record.uid,
            allowed: denial.is_none(),
            status: denial.map(|note| Status {
                code: 403,
                reason: "Forbidden",
                message: note.to_string(),
            }),
            warnings: warnings(verdict),
            audit_annotations: audit_annotations(record),
        },
    };
    let mut answer = serde_json::to_string(&review).expect("texts and maps of texts serialise");
    if let Some(patch) = &verdict.patch {
        add_patch(&mut answer, patch);
    }
    answer.into_bytes()
}

/// Adds the patch to an answer as its last members: base64 is the longest text in it, and needs no look for what JSON escapes.
fn add_patch(answer: &mut String, patch: &str) {
    const END: &str = "}}";
    answer.truncate(answer.len() - END.len());
    answer.reserve(patch.len().div_ceil(3) * 4 + 64);
    answer.push_str(r#","patchType":"JSONPatch","patch":""#);
    STANDARD.encode_string(patch, answer);
    answer.push('"');
    answer.push_str(END);
}

fn warnings(verdict: &Verdict<'_>) -> Vec<String> {
    let prefix = |standing| match standing {
        Standing::InForce => "drydock",
        Standing::Audit => "drydock (audit, not done)",
    };
    // What gets a pod refused is its message; a warning would say it twice.
    let notes = verdict
        .notes(Audience::Author)
        .filter(|_| verdict.outcome != Outcome::Denied);
    notes
        .take(MOST_WARNINGS)
        .map(|(note, standing)| note.warning(prefix(standing)))
        .collect()
}

/// The keys get the webhook's name and a slash before them; each must be a qualified name.
fn audit_annotations(record: &Record) -> BTreeMap<&'static str, String> {
    let lists = [
        ("reason", record.outcome.reason().to_owned()),
        ("policies", record.policies.join(",")),
        ("changes", distinct(&record.changes)),
        ("would-change", distinct(&record.audit_changes)),
        ("notes", record.notes.join("; ")),
    ];
    let mut annotations: BTreeMap<&'static str, String> = lists
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .collect();
    annotations.insert("outcome", record.outcome.name().to_owned());
    annotations
}
