//! Reads the output of a running process line by line.

use std::io::{BufRead as _, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// The longest time to wait for something that is immediate on an idle machine.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

/// The lines that a process writes. A thread collects them.
pub(crate) struct Lines {
    /// The lines, and whether there may be more.
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

    /// Waits until the lines satisfy a condition, and returns them, or `None` if the output ends
    /// before.
    pub(crate) fn wait_for(
        &self,
        what: &str,
        wanted: impl Fn(&[String]) -> bool,
    ) -> Option<Vec<String>> {
        let lines = self.lines.lock().unwrap();
        let (lines, timeout) = self
            .changed
            .wait_timeout_while(lines, TIMEOUT, |(lines, more)| *more && !wanted(lines))
            .unwrap();
        assert!(
            !timeout.timed_out(),
            "timed out waiting for {what}: {:?}",
            lines.0
        );
        wanted(&lines.0).then(|| lines.0.clone())
    }

    pub(crate) fn text(&self) -> String {
        self.lines.lock().unwrap().0.join("\n")
    }
}
