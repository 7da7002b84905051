//! `/livez`, `/readyz`, `/metrics` and `PUT /log-level`, in plain HTTP on a port of their own.

use super::State;
use super::body::{self, BodyError};
use crate::telemetry::LogLevel;
use crate::telemetry::metrics::CONTENT_TYPE;
use axum::Router;
use axum::body::Body;
use axum::extract;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, put};
use clap::ValueEnum as _;

/// Size of a log level's name with space around it, bytes.
const LONGEST_LEVEL: usize = 64;

/// Makes the router.
pub fn router(state: State) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/log-level", put(log_level))
        .with_state(state)
}

async fn livez() -> &'static str {
    "ok\n"
}

async fn readyz(extract::State(state): extract::State<State>) -> (StatusCode, String) {
    match state.not_ready() {
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
        None => (StatusCode::OK, "ok\n".to_owned()),
    }
}

async fn metrics(extract::State(state): extract::State<State>) -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, CONTENT_TYPE)],
        state.metrics.encode(),
    )
}

/// Changes what is logged until the process ends. No level logs what a pod holds (T4).
async fn log_level(
    extract::State(state): extract::State<State>,
    headers: HeaderMap,
    body: Body,
) -> (StatusCode, String) {
    let body = match body::read(&state, &headers, body, LONGEST_LEVEL).await {
        Ok(body) => body,
        Err(error) => return (status(&error), format!("{error}\n")),
    };
    let wanted = str::from_utf8(&body).unwrap_or_default().trim();
    match (LogLevel::from_str(wanted, true), &state.log_level) {
        (Ok(level), Some(switch)) => {
            switch.set(level);
            tracing::warn!(level = wanted, "the log level was changed");
            (StatusCode::OK, format!("{wanted}\n"))
        }
        (Ok(_), None) => (
            StatusCode::CONFLICT,
            "this process does not log\n".to_owned(),
        ),
        (Err(_), _) => (
            StatusCode::BAD_REQUEST,
            "the body is no log level; send off, error, warn, info or debug\n".to_owned(),
        ),
    }
}

fn status(error: &BodyError) -> StatusCode {
    match error {
        BodyError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        BodyError::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
        BodyError::Cut => StatusCode::BAD_REQUEST,
        BodyError::MadeRoom(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}
