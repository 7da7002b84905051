//! Measures CPU time of the API server and latency at the client, in rounds.

use crate::variant::{Cluster, Variant};
use std::time::Instant;

/// The averages of one creation in a round.
pub(crate) struct Figures {
    /// CPU time of kube-apiserver.
    pub(crate) cpu_ms: f64,
    /// Median latency at the client.
    pub(crate) p50_ms: f64,
}

/// Measures each variant in each round, and returns the rounds of each variant. The order is
/// reversed in every other round.
pub(crate) async fn in_turns(
    cluster: &Cluster<'_>,
    variants: &[Variant],
    rounds: usize,
    creations: usize,
) -> Vec<Vec<Figures>> {
    let mut figures: Vec<Vec<Figures>> = variants.iter().map(|_| Vec::new()).collect();
    for variant in variants {
        // Opens connections, and fills the caches of the API server, such as compiled expressions.
        round(cluster, variant, creations / 4).await;
    }
    for number in 0..rounds {
        let mut order: Vec<usize> = (0..variants.len()).collect();
        if number % 2 == 1 {
            order.reverse();
        }
        for index in order {
            figures[index].push(round(cluster, &variants[index], creations).await);
        }
    }
    figures
}

async fn round(cluster: &Cluster<'_>, variant: &Variant, creations: usize) -> Figures {
    let before = cpu_ms(cluster.api_server_pid());
    let mut latencies = Vec::with_capacity(creations);
    for _ in 0..creations {
        let start = Instant::now();
        cluster.create(variant).await;
        latencies.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    let spent = cpu_ms(cluster.api_server_pid()) - before;
    latencies.sort_by(f64::total_cmp);
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let creations = creations as f64;
    Figures {
        cpu_ms: spent / creations,
        p50_ms: latencies[latencies.len() / 2],
    }
}

/// Returns user and system time of a process and its threads, from fields 14 and 15 of
/// `/proc/PID/stat` (proc_pid_stat(5)), whose unit is a hundredth of a second.
fn cpu_ms(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name of the program, in parentheses, can contain spaces.
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) * 10.0
}

/// Returns the median of a figure over the rounds.
pub(crate) fn median(rounds: &[Figures], figure: impl Fn(&Figures) -> f64) -> f64 {
    middle(rounds.iter().map(figure).collect())
}

/// Returns the median of the ratios of the rounds.
pub(crate) fn ratio(rounds: &[Figures], base: &[Figures], figure: impl Fn(&Figures) -> f64) -> f64 {
    let pairs = rounds.iter().zip(base);
    middle(pairs.map(|(a, b)| figure(a) / figure(b)).collect())
}

fn middle(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
