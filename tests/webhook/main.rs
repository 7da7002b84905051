//! Tests of the real binary as a client of the webhook: TLS, changing files, signals.
//!
//! Each test starts its own server on free ports and its own clients. No test sleeps for a fixed
//! time to wait for another process.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![allow(clippy::print_stdout, reason = "tests print measurements")]

mod bounds;
#[allow(dead_code, reason = "only the benchmark limits CPU time")]
#[path = "../../benches/load/cgroup.rs"]
mod cgroup;
mod client;
mod hostile_reviews;
mod kubelet_mount;
mod listening_addresses;
mod metrics;
mod monitoring;
mod output_lines;
mod process;
mod reviews;

mod alerts;
mod certificates;
mod client_certificates;
mod connections;
mod drain;
mod hostile;
mod limits;
mod logging;
mod memory;
mod observability;
mod overload;
mod policies;
mod refusals;
mod responses;
mod start;
