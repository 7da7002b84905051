//! Limits the number of connections, so that the process does not reach its limit of open files.
//!
//! At that limit, the server could not accept a connection from the API server, and would not evict
//! an idle connection for it.

use rustix::process::{Resource, getrlimit};

/// The number of open files to reserve for purposes other than connections of the webhook port: the
/// ops port, listeners, policy and certificate files, and evicted connections that are not closed
/// yet.
const OTHER_FILES: usize = 256;

/// Returns the maximum number of connections. Logs a warning if it is less than `wanted`.
pub(super) fn connections(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    let open_files = limit.map_or(usize::MAX, |limit| limit.try_into().unwrap_or(usize::MAX));
    let possible = open_files - OTHER_FILES.min(open_files / 2);
    if wanted > possible {
        tracing::warn!(
            "--max-connections is lowered from {wanted} to {possible}, because the process can have only {open_files} open files (ulimit -n)"
        );
    }
    wanted.min(possible)
}
