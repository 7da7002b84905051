//! The values of labels. They are closed sets, so that no client can make a family grow.

use crate::core::admission::ReviewError;
use crate::core::job_pod::NotJobPod;
use crate::core::rules;
use crate::core::verdict::{AuditReason, Outcome, SkipReason};

/// The labels of a sample.
pub(super) type Labels<const N: usize> = [(&'static str, &'static str); N];

/// Declares an enum of label values, with the name of each.
macro_rules! label_values {
    ($($(#[$doc:meta])* $enum:ident {
        $($(#[$variant_doc:meta])* $variant:ident = $name:literal,)*
    })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
        pub enum $enum {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $enum {
            pub(super) const ALL: &[Self] = &[$(Self::$variant),*];

            /// Returns the name in metrics and logs.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    )*};
}

label_values! {
    /// A limit that a client reached.
    Limit {
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
    Failure {
        /// Its body is too large.
        BodySize = "body-size",
        /// Its body did not arrive in time.
        BodyTime = "body-time",
        /// Its body ended early.
        BodyCut = "body-cut",
        /// It was evicted, or waited too long for its slot.
        Overload = "overload",
        /// The policies have not been read yet.
        NotReady = "not-ready",
        /// drydock panicked.
        Bug = "bug",
    }

    /// Why a request is not a review. API servers send none of these.
    OtherRequest {
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
    HandshakeFailure {
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

    /// A file that is read again when its content changes.
    Reloaded {
        /// Policies.
        Policies = "policies",
        /// The server's certificate and key.
        Certificate = "certificate",
        /// The CA of clients.
        ClientAuthority = "client-authority",
    }

    /// Result of writing an Event on a pod.
    EventOutcome {
        /// It was written.
        Written = "written",
        /// It had been written before.
        Duplicate = "duplicate",
        /// The API server refused it or did not answer.
        Failed = "failed",
    }

    /// Why an Event was dropped before the API server was asked.
    EventDrop {
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
    CertificateEvent {
        /// This replica signed its own certificate.
        LeafSigned = "leaf-signed",
        /// A CA was created and used, because there was none.
        CaCreated = "ca-created",
        /// The next CA was published.
        CaPublished = "ca-published",
        /// The next CA became the one that signs.
        CaPromoted = "ca-promoted",
        /// A CA that had been removed was restored, because a certificate of it is in use.
        CaKept = "ca-kept",
        /// CAs without a certificate in use were removed.
        CaDiscarded = "ca-discarded",
        /// The `caBundle` of the webhooks was written.
        BundleWritten = "bundle-written",
        /// The `caBundle` was written again, because another client had changed it.
        BundleOverwritten = "bundle-overwritten",
    }

    /// The resources of a watch.
    WatchKind {
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
    NamespaceRead {
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
    WrittenObject {
        /// The Secret of the self-managed CA.
        Secret = "secret",
        /// The `caBundle` of the webhook configuration.
        Webhook = "webhook",
        /// The status of a policy.
        PolicyStatus = "policy-status",
    }
}

/// Returns the label of every value.
pub(super) fn every<T: Copy>(
    key: &'static str,
    all: &[T],
    name: fn(T) -> &'static str,
) -> impl Iterator<Item = Labels<1>> {
    all.iter().map(move |value| [(key, name(*value))])
}

pub(super) fn review(outcome: &'static str, reason: &'static str) -> Labels<2> {
    [("outcome", outcome), ("reason", reason)]
}

pub(super) fn change(change: &'static str, mode: &'static str) -> Labels<2> {
    [("change", change), ("mode", mode)]
}

pub(super) fn reload(what: Reloaded, result: &'static str) -> Labels<2> {
    [("what", what.name()), ("result", result)]
}

/// `reason` is empty unless the Event was dropped.
pub(super) fn event(outcome: &'static str, reason: &'static str) -> Labels<2> {
    [("outcome", outcome), ("reason", reason)]
}

pub(super) fn every_review() -> impl Iterator<Item = Labels<2>> {
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
        .map(|outcome| review(outcome.name(), outcome.reason()))
        .chain(failed.map(|reason| review("failed", reason)))
}

pub(super) fn every_change() -> impl Iterator<Item = Labels<2>> {
    let names = rules::change::NAMES.iter();
    names.flat_map(|name| ["enforce", "audit"].map(|mode| change(name, mode)))
}

pub(super) fn every_reload() -> impl Iterator<Item = Labels<2>> {
    let files = Reloaded::ALL.iter();
    files.flat_map(|what| ["good", "bad"].map(|result| reload(*what, result)))
}

pub(super) fn every_event() -> impl Iterator<Item = Labels<2>> {
    let outcomes = EventOutcome::ALL.iter().map(|it| event(it.name(), ""));
    let drops = EventDrop::ALL.iter().map(|it| event("dropped", it.name()));
    outcomes.chain(drops)
}
