//! Counts the instructions of the core for one review, with valgrind. The count does not depend on
//! the load of the machine.
//!
//! `cargo bench --bench ir` prints tables, and fails if a limit is exceeded. Each case runs in its
//! own process under callgrind, which counts only within [`measured`]. `benches/README.md` has the
//! limits.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark stops at an unexpected result"
)]

#[path = "core/mod.rs"]
mod core;

use self::core::bounds::{AT_BOUNDS, AtBounds};
use self::core::growth::DIMENSIONS;
use self::core::{Case, NAMES};
use std::collections::BTreeMap;
use std::process::{Command, ExitCode};

const MEASURE: &str = "--measure";
/// Tolerance of a limit, because the counts of compiler versions differ by up to 3 %.
const MARGIN: f64 = 1.03;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == MEASURE) {
        let case = case(&arguments[at + 1]);
        // Runs once before, so that one-time initialisation is not counted.
        case.run();
        measured(&case);
        return ExitCode::SUCCESS;
    }
    let counts: BTreeMap<&str, Count> = NAMES.into_iter().map(|name| (name, count(name))).collect();
    println!("| case | bytes | instructions | a byte |\n|---|---|---|---|");
    for name in NAMES {
        let Count {
            bytes,
            instructions,
        } = counts[name];
        println!(
            "| {name} | {bytes:.0} | {instructions:.0} | {:.2} |",
            instructions / bytes
        );
    }
    println!("\n| | limit | measured | |\n|---|---|---|---|");
    let mut exceeded = false;
    for Budget {
        what,
        limit,
        measured,
    } in budgets(&counts)
    {
        let is_exceeded = measured > limit * MARGIN;
        exceeded |= is_exceeded;
        println!(
            "| {what} | {limit:.2} | {measured:.2} | {} |",
            if is_exceeded { "EXCEEDED" } else { "" }
        );
    }
    println!(
        "\nA limit may be exceeded by {:.0} %.",
        (MARGIN - 1.0) * 100.0
    );
    exceeded |= grows_too_fast();
    exceeded |= takes_too_long_at_the_bounds();
    ExitCode::from(u8::from(exceeded))
}

/// Returns a case by its name: one of [`NAMES`]; `DIMENSION*COUNT`; or a review at the limits.
fn case(name: &str) -> Case {
    if let Some(shape) = AT_BOUNDS.iter().find(|shape| shape.name == name) {
        return Case::at_bounds(shape);
    }
    if let Some((dimension, count)) = name.split_once('*') {
        return Case::grown(dimension, count.parse().unwrap());
    }
    Case::new(NAMES.into_iter().find(|known| *known == name).unwrap())
}

/// Maximum factor by which the cost may grow if a number is doubled: n log n, with tolerance.
const GROWTH: f64 = 2.3;

/// Prints the cost of a review with a large number, and with twice that number, of each dimension.
/// Returns whether a cost grows too fast.
fn grows_too_fast() -> bool {
    println!(
        "\n| dimension | count | thousands | twice the count | growth | |\n|---|---|---|---|---|---|"
    );
    let mut some = false;
    for (dimension, number) in DIMENSIONS {
        let [once, twice] = [number, 2 * number]
            .map(|count| self::count(&format!("{dimension}*{count}")).instructions);
        let growth = twice / once;
        some |= growth > GROWTH;
        println!(
            "| {dimension} | {number} | {:.0} | {:.0} | {growth:.2} | {} |",
            once / 1e3,
            twice / 1e3,
            if growth > GROWTH { "TOO FAST" } else { "" }
        );
    }
    println!("\nThe limit of each growth is {GROWTH}.");
    some
}

/// Maximum cost of a review at the limits, in millions of instructions: a few tenths of a second.
const MOST_AT_BOUNDS: f64 = 750.0;

/// Prints the cost of reviews that reach several limits at the same time, because the cost of a
/// rule could be the product of two numbers. Returns whether one costs too much.
fn takes_too_long_at_the_bounds() -> bool {
    println!("\n| review at the bounds | bytes | millions | |\n|---|---|---|---|");
    let mut some = false;
    for AtBounds { name, .. } in &AT_BOUNDS {
        let Count {
            bytes,
            instructions,
        } = count(name);
        let millions = instructions / 1e6;
        some |= millions > MOST_AT_BOUNDS;
        println!(
            "| {name} | {bytes:.0} | {millions:.0} | {} |",
            if millions > MOST_AT_BOUNDS {
                "TOO SLOW"
            } else {
                ""
            }
        );
    }
    println!("\nThe limit of each is {MOST_AT_BOUNDS} million.");
    some
}

struct Budget {
    what: String,
    limit: f64,
    measured: f64,
}

/// The limits: thousands of instructions of a review, on x86-64 without AVX2.
const INSTRUCTION_LIMITS: [(&str, f64); 6] = [
    ("small", 177.0),
    ("typical", 250.0),
    ("full", 289.0),
    ("real", 362.0),
    ("no-match", 166.0),
    ("huge", 2_975.0),
];

fn budgets(counts: &BTreeMap<&str, Count>) -> Vec<Budget> {
    let ratio = |of: &str, to: &str| counts[of].instructions / counts[to].instructions;
    let sizes = |of: &str, to: &str| counts[of].bytes / counts[to].bytes;
    let reviews = INSTRUCTION_LIMITS.map(|(name, limit)| Budget {
        what: format!("{name}: thousands of instructions"),
        limit,
        measured: counts[name].instructions / 1e3,
    });
    let ratios = [
        (
            "typical, to serde_json::from_slice::<IgnoredAny>",
            0.68,
            ratio("typical", "ignore-typical"),
        ),
        (
            "1 MB to 42 kB, to the ratio of sizes",
            1.1,
            ratio("huge", "full") / sizes("huge", "full"),
        ),
        (
            "1,000 hostAliases to 100, to ten times",
            1.1,
            ratio("aliases-1000", "aliases-100") / 10.0,
        ),
        (
            "1,000 policies to 1, by label",
            1.05,
            ratio("one-of-1000-by-label", "one-of-1"),
        ),
        (
            "1,000 policies to 1, by namespace",
            1.05,
            ratio("one-of-1000-by-namespace", "one-of-1"),
        ),
    ];
    let ratios = ratios.map(|(what, limit, measured)| Budget {
        what: what.to_owned(),
        limit,
        measured,
    });
    reviews.into_iter().chain(ratios).collect()
}

#[derive(Clone, Copy)]
struct Count {
    bytes: f64,
    instructions: f64,
}

/// callgrind counts the instructions of this function; [`count`] passes its name.
#[inline(never)]
fn measured(case: &Case) {
    case.run();
}

fn count(name: &str) -> Count {
    let profile = tempfile::NamedTempFile::new().unwrap();
    let output = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--collect-atstart=no",
            "--toggle-collect=*ir::measured*",
        ])
        .arg(format!("--callgrind-out-file={}", profile.path().display()))
        .arg(std::env::current_exe().unwrap())
        .args([MEASURE, name])
        .output()
        .unwrap_or_else(|error| {
            panic!("cannot run valgrind: {error}; install it with `apt-get install valgrind`")
        });
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {said}");
    let collected = said
        .split("Collected :")
        .nth(1)
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    let instructions: f64 =
        collected.unwrap_or_else(|| panic!("{name}: valgrind printed no count: {said}"));
    assert!(
        instructions > 0.0,
        "{name}: callgrind did not find the function `measured`; is the benchmark built without symbols?"
    );
    Count {
        bytes: case(name).body.len() as f64,
        instructions,
    }
}
