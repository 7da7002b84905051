//! The values of labels. Each label has a fixed set of values, so that no client can add time
//! series.

use crate::core::admission::ReviewError;
use crate::core::job_pod::NotJobPod;
use crate::core::rules;
use crate::core::verdict::{AuditReason, Outcome, SkipReason};
use clap::ValueEnum;
use prometheus_client::encoding::{EncodeLabel as _, EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::family::Family;
use std::fmt::{self, Debug};
use std::hash::Hash;

/// The two labels of a sample.
pub(super) type Labels = [(&'static str, &'static str); 2];

/// An enum of the values of one label.
pub(super) trait LabelValues: EncodeLabelSet + Copy + Debug + Eq + Hash + 'static {
    /// All values of the label.
    const ALL: &'static [Self];

    /// Creates a family with a sample for each value.
    fn family<M: Default>() -> Family<Self, M> {
        with_labels(Self::ALL.iter().copied())
    }
}

/// Creates a family with a sample for each set of labels.
pub(super) fn with_labels<L: Clone + Hash + Eq, M: Default>(
    labels: impl IntoIterator<Item = L>,
) -> Family<L, M> {
    let family = Family::default();
    for labels in labels {
        let _ = family.get_or_create(&labels);
    }
    family
}

/// Declares enums of label values: the name of the label, and the name of each value.
macro_rules! label_values {
    ($($(#[$doc:meta])* $enum:ident($label:literal) {
        $($(#[$variant_doc:meta])* $variant:ident = $name:literal,)*
    })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum $enum {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $enum {
            /// Returns the name of the value in metrics and logs.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }

        impl LabelValues for $enum {
            const ALL: &'static [Self] = &[$(Self::$variant),*];
        }

        impl EncodeLabelSet for $enum {
            fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
                ($label, self.name()).encode(encoder.encode_label())
            }
        }
    )*};
}

label_values! {
    /// The lowest severity of log lines, or `off`.
    #[derive(Default, ValueEnum)]
    LogLevel("level") {
        /// No lines
        Off = "off",
        /// Only failures
        Error = "error",
        /// Failures, and problems that may lead to failures
        Warn = "warn",
        /// In addition, one line for each review, and changes of policies and certificates
        #[default]
        Info = "info",
        /// In addition, connections
        Debug = "debug",
    }

    /// A limit that a client reached.
    Limit("limit") {
        /// The body is too large.
        BodySize = "body-size",
        /// The body did not arrive in time.
        BodyTime = "body-time",
        /// The headers did not arrive in time.
        HeaderTime = "header-time",
        /// The TLS handshake did not end in time.
        HandshakeTime = "handshake-time",
        /// The connection was idle for too long.
        IdleTime = "idle-time",
        /// There were too many connections. One was evicted, or the new one was not accepted.
        Connections = "connections",
        /// Bodies and unsent responses exceeded their memory limit. The connection with the most
        /// memory was evicted.
        BodyMemory = "body-memory",
        /// A large review waited too long for a slot.
        ReviewQueue = "review-queue",
        /// Too many reviews waited for the labels of namespaces.
        NamespaceLabels = "namespace-labels",
    }

    /// The reason for an HTTP error in response to a review, if the reason is not a
    /// [`ReviewError`].
    ReviewFailure("reason") {
        /// The body is too large.
        BodySize = "body-size",
        /// The body did not arrive in time.
        BodyTime = "body-time",
        /// The connection ended before the whole body had arrived.
        BodyCut = "body-cut",
        /// The connection was evicted before the whole body had arrived.
        BodyEvicted = "body-evicted",
        /// The connection was evicted while the review waited, or the review waited too long
        /// for a slot.
        Overload = "overload",
        /// The namespace does not exist, or too many reads of namespaces were running.
        NamespaceUnknown = "namespace-unknown",
        /// The policies have not been read yet.
        NotReady = "not-ready",
        /// drydock panicked.
        Bug = "bug",
    }

    /// The reason why a request is not a review. API servers send no such requests.
    OtherRequest("reason") {
        /// The path is neither `/mutate` nor `/audit`.
        Path = "path",
        /// The method is not POST.
        Method = "method",
        /// The content type is not JSON.
        ContentType = "content-type",
        /// The request is not HTTP, or its headers are too large. The HTTP library answers it.
        NotHttp = "not-http",
        /// The body is not JSON.
        NotJson = "not-json",
        /// The body is JSON, but not an AdmissionReview.
        WrongKind = "wrong-kind",
    }

    /// The reason for a failed TLS handshake.
    HandshakeFailure("reason") {
        /// The client refused drydock's certificate.
        NotTrusted = "not-trusted",
        /// drydock refused the client's certificate, or the client sent none.
        ClientCertificate = "client-certificate",
        /// The handshake took too long.
        Timeout = "timeout",
        /// The connection was evicted.
        Eviction = "eviction",
        /// The client closed the connection.
        Closed = "closed",
        /// The client did not send TLS, or supports no TLS version or cipher suite of drydock.
        Protocol = "protocol",
    }

    /// The state of a policy. A policy can have several states.
    PolicyState("state") {
        /// A version of the policy is in force.
        Loaded = "loaded",
        /// The current version of the policy is invalid.
        Refused = "refused",
        /// Another version of drydock accepted the policy, but this version cannot read it.
        Unreadable = "unreadable",
    }

    /// The state of an address source.
    SourceState("state") {
        /// The source has a current address.
        Resolved = "resolved",
        /// The source has only its last known address.
        Stale = "stale",
        /// The source has no address.
        Unresolved = "unresolved",
    }

    /// A kind of file that is read again when its content changes.
    Reloaded("what") {
        /// Policy files.
        Policies = "policies",
        /// The server's certificate and key.
        Certificate = "certificate",
        /// The CA of client certificates.
        ClientAuthority = "client-authority",
    }

    /// The outcome of an attempt to write an Event on a pod.
    EventOutcome("outcome") {
        /// The Event was written.
        Written = "written",
        /// The Event existed already.
        Duplicate = "duplicate",
        /// The API server rejected the Event or did not answer.
        Failed = "failed",
    }

    /// The reason why an Event was dropped without a call to the API server.
    EventDrop("reason") {
        /// The namespaces that opted in have not been listed yet.
        NotListed = "not-listed",
        /// The namespace has not opted in to changes.
        NotOptedIn = "not-opted-in",
        /// The budget of the namespace is used up.
        Budget = "budget",
        /// The queue is full.
        Queue = "queue",
    }

    /// An event of self-managed certificates.
    CertificateEvent("event") {
        /// This replica signed its own certificate.
        LeafSigned = "leaf-signed",
        /// A CA was created and used immediately, because no usable one existed.
        CaCreated = "ca-created",
        /// The next CA was created. It is trusted, but does not sign certificates yet.
        CaPublished = "ca-published",
        /// The next CA became the current CA, which signs certificates.
        CaPromoted = "ca-promoted",
        /// A CA that another client had removed was restored, because its certificates may be in
        /// use.
        CaKept = "ca-kept",
        /// Previous CAs were removed, because their certificates are no longer in use.
        CaDiscarded = "ca-discarded",
        /// The `caBundle` of the webhooks was written.
        BundleWritten = "bundle-written",
        /// The `caBundle` was written again, because another client had changed it.
        BundleOverwritten = "bundle-overwritten",
    }

    /// The resources that a watch returns.
    WatchKind("watch") {
        /// The JobPodPolicies of the cluster.
        Policies = "policies",
        /// Namespaces that opted in.
        Namespaces = "namespaces",
        /// Ingresses from which policies take addresses.
        Ingresses = "ingresses",
        /// Services from which policies take addresses.
        Services = "services",
        /// Gateways from which policies take addresses.
        Gateways = "gateways",
        /// The Secret of the self-managed CA.
        Secret = "secret",
        /// The webhook configuration.
        Webhook = "webhook",
    }

    /// The result of a live read of a namespace.
    NamespaceRead("result") {
        /// The namespace exists.
        Found = "found",
        /// The namespace does not exist.
        NotFound = "not-found",
        /// The API server responded with an error or did not answer.
        Failed = "failed",
        /// Too many reads were running, so drydock did not call the API server.
        Refused = "refused",
    }

    /// An object that drydock writes.
    WrittenObject("object") {
        /// The Secret of the self-managed CA.
        Secret = "secret",
        /// The `caBundle` of the webhook configuration.
        Webhook = "webhook",
        /// The status of a policy.
        PolicyStatus = "policy-status",
    }
}

/// Returns the labels of an outcome. `reason` is empty if the outcome has no reason.
pub(super) fn outcome(outcome: &'static str, reason: &'static str) -> Labels {
    [("outcome", outcome), ("reason", reason)]
}

pub(super) fn change(change: &'static str, mode: &'static str) -> Labels {
    [("change", change), ("mode", mode)]
}

pub(super) fn reload(what: Reloaded, result: &'static str) -> Labels {
    [("what", what.name()), ("result", result)]
}

pub(super) fn every_review() -> impl Iterator<Item = Labels> {
    let skipped = [
        SkipReason::NotPodCreation,
        SkipReason::ExcludedNamespace,
        SkipReason::NoPolicy,
    ];
    let not_job_pod = NotJobPod::ALL.into_iter().map(SkipReason::NotJobPod);
    let audited = [
        AuditReason::WouldMutate,
        AuditReason::WouldDeny,
        AuditReason::NothingToChange,
    ];
    let outcomes = [Outcome::Mutated, Outcome::Unchanged, Outcome::Denied]
        .into_iter()
        .chain(skipped.into_iter().chain(not_job_pod).map(Outcome::Skipped))
        .chain(audited.map(Outcome::Audited));
    // A body that is not JSON counts as an `OtherRequest` and not as a failed review.
    let failed = ReviewError::NAMES
        .into_iter()
        .filter(|name| *name != OtherRequest::NotJson.name())
        .chain(ReviewFailure::ALL.iter().map(|failure| failure.name()));
    outcomes
        .map(|it| outcome(it.name(), it.reason()))
        .chain(failed.map(|reason| outcome("failed", reason)))
}

pub(super) fn every_change() -> impl Iterator<Item = Labels> {
    let names = rules::change::NAMES.iter();
    names.flat_map(|name| ["enforce", "audit"].map(|mode| change(name, mode)))
}

pub(super) fn every_reload() -> impl Iterator<Item = Labels> {
    let files = Reloaded::ALL.iter();
    files.flat_map(|what| ["good", "bad"].map(|result| reload(*what, result)))
}

pub(super) fn every_event() -> impl Iterator<Item = Labels> {
    let outcomes = EventOutcome::ALL.iter().map(|it| outcome(it.name(), ""));
    let drops = EventDrop::ALL
        .iter()
        .map(|it| outcome("dropped", it.name()));
    outcomes.chain(drops)
}
