//! The limit of open files, which bounds the number of connections.
//!
//! Without an open file the server cannot accept a connection, and so cannot evict another one:
//! idle clients would keep the API server out.

use rustix::process::{Resource, getrlimit};

/// Open files that are not connections of the webhook port: the ops port, listeners, files that are
/// read, and evicted connections that are still open.
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
