//! `/livez`, `/readyz`, `/metrics` and `PUT /log-level`, in plain HTTP on a port of their own.

use super::State;
use super::body::{self, BodyError};
use crate::telemetry::metrics::CONTENT_TYPE;
use crate::telemetry::{LevelSwitch, LogLevel};
use axum::Router;
use axum::body::Body;
use axum::extract;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, put};
use clap::ValueEnum as _;
use std::time::Instant;

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

/// Fails only where a restart helps.
async fn livez(extract::State(state): extract::State<State>) -> (StatusCode, String) {
    match state.progress.stuck(Instant::now()) {
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
        None => (StatusCode::OK, "ok\n".to_owned()),
    }
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

/// Changes what is logged until the process ends, where a flag allows it. No level logs what a pod
/// holds (T4).
async fn log_level(
    extract::State(state): extract::State<State>,
    headers: HeaderMap,
    body: Body,
) -> (StatusCode, String) {
    let body = match body::read(&state, &headers, body, LONGEST_LEVEL).await {
        Ok(body) => body,
        Err(error) => return (status(&error), format!("{error}\n")),
    };
    let Some(switch) = &state.log_level else {
        return (
            StatusCode::FORBIDDEN,
            "changes of the log level are not allowed; start drydock with --allow-log-level-changes\n"
                .to_owned(),
        );
    };
    set_log_level(&state, switch, &body)
}

fn set_log_level(state: &State, switch: &LevelSwitch, body: &[u8]) -> (StatusCode, String) {
    let wanted = str::from_utf8(body).unwrap_or_default().trim();
    match LogLevel::from_str(wanted, true) {
        Ok(level) => {
            switch.set(level);
            state.metrics.set_log_level(level);
            (StatusCode::OK, format!("{}\n", level.name()))
        }
        Err(_) => (
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
