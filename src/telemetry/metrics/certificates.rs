//! What is counted of self-managed certificates.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// Something that happened to a certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CertificateEvent {
    /// This replica signed a certificate for itself.
    LeafSigned,
    /// An authority was made and put to use, because there was none.
    CaCreated,
    /// The next authority was made known.
    CaPublished,
    /// The next authority became the one that signs.
    CaPromoted,
    /// An authority that somebody had taken out was put back, for a certificate of its is in use.
    CaKept,
    /// Authorities of which nothing is in use are not trusted any more.
    CaDiscarded,
    /// The `caBundle` of the webhooks was written.
    BundleWritten,
    /// It was written again, because somebody else had changed it.
    BundleOverwritten,
}

impl CertificateEvent {
    const ALL: [Self; 8] = [
        Self::LeafSigned,
        Self::CaCreated,
        Self::CaPublished,
        Self::CaPromoted,
        Self::CaKept,
        Self::CaDiscarded,
        Self::BundleWritten,
        Self::BundleOverwritten,
    ];

    /// Returns the name that metrics and logs use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::LeafSigned => "leaf-signed",
            Self::CaCreated => "ca-created",
            Self::CaPublished => "ca-published",
            Self::CaPromoted => "ca-promoted",
            Self::CaKept => "ca-kept",
            Self::CaDiscarded => "ca-discarded",
            Self::BundleWritten => "bundle-written",
            Self::BundleOverwritten => "bundle-overwritten",
        }
    }
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct EventLabels {
    event: &'static str,
}

/// Metrics of self-managed certificates.
#[derive(Debug, Default)]
pub struct CertificateMetrics {
    events: Family<EventLabels, Counter>,
    ca_expiry: Gauge,
}

impl CertificateMetrics {
    /// Registers them, every label set at zero.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "certificate_events",
            "What this replica did to certificates: signed its own, changed the authorities, wrote the caBundle",
            self.events.clone(),
        );
        registry.register_with_unit(
            "ca_expiry_timestamp",
            "When the self-managed authority in use expires, as a Unix time; 0 where there is none",
            Unit::Seconds,
            self.ca_expiry.clone(),
        );
        for event in CertificateEvent::ALL {
            let _ = self.events.get_or_create(&EventLabels {
                event: event.name(),
            });
        }
    }

    /// Counts an event.
    pub fn happened(&self, event: CertificateEvent) {
        let labels = EventLabels {
            event: event.name(),
        };
        self.events.get_or_create(&labels).inc();
    }

    /// Sets when the authority in use expires, in seconds since 1970.
    pub fn set_ca_expiry(&self, unix_seconds: i64) {
        self.ca_expiry.set(unix_seconds);
    }
}
