//! A request that has come whole and waits, for its turn or for something from the cluster.

use super::{Connection, MadeRoom, Phase, locked};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

/// The connection of a request, in the request's extensions.
///
/// While its request waits, the connection can be evicted. The request is then answered with an
/// error at once, instead of holding its connection and its body for those who wait less.
#[derive(Clone)]
pub struct Evictable(Arc<Connection>);

impl Evictable {
    pub(super) fn new(connection: Arc<Connection>) -> Self {
        Self(connection)
    }

    /// Waits for a future, or for the eviction of the connection.
    ///
    /// # Errors
    /// If the connection is evicted.
    pub async fn wait_for<T>(&self, future: impl Future<Output = T>) -> Result<T, MadeRoom> {
        let connection = &self.0;
        connection.enter(Phase::Waiting);
        let mut future = pin!(future);
        let waited = poll_fn(|cx| {
            {
                let mut progress = locked(&connection.progress);
                if let Some(reason) = progress.made_room {
                    return Poll::Ready(Err(reason));
                }
                progress.waker = Some(cx.waker().clone());
            }
            future.as_mut().poll(cx).map(Ok)
        })
        .await;
        connection.enter(Phase::Answering);
        waited
    }
}
