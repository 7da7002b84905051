//! The values of labels. They are closed sets, so that no client can add time series.

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

/// An enum whose value is the label of a sample.
pub(super) trait LabelValues: EncodeLabelSet + Copy + Debug + Eq + Hash + 'static {
    /// Every value.
    const ALL: &'static [Self];

    /// Makes a family with a sample for each value.
    fn family<M: Default>() -> Family<Self, M> {
        with_labels(Self::ALL.iter().copied())
    }
}

/// Makes a family with samples.
pub(super) fn with_labels<L: Clone + Hash + Eq, M: Default>(
    labels: impl IntoIterator<Item = L>,
) -> Family<L, M> {
    let family = Family::default();
    for labels in labels {
        let _ = family.get_or_create(&labels);
    }
    family
}

/// Declares an enum of label values, with the label and the name of each.
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
            /// Returns the name in metrics and logs.
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
    /// Log level.
    #[derive(Default, ValueEnum)]
    LogLevel("level") {
        /// No lines
        Off = "off",
        /// Failures
        Error = "error",
        /// Failures, and problems that may lead to failures
        Warn = "warn",
        /// One line for each review, and changes of policies and certificates
        #[default]
        Info = "info",
        /// Connections too
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
        /// Too many connections: one was evicted, or the new one was not accepted.
        Connections = "connections",
        /// Bodies and unsent responses exceeded their memory limit: the largest was evicted.
        BodyMemory = "body-memory",
        /// A large review waited too long for its slot.
        ReviewQueue = "review-queue",
        /// Too many reviews waited for the labels of namespaces.
        NamespaceLabels = "namespace-labels",
    }

    /// Why a review got an HTTP error, apart from the reasons of [`ReviewError`].
    Failure("reason") {
        /// Its body is too large.
        BodySize = "body-size",
        /// Its body did not arrive in time.
        BodyTime = "body-time",
        /// Its body ended early.
        BodyCut = "body-cut",
        /// It was evicted before its whole body had arrived.
        BodyEvicted = "body-evicted",
        /// It was evicted, or waited too long for its slot.
        Overload = "overload",
        /// Its namespace does not exist, or too many reads of namespaces were running.
        NamespaceUnknown = "namespace-unknown",
        /// The policies have not been read yet.
        NotReady = "not-ready",
        /// drydock panicked.
        Bug = "bug",
    }

    /// Why a request is not a review. API servers send none of these.
    OtherRequest("reason") {
        /// The path is not that of a webhook.
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

    /// Why a TLS handshake failed.
    HandshakeFailure("reason") {
        /// The client refused drydock's certificate.
        NotTrusted = "not-trusted",
        /// drydock refused the client's certificate, or the client has none.
        ClientCertificate = "client-certificate",
        /// The handshake took too long.
        Timeout = "timeout",
        /// The connection was evicted.
        Eviction = "eviction",
        /// The client closed the connection.
        Closed = "closed",
        /// The client does not speak TLS, or shares no version or cipher with drydock.
        Protocol = "protocol",
    }

    /// A state of policies.
    PolicyState("state") {
        /// In force.
        Loaded = "loaded",
        /// Not in force as written.
        Refused = "refused",
        /// Accepted by another version, and not readable by this one.
        Unreadable = "unreadable",
    }

    /// A state of live sources.
    SourceState("state") {
        /// With an address.
        Resolved = "resolved",
        /// With the last known address.
        Stale = "stale",
        /// Without an address.
        Unresolved = "unresolved",
    }

    /// A file that is read again when its content changes.
    Reloaded("what") {
        /// Policies.
        Policies = "policies",
        /// The server's certificate and key.
        Certificate = "certificate",
        /// The CA of clients.
        ClientAuthority = "client-authority",
    }

    /// Result of writing an Event on a pod.
    EventOutcome("outcome") {
        /// It was written.
        Written = "written",
        /// It had been written before.
        Duplicate = "duplicate",
        /// The API server refused it or did not answer.
        Failed = "failed",
    }

    /// Why an Event was dropped before the API server was asked.
    EventDrop("reason") {
        /// The opted-in namespaces have not been listed yet.
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
        /// A CA was created and used, because there was no usable one.
        CaCreated = "ca-created",
        /// The next CA was published.
        CaPublished = "ca-published",
        /// The next CA became the current CA, which signs.
        CaPromoted = "ca-promoted",
        /// A removed CA was restored, because a certificate of it is in use.
        CaKept = "ca-kept",
        /// CAs without a certificate in use were removed.
        CaDiscarded = "ca-discarded",
        /// The `caBundle` of the webhooks was written.
        BundleWritten = "bundle-written",
        /// The `caBundle` was written again, because another client had changed it.
        BundleOverwritten = "bundle-overwritten",
    }

    /// The resources of a watch.
    WatchKind("watch") {
        /// JobPodPolicies.
        Policies = "policies",
        /// Namespaces that opted in.
        Namespaces = "namespaces",
        /// Ingresses with addresses for policies.
        Ingresses = "ingresses",
        /// Services with addresses for policies.
        Services = "services",
        /// Gateways with addresses for policies.
        Gateways = "gateways",
        /// The Secret of the self-managed CA.
        Secret = "secret",
        /// The webhook configuration.
        Webhook = "webhook",
    }

    /// Result of a live read of a namespace.
    NamespaceRead("result") {
        /// The namespace exists.
        Found = "found",
        /// The namespace does not exist.
        NotFound = "not-found",
        /// The API server did not answer.
        Failed = "failed",
        /// Too many reads were in progress, so the API server was not asked.
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

/// `reason` is empty if the outcome has none.
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
    // A body that is not JSON is not a review.
    let failed = ReviewError::NAMES
        .into_iter()
        .filter(|name| *name != OtherRequest::NotJson.name())
        .chain(Failure::ALL.iter().map(|failure| failure.name()));
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
