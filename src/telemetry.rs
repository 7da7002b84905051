//! What drydock says of itself: logs and metrics. Closed label sets, names by Prometheus convention.

mod json;
mod lines;
pub mod metrics;

pub use lines::Lines;

use clap::ValueEnum;
use json::JsonLines;
use std::io;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry, reload};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// What is logged.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What failed.
    Error,
    /// What may fail next.
    Warn,
    /// One line a review, and what changes.
    #[default]
    Info,
    /// Connections too.
    Debug,
}

impl LogLevel {
    pub(crate) const ALL: [Self; 5] = [Self::Off, Self::Error, Self::Warn, Self::Info, Self::Debug];

    /// Returns the name that the command line, metrics and logs use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Off => Self::OFF,
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
        }
    }
}

/// Changes what is logged while drydock runs.
#[derive(Clone, Debug)]
pub struct LevelSwitch(reload::Handle<Targets, Registry>);

impl LevelSwitch {
    /// Logs that the level changes, whatever the levels are, and changes it.
    pub fn set(&self, level: LogLevel) {
        tracing::warn!(target: LEVEL_CHANGES, level = level.name(), "the log level is changed");
        // It fails only where logging has ended, and then nobody reads.
        let _ = self.0.reload(own_events(level));
    }
}

/// Starts logging to stderr.
#[must_use]
pub fn start_logging(format: LogFormat, level: LogLevel, lines: Lines) -> LevelSwitch {
    let (filter, handle) = reload::Layer::new(own_events(level));
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(lines)
        .with_target(false)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
        .log_internal_errors(false);
    let layer = match format {
        LogFormat::Text => layer.boxed(),
        LogFormat::Json => layer.event_format(JsonLines).boxed(),
    };
    tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .init();
    LevelSwitch(handle)
}

/// The target of the event that says that the level changes: logged at every level, also at `off`.
const LEVEL_CHANGES: &str = "drydock::log_level";

/// Only drydock's own events: a library's could hold more than drydock would say (T4).
fn own_events(level: LogLevel) -> Targets {
    Targets::new()
        .with_target("drydock", LevelFilter::from(level))
        .with_target(LEVEL_CHANGES, LevelFilter::WARN)
}
