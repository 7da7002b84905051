//! What is counted of the calls to the API server.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// What a watch follows.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum WatchKind {
    /// `JobPodPolicy` objects.
    Policies,
    /// Namespaces that opted in.
    Namespaces,
    /// Ingresses that policies take addresses from.
    Ingresses,
    /// Services that policies take addresses from.
    Services,
    /// Gateways that policies take addresses from.
    Gateways,
    /// The Secret of the self-managed authority.
    Secret,
    /// The webhook configuration.
    Webhook,
}

impl WatchKind {
    const ALL: [Self; 7] = [
        Self::Policies,
        Self::Namespaces,
        Self::Ingresses,
        Self::Services,
        Self::Gateways,
        Self::Secret,
        Self::Webhook,
    ];

    /// Returns the name that metrics and logs use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Policies => "policies",
            Self::Namespaces => "namespaces",
            Self::Ingresses => "ingresses",
            Self::Services => "services",
            Self::Gateways => "gateways",
            Self::Secret => "secret",
            Self::Webhook => "webhook",
        }
    }
}

/// What became of a live read of a namespace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NamespaceRead {
    /// The API server has it.
    Found,
    /// The API server does not have it.
    NotFound,
    /// The API server did not say.
    Failed,
    /// Too many others were under way, so the API server was not asked.
    Refused,
}

impl NamespaceRead {
    const ALL: [Self; 4] = [Self::Found, Self::NotFound, Self::Failed, Self::Refused];

    fn name(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::NotFound => "not-found",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }
}

/// An object that drydock writes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Written {
    /// The Secret of the self-managed authority.
    Secret,
    /// The `caBundle` of the webhook configuration.
    Webhook,
    /// The status of a policy.
    PolicyStatus,
}

impl Written {
    const ALL: [Self; 3] = [Self::Secret, Self::Webhook, Self::PolicyStatus];

    fn name(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Webhook => "webhook",
            Self::PolicyStatus => "policy-status",
        }
    }
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct WrittenLabels {
    object: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct WatchLabels {
    watch: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ReadLabels {
    result: &'static str,
}

/// Metrics of the calls to the API server.
#[derive(Debug, Default)]
pub struct ClusterMetrics {
    last_contact: Family<WatchLabels, Gauge>,
    namespace_reads: Family<ReadLabels, Counter>,
    writes_refused: Family<WrittenLabels, Counter>,
    clock_offset: Gauge,
    policy_sets: Counter,
}

impl ClusterMetrics {
    /// Registers them, every label set at zero.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "watch_last_contact_timestamp",
            "When the API server last sent something to this watch, as a Unix time; of several watches of a kind the oldest; 0 where there is none",
            Unit::Seconds,
            self.last_contact.clone(),
        );
        registry.register(
            "namespace_reads",
            "Live reads of namespaces that are not in the watch of those that opted in, by result",
            self.namespace_reads.clone(),
        );
        registry.register(
            "writes_refused",
            "Writes that the API server refused or did not answer, by object; Events are counted by events",
            self.writes_refused.clone(),
        );
        registry.register_with_unit(
            "clock_offset",
            "How far this node's clock is ahead of the API server's; negative if it is behind",
            Unit::Seconds,
            self.clock_offset.clone(),
        );
        registry.register(
            "policy_sets",
            "Sets of policies in force that were compiled and published; events of 100 ms share one",
            self.policy_sets.clone(),
        );
        for object in Written::ALL {
            let object = object.name();
            let _ = self.writes_refused.get_or_create(&WrittenLabels { object });
        }
        for kind in WatchKind::ALL {
            self.set_last_contact(kind, 0);
        }
        for result in NamespaceRead::ALL {
            let result = result.name();
            let _ = self.namespace_reads.get_or_create(&ReadLabels { result });
        }
    }

    /// Sets when a kind of watch last heard from the API server, in seconds since 1970.
    pub fn set_last_contact(&self, kind: WatchKind, unix_seconds: i64) {
        let watch = kind.name();
        let gauge = self.last_contact.get_or_create(&WatchLabels { watch });
        gauge.set(unix_seconds);
    }

    /// Counts a write that failed.
    pub fn write_refused(&self, object: Written) {
        let object = object.name();
        let refused = self.writes_refused.get_or_create(&WrittenLabels { object });
        refused.inc();
    }

    /// Counts a set of policies that was published.
    pub fn policy_set_published(&self) {
        self.policy_sets.inc();
    }

    /// Sets how many seconds this node's clock is ahead of the API server's.
    pub fn set_clock_offset(&self, seconds: i64) {
        self.clock_offset.set(seconds);
    }

    /// Counts a live read of a namespace.
    pub fn namespace_read(&self, result: NamespaceRead) {
        let result = result.name();
        let reads = self.namespace_reads.get_or_create(&ReadLabels { result });
        reads.inc();
    }
}
