//! Reads the output of a running process line by line.

use std::io::{BufRead as _, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// How long anything may take that takes no time on a quiet machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The lines that a process writes, collected by a thread that ends with them.
pub(crate) struct Lines {
    /// The lines, and whether there will be more.
    lines: Mutex<(Vec<String>, bool)>,
    changed: Condvar,
}

impl Lines {
    pub(crate) fn of(stream: impl Read + Send + 'static) -> Arc<Self> {
        let lines = Arc::new(Self {
            lines: Mutex::new((Vec::new(), true)),
            changed: Condvar::new(),
        });
        let writer = lines.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                writer.lines.lock().unwrap().0.push(line);
                writer.changed.notify_all();
            }
            writer.lines.lock().unwrap().1 = false;
            writer.changed.notify_all();
        });
        lines
    }

    /// Waits until the lines are as wanted; nothing if they end before.
    pub(crate) fn wait_for(
        &self,
        what: &str,
        wanted: impl Fn(&[String]) -> bool,
    ) -> Option<Vec<String>> {
        let lines = self.lines.lock().unwrap();
        let (lines, timeout) = self
            .changed
            .wait_timeout_while(lines, PATIENCE, |(lines, more)| *more && !wanted(lines))
            .unwrap();
        assert!(!timeout.timed_out(), "never came: {what}: {:?}", lines.0);
        wanted(&lines.0).then(|| lines.0.clone())
    }

    pub(crate) fn text(&self) -> String {
        self.lines.lock().unwrap().0.join("\n")
    }
}
