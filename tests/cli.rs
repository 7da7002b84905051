//! The command line as people and scripts meet it: the real binary, files in a folder of the test's own, exit codes, both streams.
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

#[path = "cli/desk.rs"]
mod desk;
#[path = "policies/table.rs"]
#[allow(
    dead_code,
    reason = "what the API server says is compared in tests/cluster.rs"
)]
mod table;

#[path = "cli/bad_input.rs"]
mod bad_input;
#[path = "cli/certs.rs"]
mod certs;
#[path = "cli/check.rs"]
mod check;
#[path = "cli/check_refusals.rs"]
mod check_refusals;
#[path = "cli/help.rs"]
mod help;
#[path = "cli/mutate.rs"]
mod mutate;
#[path = "cli/mutate_options.rs"]
mod mutate_options;
#[path = "cli/print.rs"]
mod print;
#[path = "cli/rules.rs"]
mod rules;
#[path = "cli/yaml.rs"]
mod yaml;
