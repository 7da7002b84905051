//! `drydock import`: published configurations, rules, properties, and files that cannot be read.
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
