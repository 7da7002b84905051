//! A decrypted stream with one time limit for the next request and another for its headers.
//!
//! The HTTP library has one timer for both. drydock needs two, because the API server keeps an idle
//! connection for 90 s, but a client needs only a few seconds to send its headers.
//!
//! If the first bytes of a request arrive in one packet with the end of the previous request, the
//! HTTP library buffers them, and the connection counts as idle until more bytes arrive.

use super::Connection;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

pub(crate) struct TimedStream<S> {
    stream: S,
    connection: Arc<Connection>,
    timer: Pin<Box<Sleep>>,
}

impl<S> TimedStream<S> {
    pub(crate) fn new(stream: S, connection: Arc<Connection>) -> Self {
        let timer = Box::pin(tokio::time::sleep(connection.port.limits.idle_time));
        Self {
            stream,
            connection,
            timer,
        }
    }

    /// Fails when the deadline has passed or the connection is evicted.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some((deadline, limit)) = self.connection.deadline() else {
            return Poll::Pending;
        };
        if let Some(reason) = self.connection.eviction_reason() {
            return Poll::Ready(Err(io::Error::other(reason)));
        }
        if self.timer.deadline() != deadline {
            self.timer.as_mut().reset(deadline);
        }
        ready!(self.timer.as_mut().poll(cx));
        tracing::debug!(limit = limit.name(), "client timed out");
        self.connection.port.metrics.limit_hit(limit);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Pending => self.poll_deadline(cx),
            Poll::Ready(result) => {
                if buffer.filled().len() > before {
                    self.connection.record_received();
                }
                Poll::Ready(result)
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(cx, bytes) {
            // A client that does not read its responses counts as idle.
            Poll::Pending => self.poll_deadline(cx).map_ok(|()| 0),
            ready => ready,
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write_vectored(cx, bytes) {
            Poll::Pending => self.poll_deadline(cx).map_ok(|()| 0),
            ready => ready,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_flush(cx) {
            // The TLS stream buffers the bytes that the socket does not accept, so only a flush
            // waits for the client.
            Poll::Pending => self.poll_deadline(cx),
            Poll::Ready(result) => {
                self.connection.record_sent();
                Poll::Ready(result)
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_shutdown(cx) {
            Poll::Pending => self.poll_deadline(cx),
            ready => ready,
        }
    }

    /// Returns the value of the inner stream. If this were always false, the HTTP library would
    /// buffer, without a limit, the responses to pipelined requests that the client does not read.
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
