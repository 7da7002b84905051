//! Limits of each call to the API server. kube's client only limits the wait for events of a watch.
//!
//! ```text
//! LIST, GET, PATCH, POST   headers and body within CALL_TIMEOUT; at most MAX_BODY_BYTES of body
//! WATCH                    headers within CALL_TIMEOUT; kube limits the wait for events
//!                          (timeoutSeconds and a margin); at most MAX_BODY_BYTES for each event;
//!                          it ends no sooner than MIN_WATCH_TIME after it began
//! ```
//!
//! The limits are a layer around the client, so they apply to every call.

use super::clock::Clock;
use super::error::describe;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, Response};
use futures::StreamExt as _;
use futures::future::ready;
use futures::stream::{self, Stream};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper_util::client::proxy::matcher::Matcher;
use kube::{Client, Config};
use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};
use tower::service_fn;

/// Time for a call. An API server under load may take long for a page of a list.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The API server did not answer a call in time.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the API server has not answered within {} s", .0.as_secs_f64())]
pub struct NoAnswer(pub(super) Duration);

/// Bytes of an answer, and of one event of a watch.
pub const MAX_BODY_BYTES: usize = 16 << 20;
/// Number of objects in a page of a list.
pub(super) const PAGE_SIZE: u32 = 100;

/// Minimum time of a watch: the client reopens a watch that has ended immediately.
pub const MIN_WATCH_TIME: Duration = Duration::from_secs(1);

/// The API server's answer exceeds [`MAX_BODY_BYTES`].
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the API server's answer is larger than {} MiB", MAX_BODY_BYTES >> 20)]
pub struct TooLarge;

/// Creates a client with the limits.
///
/// # Errors
/// If the configuration has unusable credentials: a sentence.
pub fn client(mut config: Config) -> Result<Client, String> {
    // Callers retry and log. kube would wait silently for the time in `Retry-After`.
    config.default_retry = false;
    respect_no_proxy(&mut config);
    let client = Client::try_from(config).map_err(|error| describe(&error))?;
    Ok(limited(client, CALL_TIMEOUT))
}

/// Removes the proxy of the environment if `NO_PROXY` matches the API server. kube compares
/// `NO_PROXY` with the address of the proxy instead (kube-client 5, `ConfigLoader::proxy_url`).
fn respect_no_proxy(config: &mut Config) {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let either = |upper, lower| variable(upper).or_else(|| variable(lower));
    let proxy = either("HTTPS_PROXY", "https_proxy").and_then(|proxy| proxy.parse().ok());
    // A proxy-url of the kubeconfig is always used, as in kubectl.
    if proxy.is_none() || config.proxy_url != proxy {
        return;
    }
    let no_proxy = either("NO_PROXY", "no_proxy").unwrap_or_default();
    let proxies = Matcher::builder().all("http://proxy").no(no_proxy).build();
    if proxies.intercept(&config.cluster_url).is_none() {
        config.proxy_url = None;
    }
}

/// Returns a client that reads the API server's clock from each answer.
pub fn timed(client: Client, clock: &Clock) -> Client {
    let clock = clock.clone();
    let report = move |contact: Contact<'_>| match contact {
        Contact::WatchOpened(headers) | Contact::Answered(headers) => clock.observe(headers),
        Contact::Received => {}
    };
    layered(client, None, Arc::new(report))
}

/// Returns a client whose calls end with [`NoAnswer`] at the limit.
pub fn limited(client: Client, limit: Duration) -> Client {
    layered(client, Some(limit), Arc::new(|_| {}))
}

/// Returns a client that calls `report` whenever the API server sends something.
pub(super) fn reporting(
    client: Client,
    report: impl Fn(Contact<'_>) + Send + Sync + 'static,
) -> Client {
    layered(client, None, Arc::new(report))
}

/// Makes a call with a shorter limit than [`CALL_TIMEOUT`]; it fails with [`NoAnswer`].
pub(super) async fn within<T>(
    limit: Duration,
    call: impl Future<Output = kube::Result<T>>,
) -> kube::Result<T> {
    let answer = timeout(limit, call).await;
    answer.unwrap_or_else(|_| Err(kube::Error::Service(NoAnswer(limit).into())))
}

/// Something that the API server sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Contact<'a> {
    /// The headers of a watch, which is open now.
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
    request: Request<kube::client::Body>,
    limit: Option<Duration>,
    report: Report,
) -> Result<Response<Body>, BoxError> {
    let query = request.uri().query().unwrap_or_default();
    let is_watch = query.split('&').any(|part| part == "watch=true");
    let answer = async {
        let (head, body) = client.send(request).await?.into_parts();
        report(match is_watch && head.status.is_success() {
            true => Contact::WatchOpened(&head.headers),
            false => Contact::Answered(&head.headers),
        });
        let body = body
            .into_data_stream()
            .inspect(move |_| report(Contact::Received));
        let body = match is_watch {
            true => Body::from_stream(events(body)),
            false => whole(Body::from_stream(body)).await?,
        };
        Ok(Response::from_parts(head, body))
    };
    match limit {
        Some(limit) => timeout(limit, answer).await.map_err(|_| NoAnswer(limit))?,
        None => answer.await,
    }
}

async fn whole(body: Body) -> Result<Body, BoxError> {
    let whole = Limited::new(body, MAX_BODY_BYTES).collect().await;
    let whole = whole.map_err(|error| match error.is::<LengthLimitError>() {
        true => TooLarge.into(),
        false => error,
    });
    Ok(whole?.to_bytes().into())
}

/// Limits the size of each event of a watch, and delays the end of a short watch. An event is a
/// line.
fn events<E: Into<BoxError>>(
    body: impl Stream<Item = Result<Bytes, E>>,
) -> impl Stream<Item = Result<Bytes, BoxError>> {
    // Number of bytes of the incomplete line.
    let mut unread = 0;
    let events = body.map(move |data| {
        let data = data.map_err(Into::into)?;
        unread = match data.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => data.len() - end - 1,
            None => unread + data.len(),
        };
        match unread > MAX_BODY_BYTES {
            true => Err(TooLarge.into()),
            false => Ok(data),
        }
    });
    let end = stream::once(sleep_until(Instant::now() + MIN_WATCH_TIME));
    events.chain(end.filter_map(|()| ready(None)))
}

#[cfg(test)]
mod tests;
