//! A fair queue of Events that wait to be written. Pure: the time is an argument.
//!
//! A caller of the webhook can name any namespace, so each namespace has its own budget and queue:
//!
//! ```text
//! findings ─► opted in? ─► budget of the namespace ─► queue of the namespace
//!                                                       └─ in turns ─► budget of all ─► written
//! ```
//!
//! Events beyond the budget of a namespace are dropped; Events beyond the budget of all wait. When
//! all queues together are full, the longest queue drops its last Event.

use crate::core::admission::AuthorFindings;
use crate::core::object_name::{NamespaceName, PodName};
use crate::telemetry::metrics::EventDrop;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// A token bucket: its size, and the time in which one token is added.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) burst: u32,
    pub(super) every: Duration,
}

/// A job pod has one to three findings, so this is enough for two pods a second.
pub(super) const NAMESPACE_RATE: Rate = Rate {
    burst: 100,
    every: Duration::from_millis(200),
};
pub(super) const TOTAL_RATE: Rate = Rate {
    burst: 200,
    every: Duration::from_millis(50),
};
/// Maximum number of waiting Events of one namespace.
pub(super) const MAX_WAITING_PER_NAMESPACE: usize = 100;
/// Maximum number of waiting Events of all namespaces.
pub(super) const MAX_WAITING: usize = 1000;

impl Rate {
    /// Takes a token of a bucket. `full_at` is the time at which the bucket is full again. Without
    /// a token, the error is the time until there is one.
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

/// An Event to write.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Waiting {
    pub(super) namespace: NamespaceName,
    pub(super) pod: PodName,
    pub(super) message: String,
}

#[derive(Debug)]
pub(super) struct Outbox {
    /// By namespace. No queue is empty.
    queues: BTreeMap<NamespaceName, VecDeque<Waiting>>,
    /// The namespaces of the queues, in turn; the next one is first.
    turns: VecDeque<NamespaceName>,
    waiting: usize,
    /// When the budget of each namespace is full again. Full budgets are absent.
    budgets: BTreeMap<NamespaceName, Instant>,
    of_all: Instant,
}

/// The next action.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Next {
    Write(Waiting),
    /// The budget of all namespaces is used up for this time.
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
            of_all: now,
        }
    }

    /// Adds the findings about a pod of a namespace that opted in; returns the dropped Events by
    /// reason.
    pub(super) fn put(
        &mut self,
        findings: &AuthorFindings,
        most: usize,
        now: Instant,
    ) -> BTreeMap<EventDrop, usize> {
        let mut dropped = BTreeMap::new();
        self.budgets.retain(|_, full_at| now < *full_at);
        for message in findings.sentences.iter().take(most) {
            let event = Waiting {
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

    fn put_one(&mut self, event: Waiting, now: Instant) -> Result<(), EventDrop> {
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

    /// Removes and returns the next Event to write.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        let Some(namespace) = self.turns.front().cloned() else {
            return Next::Idle;
        };
        if let Err(wait) = TOTAL_RATE.take(&mut self.of_all, now) {
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
