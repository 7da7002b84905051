//! Measures the CPU time of a review while the server always has a next request.

use crate::bodies;
use crate::both::{Both, in_turns, medians, ratio};
use crate::client::{self, Client, Until};
use crate::server::Server;
use crate::target::{bound, verdict};
use std::time::{Duration, Instant};

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);
const CONNECTIONS: usize = 8;

struct Case {
    name: &'static str,
    body: Vec<u8>,
    connections: usize,
    /// Maximum ratio of CPU time to the baseline's.
    target: Option<f64>,
}

fn cases() -> [Case; 7] {
    let case = |name, body, target| Case {
        name,
        body,
        connections: CONNECTIONS,
        target,
    };
    let fixture = |name, file, target| case(name, bodies::fixture(file), target);
    [
        fixture("real", "runner/19.3.0-secret-certs", Some(3.0)),
        fixture("typical", "typical", Some(3.0)),
        fixture("small", "small", None),
        fixture("full", "full", None),
        fixture("no match: not a job pod", "nomatch", Some(2.0)),
        fixture(
            "no dind: a job pod without",
            "runner/19.3.0-no-services",
            None,
        ),
        Case {
            connections: CONNECTIONS / 2,
            ..case("huge", bodies::huge(), None)
        },
    ]
}

/// The results of a round.
struct Cost {
    microseconds: f64,
    /// Share of the time in which the server ran.
    busy: f64,
}

pub(crate) fn run() {
    println!(
        "CPU time of the server for a review, while the next request is always waiting. Busy is the server's share of the CPU: if it is far below 100 %, other processes used the CPU, and the row is not reliable. Medians of {ROUNDS} rounds of {} s; {CONNECTIONS} connections, {} for the huge body.\n",
        ROUND.as_secs(),
        CONNECTIONS / 2
    );
    println!(
        "| body | kB | drydock's answer | baseline, µs | drydock, µs | ratio | target | | busy: baseline, drydock |\n|---|---|---|---|---|---|---|---|---|"
    );
    let directory = tempfile::tempdir().unwrap();
    let servers = Both::start(directory.path());
    cases().iter().for_each(|case| measure(&servers, case));
}

fn measure(servers: &Both<Server>, case: &Case) {
    let request = client::request(&case.body);
    let answer = answer(&servers.drydock, &request);
    let mut subjects = servers.as_ref().map(|server| {
        let clients = Client::connect_many(server, case.connections, &request);
        (server, clients)
    });
    let rounds = in_turns(ROUNDS, &mut subjects, |(server, clients)| {
        let cost = cost(server, clients, &request);
        server.truncate_log();
        cost
    });
    let microseconds = medians(&rounds, |round| round.microseconds);
    let busy = medians(&rounds, |round| round.busy * 100.0);
    let ratio = ratio(&rounds, |round| round.microseconds);
    println!(
        "| {} | {} | {answer} | {:.1} | {:.1} | {ratio:.2} | {} | {} | {:.0} %, {:.0} % |",
        case.name,
        case.body.len().div_ceil(1_000),
        microseconds.baseline,
        microseconds.drydock,
        bound(case.target),
        verdict(ratio, case.target),
        busy.baseline,
        busy.drydock,
    );
}

fn cost(server: &Server, clients: &mut [Client], request: &[u8]) -> Cost {
    let (before, begin) = (server.cpu(), Instant::now());
    let answered = client::saturate(clients, request, Until::Time(begin + ROUND));
    let (cpu, elapsed) = (server.cpu() - before, begin.elapsed());
    Cost {
        microseconds: cpu.as_secs_f64() * 1e6 / f64::from(answered),
        busy: cpu.as_secs_f64() / elapsed.as_secs_f64(),
    }
}

/// Returns whether drydock's response to a body has a patch.
fn answer(drydock: &Server, request: &[u8]) -> &'static str {
    let mut client = Client::connect(drydock);
    let answer: serde_json::Value = serde_json::from_slice(client.ask(request)).unwrap();
    assert_eq!(answer["response"]["allowed"], true, "{answer}");
    if answer["response"]["patch"].is_string() {
        "patch"
    } else {
        "no patch"
    }
}
