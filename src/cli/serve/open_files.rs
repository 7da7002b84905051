//! How many connections the process can have: each is an open file, and the kernel counts those.
//!
//! Where accepting fails for want of one, nothing is closed to make room, and whoever is first with idle connections keeps the API server out.

/// Open files that are not connections of the webhook port: those of the ops port, listeners, files that are read, and connections
/// that have come but whose room another has not left yet.
const OTHERS: usize = 256;

/// Returns the number of connections to allow, with a warning if it is less than what is wanted.
pub(super) fn connections(wanted: usize) -> usize {
    let Some(open_files) = limit() else {
        return wanted;
    };
    let possible = open_files - OTHERS.min(open_files / 2);
    if wanted > possible {
        tracing::warn!(
            "--max-connections {wanted} cannot be kept with at most {open_files} open files (ulimit -n), so it is {possible}"
        );
    }
    wanted.min(possible)
}

/// The soft limit, where it is known and there is one.
fn limit() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let of_files = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    of_files.split_whitespace().next()?.parse().ok()
}
