//! `POST /mutate` and `POST /audit`: HTTP around [`admission::review`].
//!
//! An error's body is a sentence for the job's author: the API server quotes it in the job log (F1).

use super::State;
use super::body::{self, BodyError};
use crate::admission::{self, Answer, AuthorNotes, Context, NamespaceLabels, ReviewError};
use crate::object_name::NamespaceName;
use crate::policy::Mode;
use crate::policy::set::Labels;
use crate::telemetry::metrics::Failure;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// Time for the labels of a namespace; the API server waits five seconds for the whole.
const LABELS_TIME: Duration = Duration::from_secs(2);

/// Makes the router.
pub fn router(state: State) -> Router {
    let mutate = |state, headers, body| answer(state, Mode::Enforce, headers, body);
    let audit = |state, headers, body| answer(state, Mode::Audit, headers, body);
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
    let refusal = refusal(StatusCode::NOT_FOUND, Failure::Path, message);
    elsewhere(&state, &headers, body, refusal).await
}

async fn wrong_method(
    extract::State(state): extract::State<State>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let message = "drydock answers reviews with the method POST only";
    let refusal = refusal(StatusCode::METHOD_NOT_ALLOWED, Failure::Method, message);
    elsewhere(&state, &headers, body, refusal).await
}

/// Answers what is no review. Its body is read all the same, or the connection could not be kept.
async fn elsewhere(state: &State, headers: &HeaderMap, body: Body, refusal: Refusal) -> Response {
    let refusal = read(state, headers, body).await.err().unwrap_or(refusal);
    refuse(state, refusal)
}

async fn answer(
    extract::State(state): extract::State<State>,
    mode: Mode,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match read(&state, &headers, body).await {
        Ok(body) if is_json(&headers) => review(&state, mode, &body).await,
        Ok(_) => {
            let message =
                "drydock reads application/json; send the AdmissionReview with that Content-Type";
            let (status, failure) = (StatusCode::UNSUPPORTED_MEDIA_TYPE, Failure::ContentType);
            refuse(&state, refusal(status, failure, message))
        }
        Err(refusal) => refuse(&state, refusal),
    }
}

/// An HTTP error, and why.
struct Refusal {
    status: StatusCode,
    failure: Failure,
    message: String,
}

fn refusal(status: StatusCode, failure: Failure, message: impl Into<String>) -> Refusal {
    Refusal {
        status,
        failure,
        message: message.into(),
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
        refusal(status, failure, error.to_string())
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

async fn review(state: &State, mode: Mode, body: &[u8]) -> Response {
    let began = Instant::now();
    let reviewed = match judge(state, mode, body, None) {
        Err(Unanswered::Review(ReviewError::NamespaceNotRead(namespace))) => {
            match read_labels(state, &namespace).await {
                Ok(labels) => judge(state, mode, body, Some(&labels)),
                Err(problem) => {
                    tracing::warn!(
                        namespace = namespace.as_str(),
                        "the namespace's labels cannot be read: {problem}"
                    );
                    Err(Unanswered::Review(ReviewError::NamespaceNotRead(namespace)))
                }
            }
        }
        reviewed => reviewed,
    };
    match reviewed {
        Ok(answer) => {
            state.metrics.answered(&answer.record, began.elapsed());
            log(&answer, began);
            tell_author(state, answer.record.author_notes);
            ([(header::CONTENT_TYPE, "application/json")], answer.body).into_response()
        }
        Err(unanswered) => refuse(state, unanswered.refusal()),
    }
}

/// Why a body that was read whole gets no answer.
enum Unanswered {
    NotReady,
    Review(ReviewError),
    Bug,
}

impl Unanswered {
    fn refusal(self) -> Refusal {
        match self {
            // The API server quotes the body of a 500 to the job's author, and that of a 503 to nobody.
            Self::NotReady => refusal(
                StatusCode::INTERNAL_SERVER_ERROR,
                Failure::NotReady,
                "drydock has just started and has not read its policies yet; try again in a few seconds",
            ),
            Self::Review(error) => {
                let status = match error {
                    ReviewError::NamespaceNotRead(_) => StatusCode::INTERNAL_SERVER_ERROR,
                    _ => StatusCode::BAD_REQUEST,
                };
                refusal(status, Failure::Review(error.name()), error.to_string())
            }
            Self::Bug => refusal(
                StatusCode::INTERNAL_SERVER_ERROR,
                Failure::Bug,
                "drydock failed on this pod because of a bug of its own; please tell the platform team",
            ),
        }
    }
}

fn judge(
    state: &State,
    mode: Mode,
    body: &[u8],
    labels: Option<&Labels>,
) -> Result<Answer, Unanswered> {
    let policies = state.policies.borrow().clone();
    let policies = policies.ok_or(Unanswered::NotReady)?;
    let known = state.cluster.as_ref().map(|it| it.namespaces.borrow());
    let context = Context {
        policies: &policies,
        mode,
        namespace_labels: match (labels, &known) {
            (Some(labels), _) => NamespaceLabels::Known(labels),
            (None, Some(known)) => NamespaceLabels::Read(known),
            (None, None) => NamespaceLabels::Unknown,
        },
        own_namespace: &state.own_namespace,
    };
    // A bug must not take the connection down with it: whether the pod is admitted is the failurePolicy's to say.
    catch_unwind(AssertUnwindSafe(|| admission::review(body, context)))
        .map_err(|_| Unanswered::Bug)?
        .map_err(Unanswered::Review)
}

async fn read_labels(state: &State, namespace: &NamespaceName) -> Result<Labels, String> {
    let cluster = state.cluster.as_ref().ok_or("there is no cluster")?;
    let read = (cluster.read_labels)(namespace.clone());
    match tokio::time::timeout(LABELS_TIME, read).await {
        Ok(read) => read,
        Err(_) => Err(format!("no answer within {} s", LABELS_TIME.as_secs())),
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
        failure,
        message,
    } = refusal;
    state.metrics.failed(failure);
    tracing::warn!(
        status = status.as_u16(),
        reason = failure.name(),
        "request refused: {message}"
    );
    let mut answer = (status, format!("{message}\n")).into_response();
    // The rest of such a body would be taken for the next request: the client is told not to send one here.
    if matches!(
        failure,
        Failure::BodySize | Failure::BodyTime | Failure::BodyCut | Failure::Overload
    ) {
        let close = HeaderValue::from_static("close");
        answer.headers_mut().insert(header::CONNECTION, close);
    }
    if failure == Failure::Overload {
        // The API server then asks again by itself, as long as its webhook's timeout lasts (client-go, with_retry.go).
        let seconds = HeaderValue::from_static("1");
        answer.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    answer
}
