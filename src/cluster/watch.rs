//! How objects are watched: forever, with a short wait after a failure, an outage logged once.

use futures::{Stream, StreamExt as _};
use kube::Resource;
use kube::api::Api;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{Config, Error, Event, watcher};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::time::Duration;

/// A single failure is ordinary: a watch expires, a connection ends. What is still failing at this one is an outage.
const FAILURES_OF_AN_OUTAGE: u32 = 3;

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
    let mut failures = 0;
    watcher(api, config)
        .backoff(Waits::default())
        .filter_map(move |item| std::future::ready(told(item, &mut failures, &what)))
}

fn told<K>(item: Result<Event<K>, Error>, failures: &mut u32, what: &str) -> Option<Watched<K>> {
    match item {
        // The beginning of a list says only that one is asked for.
        Ok(Event::Init) => Some(Watched::Event(Event::Init)),
        Ok(event) => {
            if *failures >= FAILURES_OF_AN_OUTAGE {
                tracing::info!("{what} can be watched again");
            }
            *failures = 0;
            Some(Watched::Event(event))
        }
        Err(error) => {
            // What the API server refuses, it will refuse again.
            *failures = match refusal(&error) {
                true => (*failures + 1).max(FAILURES_OF_AN_OUTAGE),
                false => *failures + 1,
            };
            let problem = describe(&error);
            if *failures < FAILURES_OF_AN_OUTAGE {
                tracing::debug!("watching {what}: {problem}");
                return None;
            }
            if *failures == FAILURES_OF_AN_OUTAGE {
                tracing::warn!(
                    "{what} cannot be watched, what is known of them stays in force: {problem}"
                );
            }
            Some(Watched::Outage(problem))
        }
    }
}

fn refusal(error: &Error) -> bool {
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

/// Waits after failures: doubled from the shortest, and never so long that an API server that is back is not noticed soon.
#[derive(Debug)]
struct Waits {
    next: Duration,
}

const SHORTEST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(5);

impl Default for Waits {
    fn default() -> Self {
        Self { next: SHORTEST }
    }
}

impl Iterator for Waits {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let wait = self.next;
        self.next = (wait * 2).min(LONGEST);
        Some(wait)
    }
}

impl Backoff for Waits {
    fn reset(&mut self) {
        *self = Self::default();
    }
}
