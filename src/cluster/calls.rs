//! Every call to the API server ends: kube's client waits for an answer without end, and its watcher limits only the items of a watch.
//!
//! ```text
//! LIST, GET, PATCH, POST   headers and body within the limit; a body of [`LARGEST`] bytes at most
//! WATCH                    headers within the limit; the items have kube's own limit (timeoutSeconds and a margin);
//!                          an event of [`LARGEST`] bytes at most; it ends no sooner than [`SHORTEST_WATCH`]
//! ```
//!
//! kube's client reads a body, and a line of a watch, to its end, however long it is. It waits as long as a `Retry-After` says, too,
//! unless its retries are off ([`client`]). The limits are a layer around the client, so that no call can be made without them.

use axum::body::Bytes;
use axum::http::{Request, Response};
use futures::future::BoxFuture;
use http_body::{Frame, SizeHint};
use kube::client::Body;
use kube::{Client, Config};
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Sleep, sleep};
use tower_service::Service;

/// The limit of a call; a page of a list may take an API server under load that long.
pub const LIMIT: Duration = Duration::from_secs(30);

/// The API server accepted a call and did not answer it in time.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the API server has not answered within {} s", .0.as_secs_f64())]
pub struct NoAnswer(Duration);

/// How many bytes of an answer are read, and of one event of a watch. A page of a list has a hundred objects at most.
pub const LARGEST: usize = 16 << 20;
/// The objects of a page.
pub(super) const PAGE: u32 = 100;

/// A watch that ends at once would be asked for again at once, as often as the API server can answer.
pub const SHORTEST_WATCH: Duration = Duration::from_secs(1);

/// The API server answered more than is read.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the API server's answer is larger than {} MiB", LARGEST >> 20)]
pub struct TooLarge;

/// Returns a client with these limits.
///
/// # Errors
/// Where the configuration names credentials that cannot be used.
pub fn client(mut config: Config) -> kube::Result<Client> {
    // Whoever asks tries again and logs it. kube would do it silently, for as long as a `Retry-After` says.
    config.default_retry = false;
    Ok(limited(Client::try_from(config)?, LIMIT))
}

/// Returns a client whose calls end with [`NoAnswer`] when the API server does not answer within the limit.
#[must_use]
pub fn limited(client: Client, limit: Duration) -> Client {
    observed(client, Some(limit), Arc::new(|| {}))
}

/// Returns a client that calls `on_contact` for the headers of each answer and for each part of its body.
pub(super) fn reporting(client: Client, on_contact: impl Fn() + Send + Sync + 'static) -> Client {
    observed(client, None, Arc::new(on_contact))
}

/// Whether an error, or one of its causes, is a missing answer.
pub(super) fn is_no_answer(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<NoAnswer>() {
            return true;
        }
        cause = error.source();
    }
    false
}

fn observed(client: Client, limit: Option<Duration>, on_contact: OnContact) -> Client {
    let namespace = client.default_namespace().to_owned();
    let observed = Observed {
        client,
        limit,
        on_contact,
    };
    Client::new(observed, namespace)
}

type OnContact = Arc<dyn Fn() + Send + Sync>;

struct Observed {
    client: Client,
    limit: Option<Duration>,
    on_contact: OnContact,
}

type BoxError = Box<dyn Error + Send + Sync>;

impl Service<Request<Body>> for Observed {
    type Response = Response<ObservedBody>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<ObservedBody>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Self {
            client,
            limit,
            on_contact,
        } = self;
        let (client, limit, on_contact) = (client.clone(), *limit, on_contact.clone());
        let query = request.uri().query().unwrap_or_default();
        let is_watch = query.split('&').any(|part| part == "watch=true");
        Box::pin(async move {
            let mut deadline = limit.map(|limit| (Box::pin(sleep(limit)), limit));
            let sent = client.send(request);
            let answer = match &mut deadline {
                None => sent.await?,
                Some((deadline, limit)) => tokio::select! {
                    answer = sent => answer?,
                    () = deadline.as_mut() => return Err(NoAnswer(*limit).into()),
                },
            };
            on_contact();
            let deadline = deadline.filter(|_| !is_watch);
            Ok(answer.map(|body| ObservedBody {
                body: Box::pin(body),
                deadline,
                earliest_end: is_watch.then(|| Box::pin(sleep(SHORTEST_WATCH))),
                end: None,
                unread: 0,
                on_contact,
            }))
        })
    }
}

type BodyFrame = Option<Result<Frame<Bytes>, BoxError>>;

struct ObservedBody {
    body: Pin<Box<Body>>,
    /// When the whole body has to be there; never for a watch.
    deadline: Option<(Pin<Box<Sleep>>, Duration)>,
    /// Of a watch: before that its end is held back.
    earliest_end: Option<Pin<Box<Sleep>>>,
    end: Option<BodyFrame>,
    /// The bytes of the body so far; of a watch, those of the line that has not ended.
    unread: usize,
    on_contact: OnContact,
}

impl ObservedBody {
    fn pass(&mut self, frame: BodyFrame, context: &mut Context<'_>) -> Poll<BodyFrame> {
        let Some(Ok(part)) = &frame else {
            let earliest = self.earliest_end.as_mut();
            if earliest.is_some_and(|earliest| earliest.as_mut().poll(context).is_pending()) {
                self.end = Some(frame);
                return Poll::Pending;
            }
            return Poll::Ready(frame);
        };
        (self.on_contact)();
        match self.take(part) {
            Ok(()) => Poll::Ready(frame),
            Err(error) => Poll::Ready(Some(Err(error.into()))),
        }
    }

    fn take(&mut self, frame: &Frame<Bytes>) -> Result<(), TooLarge> {
        let data: &[u8] = frame.data_ref().map_or(&[], |data| data.as_ref());
        let end_of_line = data.iter().rposition(|byte| *byte == b'\n');
        let is_watch = self.earliest_end.is_some();
        self.unread = match end_of_line.filter(|_| is_watch) {
            Some(end) => data.len() - end - 1,
            None => self.unread.saturating_add(data.len()),
        };
        if self.unread > LARGEST {
            return Err(TooLarge);
        }
        Ok(())
    }
}

impl http_body::Body for ObservedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = match self.end.take() {
            Some(end) => Poll::Ready(end),
            None => {
                let frame = self.body.as_mut().poll_frame(context);
                frame.map(|frame| frame.map(|part| part.map_err(Into::into)))
            }
        };
        if let Poll::Ready(frame) = frame {
            return self.pass(frame, context);
        }
        let Some((deadline, limit)) = &mut self.deadline else {
            return Poll::Pending;
        };
        let limit = *limit;
        let over = deadline.as_mut().poll(context);
        over.map(|()| Some(Err(NoAnswer(limit).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.earliest_end.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
