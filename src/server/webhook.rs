//! `POST /mutate` and `POST /audit`: HTTP around [`admission::review`].
//!
//! An error's body is a sentence for the job's author: the API server quotes it in the job log (F1).

use super::State;
use super::body::{self, BodyError};
use super::connection::Evictable;
use super::judging::{self, Request, Unanswered};
use crate::core::admission::{self, Answer, AuthorNotes, ReviewError};
use crate::core::policy::Mode;
use crate::telemetry::metrics::{Failure, OtherRequest};
use axum::body::{Body, Bytes};
use axum::extract;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Router};
use std::time::Instant;

/// Makes the router.
pub fn router(state: State) -> Router {
    let mutate =
        |state, connection, headers, body| answer(state, Mode::Enforce, connection, headers, body);
    let audit =
        |state, connection, headers, body| answer(state, Mode::Audit, connection, headers, body);
    Router::new()
        .route("/mutate", post(mutate))
        .route("/audit", post(audit))
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .with_state(state)
}

async fn not_found(
    extract::State(state): extract::State<State>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let message =
        "drydock answers POST /mutate and POST /audit here; health and metrics are on the ops port";
    let refusal = refusal(StatusCode::NOT_FOUND, OtherRequest::Path, message);
    elsewhere(&state, &headers, body, refusal).await
}

async fn wrong_method(
    extract::State(state): extract::State<State>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let message = "drydock answers reviews with the method POST only";
    let refusal = refusal(
        StatusCode::METHOD_NOT_ALLOWED,
        OtherRequest::Method,
        message,
    );
    elsewhere(&state, &headers, body, refusal).await
}

/// Answers what is no review. Its body is read all the same, or the connection could not be kept.
async fn elsewhere(state: &State, headers: &HeaderMap, body: Body, refusal: Refusal) -> Response {
    let refusal = match read(state, headers, body).await {
        Ok(_) => refusal,
        Err(unread) => Refusal {
            reason: refusal.reason,
            ..unread
        },
    };
    refuse(state, refusal)
}

async fn answer(
    extract::State(state): extract::State<State>,
    mode: Mode,
    connection: Option<Extension<Evictable>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if !is_json(&headers) {
        let message =
            "drydock reads application/json; send the AdmissionReview with that Content-Type";
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        let refusal = refusal(status, OtherRequest::ContentType, message);
        return elsewhere(&state, &headers, body, refusal).await;
    }
    match read(&state, &headers, body).await {
        Ok(body) => {
            let connection = connection.map(|Extension(connection)| connection);
            let request = Request {
                mode,
                body,
                connection,
            };
            review(&state, request).await
        }
        Err(refusal) => refuse(&state, refusal),
    }
}

/// An HTTP error, and why.
struct Refusal {
    status: StatusCode,
    reason: Reason,
    message: String,
    /// Whether the rest of the request may still come: it would be taken for the next request.
    is_unread: bool,
}

/// What a refusal is counted as.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Reason {
    Failed(Failure),
    Other(OtherRequest),
}

impl Reason {
    fn name(self) -> &'static str {
        match self {
            Self::Failed(failure) => failure.name(),
            Self::Other(other) => other.name(),
        }
    }
}

impl From<Failure> for Reason {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<OtherRequest> for Reason {
    fn from(other: OtherRequest) -> Self {
        Self::Other(other)
    }
}

fn refusal(status: StatusCode, reason: impl Into<Reason>, message: impl Into<String>) -> Refusal {
    Refusal {
        status,
        reason: reason.into(),
        message: message.into(),
        is_unread: false,
    }
}

/// Reads a body whole.
async fn read(state: &State, headers: &HeaderMap, body: Body) -> Result<Bytes, Refusal> {
    let body = body::read(state, headers, body, state.limits.body).await;
    body.map_err(|error| {
        let (status, failure) = match error {
            BodyError::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, Failure::BodySize),
            BodyError::TooSlow(_) => (StatusCode::REQUEST_TIMEOUT, Failure::BodyTime),
            BodyError::Cut => (StatusCode::BAD_REQUEST, Failure::BodyCut),
            // As in `NotReady`: a 500 is what the API server quotes.
            BodyError::MadeRoom(_) => (StatusCode::INTERNAL_SERVER_ERROR, Failure::Overload),
        };
        Refusal {
            is_unread: true,
            ..refusal(status, failure, error.to_string())
        }
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/json")
}

async fn review(state: &State, request: Request) -> Response {
    let began = Instant::now();
    let judged = judging::judge(state, &request).await;
    drop(request);
    match judged {
        Ok(answer) => {
            state.metrics.answered(&answer.record, began.elapsed());
            log(&answer, began);
            tell_author(state, answer.record.author_notes);
            ([(header::CONTENT_TYPE, "application/json")], answer.body).into_response()
        }
        Err(unanswered) => refuse(state, unanswered.into()),
    }
}

impl From<Unanswered> for Refusal {
    fn from(unanswered: Unanswered) -> Self {
        // The API server quotes the body of a 500 to the job's author, and that of a 503 to nobody.
        let (status, reason) = match &unanswered {
            Unanswered::NotReady => (StatusCode::INTERNAL_SERVER_ERROR, Failure::NotReady.into()),
            Unanswered::Review(error) => refused(error),
            Unanswered::Evicted(_) | Unanswered::NoTurn => {
                (StatusCode::INTERNAL_SERVER_ERROR, Failure::Overload.into())
            }
            Unanswered::Bug => (StatusCode::INTERNAL_SERVER_ERROR, Failure::Bug.into()),
        };
        refusal(status, reason, unanswered.to_string())
    }
}

fn refused(error: &ReviewError) -> (StatusCode, Reason) {
    match error {
        ReviewError::NamespaceNotRead(_) | ReviewError::PolicyUnreadable(_) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            Failure::Review(error.name()).into(),
        ),
        ReviewError::OverBound(_) | ReviewError::PatchTooLarge(_) => (
            StatusCode::UNPROCESSABLE_ENTITY,
            Failure::Review(error.name()).into(),
        ),
        ReviewError::NotJson(_) => (StatusCode::BAD_REQUEST, OtherRequest::NotJson.into()),
        // An AdmissionReview of another version comes from an API server that is told wrong versions.
        ReviewError::WrongKind { kind, .. } if kind != "AdmissionReview" => {
            (StatusCode::BAD_REQUEST, OtherRequest::WrongKind.into())
        }
        _ => (
            StatusCode::BAD_REQUEST,
            Failure::Review(error.name()).into(),
        ),
    }
}

/// Hands the notes over; a review waits for nobody.
fn tell_author(state: &State, notes: Option<AuthorNotes>) {
    if let (Some(cluster), Some(notes)) = (&state.cluster, notes) {
        (cluster.tell_author)(notes);
    }
}

fn log(answer: &Answer, began: Instant) {
    let record = &answer.record;
    tracing::info!(
        namespace = record.namespace,
        pod = record.pod,
        outcome = record.outcome.name(),
        reason = record.outcome.reason(),
        policies = record.policies,
        changes = admission::distinct(&record.changes),
        would_change = admission::distinct(&record.audit_changes),
        notes = record.notes,
        microseconds = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
        uid = record.uid,
        "review"
    );
}

fn refuse(state: &State, refusal: Refusal) -> Response {
    let Refusal {
        status,
        reason,
        message,
        is_unread,
    } = refusal;
    match reason {
        Reason::Failed(failure) => state.metrics.failed(failure),
        Reason::Other(other) => state.metrics.other_request(other),
    }
    tracing::warn!(
        status = status.as_u16(),
        reason = reason.name(),
        "request refused: {message}"
    );
    let mut answer = (status, format!("{message}\n")).into_response();
    if is_unread {
        let close = HeaderValue::from_static("close");
        answer.headers_mut().insert(header::CONNECTION, close);
    }
    if reason == Reason::Failed(Failure::Overload) {
        // The API server then asks again by itself, as long as its webhook's timeout lasts (client-go, with_retry.go).
        let seconds = HeaderValue::from_static("1");
        answer.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    answer
}
