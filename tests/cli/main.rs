//! The command line as people and scripts meet it: the real binary, files in a folder of the test's
//! own, exit codes, both streams.
//!
//! What is to be read as a whole is a snapshot beside the test, `tests/cli/snapshots/`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that meets what it does not expect is to fail"
)]
#![allow(
    unreachable_pub,
    missing_docs,
    reason = "the modules of a test are nobody's library"
)]

mod sandbox;
#[path = "../policies/table.rs"]
#[allow(
    dead_code,
    reason = "what the API server says is compared in tests/cluster/main.rs"
)]
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
