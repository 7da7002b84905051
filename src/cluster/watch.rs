//! Keeps watches open, with a backoff after a failure, and lists again if events may be missing.
//!
//! A watch begins with a LIST at the start, after each failure, every ten minutes, and when a
//! resourceVersion goes back. A resourceVersion goes back if etcd was restored from a backup;
//! kube's watcher would then wait for events until the old revision is reached.

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

/// Number of consecutive failures that count as an outage. Single failures are normal: a watch
/// expires, a connection ends.
const OUTAGE_FAILURES: u32 = 3;
const MIN_BACKOFF: Duration = Duration::from_millis(200);
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// Time between two lists of a watch that does not fail.
const RELIST_INTERVAL: Duration = Duration::from_secs(600);

/// All watches of a replica: the last contact of each, and whether it fails. An outage of several
/// watches of one kind is logged in one line.
pub(super) struct Watches {
    metrics: Arc<Metrics>,
    open: Mutex<BTreeMap<(WatchKind, u64), Health>>,
}

#[derive(Default)]
struct Health {
    /// In seconds since 1970.
    last_contact: i64,
    is_in_outage: bool,
}

impl Watches {
    pub(super) fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        let open = Mutex::default();
        Arc::new(Self { metrics, open })
    }

    /// Watches the objects of the API that `api` creates from a client, until the stream is
    /// dropped.
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
            entry.in_contact();
            if let Contact::WatchOpened(_) = contact {
                notify.notify_one();
            }
        });
        let (api, config) = (api(client), config.page_size(client::PAGE_SIZE));
        let list = move || watcher(api.clone(), config.clone()).boxed();
        let watch = Watch {
            events: list(),
            list: Box::new(list),
            next_list: Instant::now() + RELIST_INTERVAL,
            version: 0,
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

    fn open(&self) -> MutexGuard<'_, BTreeMap<(WatchKind, u64), Health>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Exports the oldest last contact of a kind; 0 if it has no open watch.
    fn export(&self, open: &BTreeMap<(WatchKind, u64), Health>, kind: WatchKind) {
        let of_kind = open.range((kind, 0)..=(kind, u64::MAX));
        let oldest = of_kind.map(|(_, health)| health.last_contact).min();
        let family = &self.metrics.watch_last_contact_timestamp;
        family.get_or_create(&kind).set(oldest.unwrap_or(0));
    }

    fn outages(&self, kind: WatchKind) -> usize {
        let open = self.open();
        let of_kind = open.range((kind, 0)..=(kind, u64::MAX));
        of_kind.filter(|(_, health)| health.is_in_outage).count()
    }
}

/// The entry of one watch in [`Watches`]; dropping it removes the watch from the metric and the
/// log.
struct HealthEntry {
    all: Arc<Watches>,
    kind: WatchKind,
    number: u64,
}

impl HealthEntry {
    fn new(all: Arc<Watches>, kind: WatchKind) -> Self {
        let last = all.open().keys().map(|(_, number)| *number).max();
        let number = last.map_or(0, |last| last + 1);
        let entry = Self { all, kind, number };
        entry.in_contact();
        entry
    }

    fn in_contact(&self) {
        let now = Timestamp::now().as_second();
        self.change(|health| health.last_contact = now);
    }

    fn change(&self, change: impl FnOnce(&mut Health)) {
        let mut open = self.all.open();
        change(open.entry((self.kind, self.number)).or_default());
        self.all.export(&open, self.kind);
    }

    /// Sets whether the watch is in an outage; returns whether an outage of its kind begins or
    /// ends.
    fn set_in_outage(&self, is_in_outage: bool) -> bool {
        let before = self.all.outages(self.kind);
        self.change(|health| health.is_in_outage = is_in_outage);
        (before == 0) != (self.all.outages(self.kind) == 0)
    }
}

impl Drop for HealthEntry {
    fn drop(&mut self) {
        let mut open = self.all.open();
        open.remove(&(self.kind, self.number));
        self.all.export(&open, self.kind);
    }
}

/// An item of a watch.
#[derive(Debug)]
pub(super) enum Watched<K> {
    Event(Event<K>),
    /// The objects cannot be watched; the text says why. A LIST follows when the outage ends.
    Outage(String),
}

type Events<K> = BoxStream<'static, Result<Event<K>, Error>>;

struct Watch<K> {
    events: Events<K>,
    /// Starts the watch again, with a LIST.
    list: Box<dyn Fn() -> Events<K> + Send>,
    next_list: Instant,
    /// The highest resourceVersion since the last LIST began.
    version: u64,
    /// Whether a LIST was completed since the start.
    is_listed: bool,
    /// Notified when the API server has opened the watch.
    opened: Arc<Notify>,
    /// Failures since the watch was open.
    failures: u32,
    /// The time until the next call. `WatchStreamExt::backoff` cannot be used: kube's watcher
    /// yields `Init` before each LIST, which resets the backoff.
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
                    self.recovered();
                    continue;
                }
                Some(event) = self.events.next() => event,
                () = sleep_until(self.next_list) => {
                    self.restart();
                    continue;
                }
            };
            match event {
                Ok(event) if self.is_of_the_past(&event) => {
                    tracing::debug!("watching {}: a resourceVersion went back", self.kind_name());
                    self.restart();
                }
                Ok(event) => {
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
        self.events = (self.list)();
        self.next_list = Instant::now() + RELIST_INTERVAL;
        self.version = 0;
    }

    fn is_of_the_past(&mut self, event: &Event<K>) -> bool {
        let (Event::Apply(object) | Event::InitApply(object) | Event::Delete(object)) = event
        else {
            return false;
        };
        let version = object.meta().resource_version.as_deref();
        let version = version
            .and_then(|version| version.parse().ok())
            .unwrap_or(self.version);
        let before = self.version;
        self.version = before.max(version);
        version < before && !matches!(event, Event::InitApply(_))
    }

    fn recovered(&mut self) {
        if self.failures >= OUTAGE_FAILURES && self.health.set_in_outage(false) {
            tracing::info!("watching {} again", self.kind_name());
        }
        self.failures = 0;
    }

    /// Counts a failure; returns the problem if the watch is in an outage.
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
        // These failures count as an outage at once: a refusal will repeat, and a call without an
        // answer has taken its whole timeout.
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

/// Doubles the wait, up to a limit so that the end of an outage is noticed soon.
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
