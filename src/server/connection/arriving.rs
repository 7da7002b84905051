//! The body of a request, while it comes.

use super::{Connection, MadeRoom, Phase, locked};
use axum::BoxError;
use axum::body::{Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// A body that counts what has come of it, and tells its connection when it is whole.
///
/// Where it has to make room for others, its reader gets [`MadeRoom`] as the error.
pub struct Arriving<B> {
    body: B,
    connection: Arc<Connection>,
}

impl<B> Arriving<B> {
    pub(super) fn new(body: B, connection: Arc<Connection>) -> Self {
        Self { body, connection }
    }
}

impl<B> HttpBody for Arriving<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let connection = &self.connection;
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                connection.hold(frame.data_ref().map_or(0, Bytes::len));
                let is_whole = self.body.is_end_stream();
                Some(connection.go_on(is_whole).map(|()| frame))
            }
            Some(Err(error)) => Some(Err(connection.made_room().map_or(error.into(), Into::into))),
            None => connection.go_on(true).err().map(Err),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Connection {
    pub(super) fn made_room(&self) -> Option<MadeRoom> {
        locked(&self.progress).made_room
    }

    /// Whether a body may go on; where it has come whole nothing ends it any more.
    pub(super) fn go_on(&self, is_whole: bool) -> Result<(), BoxError> {
        let mut progress = locked(&self.progress);
        match progress.made_room {
            Some(reason @ MadeRoom::Body) => Err(reason.into()),
            // A request that comes whole after all is answered.
            Some(MadeRoom::Connection) | None => {
                if is_whole {
                    progress.phase = Phase::Answering;
                }
                Ok(())
            }
        }
    }
}
