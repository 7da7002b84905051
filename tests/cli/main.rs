//! The command line: runs the real binary in a temporary folder, and checks stdout, stderr and exit
//! code. Longer outputs are snapshots in `tests/cli/snapshots/`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![allow(
    unreachable_pub,
    missing_docs,
    reason = "the modules of a test are not a public API"
)]

mod sandbox;
#[path = "../policies/table.rs"]
#[allow(dead_code, reason = "only tests/cluster uses it")]
mod table;

mod bad_input;
mod certs;
mod check;
mod check_files;
mod check_refusals;
mod help;
mod mutate;
mod mutate_notes;
mod mutate_options;
mod print;
mod rules;
mod test;
mod version;
mod yaml;
