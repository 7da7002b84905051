//! Measures the cost of a new connection. The API server does not resume TLS sessions, so each
//! connection begins with a full handshake.

use crate::both::{Both, in_turns, medians, ratio};
use crate::client::Client;
use crate::server::Server;
use std::time::Duration;

const ROUNDS: usize = 5;
const CONNECTIONS: u32 = 500;
/// Wait before the CPU time is read, because the server still has to close the last connection.
const REST: Duration = Duration::from_millis(50);

pub(crate) fn run() {
    println!(
        "CPU time of the server for a connection that is opened, with a full TLS 1.3 handshake (P-256, X25519), and closed. Medians of {ROUNDS} rounds of {CONNECTIONS}, one after the other.\n"
    );
    let directory = tempfile::tempdir().unwrap();
    let servers = Both::start(directory.path());
    let rounds = in_turns(ROUNDS, &mut servers.as_ref(), |server| cost(server));
    let microseconds = medians(&rounds, |it| *it);
    println!("| baseline, µs | drydock, µs | ratio |\n|---|---|---|");
    println!(
        "| {:.0} | {:.0} | {:.2} |",
        microseconds.baseline,
        microseconds.drydock,
        ratio(&rounds, |it| *it)
    );
}

fn cost(server: &Server) -> f64 {
    let before = server.cpu();
    for _ in 0..CONNECTIONS {
        drop(Client::connect(server));
    }
    std::thread::sleep(REST);
    (server.cpu() - before).as_secs_f64() * 1e6 / f64::from(CONNECTIONS)
}
