//! A fair queue of Events that wait to be written. Pure: it has no I/O; the time is an argument.
//!
//! A client of the webhook can name any namespace, so each namespace has its own budget and queue:
//!
//! ```text
//! findings ─► opted in? ─► namespace budget ─► namespace queue
//!                                                └─ round robin ─► total budget ─► written
//! ```
//!
//! Events that exceed the budget of a namespace are dropped. Events that exceed the total budget
//! wait. When [`MAX_WAITING`] Events wait, the longest queue drops its last Event.

use crate::core::admission::AuthorFindings;
use crate::core::object_name::{NamespaceName, PodName};
use crate::telemetry::metrics::EventDrop;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// The rate of a token bucket: its size, and the interval at which a token is added.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) burst: u32,
    pub(super) every: Duration,
}

/// Budget of each namespace. It is enough for two job pods per second, because a job pod has one to
/// three findings.
pub(super) const NAMESPACE_RATE: Rate = Rate {
    burst: 100,
    every: Duration::from_millis(200),
};
/// Budget of all namespaces together.
pub(super) const TOTAL_RATE: Rate = Rate {
    burst: 200,
    every: Duration::from_millis(50),
};
/// Maximum number of waiting Events of one namespace.
pub(super) const MAX_WAITING_PER_NAMESPACE: usize = 100;
/// Maximum number of waiting Events of all namespaces.
pub(super) const MAX_WAITING: usize = 1000;

impl Rate {
    /// Takes a token from a bucket. `full_at` is the time at which the bucket is full again. If the
    /// bucket is empty, the error is the time until the next token.
    fn take(self, full_at: &mut Instant, now: Instant) -> Result<(), Duration> {
        let after = (*full_at).max(now) + self.every;
        let latest = now + self.every * self.burst;
        if after > latest {
            return Err(after - latest);
        }
        *full_at = after;
        Ok(())
    }
}

/// An Event that waits to be written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct QueuedEvent {
    pub(super) namespace: NamespaceName,
    pub(super) pod: PodName,
    pub(super) message: String,
}

#[derive(Debug)]
pub(super) struct Outbox {
    /// The queue of each namespace with waiting Events.
    queues: BTreeMap<NamespaceName, VecDeque<QueuedEvent>>,
    /// The namespaces with waiting Events, in the order in which they are served.
    turns: VecDeque<NamespaceName>,
    /// Number of waiting Events of all namespaces.
    waiting: usize,
    /// When the budget of each namespace is full again. Full budgets are removed.
    budgets: BTreeMap<NamespaceName, Instant>,
    /// When the total budget is full again.
    total_budget: Instant,
}

/// The next action of the writer.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Next {
    Write(QueuedEvent),
    /// Wait for this time, because the total budget is used up.
    Wait(Duration),
    Idle,
}

impl Outbox {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            queues: BTreeMap::new(),
            turns: VecDeque::new(),
            waiting: 0,
            budgets: BTreeMap::new(),
            total_budget: now,
        }
    }

    /// Queues at most `max` findings about a pod as Events. Returns the number of dropped Events by
    /// reason.
    pub(super) fn put(
        &mut self,
        findings: &AuthorFindings,
        max: usize,
        now: Instant,
    ) -> BTreeMap<EventDrop, usize> {
        let mut dropped = BTreeMap::new();
        self.budgets.retain(|_, full_at| now < *full_at);
        for message in findings.sentences.iter().take(max) {
            let event = QueuedEvent {
                namespace: findings.namespace.clone(),
                pod: findings.pod.clone(),
                message: message.clone(),
            };
            if let Err(reason) = self.put_one(event, now) {
                *dropped.entry(reason).or_default() += 1;
            }
        }
        dropped
    }

    fn put_one(&mut self, event: QueuedEvent, now: Instant) -> Result<(), EventDrop> {
        let name = event.namespace.clone();
        let own = self.queues.get(&name).map_or(0, VecDeque::len);
        if own >= MAX_WAITING_PER_NAMESPACE {
            return Err(EventDrop::Queue);
        }
        let budget = self.budgets.entry(name.clone()).or_insert(now);
        NAMESPACE_RATE
            .take(budget, now)
            .map_err(|_| EventDrop::Budget)?;
        let is_full = self.waiting >= MAX_WAITING;
        if is_full {
            let longest = self.queues.values_mut().max_by_key(|queue| queue.len());
            let longest = longest.filter(|queue| queue.len() > own + 1);
            longest
                .and_then(VecDeque::pop_back)
                .ok_or(EventDrop::Queue)?;
            self.waiting -= 1;
        }
        if own == 0 {
            self.turns.push_back(name.clone());
        }
        self.queues.entry(name).or_default().push_back(event);
        self.waiting += 1;
        match is_full {
            true => Err(EventDrop::Queue),
            false => Ok(()),
        }
    }

    /// Returns the next action. Removes an Event to write from its queue.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        let Some(namespace) = self.turns.front().cloned() else {
            return Next::Idle;
        };
        if let Err(wait) = TOTAL_RATE.take(&mut self.total_budget, now) {
            return Next::Wait(wait);
        }
        self.turns.pop_front();
        let queue = self.queues.entry(namespace.clone()).or_default();
        let event = queue.pop_front();
        if queue.is_empty() {
            self.queues.remove(&namespace);
        } else {
            self.turns.push_back(namespace);
        }
        self.waiting -= usize::from(event.is_some());
        event.map_or(Next::Idle, Next::Write)
    }
}

#[cfg(test)]
mod tests;
