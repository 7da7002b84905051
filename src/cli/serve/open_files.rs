//! The limit of open files, which bounds the number of connections.
//!
//! At the limit of open files the server cannot accept a connection, so it could not evict an idle
//! one for the API server.

use rustix::process::{Resource, getrlimit};

/// Open files that are not connections of the webhook port: the ops port, listeners, policy and
/// certificate files, and evicted connections that are not closed yet.
const OTHER_FILES: usize = 256;

/// Returns the number of connections to allow, with a warning if it is less than wanted.
pub(super) fn connections(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    let open_files = limit.map_or(usize::MAX, |limit| limit.try_into().unwrap_or(usize::MAX));
    let possible = open_files - OTHER_FILES.min(open_files / 2);
    if wanted > possible {
        tracing::warn!(
            "--max-connections is {possible} instead of {wanted}: the process can have {open_files} open files (ulimit -n)"
        );
    }
    wanted.min(possible)
}
