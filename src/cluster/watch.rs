//! How objects are watched: forever, with a short wait after a failure, an outage logged once.

use super::calls;
use crate::core::shown;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt as _};
use kube::Resource;
use kube::api::Api;
use kube::runtime::watcher::{Config, Error, Event, watcher};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::time::Duration;

/// A single failure is ordinary: a watch expires, a connection ends. What is still failing at this one is an outage.
const FAILURES_OF_AN_OUTAGE: u32 = 3;
const SHORTEST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Something that a watch says.
#[derive(Debug)]
pub(super) enum Watched<K> {
    /// What happened to the objects.
    Event(Event<K>),
    /// They cannot be watched, and why. What is known of them stays; events come again when they can.
    Outage(String),
}

/// Watches objects. `what` names them in logs.
pub(super) fn watch<K>(
    api: Api<K>,
    config: Config,
    what: String,
) -> impl Stream<Item = Watched<K>> + Send
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let watching = Watching {
        events: Box::pin(watcher(api, config.page_size(calls::PAGE))),
        failures: 0,
        wait: None,
        what,
    };
    stream::unfold(watching, async |mut watching| {
        let watched = watching.next().await?;
        Some((watched, watching))
    })
}

/// A watch, and how it fares.
struct Watching<K> {
    events: BoxStream<'static, Result<Event<K>, Error>>,
    /// Failures in a row.
    failures: u32,
    /// How long to wait before it is tried again. A watcher says that it begins a list before it asks for one, so a wait that grows
    /// until something succeeds, as in `WatchStreamExt::backoff`, would never grow.
    wait: Option<Duration>,
    what: String,
}

impl<K> Watching<K> {
    async fn next(&mut self) -> Option<Watched<K>> {
        loop {
            if let Some(wait) = self.wait.take() {
                tokio::time::sleep(wait).await;
            }
            match self.events.next().await? {
                // The beginning of a list says only that one is asked for.
                Ok(Event::Init) => return Some(Watched::Event(Event::Init)),
                Ok(event) => {
                    if self.failures >= FAILURES_OF_AN_OUTAGE {
                        tracing::info!("{} can be watched again", self.what);
                    }
                    self.failures = 0;
                    return Some(Watched::Event(event));
                }
                Err(error) => {
                    if let Some(problem) = self.failed(&error) {
                        return Some(Watched::Outage(problem));
                    }
                }
            }
        }
    }

    /// Takes in a failure; returns what to tell if it is an outage by now.
    fn failed(&mut self, error: &Error) -> Option<String> {
        let what = &self.what;
        let problem = shown::sentence(&describe(error));
        if is_expired(error) {
            tracing::debug!("watching {what}: {problem}");
            self.wait = Some(SHORTEST_WAIT);
            return None;
        }
        let before = self.failures;
        self.failures += 1;
        // What the API server refuses, it will refuse again; and it has had its time to answer.
        if is_refusal(error) || calls::is_no_answer(error) {
            self.failures = self.failures.max(FAILURES_OF_AN_OUTAGE);
        }
        self.wait = Some(wait_after(self.failures));
        if self.failures < FAILURES_OF_AN_OUTAGE {
            tracing::debug!("watching {what}: {problem}");
            return None;
        }
        if before < FAILURES_OF_AN_OUTAGE {
            tracing::warn!(
                "{what} cannot be watched, what is known of them stays in force: {problem}"
            );
        }
        Some(problem)
    }
}

/// Waits double, and are never so long that an API server that is back is not noticed soon.
fn wait_after(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    (SHORTEST_WAIT * 2_u32.pow(doublings)).min(LONGEST_WAIT)
}

/// Whether the API server has forgotten where the watch was, and answers a new list at once: no failure, but what follows an outage.
fn is_expired(error: &Error) -> bool {
    let code = match error {
        Error::WatchError(status) => status.code,
        Error::WatchStartFailed(kube::Error::Api(status)) => status.code,
        _ => return false,
    };
    code == 410
}

fn is_refusal(error: &Error) -> bool {
    matches!(error, Error::InitialListFailed(kube::Error::Api(status)) if matches!(status.code, 401 | 403 | 404))
}

/// Says what the API server answered, or why it could not be reached.
fn describe(error: &Error) -> String {
    match error {
        // Without a message of its own the API server means the kind, not an object.
        Error::InitialListFailed(kube::Error::Api(status)) if status.code == 404 => {
            "the API server does not know this kind of object".to_owned()
        }
        Error::InitialListFailed(kube::Error::Api(status))
        | Error::WatchStartFailed(kube::Error::Api(status))
        | Error::WatchFailed(kube::Error::Api(status)) => status.message.clone(),
        Error::WatchError(status) => status.message.clone(),
        Error::InitialListFailed(error)
        | Error::WatchStartFailed(error)
        | Error::WatchFailed(error) => format!("{:#}", Chain(error)),
        Error::NoResourceVersion => error.to_string(),
    }
}

/// An error with its causes, each once: some of kube's errors print their cause themselves.
struct Chain<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut said = self.0.to_string();
        f.write_str(&said)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !said.contains(&text) {
                write!(f, ": {text}")?;
                said = text;
            }
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
