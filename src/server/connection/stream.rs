//! The bytes of a connection, as they come and go below TLS.

use super::{Connection, Phase, locked};
use crate::telemetry::metrics::Limit;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// A stream whose reads keep to the limits. It belongs to its connection: dropping it closes and forgets both.
pub struct GuardedStream {
    stream: TcpStream,
    connection: Arc<Connection>,
    timer: Pin<Box<Sleep>>,
}

impl Drop for GuardedStream {
    fn drop(&mut self) {
        let shared = &self.connection.shared;
        locked(&shared.open).remove(&self.connection.id);
        if shared.is_webhook {
            shared.metrics.connection_closed();
        }
        self.connection.release_answers();
    }
}

impl GuardedStream {
    pub(super) fn new(stream: TcpStream, connection: Arc<Connection>) -> Self {
        let timer = Box::pin(tokio::time::sleep(connection.shared.limits.idle_time));
        Self {
            stream,
            connection,
            timer,
        }
    }

    pub(super) fn connection(&self) -> Arc<Connection> {
        self.connection.clone()
    }

    /// Decides whether a connection on which nothing comes may go on waiting.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (phase, since) = {
            let mut progress = locked(&self.connection.progress);
            // A request that has come whole is answered first, if only with an error.
            let is_whole = matches!(progress.phase, Phase::Answering | Phase::Waiting);
            if let (Some(reason), false) = (progress.made_room, is_whole) {
                return Poll::Ready(Err(io::Error::other(reason)));
            }
            progress.waker = Some(cx.waker().clone());
            (progress.phase, progress.since)
        };
        let (time, limit) = match self.connection.time_for(phase) {
            // Whoever reads the body or waits keeps the time, and answers when it is over.
            None | Some((_, Limit::BodyTime | Limit::ReviewQueue)) => return Poll::Pending,
            Some(time) => time,
        };
        let deadline = since + time;
        if self.timer.deadline() != deadline {
            self.timer.as_mut().reset(deadline);
        }
        ready!(self.timer.as_mut().poll(cx));
        self.connection.shared.metrics.limit_hit(limit);
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client took too long",
        )))
    }
}

impl AsyncRead for GuardedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Pending => self.wait(cx),
            Poll::Ready(result) => {
                if buffer.filled().len() > before {
                    self.connection.note_bytes();
                }
                Poll::Ready(result)
            }
        }
    }
}

impl AsyncWrite for GuardedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(cx, bytes) {
            // A client that does not read its answers waits as one that sends nothing.
            Poll::Pending => self.wait(cx).map_ok(|()| 0),
            ready => ready,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write_vectored(cx, bytes) {
            Poll::Pending => self.wait(cx).map_ok(|()| 0),
            ready => ready,
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
