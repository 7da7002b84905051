//! Metric types that prometheus-client lacks: a gauge without a sample until it is set, and a
//! counter that reads its value from another counter.

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use tracing_appender::non_blocking::ErrorCounter;

/// A gauge of a Unix time, without a sample until it is set.
#[derive(Clone, Debug, Default)]
pub struct TimeGauge(Arc<AtomicI64>);

impl TimeGauge {
    /// Sets the Unix time, in seconds.
    pub fn set(&self, unix_seconds: i64) {
        self.0.store(unix_seconds, Ordering::Relaxed);
    }
}

impl EncodeMetric for TimeGauge {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        match self.0.load(Ordering::Relaxed) {
            0 => Ok(()),
            unix_seconds => encoder.encode_gauge(&unix_seconds),
        }
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}

/// Counts log lines that did not reach stderr.
#[derive(Clone, Debug, Default)]
pub struct DroppedLines(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// The counter of lines that were dropped because the queue was full.
    queue: OnceLock<ErrorCounter>,
    /// Number of lines that could not be written to stderr.
    failed: AtomicU64,
}

impl DroppedLines {
    pub(crate) fn count_queue(&self, counter: ErrorCounter) {
        // Logging starts only once in a process, so the counter is not set yet.
        let _ = self.0.queue.set(counter);
    }

    pub(crate) fn count_failed(&self) {
        self.0.failed.fetch_add(1, Ordering::Relaxed);
    }
}

impl EncodeMetric for DroppedLines {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let queue = self.0.queue.get().map_or(0, ErrorCounter::dropped_lines);
        let queue = u64::try_from(queue).unwrap_or(u64::MAX);
        let dropped = queue.saturating_add(self.0.failed.load(Ordering::Relaxed));
        encoder.encode_counter::<NoLabelSet, _, u64>(&dropped, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}
