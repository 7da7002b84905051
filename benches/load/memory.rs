//! Measures resident memory: idle, after many reviews, with many connections, and with many large
//! bodies at the same time.

use crate::bodies;
use crate::both::Both;
use crate::client::{self, Client, Until};
use crate::server::Server;
use crate::target::{bound, verdict};
use std::time::Duration;

const CONNECTIONS: usize = 8;
const FEW: u32 = 100_000;
const MANY: u32 = 1_000_000;
const IDLE_CONNECTIONS: usize = 400;
const HUGE_BODIES: usize = 16;
/// Wait before the memory of a server is read.
const REST: Duration = Duration::from_secs(1);

/// Memory in KiB.
struct Figures {
    idle: f64,
    after_few: f64,
    after_many: f64,
    of_files: f64,
    burst_peak: f64,
    after_burst: f64,
    a_connection: f64,
}

pub(crate) fn run() {
    println!(
        "`VmRSS` and `VmHWM`. The typical body on {CONNECTIONS} connections; log level warn, because the log would fill the disk; without a cluster. The baseline is the benchmark's own program, so the file pages that it maps are not those of a small server.\n"
    );
    let directory = tempfile::tempdir().unwrap();
    let figures = Both {
        baseline: figures(|| Server::baseline(directory.path())),
        drydock: figures(|| Server::drydock(directory.path(), "warn")),
    };
    println!("| | baseline | drydock | target | |\n|---|---|---|---|---|");
    let mib = |what: &str, target: Option<f64>, of: fn(&Figures) -> f64| {
        row(
            what,
            "MiB",
            target,
            figures.as_ref().map(|it| of(it) / 1024.0),
        );
    };
    mib("started, idle", None, |it| it.idle);
    mib("after 10⁵ reviews", None, |it| it.after_few);
    mib("after 10⁶ reviews", None, |it| it.after_many);
    mib("of that, anonymous: not pages of files", Some(4.0), |it| {
        it.after_many - it.of_files
    });
    mib("growth from 10⁵ to 10⁶", Some(0.5), |it| {
        it.after_many - it.after_few
    });
    mib(
        &format!("peak while {HUGE_BODIES} bodies of 1 MB are held"),
        None,
        |it| it.burst_peak,
    );
    mib("after that", None, |it| it.after_burst);
    row(
        &format!("each of {IDLE_CONNECTIONS} connections that have carried a review and are idle"),
        "KiB",
        Some(48.0),
        figures.as_ref().map(|it| it.a_connection),
    );
}

fn row(what: &str, unit: &str, target: Option<f64>, figures: Both<f64>) {
    let target_with_unit = match target {
        Some(_) => format!("{} {unit}", bound(target)),
        None => bound(target),
    };
    println!(
        "| {what} | {:.1} {unit} | {:.1} {unit} | {target_with_unit} | {} |",
        figures.baseline,
        figures.drydock,
        verdict(figures.drydock, target)
    );
}

fn figures(start: impl Fn() -> Server) -> Figures {
    let typical = client::request(&bodies::fixture("typical"));
    let server = start();
    let idle = at_rest(&server);
    let mut clients = Client::connect_many(&server, CONNECTIONS, &typical);
    let mut after = |count: u32| {
        client::saturate(&mut clients, &typical, Until::Answers(count));
        at_rest(&server)
    };
    let (after_few, after_many) = (after(FEW), after(MANY - FEW));
    let of_files = server.resident_of_files_kib();
    drop(clients);
    server.reset_peak();
    burst(&server);
    let burst_peak = server.peak_kib();
    let after_burst = at_rest(&server);
    // Uses a new server, because the first would use freed memory again for the connections.
    let a_connection = a_connection(&start(), &typical);
    Figures {
        idle,
        after_few,
        after_many,
        of_files,
        burst_peak,
        after_burst,
        a_connection,
    }
}

/// Sends large bodies such that the server holds all of them in memory at the same time.
fn burst(server: &Server) {
    let request = client::request(&bodies::huge());
    let (most, last) = request.split_at(request.len() - 1);
    let mut clients: Vec<Client> = (0..HUGE_BODIES).map(|_| Client::connect(server)).collect();
    clients.iter_mut().for_each(|client| client.send(most));
    // The data can still be in buffers of the kernel.
    std::thread::sleep(REST);
    clients.iter_mut().for_each(|client| client.send(last));
    for client in &mut clients {
        client.receive();
    }
}

fn a_connection(server: &Server, request: &[u8]) -> f64 {
    let mut open = Client::connect_many(server, 1, request);
    let before = at_rest(server);
    open.extend(Client::connect_many(server, IDLE_CONNECTIONS, request));
    let count = f64::from(u32::try_from(IDLE_CONNECTIONS).unwrap());
    (at_rest(server) - before) / count
}

fn at_rest(server: &Server) -> f64 {
    std::thread::sleep(REST);
    server.resident_kib()
}
