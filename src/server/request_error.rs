//! Requests that drydock answers with an HTTP error. The body of the response is a message for the
//! author of the job, because the API server quotes it in the job log (rule F1).

use super::State;
use super::connection::EvictionReason;
use crate::core::admission::ReviewError;
use crate::core::object_name::NamespaceName;
use crate::telemetry::metrics::{OtherRequest, ReviewFailure};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use std::time::Duration;

/// An error that drydock reports to the client as an HTTP error.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    #[error("{}", expected_request(*.0))]
    Other(OtherRequest),
    #[error("the request is larger than drydock's limit of {0} bytes")]
    BodyTooLarge(usize),
    #[error("the request's body did not arrive within {} s", .0.as_secs_f64())]
    BodyTooSlow(Duration),
    #[error("the connection ended before the whole body of the request had arrived")]
    BodyCut,
    #[error("drydock is overloaded: {0}; try again in a few seconds")]
    BodyEvicted(EvictionReason),
    #[error(
        "drydock has just started and has not read its policies yet; try again in a few seconds"
    )]
    NotReady,
    #[error(transparent)]
    Review(#[from] ReviewError),
    /// The labels of the namespace were not read. Unlike with [`ReviewError::NamespaceNotRead`],
    /// any client can cause this error.
    #[error(
        "drydock could not read the labels of namespace \"{0}\", which a policy needs; retry the job"
    )]
    UnknownNamespace(NamespaceName),
    #[error("drydock is overloaded: {0}; try again in a few seconds")]
    Evicted(#[from] EvictionReason),
    #[error(
        "drydock is overloaded: too many large pods are being created; try again in a few seconds"
    )]
    NoSlot,
    #[error(
        "drydock failed on this pod because of a bug in drydock; please tell the platform team"
    )]
    Bug,
}

/// The metric that counts a request error, with the value of its label `reason`.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Reason {
    /// `drydock_reviews_total`, with the name of a [`ReviewFailure`] or a [`ReviewError`].
    Failed(&'static str),
    /// `drydock_other_requests_total`.
    Other(OtherRequest),
}

/// Describes the request that the client should send instead.
fn expected_request(other: OtherRequest) -> &'static str {
    match other {
        OtherRequest::Path => {
            "drydock answers POST /mutate and POST /audit here; health and metrics are on the ops port"
        }
        OtherRequest::Method => "drydock accepts only the method POST here",
        _ => "send the AdmissionReview with the Content-Type application/json",
    }
}

impl RequestError {
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
            // The API server quotes the body of a 500 in its error, but not the body of a 503, so
            // these errors have the status 500.
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
            // An AdmissionReview of another version counts as a failed review, because only an API
            // server with a wrong webhook configuration sends it.
            Self::Review(ReviewError::WrongKind { kind, .. }) if kind != "AdmissionReview" => {
                return Reason::Other(OtherRequest::WrongKind);
            }
            Self::Review(error) => return Reason::Failed(error.name()),
            Self::BodyTooLarge(_) => ReviewFailure::BodySize,
            Self::BodyTooSlow(_) => ReviewFailure::BodyTime,
            Self::BodyCut => ReviewFailure::BodyCut,
            Self::BodyEvicted(_) => ReviewFailure::BodyEvicted,
            Self::NotReady => ReviewFailure::NotReady,
            Self::UnknownNamespace(_) => ReviewFailure::NamespaceUnknown,
            Self::Evicted(_) | Self::NoSlot => ReviewFailure::Overload,
            Self::Bug => ReviewFailure::Bug,
        };
        Reason::Failed(failure.name())
    }

    /// Logs and counts the error, and returns the response.
    pub(super) fn respond(&self, state: &State, reason: Reason) -> Response {
        let (outcome, name) = match reason {
            Reason::Failed(name) => {
                state.metrics.review_failed(name);
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
