//! Watches policies and their address sources, and publishes the policies in force.
//!
//! ```text
//! JobPodPolicy ──────────────┐
//! Ingress, Service, Gateway ─┴─► Store ─► PolicySet, to the webhook
//!  (one object each)               └────► status, to the API server
//! ```

use super::address_source::{self, SourceObservation};
use super::clock::Clock;
use super::status::{self, Statuses};
use super::status_writer::{self, resource};
use super::store::{Effect, Store};
use super::watch::{Watched, Watches};
use crate::core::policy::{AddressSource, PolicySet};
use crate::telemetry::metrics::{Metrics, WatchKind};
use futures::StreamExt as _;
use futures::future::ready;
use futures::stream::{AbortHandle, BoxStream, SelectAll, Stream, abortable};
use kube::Client;
use kube::api::{Api, DynamicObject};
use kube::runtime::watcher::{Config, Event};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch as channel;
use tokio::time::{Instant, sleep_until};

/// Maximum time to wait until all address sources have been observed, before drydock publishes the
/// first policy set.
const FIRST_ADDRESSES_TIMEOUT: Duration = Duration::from_secs(5);
/// Delay from an event to the new policy set. Events within this time share one set.
const BATCH_DELAY: Duration = Duration::from_millis(100);

type Published = channel::Sender<Option<Arc<PolicySet>>>;

/// Watches until the future is dropped. `published` is `None` until the policies have been read,
/// and either their address sources have been observed or the timeout for them has passed.
pub async fn run(client: Client, clock: Clock, published: Published, metrics: Arc<Metrics>) {
    let (statuses, wanted) = channel::channel(Statuses::new());
    let writer = status_writer::run(client.clone(), wanted, metrics.clone());
    let controller = Controller::new(client, clock, published, statuses, metrics);
    tokio::join!(controller.run(), writer);
}

struct Controller {
    client: Client,
    clock: Clock,
    store: Store,
    watches: Arc<Watches>,
    /// The watch of each address source.
    source_watches: BTreeMap<AddressSource, AbortHandle>,
    observations: SelectAll<BoxStream<'static, (AddressSource, SourceObservation)>>,
    published: Published,
    statuses: channel::Sender<Statuses>,
    metrics: Arc<Metrics>,
    /// The names of the policies that the current LIST has returned.
    listed: BTreeSet<String>,
    /// Whether the first LIST is complete.
    is_listed: bool,
    /// Whether a policy set without unreadable policies has been published. Until then the replica
    /// is not ready.
    was_complete: bool,
    /// The greatest effect of the events since the last batch.
    effect: Effect,
    /// When the next batch is due.
    due: Instant,
}

impl Controller {
    fn new(
        client: Client,
        clock: Clock,
        published: Published,
        statuses: channel::Sender<Statuses>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            client,
            clock,
            store: Store::default(),
            watches: Watches::new(metrics.clone()),
            source_watches: BTreeMap::new(),
            observations: SelectAll::new(),
            published,
            statuses,
            metrics,
            listed: BTreeSet::new(),
            is_listed: false,
            was_complete: false,
            effect: Effect::None,
            due: Instant::now(),
        }
    }

    async fn run(mut self) {
        let api = |client| Api::all_with(client, &resource());
        let watches = self.watches.clone();
        let config = Config::default();
        let mut events = watches.watch(&self.client, WatchKind::Policies, config, api);
        loop {
            tokio::select! {
                Some(event) = events.next() => {
                    let effect = self.apply(event);
                    self.schedule(effect);
                }
                Some((source, observed)) = self.observations.next() => {
                    let effect = self.observe(&source, observed);
                    self.schedule(effect);
                }
                () = sleep_until(self.due), if self.effect > Effect::None => self.publish(),
            }
        }
    }

    fn apply(&mut self, event: Watched<DynamicObject>) -> Effect {
        let Watched::Event(event) = event else {
            return Effect::None;
        };
        match event {
            Event::Init => {
                self.listed.clear();
                Effect::None
            }
            Event::InitApply(object) => {
                self.listed.extend(object.metadata.name.clone());
                self.apply_policy(object)
            }
            Event::InitDone => {
                let effect = self.store.retain(&self.listed);
                if std::mem::replace(&mut self.is_listed, true) {
                    return effect;
                }
                // `schedule` publishes earlier if all address sources have been observed.
                self.due = Instant::now() + FIRST_ADDRESSES_TIMEOUT;
                Effect::Policies
            }
            Event::Apply(object) => self.apply_policy(object),
            Event::Delete(object) => {
                let name = object.metadata.name.unwrap_or_default();
                tracing::info!(policy = name, "the policy was deleted");
                self.store.delete(&name)
            }
        }
    }

    fn apply_policy(&mut self, object: DynamicObject) -> Effect {
        let name = object.metadata.name.clone().unwrap_or_default();
        let effect = self.store.apply(object);
        let Some(policy) = self
            .store
            .policy(&name)
            .filter(|_| effect == Effect::Policies)
        else {
            return effect;
        };
        let generation = policy.generation;
        if !policy.problems.is_empty() {
            let problems = policy.problems.join("; ");
            let effect = match policy.in_force {
                None if policy.is_unreadable() => {
                    "another version of drydock accepted it, so reviews of pods that it may match fail"
                }
                Some(_) => "its last good version stays in force",
                None => "no version of it is in force",
            };
            tracing::error!(
                policy = name,
                generation,
                "the policy is invalid ({effect}): {problems}"
            );
        } else if policy.lacks_suffixes() {
            tracing::warn!(
                policy = name,
                generation,
                "the policy is in force, but drydock takes no new hostnames from the rules of an Ingress; add from.ingress.hostnameSuffixes"
            );
        } else {
            tracing::info!(policy = name, generation, "the policy is in force");
        }
        effect
    }

    fn observe(&mut self, source: &AddressSource, observed: SourceObservation) -> Effect {
        // The watch itself logs an outage and its end, once for each kind of source.
        let is_outage = matches!(observed, SourceObservation::Unreadable(_));
        let before = self.store.source(source).map(|stored| stored.live.clone());
        let effect = self.store.observe(source, observed, self.clock.now().wall);
        if let Some(stored) = self.store.source(source).filter(|_| effect > Effect::None) {
            let (source, addresses) = (source.to_string(), stored.addresses());
            match &stored.problem {
                None if before.as_ref() == Some(&stored.live) => {}
                None => tracing::info!(source, addresses, "the address source is resolved"),
                Some(_) if is_outage => {}
                Some(problem) => tracing::warn!(
                    source,
                    last_known = addresses,
                    "the address source {problem}"
                ),
            }
        }
        effect
    }

    /// Schedules a batch for the effect of an event. Events within [`BATCH_DELAY`] share a batch.
    fn schedule(&mut self, effect: Effect) {
        if !self.is_listed {
            return;
        }
        let is_first = self.published.borrow().is_none();
        if is_first {
            self.watch_sources();
            if self.store.all_observed() {
                self.due = Instant::now();
            }
        } else if self.effect == Effect::None {
            self.due = Instant::now() + BATCH_DELAY;
        }
        self.effect = self.effect.max(effect);
    }

    /// Publishes the policies in force if the batch affects them. Publishes the statuses one batch
    /// later, because other replicas may have written them by then.
    fn publish(&mut self) {
        self.due = Instant::now() + BATCH_DELAY;
        if self.effect == Effect::Policies {
            self.effect = Effect::Status;
            self.watch_sources();
            let unreadable = self.store.unreadable();
            self.was_complete |= unreadable.is_empty();
            self.metrics.policy_sets.inc();
            self.metrics.set_policies(&self.store.policy_counts());
            self.metrics.set_sources(&self.store.source_counts());
            let set = self.store.policy_set();
            let set = set.with_unreadable(unreadable, !self.was_complete);
            self.published.send_replace(Some(Arc::new(set)));
            return;
        }
        self.effect = Effect::None;
        let differences = status::differences(&self.store, self.clock.now().wall);
        self.statuses.send_if_modified(|wanted| {
            let is_new = *wanted != differences;
            *wanted = differences;
            is_new
        });
    }

    /// Watches the address sources of the policies in force, and no others.
    fn watch_sources(&mut self) {
        let needed = self.store.update_sources();
        self.source_watches.retain(|source, watch| {
            let is_needed = needed.contains(source);
            if !is_needed {
                watch.abort();
            }
            is_needed
        });
        for source in needed {
            if !self.source_watches.contains_key(&source) {
                let observations = observations(&self.client, &self.watches, source.clone());
                let (observations, watch) = abortable(observations);
                self.observations.push(observations.boxed());
                self.source_watches.insert(source, watch);
            }
        }
    }
}

/// Watches one address source and returns the stream of its observations.
fn observations(
    client: &Client,
    watches: &Arc<Watches>,
    source: AddressSource,
) -> impl Stream<Item = (AddressSource, SourceObservation)> + Send + use<> {
    let resource = address_source::resource(source.kind);
    let api = |client| Api::namespaced_with(client, &source.namespace, &resource);
    let only = Config::default().fields(&format!("metadata.name={}", source.name));
    let events = watches.watch::<DynamicObject>(client, source.kind.into(), only, api);
    let mut is_listed = false;
    events.filter_map(move |event| {
        let observed = match event {
            Watched::Outage(problem) => Some(SourceObservation::Unreadable(format!(
                "cannot be watched ({problem})"
            ))),
            Watched::Event(Event::Init) => {
                is_listed = false;
                None
            }
            Watched::Event(Event::InitApply(object) | Event::Apply(object)) => {
                is_listed = true;
                Some(address_source::read(source.kind, &object.data))
            }
            Watched::Event(Event::InitDone) if is_listed => None,
            Watched::Event(Event::InitDone | Event::Delete(_)) => Some(SourceObservation::Missing),
        };
        ready(observed.map(|observed| (source.clone(), observed)))
    })
}

#[cfg(test)]
mod tests;
