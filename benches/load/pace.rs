//! Sends requests at a fixed rate, independent of the responses (open loop), and measures latency.

use crate::both::{Both, in_turns, medians, quantile, ratio};
use crate::client::Client;
use crate::server::Server;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

const ROUNDS: usize = 5;
const CONNECTIONS: usize = 8;

/// The head of the table for [`Paced::row`].
pub(crate) const HEAD: &str = "| reviews a second | baseline p50, µs | drydock p50, µs | ratio | baseline p99, µs | drydock p99, µs | baseline CPU, µs | drydock CPU, µs |\n|---|---|---|---|---|---|---|---|";

/// The results of a round, in microseconds.
struct Round {
    /// Latencies from the time at which a request was due, so that a delay by earlier requests
    /// counts.
    latencies: Vec<f64>,
    cpu: f64,
}

/// The rounds of both servers at a rate.
pub(crate) struct Paced(Vec<Both<Round>>);

impl Paced {
    /// Sends `rate` requests a second to each server, for `length` in each round.
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

    /// Returns a row of the table. p50 and CPU time are medians of the rounds; p99 is of all rounds
    /// together.
    pub(crate) fn row(&self, rate: u32) -> String {
        let (p50, cpu) = (medians(&self.0, p50), medians(&self.0, |round| round.cpu));
        let p99 = |of: fn(&Both<Round>) -> &Round| {
            let all = self.0.iter().flat_map(|round| &of(round).latencies);
            quantile(all.copied().collect(), 0.99)
        };
        format!(
            "| {rate} | {:.0} | {:.0} | {:.2} | {:.0} | {:.0} | {:.0} | {:.0} |",
            p50.baseline,
            p50.drydock,
            self.ratio(),
            p99(|round| &round.baseline),
            p99(|round| &round.drydock),
            cpu.baseline,
            cpu.drydock,
        )
    }

    /// Describes the rate and the length of the rounds.
    pub(crate) fn extent(rate: u32, length: Duration) -> String {
        format!("{rate}/s in {ROUNDS} rounds of {} s", length.as_secs())
    }
}

/// Describes how requests are sent and measured.
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
            // The connections take turns.
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

/// Sends a request when it is due. Returns the time from then to the response, in microseconds.
fn late(client: &mut Client, request: &[u8], due: Instant) -> f64 {
    // By default, the kernel can wake a sleeping thread up to 50 µs late.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    std::thread::sleep(due.saturating_duration_since(Instant::now()));
    client.ask(request);
    due.elapsed().as_secs_f64() * 1e6
}
