//! `POST /mutate` and `POST /audit`: HTTP around [`admission::review`].
//!
//! The body of an error is a sentence for the job's author: the API server quotes it in the job log
//! (rule F1).

use super::State;
use super::body::{self, BodyError};
use super::connection::Connection;
use super::dispatch::{self, DispatchError};
use crate::core::admission::{self, Answer, AuthorNotes, ReviewError};
use crate::core::policy::Mode;
use crate::telemetry::metrics::{Failure, OtherRequest};
use axum::Router;
use axum::body::Body;
use axum::extract;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use std::sync::Arc;
use std::time::Instant;

/// Makes the router.
pub fn router(state: State) -> Router {
    let handler = |target| {
        move |extract::State(state), request| async move { handle(&state, target, request).await }
    };
    Router::new()
        .route("/mutate", post(handler(Ok(Mode::Enforce))))
        .route("/audit", post(handler(Ok(Mode::Audit))))
        .fallback(handler(Err(OtherRequest::Path)))
        .method_not_allowed_fallback(handler(Err(OtherRequest::Method)))
        .with_state(state)
}

async fn handle(
    state: &State,
    target: Result<Mode, OtherRequest>,
    request: Request<Body>,
) -> Response {
    let (parts, body) = request.into_parts();
    let target = match target {
        Ok(_) if !is_json(&parts.headers) => Err(OtherRequest::ContentType),
        target => target,
    };
    let connection = parts.extensions.get::<Arc<Connection>>().cloned();
    // The body of a request that is not a review is read too, so that the connection can be kept.
    let body = body::read(
        state,
        connection.as_deref(),
        &parts.headers,
        body,
        state.limits.body,
    );
    match (target, body.await) {
        (Ok(mode), Ok(body)) => {
            let request = dispatch::Request {
                mode,
                body,
                connection,
            };
            review(state, request).await
        }
        (Ok(_), Err(unread)) => refuse(state, unread.into()),
        (Err(other), Ok(_)) => refuse(state, other.into()),
        (Err(other), Err(unread)) => {
            let reason = Reason::Other(other);
            refuse(
                state,
                Refusal {
                    reason,
                    ..unread.into()
                },
            )
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/json")
}

async fn review(state: &State, request: dispatch::Request) -> Response {
    let began = Instant::now();
    let judged = dispatch::judge(state, &request).await;
    drop(request);
    match judged {
        Ok(answer) => {
            state.metrics.answered(&answer.record, began.elapsed());
            log(&answer, began);
            notify_author(state, answer.record.author_notes);
            ([(header::CONTENT_TYPE, "application/json")], answer.body).into_response()
        }
        Err(error) => refuse(state, error.into()),
    }
}

/// An HTTP error, and the reason that it is counted as.
struct Refusal {
    status: StatusCode,
    reason: Reason,
    message: String,
    /// Part of the request may still arrive, and must not be taken for the next request.
    is_unread: bool,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Reason {
    /// The name of a [`Failure`] or a [`ReviewError`].
    Failed(&'static str),
    Other(OtherRequest),
}

impl Refusal {
    fn new(status: StatusCode, reason: Reason, message: &(impl ToString + ?Sized)) -> Self {
        Self {
            status,
            reason,
            message: message.to_string(),
            is_unread: false,
        }
    }
}

impl From<OtherRequest> for Refusal {
    fn from(other: OtherRequest) -> Self {
        let (status, message) = match other {
            OtherRequest::Path => (
                StatusCode::NOT_FOUND,
                "drydock answers POST /mutate and POST /audit here; health and metrics are on the ops port",
            ),
            OtherRequest::Method => (
                StatusCode::METHOD_NOT_ALLOWED,
                "drydock answers reviews with the method POST only",
            ),
            _ => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "drydock reads application/json; send the AdmissionReview with that Content-Type",
            ),
        };
        Self::new(status, Reason::Other(other), message)
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        let (status, failure) = match error {
            BodyError::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, Failure::BodySize),
            BodyError::TooSlow(_) => (StatusCode::REQUEST_TIMEOUT, Failure::BodyTime),
            BodyError::Cut => (StatusCode::BAD_REQUEST, Failure::BodyCut),
            BodyError::Evicted(_) => (StatusCode::INTERNAL_SERVER_ERROR, Failure::Overload),
        };
        Self {
            is_unread: true,
            ..Self::new(status, Reason::Failed(failure.name()), &error)
        }
    }
}

impl From<DispatchError> for Refusal {
    fn from(error: DispatchError) -> Self {
        let failure = match &error {
            DispatchError::Review(review) => {
                let (status, reason) = refused(review);
                return Self::new(status, reason, &error);
            }
            DispatchError::NotReady => Failure::NotReady,
            DispatchError::Evicted(_) | DispatchError::NoSlot => Failure::Overload,
            DispatchError::Bug => Failure::Bug,
        };
        // The API server quotes the body of a 500 to the job's author, but not that of a 503.
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::new(status, Reason::Failed(failure.name()), &error)
    }
}

fn refused(error: &ReviewError) -> (StatusCode, Reason) {
    let failed = Reason::Failed(error.name());
    match error {
        ReviewError::NamespaceNotRead(_) | ReviewError::PolicyUnreadable(_) => {
            (StatusCode::INTERNAL_SERVER_ERROR, failed)
        }
        ReviewError::OverBound(_) | ReviewError::PatchTooLarge(_) => {
            (StatusCode::UNPROCESSABLE_ENTITY, failed)
        }
        ReviewError::NotJson(_) => (
            StatusCode::BAD_REQUEST,
            Reason::Other(OtherRequest::NotJson),
        ),
        // An AdmissionReview of another version comes from an API server with a wrong webhook
        // configuration.
        ReviewError::WrongKind { kind, .. } if kind != "AdmissionReview" => (
            StatusCode::BAD_REQUEST,
            Reason::Other(OtherRequest::WrongKind),
        ),
        _ => (StatusCode::BAD_REQUEST, failed),
    }
}

fn notify_author(state: &State, notes: Option<AuthorNotes>) {
    if let (Some(cluster), Some(notes)) = (&state.cluster, notes) {
        (cluster.notify_author)(notes);
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
    let name = match reason {
        Reason::Failed(name) => {
            state.metrics.failed(name);
            name
        }
        Reason::Other(other) => {
            state.metrics.other_request(other);
            other.name()
        }
    };
    let status_code = status.as_u16();
    tracing::warn!(
        status = status_code,
        reason = name,
        "request refused: {message}"
    );
    let mut response = (status, format!("{message}\n")).into_response();
    if is_unread {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    if reason == Reason::Failed(Failure::Overload.name()) {
        // The API server then tries again within the webhook's timeout (client-go, with_retry.go).
        let seconds = HeaderValue::from_static("1");
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}
