//! Metric families. Every label set exists from the start, at zero.

mod exposition;
mod labels;
mod late;

pub use exposition::Exposition;
pub use labels::{
    CertificateEvent, EventDrop, EventOutcome, Failure, HandshakeFailure, Limit, NamespaceRead,
    OtherRequest, Reloaded, WatchKind, WrittenObject,
};
pub use late::DroppedLines;

use super::LogLevel;
use crate::core::admission::Record;
use labels::Labels;
use late::OptionalGauge;
use prometheus_client::encoding::{EncodeMetric, text::encode};
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry, Unit};
use std::time::Duration;

type Counters<const N: usize> = Family<Labels<N>, Counter>;
type Gauges = Family<Labels<1>, Gauge>;

/// The commit of this program: `DRYDOCK_COMMIT` at build time, which the image and releases set.
pub const COMMIT: &str = match option_env!("DRYDOCK_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// From 10 µs, which a review takes, to 10 s, after the API server's timeout.
const BUCKETS: [f64; 13] = [
    10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 100e-3, 1.0, 10.0,
];

/// All metrics of a process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    reviews: Counters<2>,
    other_requests: Counters<1>,
    review_duration: Histogram,
    changes: Counters<2>,
    policies: Gauges,
    address_sources: Gauges,
    events: Counters<2>,
    certificate_expiry: OptionalGauge,
    connections: Gauge,
    handshake_failures: Counters<1>,
    limit_hits: Counters<1>,
    reloads: Counters<2>,
    log_lines_dropped: DroppedLines,
    log_level: Gauges,
    certificates: CertificateMetrics,
    cluster: ClusterMetrics,
}

/// Metrics of self-managed certificates.
#[derive(Debug)]
pub struct CertificateMetrics {
    events: Counters<1>,
    ca_expiry: OptionalGauge,
}

/// Metrics of calls to the API server.
#[derive(Debug)]
pub struct ClusterMetrics {
    last_contact: Gauges,
    namespace_reads: Counters<1>,
    writes_refused: Counters<1>,
    clock_offset: Gauge,
    policy_sets: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Makes all families.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("drydock");
        let all = &mut registry;
        let build = Info::new([("version", env!("CARGO_PKG_VERSION")), ("commit", COMMIT)]);
        all.register("build", "Version and commit of this program", build);
        let metrics = Self {
            reviews: family(
                all,
                "reviews",
                "Reviews on the webhook port, by outcome and reason",
                labels::every_review(),
            ),
            other_requests: family(
                all,
                "other_requests",
                "Requests on the webhook port that are not reviews, by reason",
                labels::every("reason", OtherRequest::ALL, OtherRequest::name),
            ),
            review_duration: timed(
                all,
                "review_duration",
                "Time from the end of a request's body to its response",
                Histogram::new(BUCKETS),
            ),
            changes: family(
                all,
                "changes",
                "Changes of pods, by name: made (enforce) or only reported (audit)",
                labels::every_change(),
            ),
            policies: family(
                all,
                "policies",
                "Policies in force (loaded), not in force as written (refused), unreadable for this version (unreadable)",
                ["loaded", "refused", "unreadable"].map(|state| [("state", state)]),
            ),
            address_sources: family(
                all,
                "address_sources",
                "Live sources with an address (resolved), with their last address (stale) or without one (unresolved)",
                ["resolved", "stale", "unresolved"].map(|state| [("state", state)]),
            ),
            events: family(
                all,
                "events",
                "Warning Events for authors of jobs, by outcome; dropped ones by reason",
                labels::every_event(),
            ),
            certificate_expiry: timed(
                all,
                "certificate_expiry_timestamp",
                "Unix time when the certificate in use expires; no sample without a certificate",
                OptionalGauge::default(),
            ),
            connections: single(
                all,
                "connections",
                "Open connections on the webhook port",
                Gauge::default(),
            ),
            handshake_failures: family(
                all,
                "tls_handshake_failures",
                "Failed TLS handshakes, by reason",
                labels::every("reason", HandshakeFailure::ALL, HandshakeFailure::name),
            ),
            limit_hits: family(
                all,
                "limit_hits",
                "Times that a client reached a limit",
                labels::every("limit", Limit::ALL, Limit::name),
            ),
            reloads: family(
                all,
                "reloads",
                "Times that a changed file was read, by result",
                labels::every_reload(),
            ),
            log_lines_dropped: single(
                all,
                "log_lines_dropped",
                "Log lines that stderr did not take in time or refused",
                DroppedLines::default(),
            ),
            log_level: family(
                all,
                "log_level",
                "1 for the log level in force, 0 for the others",
                LogLevel::ALL.map(|level| [("level", level.name())]),
            ),
            certificates: CertificateMetrics {
                events: family(
                    all,
                    "certificate_events",
                    "Events of self-managed certificates: signed, CA changed, caBundle written",
                    labels::every("event", CertificateEvent::ALL, CertificateEvent::name),
                ),
                ca_expiry: timed(
                    all,
                    "ca_expiry_timestamp",
                    "Unix time when the self-managed CA in use expires; no sample without a CA",
                    OptionalGauge::default(),
                ),
            },
            cluster: ClusterMetrics {
                last_contact: timed(
                    all,
                    "watch_last_contact_timestamp",
                    "Unix time of the last message of a watch, the oldest of its kind; 0 without a watch",
                    with_labels(labels::every("watch", WatchKind::ALL, WatchKind::name)),
                ),
                namespace_reads: family(
                    all,
                    "namespace_reads",
                    "Live reads of namespaces that are not watched, by result",
                    labels::every("result", NamespaceRead::ALL, NamespaceRead::name),
                ),
                writes_refused: family(
                    all,
                    "writes_refused",
                    "Writes that the API server refused or did not answer, by object, without Events",
                    labels::every("object", WrittenObject::ALL, WrittenObject::name),
                ),
                clock_offset: timed(
                    all,
                    "clock_offset",
                    "Seconds that this node's clock is ahead of the API server's; negative if behind",
                    Gauge::default(),
                ),
                policy_sets: single(
                    all,
                    "policy_sets",
                    "Policy sets that were published; events within 100 ms share one",
                    Counter::default(),
                ),
            },
            registry,
        };
        metrics.set_log_level(LogLevel::default());
        metrics
    }

    /// Counts a review with an AdmissionReview as response.
    pub fn answered(&self, record: &Record, took: Duration) {
        let labels = labels::review(record.outcome.name(), record.outcome.reason());
        self.reviews.get_or_create(&labels).inc();
        self.review_duration.observe(took.as_secs_f64());
        for (changes, mode) in [
            (&record.changes, "enforce"),
            (&record.audit_changes, "audit"),
        ] {
            for change in changes {
                let labels = labels::change(change, mode);
                self.changes.get_or_create(&labels).inc();
            }
        }
    }

    /// Counts a review with an HTTP error as response. The reason is the name of a [`Failure`] or
    /// of a [`ReviewError`](crate::core::admission::ReviewError).
    pub fn failed(&self, reason: &'static str) {
        let labels = labels::review("failed", reason);
        self.reviews.get_or_create(&labels).inc();
    }

    /// Counts a request that is not a review.
    pub fn other_request(&self, other: OtherRequest) {
        count(&self.other_requests, "reason", other.name());
    }

    /// Counts a client that reached a limit.
    pub fn limit_hit(&self, limit: Limit) {
        count(&self.limit_hits, "limit", limit.name());
    }

    /// Counts a failed TLS handshake.
    pub fn handshake_failed(&self, failure: HandshakeFailure) {
        count(&self.handshake_failures, "reason", failure.name());
    }

    /// Sets the log level in force.
    pub fn set_log_level(&self, in_force: LogLevel) {
        for level in LogLevel::ALL {
            let gauge = self.log_level.get_or_create(&[("level", level.name())]);
            gauge.set(i64::from(level == in_force));
        }
    }

    /// Counts a connection that was opened.
    pub fn connection_opened(&self) {
        self.connections.inc();
    }

    /// Counts a connection that was closed.
    pub fn connection_closed(&self) {
        self.connections.dec();
    }

    /// Sets the number of policies in force, and of those not in force as written.
    pub fn set_policies(&self, loaded: usize, refused: usize) {
        set_states(&self.policies, &[("loaded", loaded), ("refused", refused)]);
    }

    /// Sets the number of accepted policies that this version cannot read.
    pub fn set_unreadable_policies(&self, count: usize) {
        set_states(&self.policies, &[("unreadable", count)]);
    }

    /// Sets the number of live sources with an address, with their last address, and without one.
    pub fn set_sources(&self, resolved: usize, stale: usize, unresolved: usize) {
        let states = [
            ("resolved", resolved),
            ("stale", stale),
            ("unresolved", unresolved),
        ];
        set_states(&self.address_sources, &states);
    }

    /// Counts an Event that the API server was asked to write.
    pub fn event(&self, outcome: EventOutcome) {
        let labels = labels::event(outcome.name(), "");
        self.events.get_or_create(&labels).inc();
    }

    /// Counts Events that were dropped before the API server was asked.
    pub fn events_dropped(&self, why: EventDrop, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let labels = labels::event("dropped", why.name());
        self.events.get_or_create(&labels).inc_by(count);
    }

    /// Sets when the certificate in use expires, in seconds since 1970.
    pub fn set_certificate_expiry(&self, unix_seconds: i64) {
        self.certificate_expiry.set(unix_seconds);
    }

    /// Returns the metrics of self-managed certificates.
    #[must_use]
    pub fn certificates(&self) -> &CertificateMetrics {
        &self.certificates
    }

    /// Returns the metrics of calls to the API server.
    #[must_use]
    pub fn of_cluster(&self) -> &ClusterMetrics {
        &self.cluster
    }

    /// Counts a changed file that was read.
    pub fn reloaded(&self, what: Reloaded, is_good: bool) {
        let labels = labels::reload(what, if is_good { "good" } else { "bad" });
        self.reloads.get_or_create(&labels).inc();
    }

    /// Returns the counter of dropped log lines.
    #[must_use]
    pub fn log_lines_dropped(&self) -> &DroppedLines {
        &self.log_lines_dropped
    }

    /// Writes all metrics as OpenMetrics text.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a String does not fail");
        text
    }

    /// Writes all metrics in a text format.
    #[must_use]
    pub fn encode_as(&self, exposition: Exposition) -> String {
        match exposition {
            Exposition::OpenMetrics => self.encode(),
            Exposition::Text => exposition::text(&self.encode()),
        }
    }
}

impl CertificateMetrics {
    /// Counts an event.
    pub fn happened(&self, event: CertificateEvent) {
        count(&self.events, "event", event.name());
    }

    /// Sets when the CA in use expires, in seconds since 1970.
    pub fn set_ca_expiry(&self, unix_seconds: i64) {
        self.ca_expiry.set(unix_seconds);
    }
}

impl ClusterMetrics {
    /// Sets when a kind of watch last received a message, in seconds since 1970.
    pub fn set_last_contact(&self, kind: WatchKind, unix_seconds: i64) {
        let gauge = self.last_contact.get_or_create(&[("watch", kind.name())]);
        gauge.set(unix_seconds);
    }

    /// Counts a live read of a namespace.
    pub fn namespace_read(&self, result: NamespaceRead) {
        count(&self.namespace_reads, "result", result.name());
    }

    /// Counts a write that failed.
    pub fn write_refused(&self, object: WrittenObject) {
        count(&self.writes_refused, "object", object.name());
    }

    /// Counts a policy set that was published.
    pub fn policy_set_published(&self) {
        self.policy_sets.inc();
    }

    /// Sets how many seconds this node's clock is ahead of the API server's.
    pub fn set_clock_offset(&self, seconds: i64) {
        self.clock_offset.set(seconds);
    }
}

fn single<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

fn timed<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register_with_unit(name, help, Unit::Seconds, metric.clone());
    metric
}

/// Registers a family with all of its label sets.
fn family<const N: usize, M>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    labels: impl IntoIterator<Item = Labels<N>>,
) -> Family<Labels<N>, M>
where
    M: Default + TypedMetric + EncodeMetric + std::fmt::Debug + Send + Sync + 'static,
{
    single(registry, name, help, with_labels(labels))
}

fn with_labels<const N: usize, M: Default>(
    labels: impl IntoIterator<Item = Labels<N>>,
) -> Family<Labels<N>, M> {
    let family = Family::default();
    for labels in labels {
        let _ = family.get_or_create(&labels);
    }
    family
}

fn count(family: &Counters<1>, key: &'static str, value: &'static str) {
    family.get_or_create(&[(key, value)]).inc();
}

fn set_states(family: &Gauges, states: &[(&'static str, usize)]) {
    for &(state, count) in states {
        let gauge = family.get_or_create(&[("state", state)]);
        gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
