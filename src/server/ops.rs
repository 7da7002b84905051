//! The ops port: `/livez`, `/readyz`, `/metrics` and `PUT /log-level`, in plain HTTP.

use super::State;
use super::body;
use super::connection::Connection;
use crate::telemetry::{LevelSwitch, LogLevel};
use axum::body::Body;
use axum::extract;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, put};
use axum::{Extension, Router};
use clap::ValueEnum as _;
use std::sync::Arc;
use std::time::Instant;

/// Maximum size of the body of `PUT /log-level`, in bytes.
const MAX_LEVEL_BYTES: usize = 64;

/// Creates the router of the ops port.
pub fn router(state: State) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/log-level", put(log_level))
        .with_state(state)
}

/// Responds with an error only if a restart would help.
async fn livez(extract::State(state): extract::State<State>) -> (StatusCode, String) {
    health(
        state
            .watchdog
            .stuck_reason(Instant::now())
            .map(str::to_owned),
    )
}

async fn readyz(extract::State(state): extract::State<State>) -> (StatusCode, String) {
    health(state.not_ready_reason())
}

fn health(problem: Option<String>) -> (StatusCode, String) {
    match problem {
        Some(problem) => (StatusCode::SERVICE_UNAVAILABLE, format!("{problem}\n")),
        None => (StatusCode::OK, "ok\n".to_owned()),
    }
}

/// Responds with OpenMetrics if the scraper accepts it, else with the Prometheus text format.
async fn metrics(
    extract::State(state): extract::State<State>,
    headers: HeaderMap,
) -> impl IntoResponse {
    if let Some(certificate) = &*state.certificate.borrow() {
        let expires = certificate.expires().as_second();
        state.metrics.certificate_expiry_timestamp.set(expires);
    }
    state
        .metrics
        .ready
        .set(state.not_ready_reason().is_none().into());
    let accept = headers.get_all(header::ACCEPT).iter();
    let accept = accept.filter_map(|value| value.to_str().ok());
    let (content_type, text) = state.metrics.encode_for(accept);
    ([(header::CONTENT_TYPE, content_type)], text)
}

/// Changes the log level until the process ends, if `--allow-log-level-changes` is set. No level
/// logs the content of a pod (rule T4).
async fn log_level(
    extract::State(state): extract::State<State>,
    connection: Option<Extension<Arc<Connection>>>,
    headers: HeaderMap,
    body: Body,
) -> (StatusCode, String) {
    let connection = connection
        .as_ref()
        .map(|Extension(connection)| &**connection);
    let body = match body::read(&state, connection, &headers, body, MAX_LEVEL_BYTES).await {
        Ok(body) => body,
        Err(error) => return (error.status(), format!("{error}\n")),
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
            "the body is not a log level; send off, error, warn, info or debug\n".to_owned(),
        ),
    }
}
