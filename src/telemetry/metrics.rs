//! All metrics. Every combination of labels exists from the start, with the value zero.

mod custom;
mod exposition;
mod labels;

pub use custom::{DroppedLines, TimeGauge};
pub use labels::{
    CertificateEvent, EventDrop, EventOutcome, HandshakeFailure, Limit, LogLevel, NamespaceRead,
    OtherRequest, PolicyState, Reloaded, ReviewFailure, SourceState, WatchKind, WrittenObject,
};

use crate::core::admission::Record;
use labels::{LabelValues, Labels, with_labels};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

/// The commit of this program. The builds of the image and of releases set `DRYDOCK_COMMIT`.
pub const COMMIT: &str = match option_env!("DRYDOCK_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// Buckets of the review duration in seconds. The smallest is the time of a small review, and the
/// largest exceeds the timeout of the API server.
const BUCKETS: [f64; 13] = [
    10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 100e-3, 1.0, 10.0,
];

/// Declares all metrics of a process: name, type, value at the start, help, and unit if any.
macro_rules! metrics {
    ($($name:ident: $type:ty = $start:expr, $help:literal $(, $unit:ident)?;)*) => {
        /// All metrics of a process.
        #[derive(Debug)]
        pub struct Metrics {
            registry: Registry,
            $(#[doc = $help] pub $name: $type,)*
        }

        impl Metrics {
            /// Creates all metrics.
            pub fn new() -> Self {
                let mut registry = Registry::with_prefix("drydock");
                let build = Info::new([("version", env!("CARGO_PKG_VERSION")), ("commit", COMMIT)]);
                registry.register("build", "Version and commit of this program", build);
                $(
                    let $name: $type = $start;
                    metrics!(@register registry, $name, $help $(, $unit)?);
                )*
                let metrics = Self { registry, $($name,)* };
                metrics.set_log_level(LogLevel::default());
                metrics
            }
        }
    };
    (@register $registry:ident, $name:ident, $help:literal) => {
        $registry.register(stringify!($name), $help, $name.clone());
    };
    (@register $registry:ident, $name:ident, $help:literal, $unit:ident) => {
        $registry.register_with_unit(stringify!($name), $help, Unit::$unit, $name.clone());
    };
}

metrics! {
    reviews: Family<Labels, Counter> = with_labels(labels::every_review()),
        "Reviews on the webhook port, by outcome and reason";
    other_requests: Family<OtherRequest, Counter> = OtherRequest::family(),
        "Requests on the webhook port that are not reviews, by reason";
    review_duration: Histogram = Histogram::new(BUCKETS),
        "Time from the end of a request's body to its response", Seconds;
    changes: Family<Labels, Counter> = with_labels(labels::every_change()),
        "Changes of pods, by name, and by mode: made (enforce) or only reported (audit)";
    policies: Family<PolicyState, Gauge> = PolicyState::family(),
        "Policies that have a version in force (loaded), whose current version is invalid (refused), or that another version of drydock accepted but this one cannot read (unreadable)";
    address_sources: Family<SourceState, Gauge> = SourceState::family(),
        "Address sources (Ingresses, Services, Gateways) with a current address (resolved), with only their last known address (stale) or without an address (unresolved)";
    events: Family<Labels, Counter> = with_labels(labels::every_event()),
        "Warning Events for authors of jobs, by outcome, and by reason if they were dropped";
    certificate_expiry_timestamp: TimeGauge = TimeGauge::default(),
        "Unix time when the certificate in use expires; no sample if there is no certificate", Seconds;
    connections: Gauge = Gauge::default(),
        "Open connections on the webhook port";
    ready: Gauge = Gauge::default(),
        "1 if this replica is ready (/readyz responds with 200), else 0";
    tls_handshake_failures: Family<HandshakeFailure, Counter> = HandshakeFailure::family(),
        "Failed TLS handshakes, by reason";
    limit_hits: Family<Limit, Counter> = Limit::family(),
        "Number of times that a client reached a limit, by limit";
    reloads: Family<Labels, Counter> = with_labels(labels::every_reload()),
        "Number of times that a changed file was read again, by kind of file and result";
    log_lines_dropped: DroppedLines = DroppedLines::default(),
        "Log lines that were dropped because stderr was blocked or a write to it failed";
    log_level: Family<LogLevel, Gauge> = LogLevel::family(),
        "1 for the log level in force, 0 for the others";
    certificate_events: Family<CertificateEvent, Counter> = CertificateEvent::family(),
        "Events of self-managed certificates, such as a signed leaf, a promoted CA or a written caBundle";
    ca_expiry_timestamp: TimeGauge = TimeGauge::default(),
        "Unix time when the current self-managed CA expires; no sample if there is no CA", Seconds;
    watch_last_contact_timestamp: Family<WatchKind, Gauge> = WatchKind::family(),
        "Unix time when the API server last sent data on a watch of this kind; if there are several watches, the time of the one that has been silent longest; 0 if there is no watch", Seconds;
    namespace_reads: Family<NamespaceRead, Counter> = NamespaceRead::family(),
        "Reads of namespaces that are not watched, by result";
    writes_refused: Family<WrittenObject, Counter> = WrittenObject::family(),
        "Writes of objects other than Events that the API server rejected or did not answer, by object";
    clock_offset: Gauge = Gauge::default(),
        "Seconds that this node's clock is ahead of the API server's; negative if behind", Seconds;
    policy_sets: Counter = Counter::default(),
        "Policy sets that were published; watch events within 100 ms share one set";
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Counts a review that was answered with an AdmissionReview.
    pub fn review_answered(&self, record: &Record, took: Duration) {
        let labels = labels::outcome(record.outcome.name(), record.outcome.reason());
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

    /// Counts a review that was answered with an HTTP error. The reason is the name of a
    /// [`ReviewFailure`] or of a [`ReviewError`](crate::core::admission::ReviewError).
    pub fn review_failed(&self, reason: &'static str) {
        let labels = labels::outcome("failed", reason);
        self.reviews.get_or_create(&labels).inc();
    }

    /// Counts a request that is not a review.
    pub fn other_request(&self, other: OtherRequest) {
        self.other_requests.get_or_create(&other).inc();
    }

    /// Counts that a client reached a limit.
    pub fn limit_hit(&self, limit: Limit) {
        self.limit_hits.get_or_create(&limit).inc();
    }

    /// Counts a failed TLS handshake.
    pub fn handshake_failed(&self, failure: HandshakeFailure) {
        self.tls_handshake_failures.get_or_create(&failure).inc();
    }

    /// Counts an event of self-managed certificates.
    pub fn certificate_event(&self, event: CertificateEvent) {
        self.certificate_events.get_or_create(&event).inc();
    }

    /// Counts a live read of a namespace.
    pub fn namespace_read(&self, result: NamespaceRead) {
        self.namespace_reads.get_or_create(&result).inc();
    }

    /// Counts a write that failed.
    pub fn write_refused(&self, object: WrittenObject) {
        self.writes_refused.get_or_create(&object).inc();
    }

    /// Sets the log level in force.
    pub fn set_log_level(&self, in_force: LogLevel) {
        for level in LogLevel::ALL {
            let gauge = self.log_level.get_or_create(level);
            gauge.set(i64::from(*level == in_force));
        }
    }

    /// Sets the number of policies in each state.
    pub fn set_policies(&self, states: &[(PolicyState, usize)]) {
        set_states(&self.policies, states);
    }

    /// Sets the number of address sources in each state.
    pub fn set_sources(&self, states: &[(SourceState, usize)]) {
        set_states(&self.address_sources, states);
    }

    /// Counts an attempt to write an Event, by its outcome.
    pub fn event(&self, outcome: EventOutcome) {
        let labels = labels::outcome(outcome.name(), "");
        self.events.get_or_create(&labels).inc();
    }

    /// Counts Events that were dropped before the call to the API server.
    pub fn events_dropped(&self, why: EventDrop, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let labels = labels::outcome("dropped", why.name());
        self.events.get_or_create(&labels).inc_by(count);
    }

    /// Counts that a changed file was read. `is_good` is whether its content can be used.
    pub fn reloaded(&self, what: Reloaded, is_good: bool) {
        let labels = labels::reload(what, if is_good { "good" } else { "bad" });
        self.reloads.get_or_create(&labels).inc();
    }

    /// Returns all metrics as OpenMetrics text.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a String should not fail");
        text
    }

    /// Returns all metrics in a format that the client accepts: the value of `Content-Type`, and
    /// the text.
    pub fn encode_for<'a>(&self, accept: impl Iterator<Item = &'a str>) -> (&'static str, String) {
        exposition::render(self.encode(), accept)
    }
}

fn set_states<L: LabelValues>(family: &Family<L, Gauge>, states: &[(L, usize)]) {
    for (state, count) in states {
        let count = i64::try_from(*count).unwrap_or(i64::MAX);
        family.get_or_create(state).set(count);
    }
}
