//! Limits the time and the size of each call to the API server. kube's client itself limits only
//! the wait for events of a watch.
//!
//! ```text
//! LIST, GET, PATCH, POST   headers and body within CALL_TIMEOUT; at most MAX_BODY_BYTES of body
//! WATCH                    headers within CALL_TIMEOUT; kube limits the wait for events
//!                          (timeoutSeconds and a margin); at most MAX_BODY_BYTES for each event;
//!                          the response ends no sooner than MIN_WATCH_TIME after its headers
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

/// Timeout of a call. An API server under load can take long to return a page of a LIST.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The API server did not answer a call in time.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the API server did not answer within {} s", .0.as_secs_f64())]
pub struct NoAnswer(pub(super) Duration);

/// Maximum size of a response body, and of one event of a watch.
pub const MAX_BODY_BYTES: usize = 16 << 20;
/// Maximum number of objects in one page of a LIST.
pub(super) const PAGE_SIZE: u32 = 100;

/// Minimum duration of a watch. kube's watcher reopens a watch as soon as it ends, so an API server
/// that ends watches immediately would receive a flood of requests.
pub const MIN_WATCH_TIME: Duration = Duration::from_secs(1);

/// A response body, or an event of a watch, exceeds [`MAX_BODY_BYTES`].
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the API server's response is larger than {} MiB", MAX_BODY_BYTES >> 20)]
pub struct TooLarge;

/// Creates a client that limits the time and the size of each call.
///
/// # Errors
/// If the configuration cannot be used, for example because of its credentials. The error is a
/// message for the user.
pub fn client(mut config: Config) -> Result<Client, String> {
    // kube's default retry would wait for the time in `Retry-After` without a log line. The callers
    // log and retry instead.
    config.default_retry = false;
    respect_no_proxy(&mut config);
    let client = Client::try_from(config).map_err(|error| describe(&error))?;
    Ok(limited(client, CALL_TIMEOUT))
}

/// Removes the proxy that comes from the environment if `NO_PROXY` matches the API server. kube
/// compares `NO_PROXY` with the address of the proxy instead (kube-client 5,
/// `ConfigLoader::proxy_url`).
fn respect_no_proxy(config: &mut Config) {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let either = |upper, lower| variable(upper).or_else(|| variable(lower));
    let proxy = either("HTTPS_PROXY", "https_proxy").and_then(|proxy| proxy.parse().ok());
    // As in kubectl, `NO_PROXY` does not affect a `proxy-url` of the kubeconfig.
    if proxy.is_none() || config.proxy_url != proxy {
        return;
    }
    let no_proxy = either("NO_PROXY", "no_proxy").unwrap_or_default();
    let proxies = Matcher::builder().all("http://proxy").no(no_proxy).build();
    if proxies.intercept(&config.cluster_url).is_none() {
        config.proxy_url = None;
    }
}

/// Returns a client that updates `clock` from each response of the API server.
pub fn with_clock(client: Client, clock: &Clock) -> Client {
    let clock = clock.clone();
    let report = move |contact: Contact<'_>| match contact {
        Contact::WatchOpened(headers) | Contact::Answered(headers) => clock.observe(headers),
        Contact::Received => {}
    };
    layered(client, None, Arc::new(report))
}

/// Returns a client whose calls fail with [`NoAnswer`] after the time `limit`, and with
/// [`TooLarge`] if the response is too large.
pub fn limited(client: Client, limit: Duration) -> Client {
    layered(client, Some(limit), Arc::new(|_| {}))
}

/// Returns a client that calls `report` whenever headers or a part of a body arrive.
pub(super) fn reporting(
    client: Client,
    report: impl Fn(Contact<'_>) + Send + Sync + 'static,
) -> Client {
    layered(client, None, Arc::new(report))
}

/// Makes a call with a timeout, which is shorter than [`CALL_TIMEOUT`]. After the timeout, the call
/// fails with [`NoAnswer`].
pub(super) async fn within<T>(
    limit: Duration,
    call: impl Future<Output = kube::Result<T>>,
) -> kube::Result<T> {
    let answer = timeout(limit, call).await;
    answer.unwrap_or_else(|_| Err(kube::Error::Service(NoAnswer(limit).into())))
}

/// A part of a response that has arrived from the API server.
#[derive(Clone, Copy, Debug)]
pub(super) enum Contact<'a> {
    /// The headers of a watch, after which the watch is open.
    WatchOpened(&'a HeaderMap),
    /// The headers of any other response.
    Answered(&'a HeaderMap),
    /// A part of a body.
    Received,
}

/// Returns whether an error or one of its sources is [`NoAnswer`].
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
            true => Body::from_stream(limit_events(body)),
            false => read_body(Body::from_stream(body)).await?,
        };
        Ok(Response::from_parts(head, body))
    };
    match limit {
        Some(limit) => timeout(limit, answer).await.map_err(|_| NoAnswer(limit))?,
        None => answer.await,
    }
}

async fn read_body(body: Body) -> Result<Body, BoxError> {
    let whole = Limited::new(body, MAX_BODY_BYTES).collect().await;
    let whole = whole.map_err(|error| match error.is::<LengthLimitError>() {
        true => TooLarge.into(),
        false => error,
    });
    Ok(whole?.to_bytes().into())
}

/// Limits the size of each event of a watch, which is one line, and delays the end of a watch that
/// is shorter than [`MIN_WATCH_TIME`].
fn limit_events<E: Into<BoxError>>(
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
