//! Logs and metrics. Each label of a metric has a fixed set of values. Metric names follow the
//! Prometheus conventions.

pub mod metrics;

pub use metrics::LogLevel;
pub use tracing_appender::non_blocking::WorkerGuard;

use clap::ValueEnum;
use metrics::DroppedLines;
use std::io::{self, Write};
use tracing_appender::non_blocking::NonBlockingBuilder;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry, reload};

/// Maximum number of log lines that wait for stderr; a line has at most about 12 kB. Further lines
/// are dropped and counted, so that a blocked stderr never delays a review.
const QUEUED_LINES: usize = 1024;

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum LogFormat {
    /// Human-readable text
    #[default]
    Text,
    /// One JSON object per line
    Json,
}

/// Changes the log level at run time.
#[derive(Clone, Debug)]
pub struct LevelSwitch(reload::Handle<Targets, Registry>);

impl LevelSwitch {
    /// Changes the level. The change is logged at every level.
    pub fn set(&self, level: LogLevel) {
        tracing::warn!(target: LEVEL_CHANGES, level = level.name(), "log level changed");
        // `reload` fails only after logging has ended.
        let _ = self.0.reload(own_events(level));
    }
}

/// Starts logging to stderr. Dropping the guard writes the queued lines.
pub fn start_logging(
    format: LogFormat,
    level: LogLevel,
    dropped: &DroppedLines,
) -> (LevelSwitch, WorkerGuard) {
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(QUEUED_LINES)
        .thread_name("log")
        .finish(Stderr(dropped.clone()));
    dropped.count_queue(writer.error_counter());
    let (filter, handle) = reload::Layer::new(own_events(level));
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_target(false)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
        .log_internal_errors(false);
    let layer = match format {
        LogFormat::Text => layer.boxed(),
        LogFormat::Json => layer
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .boxed(),
    };
    tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .init();
    (LevelSwitch(handle), guard)
}

/// Writes to stderr and counts the lines that cannot be written, because the thread that writes the
/// queued lines ignores errors.
struct Stderr(DroppedLines);

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if io::stderr().write_all(line).is_err() {
            self.0.count_failed();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The target of log lines about a changed level. They are logged at every level, including `off`.
const LEVEL_CHANGES: &str = "drydock::log_level";

/// Returns a filter that passes only events of drydock. Events of libraries could contain the
/// content of a pod (rule T4).
fn own_events(level: LogLevel) -> Targets {
    let level: LevelFilter = level
        .name()
        .parse()
        .expect("tracing should have a level with this name");
    Targets::new()
        .with_target("drydock", level)
        .with_target(LEVEL_CHANGES, LevelFilter::WARN)
}
