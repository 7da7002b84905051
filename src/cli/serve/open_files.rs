//! The limit of open files, which bounds the number of connections.
//!
//! Without an open file the server cannot accept a connection, and so cannot evict another one:
//! idle clients would keep the API server out.

/// Open files that are not connections of the webhook port: the ops port, listeners, files that are
/// read, and evicted connections that are still open.
const OTHERS: usize = 256;

/// Returns the number of connections to allow, with a warning if it is less than wanted.
pub(super) fn connections(wanted: usize) -> usize {
    let Some(open_files) = limit() else {
        return wanted;
    };
    let possible = open_files - OTHERS.min(open_files / 2);
    if wanted > possible {
        tracing::warn!(
            "--max-connections is {possible} instead of {wanted}: the process can have {open_files} open files (ulimit -n)"
        );
    }
    wanted.min(possible)
}

/// Returns the soft limit, if there is one.
fn limit() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let of_files = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    of_files.split_whitespace().next()?.parse().ok()
}
