//! Log lines to stderr, without ever waiting for whoever reads them.
//!
//! A pipe whose reader has stopped fills up, and then a write waits: so each line asks first whether there is room.
//! What has none is dropped and counted; a review is never kept waiting for its log line.

use prometheus_client::metrics::counter::Counter;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, Write};
use std::sync::Mutex;
use tracing_subscriber::fmt::MakeWriter;

/// What the kernel takes of a pipe in one piece once it says that there is room: `PIPE_BUF` of pipe(7), on Linux.
const PIECE: usize = 4096;

/// Makes the writers of lines.
#[derive(Debug)]
pub(super) struct Lines {
    /// Between the question and the write nobody else may take the room.
    turn: Mutex<()>,
    dropped: Counter,
}

impl Lines {
    pub(super) fn new(dropped: Counter) -> Self {
        Self {
            turn: Mutex::new(()),
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
        let _turn = self.0.turn.lock();
        let mut stderr = io::stderr().lock();
        for piece in line.chunks(PIECE) {
            if !has_room(&stderr) || stderr.write_all(piece).is_err() {
                self.0.dropped.inc();
                break;
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
