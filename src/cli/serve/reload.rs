//! Reloads files whose content has changed.
//!
//! Contents are compared instead of modification times or file events, because the kubelet updates
//! a mounted ConfigMap or Secret by replacing a symbolic link.

use crate::telemetry::metrics::{Metrics, Reloaded};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

/// A flag and the file that it names.
pub(super) type FlagFile = (&'static str, PathBuf);

/// The content of each file, or an error if a file cannot be read.
type Content = Result<Vec<Vec<u8>>, String>;

/// Applies new content, or returns an error if it is invalid.
type Apply = Box<dyn Fn(&[Vec<u8>]) -> Result<(), String> + Send>;

/// Files that are reloaded together, such as a certificate and its key.
pub(super) struct Reloader {
    what: Reloaded,
    files: Vec<FlagFile>,
    /// The last content, valid or not, so that an error is reported only once.
    last: Content,
    apply: Apply,
}

impl Reloader {
    /// Reads and parses the files for the first time. The channel contains the parsed value in
    /// force.
    ///
    /// # Errors
    /// Returns an error if a file cannot be read or its content is invalid.
    pub(super) fn open<T: Send + Sync + 'static>(
        what: Reloaded,
        files: Vec<FlagFile>,
        parse: impl Fn(&[Vec<u8>]) -> Result<T, String> + Send + 'static,
    ) -> Result<(Self, watch::Receiver<T>), String> {
        let last = read(&files);
        let first = parse(last.as_ref().map_err(Clone::clone)?)?;
        let (in_force, value) = watch::channel(first);
        let apply = Box::new(move |content: &[Vec<u8>]| {
            in_force.send_replace(parse(content)?);
            Ok(())
        });
        let reloader = Self {
            what,
            files,
            last,
            apply,
        };
        Ok((reloader, value))
    }

    /// Reads the files again. Applies changed content, and then counts the reload in the metrics.
    fn reload(&mut self, metrics: &Metrics) {
        let content = read(&self.files);
        if content == self.last {
            return;
        }
        let applied = match &content {
            Ok(content) => (self.apply)(content),
            Err(problem) => Err(problem.clone()),
        };
        self.last = content;
        metrics.reloaded(self.what, applied.is_ok());
        let what = self.what.name();
        match applied {
            Ok(()) => tracing::info!(what, "changed file loaded"),
            Err(problem) => tracing::error!(
                what,
                "changed file cannot be used; the last good version stays in force: {problem}"
            ),
        }
    }
}

fn read(files: &[FlagFile]) -> Content {
    let read = |(flag, path): &FlagFile| {
        std::fs::read(path)
            .map_err(|error| format!("{flag} {} cannot be read: {error}", path.display()))
    };
    files.iter().map(read).collect()
}

/// Returns a message with the flag, the file, the error and its causes.
pub(super) fn problem(flag: &str, path: &Path, error: impl Into<anyhow::Error>) -> String {
    format!("{flag} {}: {:#}", path.display(), error.into())
}

/// Reloads the files periodically.
pub(super) async fn run(mut reloaders: Vec<Reloader>, period: Duration, metrics: Arc<Metrics>) {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for reloader in &mut reloaders {
            reloader.reload(&metrics);
        }
    }
}
