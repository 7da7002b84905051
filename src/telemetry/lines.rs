//! Log lines to stderr, without ever waiting for whoever reads them.
//!
//! A pipe whose reader has stopped fills up, and then a write waits: so each line asks first whether there is room.
//! What has none is dropped and counted; a review is never kept waiting for its log line.

use prometheus_client::metrics::counter::Counter;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use tracing_subscriber::fmt::MakeWriter;

/// What the kernel takes of a pipe in one piece once it says that there is room: `PIPE_BUF` of pipe(7), on Linux.
const PIECE: usize = 4096;

/// Makes the writers of lines.
#[derive(Debug)]
pub(super) struct Lines {
    /// Whether the last line was cut. Between the question and the write nobody else may take the room.
    is_cut: Mutex<bool>,
    dropped: Counter,
}

impl Lines {
    pub(super) fn new(dropped: Counter) -> Self {
        Self {
            is_cut: Mutex::new(false),
            dropped,
        }
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self)
    }
}

/// Writes one line, which comes in one piece.
#[derive(Debug)]
pub(super) struct Line<'a>(&'a Lines);

impl Write for Line<'_> {
    /// Takes the whole line, written or not: were it to fail, it would only be tried again.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut is_cut = self.0.is_cut.lock().unwrap_or_else(PoisonError::into_inner);
        if !write_whole(&mut io::stderr().lock(), &mut is_cut, line) {
            self.0.dropped.inc();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a line as far as there is room. Where the last one was cut, it ends that first, so that only one is spoilt.
fn write_whole(stderr: &mut io::StderrLock<'_>, is_cut: &mut bool, line: &[u8]) -> bool {
    let end_of_the_last: &[u8] = if *is_cut { b"\n" } else { b"" };
    for piece in end_of_the_last.chunks(1).chain(line.chunks(PIECE)) {
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
