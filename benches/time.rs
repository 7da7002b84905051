//! How long the core takes for a review on this machine now: for people, who know what else the
//! machine does.
//!
//! `cargo bench --bench time`, or `cargo bench --bench time -- typical` for some of it. What is
//! held to a budget is counted, by `ir`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark stops at what it does not expect"
)]

#[path = "core/mod.rs"]
mod core;

use self::core::{Case, NAMES};
use divan::Bencher;
use divan::counter::BytesCount;

fn main() {
    divan::main();
}

#[divan::bench(args = NAMES)]
fn review(bencher: Bencher<'_, '_>, name: &'static str) {
    let case = Case::new(name);
    bencher
        .counter(BytesCount::new(case.body.len()))
        .bench_local(|| case.run());
}
