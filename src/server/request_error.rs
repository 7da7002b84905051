//! Refusals: requests that get an HTTP error. The body of the response is a sentence for the author
//! of the job, because the API server quotes it in the job log (rule F1).

use super::State;
use super::connection::Evicted;
use crate::core::admission::ReviewError;
use crate::core::object_name::NamespaceName;
use crate::telemetry::metrics::{Failure, OtherRequest};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use std::time::Duration;

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("{}", request_for(*.0))]
    Other(OtherRequest),
    #[error("the request is larger than drydock's limit of {0} bytes")]
    BodyTooLarge(usize),
    #[error("the request's body did not arrive within {} s", .0.as_secs_f64())]
    BodyTooSlow(Duration),
    #[error("the request ended before its body did")]
    BodyCut,
    #[error("drydock is overloaded: {0}; try again in a few seconds")]
    BodyEvicted(Evicted),
    #[error(
        "drydock has just started and has not read its policies yet; try again in a few seconds"
    )]
    NotReady,
    #[error(transparent)]
    Review(#[from] ReviewError),
    /// Unlike [`ReviewError::NamespaceNotRead`], any caller can cause this.
    #[error(
        "drydock could not look up the labels of namespace \"{0}\", by which a policy selects; retry the job"
    )]
    UnknownNamespace(NamespaceName),
    #[error("drydock is overloaded: {0}; try again in a few seconds")]
    Evicted(#[from] Evicted),
    #[error(
        "drydock is overloaded: too many large pods are being created; try again in a few seconds"
    )]
    NoSlot,
    #[error(
        "drydock failed on this pod because of a bug in drydock; please tell the platform team"
    )]
    Bug,
}

/// How a refusal is counted: the metric, and the value of its label `reason`.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Reason {
    /// The name of a [`Failure`] or a [`ReviewError`].
    Failed(&'static str),
    Other(OtherRequest),
}

/// Returns a sentence about the requests that drydock answers.
fn request_for(other: OtherRequest) -> &'static str {
    match other {
        OtherRequest::Path => {
            "drydock answers POST /mutate and POST /audit here; health and metrics are on the ops port"
        }
        OtherRequest::Method => "drydock answers reviews with the method POST only",
        _ => "drydock reads application/json; send the AdmissionReview with that Content-Type",
    }
}

impl Refusal {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Other(OtherRequest::Path) => StatusCode::NOT_FOUND,
            Self::Other(OtherRequest::Method) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Other(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Review(ReviewError::OverBound(_) | ReviewError::PatchTooLarge(_)) => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            // The API server quotes the body of a 500 in its error, but not the body of a 503.
            Self::Review(ReviewError::NamespaceNotRead(_) | ReviewError::PolicyUnreadable(_))
            | Self::NotReady
            | Self::UnknownNamespace(_)
            | Self::BodyEvicted(_)
            | Self::Evicted(_)
            | Self::NoSlot
            | Self::Bug => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Review(_) | Self::BodyCut => StatusCode::BAD_REQUEST,
        }
    }

    pub(super) fn reason(&self) -> Reason {
        let failure = match self {
            Self::Other(other) => return Reason::Other(*other),
            Self::Review(ReviewError::NotJson(_)) => return Reason::Other(OtherRequest::NotJson),
            // Only an API server with a wrong webhook configuration sends an AdmissionReview of
            // another version.
            Self::Review(ReviewError::WrongKind { kind, .. }) if kind != "AdmissionReview" => {
                return Reason::Other(OtherRequest::WrongKind);
            }
            Self::Review(error) => return Reason::Failed(error.name()),
            Self::BodyTooLarge(_) => Failure::BodySize,
            Self::BodyTooSlow(_) => Failure::BodyTime,
            Self::BodyCut => Failure::BodyCut,
            Self::BodyEvicted(_) => Failure::BodyEvicted,
            Self::NotReady => Failure::NotReady,
            Self::UnknownNamespace(_) => Failure::NamespaceUnknown,
            Self::Evicted(_) | Self::NoSlot => Failure::Overload,
            Self::Bug => Failure::Bug,
        };
        Reason::Failed(failure.name())
    }

    /// Logs and counts the refusal, and makes the response.
    pub(super) fn respond(&self, state: &State, reason: Reason) -> Response {
        let (outcome, name) = match reason {
            Reason::Failed(name) => {
                state.metrics.failed(name);
                (Some("failed"), name)
            }
            Reason::Other(other) => {
                state.metrics.other_request(other);
                (None, other.name())
            }
        };
        let status = self.status();
        tracing::warn!(
            outcome,
            reason = name,
            status = status.as_u16(),
            "request refused: {self}"
        );
        let mut response = (status, format!("{self}\n")).into_response();
        let mut set = |name, value| {
            let value = HeaderValue::from_static(value);
            response.headers_mut().insert(name, value);
        };
        if let Self::BodyTooLarge(_) | Self::BodyTooSlow(_) | Self::BodyCut = self {
            // Bytes of this request that arrive later must not be parsed as the next request.
            set(header::CONNECTION, "close");
        }
        if let Self::BodyEvicted(_) | Self::Evicted(_) | Self::NoSlot = self {
            // The API server then retries within the webhook's timeout (client-go, with_retry.go).
            set(header::RETRY_AFTER, "1");
        }
        response
    }
}
