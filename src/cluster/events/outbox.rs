//! The Events that wait to be written, and whose turn it is. Pure: the time is passed in.
//!
//! A caller of the webhook can name any namespace, so no namespace may use up the share of others:
//!
//! ```text
//! findings ─► opted in? ─► budget of the namespace ─► queue of the namespace
//!                                                       └─ in turns ─► budget of all ─► written
//! ```
//!
//! The budget of a namespace drops, the budget of all delays. When all queues together are full,
//! the longest loses its last Event.

use crate::core::admission::AuthorFindings;
use crate::core::object_name::{NamespaceName, PodName};
use crate::telemetry::metrics::EventDrop;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// A token bucket: its size, and the time after which one more token is there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) burst: u32,
    pub(super) every: Duration,
}

/// A job pod has one to three findings: this is enough for two pods a second without end.
pub(super) const NAMESPACE_RATE: Rate = Rate {
    burst: 100,
    every: Duration::from_millis(200),
};
pub(super) const TOTAL_RATE: Rate = Rate {
    burst: 200,
    every: Duration::from_millis(50),
};
/// Events of one namespace that may wait.
pub(super) const MAX_WAITING_PER_NAMESPACE: usize = 100;
/// Events that may wait in all.
pub(super) const MAX_WAITING: usize = 1000;

impl Rate {
    /// Takes a token of a bucket, kept as the time at which it is full again; otherwise returns
    /// how long until there is one.
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

/// An Event that is to be written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Waiting {
    pub(super) namespace: NamespaceName,
    pub(super) pod: PodName,
    pub(super) message: String,
}

#[derive(Debug)]
pub(super) struct Outbox {
    /// By namespace; none is empty.
    queues: BTreeMap<NamespaceName, VecDeque<Waiting>>,
    /// The namespaces of the queues; the next one in front.
    turns: VecDeque<NamespaceName>,
    waiting: usize,
    /// When the budget of a namespace is full again; only of those that are not.
    budgets: BTreeMap<NamespaceName, Instant>,
    of_all: Instant,
}

/// What is to be done next.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Next {
    Write(Waiting),
    /// The budget of all is used up for so long.
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

    /// Takes the findings about a pod of a namespace that opted in; returns how many were dropped.
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

    /// Takes out the Event that is to be written now.
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
