//! Who goes when there is no room: for one more connection, or for more of a body.
//!
//! A connection whose request is being judged is never closed, nor one before its answer. Of the others:
//!
//! - for a connection, the one that has used up the largest part of its phase's time. A client that drips a body goes
//!   long before the API server's idle connection, and both before a handshake that has only begun. Connections that have carried
//!   a request and are idle stay as long as they are at most half of all: a flood of new ones closes none of the API server's;
//! - for a body, the one that holds most: a body that is still coming, a whole one whose request waits for its turn, or an answer that
//!   its client does not read. So one of less than `body_memory / connections` has room whatever the others do, except while larger
//!   ones are being judged, which is one at a time.

use super::{Connection, Phase, Shared, locked};
use crate::telemetry::metrics::Limit;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// For what a connection had to make room.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MadeRoom {
    /// One more connection.
    #[error("there are too many connections")]
    Connection,
    /// More of a body.
    #[error("too much is being sent at once")]
    Body,
}

/// Closes a connection; fails where each one is being answered.
pub(super) fn for_a_connection(open: &mut HashMap<u64, Arc<Connection>>) -> Result<(), MadeRoom> {
    loop {
        let kept_alive = open.values().filter(|it| it.is_kept_alive()).count();
        let spares_kept_alive = kept_alive <= open.len() / 2;
        let worst = open
            .values()
            .filter_map(|connection| {
                let is_spared = spares_kept_alive && connection.is_kept_alive();
                Some((!is_spared, connection.part_of_time()?, connection.id))
            })
            .max_by(|(one, part, _), (other, other_part, _)| {
                one.cmp(other).then(part.total_cmp(other_part))
            });
        let (_, _, id) = worst.ok_or(MadeRoom::Connection)?;
        // What has come whole since is passed over in the next round.
        if let Some(connection) = open.get(&id)
            && connection.make_room(MadeRoom::Connection)
        {
            open.remove(&id);
            return Ok(());
        }
    }
}

impl Shared {
    /// Refuses the largest bodies until the others have room.
    fn make_room_for_bodies(&self) {
        let open = locked(&self.open);
        while self.held.load(Ordering::Relaxed) > self.limits.body_memory {
            let largest = open
                .values()
                .filter(|connection| connection.can_release())
                .max_by_key(|connection| connection.holds());
            let Some(connection) = largest else {
                return;
            };
            if connection.make_room(MadeRoom::Body) {
                self.metrics.limit_hit(Limit::BodyMemory);
                connection.release_body();
                connection.release_answers();
            }
        }
    }
}

impl Connection {
    /// How much of its time it has used, where it may be closed.
    fn part_of_time(&self) -> Option<f64> {
        let progress = locked(&self.progress);
        let (time, _) = self.time_for(progress.phase)?;
        Some(progress.since.elapsed().as_secs_f64() / time.as_secs_f64())
    }

    /// Whether it has carried a request and waits for the next one.
    fn is_kept_alive(&self) -> bool {
        let progress = locked(&self.progress);
        progress.phase == Phase::Idle && progress.has_answered
    }

    /// Whether it holds bytes that an eviction releases.
    fn can_release(&self) -> bool {
        let progress = locked(&self.progress);
        let is_evictable = progress.phase != Phase::Answering && progress.made_room.is_none();
        is_evictable && self.holds() > 0
    }

    fn holds(&self) -> usize {
        self.held.load(Ordering::Relaxed) + self.unsent.load(Ordering::Relaxed)
    }

    /// Evicts it, unless its request is being judged.
    fn make_room(&self, reason: MadeRoom) -> bool {
        let mut progress = locked(&self.progress);
        if progress.phase == Phase::Answering {
            return false;
        }
        progress.made_room = Some(reason);
        if let Some(waker) = progress.waker.take() {
            waker.wake();
        }
        true
    }

    /// Counts bytes of its request's body, which may make another connection go, or this one.
    pub(super) fn hold(&self, bytes: usize) {
        self.hold_in(&self.held, bytes);
    }

    /// Counts the bytes of an answer until it is sent: a client that does not read holds them.
    pub(super) fn hold_answer(&self, bytes: usize) {
        self.hold_in(&self.unsent, bytes);
    }

    fn hold_in(&self, held: &AtomicUsize, bytes: usize) {
        held.fetch_add(bytes, Ordering::Relaxed);
        let before = self.shared.held.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > self.shared.limits.body_memory {
            self.shared.make_room_for_bodies();
        }
    }

    /// Its request's body is gone.
    pub(super) fn release_body(&self) {
        let bytes = self.held.swap(0, Ordering::Relaxed);
        self.shared.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Its answers are sent, or never will be.
    pub(super) fn release_answers(&self) {
        let bytes = self.unsent.swap(0, Ordering::Relaxed);
        self.shared.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}
