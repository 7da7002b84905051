//! Tests of `drydock import`: published configurations, single rules, generated configurations, and
//! files that cannot be read.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "an unexpected value must fail the test"
)]
#![allow(
    unreachable_pub,
    missing_docs,
    reason = "modules of a test are not a public API"
)]

mod bad_input;
mod cases;
mod command;
mod diffs;
mod equivalence;
mod imported;
mod rules;
mod secrets;
mod surroundings;
#[path = "../laws/verdict.rs"]
mod verdict;
mod wrappers;
