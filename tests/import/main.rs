//! `drydock import`: published configurations with what is right for each, two properties, and
//! files that cannot be read.
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
mod faithful;
mod places;
mod rules;
mod run;
mod secrecy;
#[path = "../laws/verdict.rs"]
mod verdict;
