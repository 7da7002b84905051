//! Measures the cost of one creation of a job pod for the API server: without a webhook, with
//! drydock, with a server that returns the same patch without any work (the baseline), and with a
//! MutatingAdmissionPolicy.
//!
//! `cargo bench --bench apiserver` starts the API server of the tests, creates the job pod of
//! GitLab Runner 19.3 as a dry run, and prints the tables of `benches/README.md`. Each round
//! measures every variant. The benchmark checks the effect of each variant, but has no limits:
//! times differ between machines and runs, so only ratios within one run are meaningful.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark stops at an unexpected result"
)]
#![allow(dead_code, reason = "the tests use other items of the shared modules")]

#[path = "../tests/cluster/api_server.rs"]
mod api_server;
#[path = "apiserver/baseline.rs"]
mod baseline;
#[path = "../tests/cluster/binaries.rs"]
mod binaries;
#[path = "../tests/cluster/child_process.rs"]
mod child_process;
#[path = "../tests/cluster/drydock_process.rs"]
mod drydock_process;
#[path = "../tests/cluster/identity.rs"]
mod identity;
#[path = "load/machine.rs"]
mod machine;
#[path = "apiserver/measure.rs"]
mod measure;
#[path = "../tests/webhook/output_lines.rs"]
mod output_lines;
#[path = "../tests/cluster/raw_requests.rs"]
mod raw_requests;
#[path = "../tests/cluster/runner_pods.rs"]
mod runner_pods;
#[path = "apiserver/shapes.rs"]
mod shapes;
#[path = "apiserver/variant.rs"]
mod variant;
#[path = "../tests/cluster/wait.rs"]
mod wait;

/// Replaces the module of the load benchmark: all processes share the CPUs, because the API server
/// uses several. Only its own CPU time is counted.
mod cpus {
    pub(crate) fn divide() -> String {
        "nothing: the API server, its etcd, drydock and the client share the CPUs".to_owned()
    }
}

use api_server::ApiServer;
use baseline::Baseline;
use drydock_process::Certificate;
use measure::{Figures, in_turns};
use variant::{Cluster, Policy, Variant};

const ROUNDS: usize = 5;
const CREATIONS: usize = 100;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    rustls::crypto::ring::default_provider()
        .install_default()
        .unwrap();
    machine::describe();
    let api = ApiServer::exclusive().await;
    let cluster = Cluster::new(&api).await;
    let certificate = Certificate::new();
    let drydock = |policy: Policy| certificate.serve(&["--policy", policy.file()]);
    let [unmatched, aliases, all] =
        [Policy::NoMatch, Policy::HostAliases, Policy::Sample].map(drydock);
    let baseline = Baseline::start().await;

    let mut variants = vec![cluster.plain("no webhook").await];
    let review = cluster.review_of(&baseline).await;
    let answer = cluster.answer_of(&all, &certificate, &review).await;
    baseline.answers("baseline", &answer);
    for (name, server) in [
        ("drydock: no policy matches, no patch", &unmatched),
        ("drydock: hostAliases only", &aliases),
        ("drydock: all of the sample policy", &all),
    ] {
        let webhook = cluster.webhook(&server.url(), &certificate.authority);
        variants.push(cluster.with_webhook(name, webhook).await);
    }
    let webhook = cluster.webhook(&all.url(), &certificate.authority);
    let name = "drydock: the same with matchConditions";
    variants.push(cluster.with_conditions(name, webhook).await);
    variants.push(cluster.at_baseline(BASELINE, &baseline, "baseline").await);
    variants.push(cluster.native("MutatingAdmissionPolicy").await);
    cluster.check(&variants).await;

    println!("\n## A creation of a {} kB job pod\n", cluster.pod_kb());
    let figures = in_turns(&cluster, &variants, ROUNDS, CREATIONS).await;
    print_creations(&variants, &figures);

    let mut shaped = Vec::new();
    for (name, answer) in shapes::of(&review, &answer) {
        baseline.answers(name, &answer);
        shaped.push(cluster.at_baseline(name, &baseline, name).await);
    }
    println!("\n## The shape of the patch\n");
    let figures = in_turns(&cluster, &shaped, ROUNDS, CREATIONS).await;
    print_shapes(&shaped, &figures);
}

const BASELINE: &str = "baseline: a constant patch of the same text";

fn print_creations(variants: &[Variant], figures: &[Vec<Figures>]) {
    let at = |name: &str| {
        let index = variants.iter().position(|variant| variant.name == name);
        &figures[index.unwrap()]
    };
    let (plain, baseline) = (at("no webhook"), at(BASELINE));
    println!(
        "| | CPU, ms | added, ms | p50, ms | CPU, ratio to baseline | p50, ratio to baseline |"
    );
    println!("|---|---|---|---|---|---|");
    for (variant, rounds) in variants.iter().zip(figures) {
        println!(
            "| {} | {:.1} | {:+.1} | {:.1} | {:.2} × | {:.2} × |",
            variant.name,
            measure::median(rounds, |round| round.cpu_ms),
            measure::median(rounds, |round| round.cpu_ms)
                - measure::median(plain, |round| round.cpu_ms),
            measure::median(rounds, |round| round.p50_ms),
            measure::ratio(rounds, baseline, |round| round.cpu_ms),
            measure::ratio(rounds, baseline, |round| round.p50_ms),
        );
    }
}

fn print_shapes(variants: &[Variant], figures: &[Vec<Figures>]) {
    println!("| patch | CPU, ms | p50, ms | CPU, ratio to drydock's |");
    println!("|---|---|---|---|");
    for (variant, rounds) in variants.iter().zip(figures) {
        println!(
            "| {} | {:.1} | {:.1} | {:.2} × |",
            variant.name,
            measure::median(rounds, |round| round.cpu_ms),
            measure::median(rounds, |round| round.p50_ms),
            measure::ratio(rounds, &figures[0], |round| round.cpu_ms),
        );
    }
}
