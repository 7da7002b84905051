//! Which Events wait to be written, and whose turn it is. Pure: the time is passed in.
//!
//! Whoever reaches the webhook port can name any namespace, so no namespace may use up what others need:
//!
//! ```text
//! notes ─► opted in? ─► budget of the namespace ─► queue of the namespace ─► in turns ─► budget of all ─► written
//! ```
//!
//! The budget of a namespace drops, the budget of all delays. When all queues together are full, the longest gives way.

use super::budget::{Bucket, Rate};
use crate::core::admission::AuthorNotes;
use crate::core::object_name::{NamespaceName, PodName};
use crate::telemetry::metrics::EventDrop;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// A job pod has one to three notes: this is enough for two pods a second for good.
pub(super) const OF_A_NAMESPACE: Rate = Rate {
    burst: 100,
    every: Duration::from_millis(200),
};
/// Of all namespaces together.
pub(super) const OF_ALL: Rate = Rate {
    burst: 200,
    every: Duration::from_millis(50),
};
/// How many Events of one namespace may wait.
pub(super) const WAITING_OF_A_NAMESPACE: usize = 100;
/// How many Events may wait in all.
pub(super) const WAITING: usize = 1000;

/// An Event that is to be written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Waiting {
    pub(super) namespace: NamespaceName,
    pub(super) pod: PodName,
    pub(super) note: String,
}

/// Events that wait.
#[derive(Debug)]
pub(super) struct Outbox {
    /// By namespace; none is empty.
    queues: BTreeMap<NamespaceName, VecDeque<Waiting>>,
    /// The namespaces of the queues; the next one in front.
    turns: VecDeque<NamespaceName>,
    waiting: usize,
    /// Of namespaces that have used something of theirs.
    budgets: BTreeMap<NamespaceName, Bucket>,
    of_all: Bucket,
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
            of_all: Bucket::full(OF_ALL, now),
        }
    }

    /// Takes in the notes about a pod of a namespace that opted in; returns which were dropped.
    pub(super) fn put(
        &mut self,
        told: &AuthorNotes,
        most: usize,
        now: Instant,
    ) -> BTreeMap<EventDrop, usize> {
        let mut dropped = BTreeMap::new();
        // Only namespaces that opted in come here, so that their number is bounded; most have used nothing for long.
        self.budgets.retain(|_, budget| !budget.is_full(now));
        for note in told.notes.iter().take(most) {
            let waiting = Waiting {
                namespace: told.namespace.clone(),
                pod: told.pod.clone(),
                note: note.clone(),
            };
            if let Err(why) = self.put_one(waiting, now) {
                *dropped.entry(why).or_default() += 1;
            }
        }
        dropped
    }

    fn put_one(&mut self, event: Waiting, now: Instant) -> Result<(), EventDrop> {
        let name = &event.namespace;
        let own = self.queues.get(name).map_or(0, VecDeque::len);
        if own >= WAITING_OF_A_NAMESPACE {
            return Err(EventDrop::Queue);
        }
        let budget = self.budgets.entry(name.clone());
        let budget = budget.or_insert_with(|| Bucket::full(OF_A_NAMESPACE, now));
        budget.take(now).map_err(|_| EventDrop::Budget)?;
        let mut result = Ok(());
        if self.waiting >= WAITING {
            let longest = self.queues.values().map(VecDeque::len).max();
            if longest.is_none_or(|longest| longest <= own + 1) {
                return Err(EventDrop::Queue);
            }
            self.shorten_longest();
            result = Err(EventDrop::Queue);
        }
        if own == 0 {
            self.turns.push_back(name.clone());
        }
        self.queues
            .entry(name.clone())
            .or_default()
            .push_back(event);
        self.waiting += 1;
        result
    }

    fn shorten_longest(&mut self) {
        let longest = self.queues.values_mut().max_by_key(|queue| queue.len());
        if longest.and_then(VecDeque::pop_back).is_some() {
            self.waiting -= 1;
        }
    }

    /// Takes out what is to be written now.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        let Some(namespace) = self.turns.front().cloned() else {
            return Next::Idle;
        };
        if let Err(wait) = self.of_all.take(now) {
            return Next::Wait(wait);
        }
        self.turns.pop_front();
        let Some(queue) = self.queues.get_mut(&namespace) else {
            return Next::Idle;
        };
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
