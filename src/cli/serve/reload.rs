//! Reads files again, and puts changed content in force.
//!
//! It compares content and not times or events, because the kubelet changes a mounted ConfigMap or
//! Secret by a symbolic link.

use crate::telemetry::metrics::{Metrics, Reloaded};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

/// A file and the flag that names it.
pub(super) type FlagFile = (&'static str, PathBuf);

/// The content of each file, or why one cannot be read.
type Content = Result<Vec<Vec<u8>>, String>;

/// Puts content in force. The error says why it cannot be used.
type Apply = Box<dyn Fn(&[Vec<u8>]) -> Result<(), String> + Send>;

/// Files that are read together.
pub(super) struct Reloader {
    what: Reloaded,
    files: Vec<FlagFile>,
    /// The last content, valid or not, so that an error is reported once.
    last: Content,
    apply: Apply,
}

impl Reloader {
    /// Reads files for the first time. The channel has the value in force.
    ///
    /// # Errors
    /// If a file cannot be read, or the content cannot be used.
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

    /// Reads the files again. Changed content is in force before it is counted.
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

/// Returns a message with the file and the causes of an error.
pub(super) fn problem(flag: &str, path: &Path, error: impl Into<anyhow::Error>) -> String {
    format!("{flag} {}: {:#}", path.display(), error.into())
}

/// Reads the files again periodically.
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
