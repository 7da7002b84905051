//! Handles `POST /mutate` and `POST /audit`: reads the request, and responds with the result of
//! [`admission::review`].

use super::State;
use super::body;
use super::connection::Connection;
use super::dispatch;
use super::request_error::{Reason, RequestError};
use crate::core::admission::{self, Answer};
use crate::core::policy::Mode;
use crate::telemetry::metrics::OtherRequest;
use axum::Router;
use axum::body::Body;
use axum::extract;
use axum::http::{HeaderMap, Request, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use std::sync::Arc;
use std::time::Instant;

/// Creates the router of the webhook port.
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
    // The body is read even if the request is not a review, so that the connection can be reused.
    let (max, on) = (state.limits.body, connection.as_deref());
    let body = body::read(state, on, &parts.headers, body, max).await;
    let response = match (target, body) {
        (Ok(mode), Ok(body)) => {
            let request = dispatch::Request {
                mode,
                body,
                connection,
            };
            review(state, request).await
        }
        (Ok(_), Err(unread)) => Err(unread),
        (Err(other), Ok(_)) => Err(RequestError::Other(other)),
        (Err(other), Err(unread)) => return unread.respond(state, Reason::Other(other)),
    };
    response.unwrap_or_else(|error| error.respond(state, error.reason()))
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let media_type = content_type.and_then(|value| value.split(';').next());
    media_type.is_some_and(|it| it.trim().eq_ignore_ascii_case("application/json"))
}

async fn review(state: &State, request: dispatch::Request) -> Result<Response, RequestError> {
    let began = Instant::now();
    let answer = dispatch::judge(state, &request).await?;
    drop(request);
    state
        .metrics
        .review_answered(&answer.record, began.elapsed());
    log(&answer, began);
    if let (Some(cluster), Some(findings)) = (&state.cluster, answer.record.author_findings) {
        (cluster.notify_author)(findings);
    }
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    Ok((content_type, answer.body).into_response())
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
        findings = record.findings,
        microseconds = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
        uid = record.uid,
        "review"
    );
}
