//! Measures the server under load, and compares it with the baseline: a server with the same
//! libraries that returns a constant response.
//!
//! `cargo bench --bench load` measures all sections and prints tables; names of sections after `--`
//! select some. Both servers are separate processes and receive the same bodies over TLS, in
//! alternating rounds. CPU time and memory are read from the kernel. The benchmark has no limits:
//! times differ between machines and runs, so only ratios within one run are meaningful.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a benchmark stops at an unexpected result"
)]

#[path = "load/baseline.rs"]
mod baseline;
#[path = "core/bodies.rs"]
mod bodies;
#[path = "load/both.rs"]
mod both;
#[allow(dead_code, reason = "only the tests use some of its items")]
#[path = "../tests/webhook/bounds.rs"]
mod bounds;
#[allow(dead_code, reason = "a test limits memory, the benchmark CPU time")]
#[path = "load/cgroup.rs"]
mod cgroup;
#[path = "load/client.rs"]
mod client;
#[path = "load/cpus.rs"]
mod cpus;
#[path = "load/handshake.rs"]
mod handshake;
#[path = "load/hostile.rs"]
mod hostile;
#[path = "../tests/webhook/hostile_reviews.rs"]
mod hostile_reviews;
#[path = "load/machine.rs"]
mod machine;
#[path = "load/memory.rs"]
mod memory;
#[path = "load/pace.rs"]
mod pace;
#[path = "load/quota.rs"]
mod quota;
#[path = "load/rates.rs"]
mod rates;
#[path = "load/saturated.rs"]
mod saturated;
#[path = "load/server.rs"]
mod server;
#[path = "load/start.rs"]
mod start;
#[path = "load/target.rs"]
mod target;

use std::process::ExitCode;

/// The sections, in the order of the report: name, title, function.
const SECTIONS: [(&str, &str, fn()); 7] = [
    ("saturated", "At saturation", saturated::run),
    ("rates", "At a fixed rate", rates::run),
    ("quota", "Under a limit of 100m CPU", quota::run),
    ("memory", "Memory", memory::run),
    ("start", "Start and size", start::run),
    ("handshake", "A handshake", handshake::run),
    ("hostile", "Hostile reviews", hostile::run),
];

fn main() -> ExitCode {
    rustls::crypto::ring::default_provider()
        .install_default()
        .unwrap();
    // cargo passes --bench to every benchmark.
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    if let [baseline::ARGUMENT, ca] = arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        baseline::run(ca.as_ref());
        return ExitCode::SUCCESS;
    }
    let names = SECTIONS.map(|(name, ..)| name);
    if let Some(unknown) = arguments
        .iter()
        .find(|argument| !names.contains(&argument.as_str()))
    {
        eprintln!(
            "unknown section {unknown:?}; use one or more of {}, or none to run all",
            names.join(", ")
        );
        return ExitCode::from(2);
    }
    machine::describe();
    for (name, title, run) in SECTIONS {
        if arguments.is_empty() || arguments.iter().any(|argument| argument == name) {
            println!("\n## {title}\n");
            run();
        }
    }
    ExitCode::SUCCESS
}
