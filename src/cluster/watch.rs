//! Keeps watches open, with a backoff after a failure, and lists again if events may be missing.
//!
//! A watch begins with a LIST. It is restarted after each failure, every ten minutes, and when a
//! resourceVersion is lower than an earlier one. A resourceVersion decreases if etcd is restored
//! from a backup; kube's watcher would then return no events until the old revision is reached
//! again.

use super::client::{self, Contact};
use super::error::{describe, status_of};
use crate::core::policy::AddressSourceKind;
use crate::telemetry::metrics::{Metrics, WatchKind};
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use jiff::Timestamp;
use kube::api::Api;
use kube::runtime::watcher::{Config, Error, Event, watcher};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

/// Number of consecutive failures that count as an outage. Single failures are normal, for example
/// when a watch expires or a connection ends.
const OUTAGE_FAILURES: u32 = 3;
const MIN_BACKOFF: Duration = Duration::from_millis(200);
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// Time between two LISTs of a watch that does not fail.
const RELIST_INTERVAL: Duration = Duration::from_secs(600);

/// The health of all watches of a replica. An outage of several watches of one kind is logged in
/// one line.
pub(super) struct Watches {
    metrics: Arc<Metrics>,
    health: Mutex<HealthByWatch>,
}

/// The health of each watch, by its kind and its number.
type HealthByWatch = BTreeMap<(WatchKind, u64), Health>;

#[derive(Default)]
struct Health {
    /// Unix time in seconds at which the API server last sent something.
    last_contact: i64,
    is_in_outage: bool,
}

impl Watches {
    pub(super) fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        let health = Mutex::default();
        Arc::new(Self { metrics, health })
    }

    /// Watches objects until the returned stream is dropped. `api` creates the API of the objects
    /// from a client.
    pub(super) fn watch<K>(
        self: &Arc<Self>,
        client: &Client,
        kind: WatchKind,
        config: Config,
        api: impl FnOnce(Client) -> Api<K>,
    ) -> BoxStream<'static, Watched<K>>
    where
        K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    {
        let health = Arc::new(HealthEntry::new(self.clone(), kind));
        let (opened, entry) = (Arc::new(Notify::new()), health.clone());
        let notify = opened.clone();
        let client = client::reporting(client.clone(), move |contact| {
            entry.record_contact();
            if let Contact::WatchOpened(_) = contact {
                notify.notify_one();
            }
        });
        let (api, config) = (api(client), config.page_size(client::PAGE_SIZE));
        let start = move || watcher(api.clone(), config.clone()).boxed();
        let watch = Watch {
            events: start(),
            start: Box::new(start),
            next_restart: Instant::now() + RELIST_INTERVAL,
            max_version: 0,
            is_listed: false,
            opened,
            failures: 0,
            wait: None,
            health,
        };
        stream::unfold(watch, async |mut watch| {
            let watched = watch.next().await;
            Some((watched, watch))
        })
        .boxed()
    }

    fn lock(&self) -> MutexGuard<'_, HealthByWatch> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the metric of a kind to the oldest last contact of its watches, or to 0 if it has none.
    fn export(&self, health: &HealthByWatch, kind: WatchKind) {
        let of_kind = health.range((kind, 0)..=(kind, u64::MAX));
        let oldest = of_kind.map(|(_, health)| health.last_contact).min();
        let family = &self.metrics.watch_last_contact_timestamp;
        family.get_or_create(&kind).set(oldest.unwrap_or(0));
    }

    /// Returns whether any watch of a kind is in an outage.
    fn is_in_outage(&self, kind: WatchKind) -> bool {
        let health = self.lock();
        let mut of_kind = health.range((kind, 0)..=(kind, u64::MAX));
        of_kind.any(|(_, health)| health.is_in_outage)
    }
}

/// The entry of one watch in [`Watches`]. Dropping it removes the entry.
struct HealthEntry {
    all: Arc<Watches>,
    kind: WatchKind,
    number: u64,
}

impl HealthEntry {
    fn new(all: Arc<Watches>, kind: WatchKind) -> Self {
        let last = all.lock().keys().map(|(_, number)| *number).max();
        let number = last.map_or(0, |last| last + 1);
        let entry = Self { all, kind, number };
        entry.record_contact();
        entry
    }

    /// Records that the API server has sent something now.
    fn record_contact(&self) {
        let now = Timestamp::now().as_second();
        self.change(|health| health.last_contact = now);
    }

    fn change(&self, change: impl FnOnce(&mut Health)) {
        let mut health = self.all.lock();
        change(health.entry((self.kind, self.number)).or_default());
        self.all.export(&health, self.kind);
    }

    /// Sets whether the watch is in an outage. Returns whether an outage of watches of its kind
    /// begins or ends with this change.
    fn set_in_outage(&self, is_in_outage: bool) -> bool {
        let before = self.all.is_in_outage(self.kind);
        self.change(|health| health.is_in_outage = is_in_outage);
        before != self.all.is_in_outage(self.kind)
    }
}

impl Drop for HealthEntry {
    fn drop(&mut self) {
        let mut health = self.all.lock();
        health.remove(&(self.kind, self.number));
        self.all.export(&health, self.kind);
    }
}

/// An item of the stream of a watch.
#[derive(Debug)]
pub(super) enum Watched<K> {
    Event(Event<K>),
    /// The objects cannot be watched. Contains the problem. When the outage ends, the next events
    /// are those of a LIST.
    Outage(String),
}

type Events<K> = BoxStream<'static, Result<Event<K>, Error>>;

struct Watch<K> {
    events: Events<K>,
    /// Starts a new watch, which begins with a LIST.
    start: Box<dyn Fn() -> Events<K> + Send>,
    /// When the watch is restarted if it does not fail.
    next_restart: Instant,
    /// The highest resourceVersion since the last start.
    max_version: u64,
    /// Whether any LIST has been completed.
    is_listed: bool,
    /// Notified when the API server has opened the watch.
    opened: Arc<Notify>,
    /// Number of consecutive failures. Opening the watch resets it.
    failures: u32,
    /// Time to wait before the next call. `WatchStreamExt::backoff` cannot be used, because kube's
    /// watcher yields `Init` before each LIST, which resets that backoff.
    wait: Option<Duration>,
    health: Arc<HealthEntry>,
}

impl<K: Resource> Watch<K> {
    async fn next(&mut self) -> Watched<K> {
        loop {
            if let Some(wait) = self.wait.take() {
                sleep(wait).await;
            }
            let opened = self.opened.clone();
            let event = tokio::select! {
                biased;
                () = opened.notified() => {
                    self.record_recovery();
                    continue;
                }
                Some(event) = self.events.next() => event,
                () = sleep_until(self.next_restart) => {
                    self.restart();
                    continue;
                }
            };
            match event {
                Ok(event) => {
                    let has_decreased = self.record_version(&event);
                    if has_decreased {
                        let kind = self.kind_name();
                        tracing::debug!("watching {kind}: a resourceVersion has decreased");
                        self.restart();
                        continue;
                    }
                    self.is_listed |= matches!(event, Event::InitDone);
                    return Watched::Event(event);
                }
                Err(error) => {
                    if let Some(problem) = self.record_failure(&error) {
                        return Watched::Outage(problem);
                    }
                }
            }
        }
    }

    fn kind_name(&self) -> &'static str {
        self.health.kind.name()
    }

    fn restart(&mut self) {
        self.events = (self.start)();
        self.next_restart = Instant::now() + RELIST_INTERVAL;
        self.max_version = 0;
    }

    /// Records the resourceVersion of an event. Returns whether the event is not part of a LIST and
    /// has a lower resourceVersion than an earlier one.
    fn record_version(&mut self, event: &Event<K>) -> bool {
        let (Event::Apply(object) | Event::InitApply(object) | Event::Delete(object)) = event
        else {
            return false;
        };
        let version = object.meta().resource_version.as_deref();
        let version = version
            .and_then(|version| version.parse().ok())
            .unwrap_or(self.max_version);
        let before = self.max_version;
        self.max_version = before.max(version);
        version < before && !matches!(event, Event::InitApply(_))
    }

    /// Resets the failures; logs the end of an outage.
    fn record_recovery(&mut self) {
        if self.failures >= OUTAGE_FAILURES && self.health.set_in_outage(false) {
            tracing::info!("watching {} again", self.kind_name());
        }
        self.failures = 0;
    }

    /// Counts a failure and restarts the watch. Returns the problem if the watch is in an outage.
    fn record_failure(&mut self, error: &Error) -> Option<String> {
        let what = self.kind_name();
        let problem = problem(error);
        // The resourceVersion is too old; kube's watcher lists again.
        if code(error) == Some(410) {
            tracing::debug!("watching {what}: {problem}");
            self.wait = Some(MIN_BACKOFF);
            return None;
        }
        self.failures += 1;
        // These failures count as an outage at once, because a refusal repeats, and a call without
        // an answer has taken its whole timeout.
        let is_refused = matches!(code(error), Some(401 | 403 | 404));
        if is_refused || client::is_no_answer(error) {
            self.failures = self.failures.max(OUTAGE_FAILURES);
        }
        self.wait = Some(wait_after(self.failures));
        self.restart();
        if self.failures < OUTAGE_FAILURES {
            tracing::debug!("watching {what}: {problem}");
            return None;
        }
        if self.health.set_in_outage(true) {
            let effect = match self.is_listed {
                true => "the last known state stays in force",
                false => "nothing has been read yet",
            };
            tracing::warn!("cannot watch {what}: {problem}; {effect}");
        }
        Some(problem)
    }
}

/// Returns the wait after consecutive failures. It doubles with each failure, up to a maximum that
/// is short enough to notice the end of an outage soon.
fn wait_after(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    (MIN_BACKOFF * 2_u32.pow(doublings)).min(MAX_BACKOFF)
}

fn code(error: &Error) -> Option<u16> {
    match error {
        Error::WatchError(status) => Some(status.code),
        Error::InitialListFailed(error) | Error::WatchStartFailed(error) => {
            status_of(error).map(|status| status.code)
        }
        _ => None,
    }
}

fn problem(error: &Error) -> String {
    match error {
        Error::InitialListFailed(_) if code(error) == Some(404) => {
            "the API server does not know this kind of object".to_owned()
        }
        Error::InitialListFailed(error)
        | Error::WatchStartFailed(error)
        | Error::WatchFailed(error) => describe(error),
        error => describe(error),
    }
}

impl From<AddressSourceKind> for WatchKind {
    fn from(kind: AddressSourceKind) -> Self {
        match kind {
            AddressSourceKind::Ingress => Self::Ingresses,
            AddressSourceKind::Service | AddressSourceKind::ServiceClusterIp => Self::Services,
            AddressSourceKind::Gateway => Self::Gateways,
        }
    }
}

#[cfg(test)]
mod tests;
