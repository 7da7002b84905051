//! CPU time of the real server for a review, against a server on the same stack that answers a constant.
//!
//! `cargo bench --bench load` starts both as processes of their own, sends each the same bodies over TLS on kept-alive connections,
//! in rounds that take turns, and reads what they cost from the kernel's accounting (`/proc/PID/schedstat` of all threads).
//! It prints a table and judges nothing: machines are noisy, so only the ratios of one run mean something.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark stops at what it does not expect"
)]

#[path = "load/client.rs"]
mod client;
#[path = "load/floor.rs"]
mod floor;
#[path = "load/server.rs"]
mod server;

use client::Client;
use server::Server;
use std::time::{Duration, Instant};

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);
const CONNECTIONS: usize = 8;

/// Names of the bodies and where they are.
const BODIES: [(&str, &str); 5] = [
    (
        "real, 49 kB",
        "tests/fixtures/reviews/runner/19.3.0-secret-certs.json",
    ),
    ("typical, 28 kB", "tests/fixtures/reviews/typical.json"),
    ("small, 6 kB", "tests/fixtures/reviews/small.json"),
    ("full, 42 kB", "tests/fixtures/reviews/full.json"),
    ("no match, 34 kB", "tests/fixtures/reviews/nomatch.json"),
];

fn main() {
    rustls::crypto::ring::default_provider()
        .install_default()
        .unwrap();
    if std::env::args().any(|argument| argument == floor::ARGUMENT) {
        return floor::run();
    }
    let directory = tempfile::tempdir().unwrap();
    let (floor, drydock) = (
        Server::floor(directory.path()),
        Server::drydock(directory.path()),
    );
    println!(
        "{ROUNDS} rounds of {} s, {CONNECTIONS} connections, medians; CPU of the server only\n",
        ROUND.as_secs()
    );
    println!("| body | constant answer, µs | drydock, µs | ratio |\n|---|---|---|---|");
    for (name, path) in BODIES {
        let body = std::fs::read(path).unwrap();
        let mut rounds: Vec<(f64, f64)> = (0..ROUNDS)
            .map(|_| (cost(&floor, &body), cost(&drydock, &body)))
            .collect();
        rounds.sort_by(|a, b| (a.1 / a.0).total_cmp(&(b.1 / b.0)));
        let (floor, drydock) = rounds[ROUNDS / 2];
        println!(
            "| {name} | {floor:.1} | {drydock:.1} | {:.2} |",
            drydock / floor
        );
    }
    println!(
        "\nresident after the load: constant answer {} KiB, drydock {} KiB",
        floor.resident_kib(),
        drydock.resident_kib()
    );
}

/// Returns the CPU time of a review in microseconds, at saturation.
fn cost(server: &Server, body: &[u8]) -> f64 {
    let request = client::request(body);
    let mut clients: Vec<Client> = (0..CONNECTIONS).map(|_| Client::connect(server)).collect();
    clients.iter_mut().for_each(|client| client.send(&request));
    let (before, until) = (server.cpu(), Instant::now() + ROUND);
    let answered: u32 = std::thread::scope(|scope| {
        let keep_sending = |mut client: Client| {
            let request = &request;
            scope.spawn(move || {
                let mut answered = 0;
                while Instant::now() < until {
                    client.send(request);
                    answered += 1;
                }
                answered
            })
        };
        let threads: Vec<_> = clients.into_iter().map(keep_sending).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    (server.cpu() - before).as_secs_f64() * 1e6 / f64::from(answered)
}
