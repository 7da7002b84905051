//! Who goes when there is no room: for one more connection, or for more of a body.
//!
//! A connection whose request has come whole never goes. Of the others:
//!
//! - for a connection, the one that has used up the largest part of its phase's time. A client that drips a body goes
//!   long before the API server's idle connection, and both before a handshake that has only begun;
//! - for a body, the one that holds the largest part of a body. So one of less than `body_memory / connections` has room whatever the others do.

use super::{Connection, Phase, Shared, locked};
use crate::telemetry::metrics::Limit;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

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
        let worst = open
            .values()
            .filter_map(|connection| Some((connection.part_of_time()?, connection.id)))
            .max_by(|(one, _), (other, _)| one.total_cmp(other));
        let (_, id) = worst.ok_or(MadeRoom::Connection)?;
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
                .filter(|connection| connection.is_reading_a_body())
                .max_by_key(|connection| connection.held.load(Ordering::Relaxed));
            let Some(connection) = largest else {
                return;
            };
            if connection.make_room(MadeRoom::Body) {
                self.metrics.limit_hit(Limit::BodyMemory);
                connection.release_body();
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

    fn is_reading_a_body(&self) -> bool {
        let progress = locked(&self.progress);
        progress.phase == Phase::Body && progress.made_room.is_none()
    }

    /// Ends it, unless its request has come whole.
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
        self.held.fetch_add(bytes, Ordering::Relaxed);
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
}
