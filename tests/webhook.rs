//! The webhook as its clients see it: the real binary, real TLS, real files that change, real signals.
//!
//! Every test starts its own server on free ports and its own clients; none sleeps to wait for another.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![allow(clippy::print_stdout, reason = "figures are for people")]

#[path = "webhook/bounds.rs"]
mod bounds;
#[allow(
    dead_code,
    reason = "the benchmark limits CPU time, a test limits memory"
)]
#[path = "../benches/load/cgroup.rs"]
mod cgroup;
#[path = "webhook/client.rs"]
mod client;
#[path = "webhook/lines.rs"]
mod lines;
#[path = "webhook/metrics.rs"]
mod metrics;
#[path = "webhook/mount.rs"]
mod mount;
#[path = "webhook/process.rs"]
mod process;
#[path = "webhook/reviews.rs"]
mod reviews;
#[path = "webhook/shapes.rs"]
mod shapes;
#[path = "webhook/sockets.rs"]
mod sockets;

#[path = "webhook/answers.rs"]
mod answers;
#[path = "webhook/certificates.rs"]
mod certificates;
#[path = "webhook/clients.rs"]
mod clients;
#[path = "webhook/connections.rs"]
mod connections;
#[path = "webhook/drain.rs"]
mod drain;
#[path = "webhook/hostile.rs"]
mod hostile;
#[path = "webhook/limits.rs"]
mod limits;
#[path = "webhook/logging.rs"]
mod logging;
#[path = "webhook/memory.rs"]
mod memory;
#[path = "webhook/overload.rs"]
mod overload;
#[path = "webhook/policies.rs"]
mod policies;
#[path = "webhook/refusals.rs"]
mod refusals;
#[path = "webhook/start.rs"]
mod start;
#[path = "webhook/telling.rs"]
mod telling;
