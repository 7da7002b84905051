//! What one creation of a job pod costs the API server: without a webhook, with drydock, with a
//! server that answers the same patch without any work (the floor), and with a native
//! MutatingAdmissionPolicy.
//!
//! `cargo bench --bench apiserver` starts the API server of the tests, creates the job pod of
//! GitLab Runner 19.3 as a dry run, and prints the table of `benches/README.md`. The variants take
//! turns in one run. Nothing here judges but the effect of each variant: machines are noisy, so
//! only the ratios of one run mean something.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark stops at an unexpected result"
)]
#![allow(
    dead_code,
    reason = "the tests use more of the API server that both share"
)]

#[path = "../tests/cluster/api_server.rs"]
mod api_server;
#[path = "../tests/cluster/binaries.rs"]
mod binaries;
#[path = "../tests/cluster/child_process.rs"]
mod child_process;
#[path = "../tests/cluster/drydock_process.rs"]
mod drydock_process;
#[path = "apiserver/floor.rs"]
mod floor;
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

/// The CPUs are shared: the API server uses both of two, and only its own time is counted.
mod cpus {
    pub(crate) fn divide() -> String {
        "nothing: the API server, its etcd, drydock and the client share the CPUs".to_owned()
    }
}

use api_server::ApiServer;
use drydock_process::Certificate;
use floor::Floor;
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
    let api = ApiServer::of_ones_own().await;
    let cluster = Cluster::new(&api).await;
    let certificate = Certificate::new();
    let drydock = |policy: Policy| certificate.serve(&["--policy", policy.file()]);
    let [unmatched, aliases, all] =
        [Policy::NoMatch, Policy::HostAliases, Policy::Sample].map(drydock);
    let floor = Floor::start().await;

    let mut variants = vec![cluster.plain("no webhook").await];
    let review = cluster.review_of(&floor).await;
    let answer = cluster.answer_of(&all, &certificate, &review).await;
    floor.answers("floor", &answer);
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
    variants.push(cluster.at_floor(FLOOR, &floor, "floor").await);
    variants.push(cluster.native("MutatingAdmissionPolicy").await);
    cluster.check(&variants).await;

    println!("\n## A creation of a {} kB job pod\n", cluster.pod_kb());
    let figures = in_turns(&cluster, &variants, ROUNDS, CREATIONS).await;
    print_creations(&variants, &figures);

    let mut shaped = Vec::new();
    for (name, answer) in shapes::of(&review, &answer) {
        floor.answers(name, &answer);
        shaped.push(cluster.at_floor(name, &floor, name).await);
    }
    println!("\n## The shape of the patch\n");
    let figures = in_turns(&cluster, &shaped, ROUNDS, CREATIONS).await;
    print_shapes(&shaped, &figures);
}

const FLOOR: &str = "floor: a constant patch of the same text";

fn print_creations(variants: &[Variant], figures: &[Vec<Figures>]) {
    let at = |name: &str| {
        let index = variants.iter().position(|variant| variant.name == name);
        &figures[index.unwrap()]
    };
    let (plain, floor) = (at("no webhook"), at(FLOOR));
    println!("| | CPU, ms | more than without | p50, ms | CPU to the floor | p50 to the floor |");
    println!("|---|---|---|---|---|---|");
    for (variant, rounds) in variants.iter().zip(figures) {
        println!(
            "| {} | {:.1} | {:+.1} | {:.1} | {:.2} × | {:.2} × |",
            variant.name,
            measure::median(rounds, |round| round.cpu_ms),
            measure::median(rounds, |round| round.cpu_ms)
                - measure::median(plain, |round| round.cpu_ms),
            measure::median(rounds, |round| round.p50_ms),
            measure::ratio(rounds, floor, |round| round.cpu_ms),
            measure::ratio(rounds, floor, |round| round.p50_ms),
        );
    }
}

fn print_shapes(variants: &[Variant], figures: &[Vec<Figures>]) {
    println!("| patch | CPU, ms | p50, ms | CPU to drydock's |");
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
