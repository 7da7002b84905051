//! Requests at a fixed rate, whatever the answers take (open loop), and how late each answer came.

use crate::both::{Both, in_turns, medians, quantile, ratio};
use crate::client::Client;
use crate::server::Server;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

const ROUNDS: usize = 5;
const CONNECTIONS: usize = 8;

/// The head of the table that [`Paced::row`] fills.
pub(crate) const HEAD: &str = "| reviews a second | floor p50, µs | drydock p50, µs | ratio | floor p99, µs | drydock p99, µs | floor CPU, µs | drydock CPU, µs |\n|---|---|---|---|---|---|---|---|";

/// What a round gave: microseconds.
struct Round {
    /// From when a request was due, not from when it was sent: one that is held up by those before
    /// it counts as late.
    latencies: Vec<f64>,
    cpu: f64,
}

/// Both servers at a rate.
pub(crate) struct Paced(Vec<Both<Round>>);

impl Paced {
    /// Sends each of them so many requests a second, for `length` in each of some rounds.
    pub(crate) fn measure(
        servers: &Both<Server>,
        request: &[u8],
        rate: u32,
        length: Duration,
    ) -> Self {
        let mut subjects = servers
            .as_ref()
            .map(|server| (server, Client::connect_many(server, CONNECTIONS, request)));
        Self(in_turns(ROUNDS, &mut subjects, |(server, clients)| {
            round(server, clients, request, rate, length)
        }))
    }

    /// Returns the median of the rounds' ratios of p50.
    pub(crate) fn ratio(&self) -> f64 {
        ratio(&self.0, p50)
    }

    /// Writes a row of the table: p50 and CPU are medians of the rounds; the p99 is that of all of
    /// them together.
    pub(crate) fn row(&self, rate: u32) -> String {
        let (p50, cpu) = (medians(&self.0, p50), medians(&self.0, |round| round.cpu));
        let p99 = |of: fn(&Both<Round>) -> &Round| {
            let all = self.0.iter().flat_map(|round| &of(round).latencies);
            quantile(all.copied().collect(), 0.99)
        };
        format!(
            "| {rate} | {:.0} | {:.0} | {:.2} | {:.0} | {:.0} | {:.0} | {:.0} |",
            p50.floor,
            p50.drydock,
            self.ratio(),
            p99(|round| &round.floor),
            p99(|round| &round.drydock),
            cpu.floor,
            cpu.drydock,
        )
    }

    /// Says how much was sent to each.
    pub(crate) fn extent(rate: u32, length: Duration) -> String {
        format!("{rate}/s in {ROUNDS} rounds of {} s", length.as_secs())
    }
}

/// Says how all of it is sent.
pub(crate) fn method() -> String {
    format!(
        "the typical body on {CONNECTIONS} connections, latency from the time at which the request was due"
    )
}

fn p50(round: &Round) -> f64 {
    quantile(round.latencies.clone(), 0.5)
}

fn round(
    server: &Server,
    clients: &mut [Client],
    request: &[u8],
    rate: u32,
    length: Duration,
) -> Round {
    let connections = u32::try_from(clients.len()).unwrap();
    let interval = Duration::from_secs(1) / rate;
    let (cpu, begin) = (server.cpu(), Instant::now() + interval);
    let latencies: Vec<f64> = std::thread::scope(|scope| {
        let keep_pace = |(number, client): (u32, &'_ mut Client)| {
            // Turns go round the connections.
            let due = (number..)
                .step_by(connections as usize)
                .map(|turn| interval * turn)
                .take_while(|due| *due < length)
                .map(|due| begin + due);
            due.map(|due| late(client, request, due))
                .collect::<Vec<f64>>()
        };
        let threads: Vec<_> = (0..)
            .zip(&mut *clients)
            .map(|client| scope.spawn(move || keep_pace(client)))
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    let cpu = server.cpu() - cpu;
    let answered = f64::from(u32::try_from(latencies.len()).unwrap());
    Round {
        latencies,
        cpu: cpu.as_secs_f64() * 1e6 / answered,
    }
}

/// Sends a request when it is due, and returns how many microseconds later it was answered.
fn late(client: &mut Client, request: &[u8], due: Instant) -> f64 {
    // By default the kernel may wake a sleeper 50 µs late.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    std::thread::sleep(due.saturating_duration_since(Instant::now()));
    client.ask(request);
    due.elapsed().as_secs_f64() * 1e6
}
