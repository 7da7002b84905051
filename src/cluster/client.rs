//! Limits of each call to the API server: kube's client has none but for the events of a watch.
//!
//! ```text
//! LIST, GET, PATCH, POST   headers and body within the limit; a body of at most LARGEST bytes
//! WATCH                    headers within the limit; kube limits the wait for events
//!                          (timeoutSeconds and a margin); an event of at most LARGEST bytes;
//!                          it ends no sooner than SHORTEST_WATCH after it began
//! ```
//!
//! The limits are a layer around the client, so that no call can be made without them.

use super::clock::Clock;
use super::error::describe;
use axum::body::Bytes;
use axum::http::{HeaderMap, Request, Response};
use futures::stream;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use kube::client::Body;
use kube::{Client, Config};
use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};
use tower::service_fn;

/// Time for a call; an API server under load may take that long for a page of a list.
pub const LIMIT: Duration = Duration::from_secs(30);

/// The API server accepted a call and did not answer it in time.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the API server has not answered within {} s", .0.as_secs_f64())]
pub struct NoAnswer(Duration);

/// Bytes of an answer, and of one event of a watch.
pub const LARGEST: usize = 16 << 20;
/// Objects of a page of a list.
pub(super) const PAGE: u32 = 100;

/// The client opens a watch that has ended again at once, as often as the API server answers.
pub const SHORTEST_WATCH: Duration = Duration::from_secs(1);

/// The API server's answer exceeds [`LARGEST`].
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the API server's answer is larger than {} MiB", LARGEST >> 20)]
pub struct TooLarge;

/// Returns a client with these limits.
///
/// # Errors
/// Where the configuration names credentials that cannot be used: a sentence.
pub fn client(mut config: Config) -> Result<Client, String> {
    // Callers retry and log it; kube would wait silently, for as long as a `Retry-After` says.
    config.default_retry = false;
    let client = Client::try_from(config).map_err(|error| describe(&error))?;
    Ok(limited(client, LIMIT))
}

/// Returns a client that reads the API server's clock from each answer.
#[must_use]
pub fn timed(client: Client, clock: &Clock) -> Client {
    let clock = clock.clone();
    let report = move |contact: Contact<'_>| match contact {
        Contact::WatchOpened(headers) | Contact::Answered(headers) => clock.observe(headers),
        Contact::Received => {}
    };
    layered(client, None, Arc::new(report))
}

/// Returns a client whose calls end with [`NoAnswer`] at the limit.
#[must_use]
pub fn limited(client: Client, limit: Duration) -> Client {
    layered(client, Some(limit), Arc::new(|_| {}))
}

/// Returns a client that reports whenever the API server sends something.
pub(super) fn reporting(
    client: Client,
    report: impl Fn(Contact<'_>) + Send + Sync + 'static,
) -> Client {
    layered(client, None, Arc::new(report))
}

/// Something that the API server sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Contact<'a> {
    /// The headers of a watch that is open from now on.
    WatchOpened(&'a HeaderMap),
    /// Other headers.
    Answered(&'a HeaderMap),
    /// A part of a body.
    Received,
}

/// Whether an error, or one of its causes, is a missing answer.
pub(super) fn is_no_answer(error: &(dyn Error + 'static)) -> bool {
    error.is::<NoAnswer>() || error.source().is_some_and(is_no_answer)
}

type Report = Arc<dyn Fn(Contact<'_>) + Send + Sync>;
type BoxError = Box<dyn Error + Send + Sync>;

fn layered(client: Client, limit: Option<Duration>, report: Report) -> Client {
    let namespace = client.default_namespace().to_owned();
    let call = move |request| call(client.clone(), request, limit, report.clone());
    Client::new(service_fn(call), namespace)
}

async fn call(
    client: Client,
    request: Request<Body>,
    limit: Option<Duration>,
    report: Report,
) -> Result<Response<impl http_body::Body<Data = Bytes, Error = BoxError>>, BoxError> {
    let query = request.uri().query().unwrap_or_default();
    let is_watch = query.split('&').any(|part| part == "watch=true");
    let deadline = limit.map(|limit| (Instant::now() + limit, limit));
    let answer = within(deadline, client.send(request)).await??;
    report(match is_watch && answer.status().is_success() {
        true => Contact::WatchOpened(answer.headers()),
        false => Contact::Answered(answer.headers()),
    });
    Ok(answer.map(|body| {
        let reader = Reader {
            body,
            deadline: deadline.filter(|_| !is_watch),
            earliest_end: is_watch.then(|| Instant::now() + SHORTEST_WATCH),
            unread: 0,
            report,
        };
        StreamBody::new(stream::unfold(reader, Reader::next))
    }))
}

/// When an answer has to be there, and the limit that this follows from.
type Deadline = (Instant, Duration);

async fn within<T>(
    deadline: Option<Deadline>,
    answer: impl Future<Output = T>,
) -> Result<T, NoAnswer> {
    match deadline {
        Some((at, limit)) => timeout_at(at, answer).await.map_err(|_| NoAnswer(limit)),
        None => Ok(answer.await),
    }
}

struct Reader {
    body: Body,
    /// For the whole body; none for a watch.
    deadline: Option<Deadline>,
    /// Of a watch: its end is held back until then.
    earliest_end: Option<Instant>,
    /// The bytes of the body so far; of a watch, those of the line that has not ended.
    unread: usize,
    report: Report,
}

impl Reader {
    async fn next(mut self) -> Option<(Result<Frame<Bytes>, BoxError>, Self)> {
        let frame: Result<_, BoxError> = match within(self.deadline, self.body.frame()).await {
            Ok(frame) => frame.transpose().map_err(Into::into),
            Err(no_answer) => Err(no_answer.into()),
        };
        match frame {
            Ok(Some(frame)) => {
                (self.report)(Contact::Received);
                let taken = self.count(&frame).map(|()| frame).map_err(Into::into);
                Some((taken, self))
            }
            ended => {
                if let Some(earliest) = self.earliest_end {
                    sleep_until(earliest).await;
                }
                ended.transpose().map(|ended| (ended, self))
            }
        }
    }

    fn count(&mut self, frame: &Frame<Bytes>) -> Result<(), TooLarge> {
        let data: &[u8] = frame.data_ref().map_or(&[], |data| data.as_ref());
        let end_of_line = data.iter().rposition(|byte| *byte == b'\n');
        self.unread = match end_of_line.filter(|_| self.earliest_end.is_some()) {
            Some(end) => data.len() - end - 1,
            None => self.unread.saturating_add(data.len()),
        };
        match self.unread > LARGEST {
            true => Err(TooLarge),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
