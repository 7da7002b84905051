//! Measures the time of the core for one review. The results depend on the load of the machine, so
//! they have no limits; `ir` has limits of instructions.
//!
//! Run `cargo bench --bench time`, or `cargo bench --bench time -- typical` for one case.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark stops at an unexpected result"
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
