//! Log lines to stderr, several in one write, and without ever waiting for whoever reads them.
//!
//! A write for each line costs as much as a third of a review's own work. So once somebody promises to call [`Lines::write`] whenever
//! there is nothing else to do, lines are held until then, or until a write is full. A warning, and what is held before it, waits for nobody.
//!
//! A pipe whose reader has stopped fills up, and then a write waits: so each write asks first whether there is room.
//! What has none is dropped and counted; a review is never kept waiting for its log line.

use prometheus_client::metrics::counter::Counter;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// What the kernel takes of a pipe in one piece once it says that there is room: `PIPE_BUF` of pipe(7), on Linux.
const PIECE: usize = 4096;

/// The log lines of a process.
#[derive(Clone, Debug)]
pub struct Lines {
    held: Arc<Mutex<Held>>,
    dropped: Counter,
}

impl Lines {
    /// Log lines to stderr; `dropped` counts those for which there was no room.
    #[must_use]
    pub fn new(dropped: Counter) -> Self {
        Self {
            held: Arc::default(),
            dropped,
        }
    }

    /// Lets lines wait from now on for the next [`Self::write`].
    pub fn hold(&self) {
        self.held().waits = true;
    }

    /// Writes the lines that are held.
    pub fn write(&self) {
        self.dropped.inc_by(self.held().write());
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line {
            lines: self,
            waits: false,
        }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Line<'a> {
        Line {
            lines: self,
            waits: *meta.level() >= Level::INFO,
        }
    }
}

/// Takes one line, which comes in one piece.
#[derive(Debug)]
pub struct Line<'a> {
    lines: &'a Lines,
    /// Whether it may wait.
    waits: bool,
}

impl Write for Line<'_> {
    /// Takes the whole line, written or not: were it to fail, it would only be tried again.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut held = self.lines.held();
        let mut dropped = held.add(line);
        if !(self.waits && held.waits) {
            dropped += held.write();
        }
        self.lines.dropped.inc_by(dropped);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lines that are not written yet.
#[derive(Debug, Default)]
struct Held {
    lines: Vec<u8>,
    count: u64,
    /// Whether somebody will write them.
    waits: bool,
    /// Whether the last line written was cut.
    is_cut: bool,
}

impl Held {
    /// Adds a line, after those for which a write has no room beside it. Returns how many lines were dropped.
    fn add(&mut self, line: &[u8]) -> u64 {
        let dropped = if self.lines.len() + line.len() > PIECE {
            self.write()
        } else {
            0
        };
        self.lines.extend_from_slice(line);
        self.count += 1;
        dropped
    }

    /// Writes the lines; returns how many were dropped. They are one piece, or one long line.
    fn write(&mut self) -> u64 {
        if self.count == 0 {
            return 0;
        }
        let is_written = write_whole(&mut io::stderr().lock(), &mut self.is_cut, &self.lines);
        self.lines.clear();
        self.lines.shrink_to(PIECE);
        let count = std::mem::take(&mut self.count);
        if is_written { 0 } else { count }
    }
}

/// Writes lines as far as there is room. Where the last one was cut, it ends that first, so that only one is spoilt.
fn write_whole(stderr: &mut io::StderrLock<'_>, is_cut: &mut bool, lines: &[u8]) -> bool {
    let end_of_the_last: &[u8] = if *is_cut { b"\n" } else { b"" };
    for piece in end_of_the_last.chunks(1).chain(lines.chunks(PIECE)) {
        if !has_room(stderr) {
            return false;
        }
        let result = stderr.write_all(piece);
        // Of what fails, a part may have been written.
        *is_cut = result.is_err() || !piece.ends_with(b"\n");
        if result.is_err() {
            return false;
        }
    }
    true
}

/// Whether a write would not have to wait. A file always has room, or says at once that its disk has none.
fn has_room(stderr: &io::StderrLock<'_>) -> bool {
    let mut asked = [PollFd::new(stderr, PollFlags::OUT)];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    matches!(poll(&mut asked, Some(&at_once)), Ok(1..))
}
