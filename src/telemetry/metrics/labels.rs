//! The values that labels of metrics have: closed sets, so that nobody's pods can make the families grow.

use crate::core::admission::ReviewError;
use crate::core::job_pod::NotJobPod;
use crate::core::verdict::{AuditReason, Outcome, SkipReason};
use prometheus_client::encoding::EncodeLabelSet;

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(super) struct ReviewLabels {
    pub(super) outcome: &'static str,
    pub(super) reason: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(super) struct ChangeLabels {
    pub(super) change: &'static str,
    pub(super) mode: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(super) struct StateLabels {
    pub(super) state: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(super) struct LimitLabels {
    pub(super) limit: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(super) struct ReloadLabels {
    pub(super) what: &'static str,
    pub(super) result: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(super) struct ReasonLabels {
    pub(super) reason: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(super) struct LevelLabels {
    pub(super) level: &'static str,
}

/// A bound that a client ran into.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Limit {
    /// The body is larger than allowed.
    BodySize,
    /// The body did not arrive in time.
    BodyTime,
    /// The headers did not arrive in time.
    HeaderTime,
    /// The TLS handshake did not end in time.
    HandshakeTime,
    /// A connection was idle for too long.
    IdleTime,
    /// There were too many connections, so one that had waited for long was closed.
    Connections,
    /// Too many bytes of bodies were coming, so the largest body was refused.
    BodyMemory,
    /// A large review waited too long for its turn to be judged.
    ReviewQueue,
    /// Too many reviews were waiting for the labels of namespaces.
    NamespaceLabels,
}

impl Limit {
    pub(super) const ALL: [Self; 9] = [
        Self::BodySize,
        Self::BodyTime,
        Self::HeaderTime,
        Self::HandshakeTime,
        Self::IdleTime,
        Self::Connections,
        Self::BodyMemory,
        Self::ReviewQueue,
        Self::NamespaceLabels,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::BodySize => "body-size",
            Self::BodyTime => "body-time",
            Self::HeaderTime => "header-time",
            Self::HandshakeTime => "handshake-time",
            Self::IdleTime => "idle-time",
            Self::Connections => "connections",
            Self::BodyMemory => "body-memory",
            Self::ReviewQueue => "review-queue",
            Self::NamespaceLabels => "namespace-labels",
        }
    }
}

/// Why a review got an HTTP error instead of an AdmissionReview.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Failure {
    /// The review cannot be read.
    Review(&'static str),
    /// Its body is larger than allowed.
    BodySize,
    /// Its body did not arrive in time.
    BodyTime,
    /// Its body was cut short.
    BodyCut,
    /// It was evicted, or it waited too long for its turn.
    Overload,
    /// The policies have not been read yet.
    NotReady,
    /// drydock itself failed.
    Bug,
}

impl Failure {
    const OTHERS: [Self; 6] = [
        Self::BodySize,
        Self::BodyTime,
        Self::BodyCut,
        Self::Overload,
        Self::NotReady,
        Self::Bug,
    ];

    /// Returns the name that metrics and logs use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Review(name) => name,
            Self::BodySize => "body-size",
            Self::BodyTime => "body-time",
            Self::BodyCut => "body-cut",
            Self::Overload => "overload",
            Self::NotReady => "not-ready",
            Self::Bug => "bug",
        }
    }
}

/// Why a request is not a review. An API server sends none of these.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OtherRequest {
    /// The path is not that of a webhook.
    Path,
    /// The method is not POST.
    Method,
    /// The content type is not JSON.
    ContentType,
    /// The request is not HTTP, or its headers are too large. The HTTP library answers it.
    NotHttp,
    /// The body is not JSON.
    NotJson,
    /// The body is JSON but not an AdmissionReview.
    WrongKind,
}

impl OtherRequest {
    pub(super) const ALL: [Self; 6] = [
        Self::Path,
        Self::Method,
        Self::ContentType,
        Self::NotHttp,
        Self::NotJson,
        Self::WrongKind,
    ];

    /// Returns the name that metrics and logs use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Method => "method",
            Self::ContentType => "content-type",
            Self::NotHttp => "not-http",
            Self::NotJson => "not-json",
            Self::WrongKind => "wrong-kind",
        }
    }
}

/// Why a TLS handshake failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HandshakeFailure {
    /// The client refused drydock's certificate.
    NotTrusted,
    /// drydock refused the client's certificate, or the client has none.
    ClientCertificate,
    /// drydock has no certificate yet.
    NoCertificate,
    /// The handshake took too long.
    Timeout,
    /// The connection was evicted.
    Eviction,
    /// The client closed the connection.
    Closed,
    /// The client does not speak TLS, or no version or cipher that drydock speaks.
    Protocol,
}

impl HandshakeFailure {
    pub(super) const ALL: [Self; 7] = [
        Self::NotTrusted,
        Self::ClientCertificate,
        Self::NoCertificate,
        Self::Timeout,
        Self::Eviction,
        Self::Closed,
        Self::Protocol,
    ];

    /// Returns the name that metrics and logs use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotTrusted => "not-trusted",
            Self::ClientCertificate => "client-certificate",
            Self::NoCertificate => "no-certificate",
            Self::Timeout => "timeout",
            Self::Eviction => "eviction",
            Self::Closed => "closed",
            Self::Protocol => "protocol",
        }
    }
}

/// Something that is read again when its file changes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reloaded {
    /// Policy files.
    Policies,
    /// The server's certificate.
    Certificate,
    /// The authority of the clients that are answered.
    ClientAuthority,
}

impl Reloaded {
    pub(super) const ALL: [Self; 3] = [Self::Policies, Self::Certificate, Self::ClientAuthority];

    /// Returns the name that metrics and logs use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Policies => "policies",
            Self::Certificate => "certificate",
            Self::ClientAuthority => "client-authority",
        }
    }
}

/// What the API server made of an Event on a pod.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EventOutcome {
    /// It was written.
    Written,
    /// It had been written already.
    Duplicate,
    /// The API server did not take it.
    Failed,
}

impl EventOutcome {
    const ALL: [Self; 3] = [Self::Written, Self::Duplicate, Self::Failed];

    pub(super) fn labels(self) -> EventLabels {
        let outcome = match self {
            Self::Written => "written",
            Self::Duplicate => "duplicate",
            Self::Failed => "failed",
        };
        EventLabels {
            outcome,
            reason: "",
        }
    }
}

/// Why an Event was dropped before the API server was asked.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum EventDrop {
    /// The namespaces that opted in have not been listed yet.
    NotListed,
    /// The namespace has not opted in to changes of its pods.
    NotOptedIn,
    /// The budget of the namespace is used up.
    Budget,
    /// Too many were waiting.
    Queue,
}

impl EventDrop {
    const ALL: [Self; 4] = [Self::NotListed, Self::NotOptedIn, Self::Budget, Self::Queue];

    pub(super) fn labels(self) -> EventLabels {
        let reason = match self {
            Self::NotListed => "not-listed",
            Self::NotOptedIn => "not-opted-in",
            Self::Budget => "budget",
            Self::Queue => "queue",
        };
        EventLabels {
            outcome: "dropped",
            reason,
        }
    }
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(super) struct EventLabels {
    pub(super) outcome: &'static str,
    /// Empty but for those that were dropped.
    pub(super) reason: &'static str,
}

/// Returns every outcome of an Event with each of its reasons.
pub(super) fn event_labels() -> impl Iterator<Item = EventLabels> {
    let outcomes = EventOutcome::ALL.into_iter().map(EventOutcome::labels);
    outcomes.chain(EventDrop::ALL.into_iter().map(EventDrop::labels))
}

/// Returns every outcome with each of its reasons.
pub(super) fn review_labels() -> Vec<ReviewLabels> {
    let skipped = [
        SkipReason::NotPodCreation,
        SkipReason::ExcludedNamespace,
        SkipReason::NoPolicy,
    ];
    let skipped = skipped
        .into_iter()
        .chain(NotJobPod::ALL.map(SkipReason::NotJobPod))
        .map(Outcome::Skipped);
    let audited = [
        AuditReason::WouldMutate,
        AuditReason::WouldDeny,
        AuditReason::NothingToChange,
    ]
    .map(Outcome::Audited);
    let outcomes = [Outcome::Mutated, Outcome::Unchanged, Outcome::Denied]
        .into_iter()
        .chain(skipped)
        .chain(audited);
    let answered = outcomes.map(|outcome| ReviewLabels {
        outcome: outcome.name(),
        reason: outcome.reason(),
    });
    // What is not JSON is not a review.
    let unreadable = ReviewError::NAMES
        .into_iter()
        .filter(|name| *name != OtherRequest::NotJson.name())
        .map(Failure::Review);
    let failures = unreadable.chain(Failure::OTHERS);
    answered
        .chain(failures.map(|failure| ReviewLabels {
            outcome: "failed",
            reason: failure.name(),
        }))
        .collect()
}
