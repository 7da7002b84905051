//! Metric families. Every label value is of a closed set and is there from the start, at zero.

mod certificates;
mod cluster;
mod labels;

pub use certificates::{CertificateEvent, CertificateMetrics};
pub use cluster::{ClusterMetrics, NamespaceRead, WatchKind};
pub use labels::{
    EventDrop, EventOutcome, Failure, HandshakeFailure, Limit, OtherRequest, Reloaded,
};

use super::LogLevel;
use crate::core::admission::Record;
use crate::core::rules::change;
use labels::{
    ChangeLabels, EventLabels, LevelLabels, LimitLabels, ReasonLabels, ReloadLabels, ReviewLabels,
    StateLabels, event_labels, review_labels,
};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

/// The commit that this program was built from: `DRYDOCK_COMMIT` at build time, which the image and
/// releases set.
pub const COMMIT: &str = match option_env!("DRYDOCK_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// The content type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics of a process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    reviews: Family<ReviewLabels, Counter>,
    other_requests: Family<ReasonLabels, Counter>,
    duration: Histogram,
    changes: Family<ChangeLabels, Counter>,
    policies: Family<StateLabels, Gauge>,
    sources: Family<StateLabels, Gauge>,
    events: Family<EventLabels, Counter>,
    certificate_expiry: Gauge,
    connections: Gauge,
    handshake_failures: Family<ReasonLabels, Counter>,
    limits: Family<LimitLabels, Counter>,
    reloads: Family<ReloadLabels, Counter>,
    log_lines_dropped: Counter,
    log_level: Family<LevelLabels, Gauge>,
    certificates: CertificateMetrics,
    cluster: ClusterMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Makes all families, every label set at zero.
    #[must_use]
    pub fn new() -> Self {
        // From 10 µs, which a review takes, to 10 s, at which the API server has long given up.
        const BUCKETS: [f64; 13] = [
            10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 100e-3, 1.0,
            10.0,
        ];
        let mut metrics = Self {
            registry: Registry::with_prefix("drydock"),
            reviews: Family::default(),
            other_requests: Family::default(),
            duration: Histogram::new(BUCKETS),
            changes: Family::default(),
            policies: Family::default(),
            sources: Family::default(),
            events: Family::default(),
            certificate_expiry: Gauge::default(),
            connections: Gauge::default(),
            handshake_failures: Family::default(),
            limits: Family::default(),
            reloads: Family::default(),
            log_lines_dropped: Counter::default(),
            log_level: Family::default(),
            certificates: CertificateMetrics::default(),
            cluster: ClusterMetrics::default(),
        };
        metrics.register();
        metrics.begin_at_zero();
        metrics
    }

    fn register(&mut self) {
        let Self { registry, .. } = self;
        registry.register(
            "build",
            "The version that runs, and the commit that it was built from",
            Info::new([("version", env!("CARGO_PKG_VERSION")), ("commit", COMMIT)]),
        );
        registry.register(
            "reviews",
            "Reviews on the webhook port, each by its one outcome",
            self.reviews.clone(),
        );
        registry.register(
            "other_requests",
            "Requests on the webhook port that are not reviews, by what they are instead",
            self.other_requests.clone(),
        );
        registry.register_with_unit(
            "review_duration",
            "Time from a request's whole body to its answer",
            Unit::Seconds,
            self.duration.clone(),
        );
        registry.register(
            "changes",
            "Changes of pods, made (enforce) or only told (audit)",
            self.changes.clone(),
        );
        registry.register(
            "policies",
            "Policies in force (loaded) and not in force as written (refused)",
            self.policies.clone(),
        );
        registry.register(
            "address_sources",
            "Live sources with an address (resolved), with their last known one (stale), with none (unresolved)",
            self.sources.clone(),
        );
        registry.register(
            "events",
            "Warning Events for authors of jobs, by what became of them",
            self.events.clone(),
        );
        registry.register_with_unit(
            "certificate_expiry_timestamp",
            "When the certificate in use expires, as a Unix time",
            Unit::Seconds,
            self.certificate_expiry.clone(),
        );
        registry.register(
            "connections",
            "Open connections on the webhook port",
            self.connections.clone(),
        );
        registry.register(
            "tls_handshake_failures",
            "TLS handshakes that failed, those out of time among them",
            self.handshake_failures.clone(),
        );
        registry.register(
            "limit_hits",
            "Times that a client ran into a bound",
            self.limits.clone(),
        );
        registry.register(
            "reloads",
            "Times that a changed file was read again, by result",
            self.reloads.clone(),
        );
        registry.register(
            "log_lines_dropped",
            "Log lines for which stderr had no room",
            self.log_lines_dropped.clone(),
        );
        registry.register(
            "log_level",
            "1 for the log level in force, 0 for the others",
            self.log_level.clone(),
        );
        self.certificates.register(registry);
        self.cluster.register(registry);
    }

    fn begin_at_zero(&self) {
        for labels in review_labels() {
            let _ = self.reviews.get_or_create(&labels);
        }
        for other in OtherRequest::ALL {
            let _ = self.other_requests.get_or_create(&ReasonLabels {
                reason: other.name(),
            });
        }
        for failure in HandshakeFailure::ALL {
            let _ = self.handshake_failures.get_or_create(&ReasonLabels {
                reason: failure.name(),
            });
        }
        for change in change::NAMES {
            for mode in ["enforce", "audit"] {
                let _ = self.changes.get_or_create(&ChangeLabels { change, mode });
            }
        }
        for limit in Limit::ALL {
            let _ = self.limits.get_or_create(&LimitLabels {
                limit: limit.name(),
            });
        }
        for what in Reloaded::ALL {
            for result in ["good", "bad"] {
                let _ = self.reloads.get_or_create(&ReloadLabels {
                    what: what.name(),
                    result,
                });
            }
        }
        for labels in event_labels() {
            let _ = self.events.get_or_create(&labels);
        }
        self.set_log_level(LogLevel::default());
        self.set_policies(0, 0);
        self.set_sources(0, 0, 0);
    }

    /// Counts an answered review.
    pub fn answered(&self, record: &Record, took: Duration) {
        let labels = ReviewLabels {
            outcome: record.outcome.name(),
            reason: record.outcome.reason(),
        };
        self.reviews.get_or_create(&labels).inc();
        self.duration.observe(took.as_secs_f64());
        for (changes, mode) in [
            (&record.changes, "enforce"),
            (&record.audit_changes, "audit"),
        ] {
            for change in changes {
                self.changes
                    .get_or_create(&ChangeLabels { change, mode })
                    .inc();
            }
        }
    }

    /// Counts a review that got an HTTP error.
    pub fn failed(&self, failure: Failure) {
        self.reviews
            .get_or_create(&ReviewLabels {
                outcome: "failed",
                reason: failure.name(),
            })
            .inc();
    }

    /// Counts a request that is not a review.
    pub fn other_request(&self, other: OtherRequest) {
        self.other_requests
            .get_or_create(&ReasonLabels {
                reason: other.name(),
            })
            .inc();
    }

    /// Counts a client that ran into a bound.
    pub fn limit_hit(&self, limit: Limit) {
        self.limits
            .get_or_create(&LimitLabels {
                limit: limit.name(),
            })
            .inc();
    }

    /// Counts a failed handshake.
    pub fn handshake_failed(&self, failure: HandshakeFailure) {
        self.handshake_failures
            .get_or_create(&ReasonLabels {
                reason: failure.name(),
            })
            .inc();
    }

    /// Sets which log level is in force.
    pub fn set_log_level(&self, in_force: LogLevel) {
        for level in LogLevel::ALL {
            self.log_level
                .get_or_create(&LevelLabels {
                    level: level.name(),
                })
                .set(i64::from(level == in_force));
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

    /// Sets how many policies are in force, and how many are not as they are written.
    pub fn set_policies(&self, loaded: usize, refused: usize) {
        for (state, count) in [("loaded", loaded), ("refused", refused)] {
            self.policies
                .get_or_create(&StateLabels { state })
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Sets how many live sources have an address, have their last known one, or have none.
    pub fn set_sources(&self, resolved: usize, stale: usize, unresolved: usize) {
        for (state, count) in [
            ("resolved", resolved),
            ("stale", stale),
            ("unresolved", unresolved),
        ] {
            self.sources
                .get_or_create(&StateLabels { state })
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Counts an Event by what became of it.
    pub fn event(&self, outcome: EventOutcome) {
        self.events.get_or_create(&outcome.labels()).inc();
    }

    /// Counts Events that were dropped before the API server was asked.
    pub fn events_dropped(&self, why: EventDrop, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.events.get_or_create(&why.labels()).inc_by(count);
    }

    /// Sets when the certificate in use expires, in seconds since 1970.
    pub fn set_certificate_expiry(&self, unix_seconds: i64) {
        self.certificate_expiry.set(unix_seconds);
    }

    /// Returns what is counted of self-managed certificates.
    #[must_use]
    pub fn certificates(&self) -> &CertificateMetrics {
        &self.certificates
    }

    /// Returns what is counted of the calls to the API server.
    #[must_use]
    pub fn of_cluster(&self) -> &ClusterMetrics {
        &self.cluster
    }

    /// Counts a changed file that was read again.
    pub fn reloaded(&self, what: Reloaded, good: bool) {
        let result = if good { "good" } else { "bad" };
        self.reloads
            .get_or_create(&ReloadLabels {
                what: what.name(),
                result,
            })
            .inc();
    }

    /// Returns the counter of log lines that were dropped.
    #[must_use]
    pub fn log_lines_dropped(&self) -> Counter {
        self.log_lines_dropped.clone()
    }

    /// Writes all metrics as OpenMetrics text.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a String takes what is written");
        text
    }
}
