//! The values that labels of metrics have: closed sets, so that nobody's pods can make the families grow.

use crate::admission::ReviewError;
use crate::job_pod::NotJobPod;
use crate::verdict::{AuditReason, Outcome, SkipReason};
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
}

impl Limit {
    pub(super) const ALL: [Self; 7] = [
        Self::BodySize,
        Self::BodyTime,
        Self::HeaderTime,
        Self::HandshakeTime,
        Self::IdleTime,
        Self::Connections,
        Self::BodyMemory,
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
        }
    }
}

/// Why a request got an HTTP error instead of an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Failure {
    /// It is no review that can be read.
    Review(&'static str),
    /// Nothing is answered at its path.
    Path,
    /// Its method is not POST.
    Method,
    /// Its content type is not JSON.
    ContentType,
    /// Its body is larger than allowed.
    BodySize,
    /// Its body did not arrive in time.
    BodyTime,
    /// Its body was cut short.
    BodyCut,
    /// It made room for others, before it had come whole.
    Overload,
    /// It is not HTTP, or its headers are too large: the HTTP library answered it.
    NotHttp,
    /// The policies have not been read yet.
    NotReady,
    /// drydock itself failed.
    Bug,
}

impl Failure {
    const OTHERS: [Self; 10] = [
        Self::Path,
        Self::Method,
        Self::ContentType,
        Self::BodySize,
        Self::BodyTime,
        Self::BodyCut,
        Self::Overload,
        Self::NotHttp,
        Self::NotReady,
        Self::Bug,
    ];

    /// Returns the name that metrics and logs use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Review(name) => name,
            Self::Path => "path",
            Self::Method => "method",
            Self::ContentType => "content-type",
            Self::BodySize => "body-size",
            Self::BodyTime => "body-time",
            Self::BodyCut => "body-cut",
            Self::Overload => "overload",
            Self::NotHttp => "not-http",
            Self::NotReady => "not-ready",
            Self::Bug => "bug",
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
    let failures = ReviewError::NAMES
        .map(Failure::Review)
        .into_iter()
        .chain(Failure::OTHERS);
    answered
        .chain(failures.map(|failure| ReviewLabels {
            outcome: "failed",
            reason: failure.name(),
        }))
        .collect()
}
