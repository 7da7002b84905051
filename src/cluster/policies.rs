//! Watches policies and the objects that have their addresses, and publishes what is in force.
//!
//! ```text
//! JobPodPolicy ──────────────┐
//! Ingress, Service, Gateway ─┴─► Known ─► PolicySet, to the webhook
//!  (one object each)               └────► status, to the API server
//! ```

use super::contact::Contacts;
use super::source::{self, Seen};
use super::status;
use super::store::{Change, Known};
use super::watch::{Watched, watch};
use crate::core::crd;
use crate::core::policy::{PolicySet, Source};
use crate::telemetry::metrics::{Metrics, WatchKind};
use futures::StreamExt as _;
use jiff::Timestamp;
use kube::Client;
use kube::api::{Api, DynamicObject};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::watcher::{Config, Event};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch as channel};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How long the first set of policies waits for the addresses of their sources.
const FIRST_LOOK: Duration = Duration::from_secs(5);
/// What happens in such a time leads to one look at what the status of policies should be: that compares all of them.
const GATHER: Duration = Duration::from_millis(100);

/// What there is to write: the status of each policy that does not have it.
pub(super) type Statuses = BTreeMap<String, crd::JobPodPolicyStatus>;

/// Returns the resource of policies.
pub(super) fn resource() -> ApiResource {
    let gvk = GroupVersionKind::gvk(crd::GROUP, crd::VERSION, crd::KIND);
    ApiResource::from_gvk_with_plural(&gvk, crd::PLURAL)
}

/// Watches until it is dropped. `published` has no set before the policies were read once, each of their sources too.
pub async fn run(
    client: Client,
    published: channel::Sender<Option<Arc<PolicySet>>>,
    metrics: Arc<Metrics>,
) {
    run_by(Timestamp::now, client, published, metrics).await;
}

/// The same by a clock.
async fn run_by(
    clock: impl Fn() -> Timestamp + Send + Sync + 'static,
    client: Client,
    published: channel::Sender<Option<Arc<PolicySet>>>,
    metrics: Arc<Metrics>,
) {
    let (statuses, wanted) = channel::channel(Statuses::new());
    let writer = super::status_writer::run(client.clone(), wanted);
    let mut follower = Follower::new(client, published, statuses, metrics);
    follower.clock = Box::new(clock);
    tokio::join!(follower.run(), writer);
}

struct Follower {
    client: Client,
    known: Known,
    /// A watch for each source.
    watches: BTreeMap<Source, Watch>,
    seen: mpsc::Sender<(Source, Seen)>,
    seen_here: mpsc::Receiver<(Source, Seen)>,
    published: channel::Sender<Option<Arc<PolicySet>>>,
    statuses: channel::Sender<Statuses>,
    metrics: Arc<Metrics>,
    contacts: Contacts,
    clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
    /// The names of a list that is being read.
    listed: Option<BTreeSet<String>>,
    /// When the first list was read.
    read_at: Option<Instant>,
    /// When the status of policies is to be looked at.
    statuses_due: Option<Instant>,
}

/// A task that ends when nobody wants it any more.
struct Watch(JoinHandle<()>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Follower {
    fn new(
        client: Client,
        published: channel::Sender<Option<Arc<PolicySet>>>,
        statuses: channel::Sender<Statuses>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (seen, seen_here) = mpsc::channel(64);
        Self {
            client,
            known: Known::default(),
            watches: BTreeMap::new(),
            seen,
            seen_here,
            published,
            statuses,
            contacts: Contacts::new(metrics.clone()),
            clock: Box::new(Timestamp::now),
            metrics,
            listed: None,
            read_at: None,
            statuses_due: None,
        }
    }

    async fn run(mut self) {
        let client = self.contacts.watching(&self.client, WatchKind::Policies);
        let api: Api<DynamicObject> = Api::all_with(client, &resource());
        let events = watch(api, Config::default(), "JobPodPolicy objects".to_owned());
        let mut events = std::pin::pin!(events);
        loop {
            let first_look = self.read_at.map(|read| read + FIRST_LOOK);
            let waits = self.published.borrow().is_none();
            let change = tokio::select! {
                Some(event) = events.next() => self.take(event),
                Some((source, seen)) = self.seen_here.recv() => self.saw(&source, seen),
                () = until(first_look), if waits && first_look.is_some() => Change::InForce,
                () = until(self.statuses_due), if self.statuses_due.is_some() => {
                    self.hand_over_statuses();
                    continue;
                }
            };
            if self.read_at.is_some() {
                self.hand_over(change);
            }
        }
    }

    /// Takes in an event; returns what it changes.
    fn take(&mut self, event: Watched<DynamicObject>) -> Change {
        let Watched::Event(event) = event else {
            return Change::Nothing;
        };
        match event {
            Event::Init => {
                self.listed = Some(BTreeSet::new());
                Change::Nothing
            }
            Event::InitApply(object) => {
                if let (Some(listed), Some(name)) = (&mut self.listed, &object.metadata.name) {
                    listed.insert(name.clone());
                }
                self.apply(&object)
            }
            Event::InitDone => {
                let listed = self.listed.take().unwrap_or_default();
                let change = self.known.retain(&listed);
                if self.read_at.is_none() {
                    self.read_at = Some(Instant::now());
                    // What the events before have changed is handed over now.
                    return Change::InForce;
                }
                change
            }
            Event::Apply(object) => self.apply(&object),
            Event::Delete(object) => {
                let name = object.metadata.name.unwrap_or_default();
                tracing::info!(policy = name, "the policy was deleted");
                self.known.delete(&name)
            }
        }
    }

    fn apply(&mut self, object: &DynamicObject) -> Change {
        // What the watch decoded is encoded again, so that files and objects are read by one function.
        let Ok(value) = serde_json::to_value(object) else {
            return Change::Nothing;
        };
        let name = object.metadata.name.as_deref().unwrap_or_default();
        let change = self.known.apply(value);
        if change == Change::InForce {
            self.log(name);
        }
        change
    }

    fn log(&self, name: &str) {
        let Some((_, known)) = self.known.policies().find(|(known, _)| *known == name) else {
            return;
        };
        let generation = known.generation();
        if known.problems.is_empty() {
            tracing::info!(policy = name, generation, "the policy is in force");
            if known.lacks_suffixes() {
                tracing::warn!(
                    policy = name,
                    generation,
                    "the policy takes no hostname of an Ingress' rules that it has not taken before; add hostnameSuffixes under from.ingress"
                );
            }
        } else {
            let problems = known.problems.join("; ");
            tracing::error!(
                policy = name,
                generation,
                "the policy cannot be used, its last good version stays in force if there was one: {problems}"
            );
        }
    }

    fn saw(&mut self, source: &Source, seen: Seen) -> Change {
        let change = self.known.saw(source, seen, (self.clock)());
        if change == Change::Nothing {
            return change;
        }
        if let Some(known) = self.known.source(source) {
            let addresses: Vec<String> = known
                .live
                .addresses
                .iter()
                .map(ToString::to_string)
                .collect();
            let (source, addresses) = (source.to_string(), addresses.join(","));
            match &known.problem {
                None => tracing::info!(source, addresses, "the source has these addresses"),
                Some(problem) => tracing::warn!(
                    source,
                    last_known = addresses,
                    "the source has no address now: {problem}"
                ),
            }
        }
        change
    }

    /// Publishes what is in force, where that may have changed, and sees to it that the status of policies is looked at, where that may be
    /// another one: not for each try of a watch that fails.
    fn hand_over(&mut self, change: Change) {
        if change == Change::InForce {
            self.follow_sources();
            let waited = self
                .read_at
                .is_some_and(|read| read.elapsed() >= FIRST_LOOK);
            if self.published.borrow().is_some() || self.known.all_seen() || waited {
                self.published
                    .send_replace(Some(Arc::new(self.known.set())));
            }
            let counts = self.known.counts();
            self.metrics.set_policies(counts.loaded, counts.refused);
            self.metrics
                .set_sources(counts.resolved, counts.stale, counts.unresolved);
        }
        // Before that, a replica that starts would call sources stale that it has not looked at yet.
        if change > Change::Nothing && self.published.borrow().is_some() {
            self.statuses_due.get_or_insert(Instant::now() + GATHER);
        }
    }

    /// Says what the policies' status should be.
    fn hand_over_statuses(&mut self) {
        self.statuses_due = None;
        let differences = status::differences(&self.known, (self.clock)());
        self.statuses.send_if_modified(|wanted| {
            let is_new = *wanted != differences;
            *wanted = differences;
            is_new
        });
    }

    fn follow_sources(&mut self) {
        let needed = self.known.follow_policies();
        self.watches.retain(|source, _| needed.contains(source));
        for source in needed {
            if !self.watches.contains_key(&source) {
                let client = self.contacts.watching(&self.client, source.kind.into());
                let task = follow(client, source.clone(), self.seen.clone());
                self.watches.insert(source, Watch(tokio::spawn(task)));
            }
        }
    }
}

async fn until(deadline: Option<Instant>) {
    if let Some(deadline) = deadline {
        tokio::time::sleep_until(deadline).await;
    }
}

/// Watches one source and sends what is seen of it.
async fn follow(client: Client, source: Source, seen: mpsc::Sender<(Source, Seen)>) {
    let resource = source::resource(source.kind);
    let api: Api<DynamicObject> = Api::namespaced_with(client, &source.namespace, &resource);
    let config = Config::default().fields(&format!("metadata.name={}", source.name));
    let mut events = std::pin::pin!(watch(api, config, source.to_string()));
    let mut is_listed = false;
    while let Some(event) = events.next().await {
        let seen_now = match event {
            Watched::Outage(problem) => Seen::Unreadable(format!("cannot be watched ({problem})")),
            Watched::Event(Event::Init) => {
                is_listed = false;
                continue;
            }
            Watched::Event(Event::InitApply(object)) => {
                is_listed = true;
                source::read(source.kind, &object.data)
            }
            Watched::Event(Event::InitDone) if is_listed => continue,
            Watched::Event(Event::Apply(object)) => source::read(source.kind, &object.data),
            Watched::Event(Event::InitDone | Event::Delete(_)) => Seen::Gone,
        };
        if seen.send((source.clone(), seen_now)).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
