//! Measures the time from the start of a server to its first response, and the size of the program.

use crate::bodies;
use crate::both::{Both, in_turns, medians, ratio};
use crate::client::{self, Client};
use crate::server::Server;
use crate::target::{bound, verdict};
use std::process::Command;
use std::time::Instant;

const STARTS: usize = 20;
/// Maximum time to the first response, in milliseconds.
const TARGET: f64 = 10.0;

pub(crate) fn run() {
    let request = client::request(&bodies::fixture("small"));
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let mut starts: Both<&dyn Fn() -> Server> = Both {
        baseline: &|| Server::baseline(directory),
        drydock: &|| Server::drydock(directory, "info"),
    };
    let rounds = in_turns(STARTS, &mut starts, |start| {
        let begin = Instant::now();
        let server = start();
        Client::connect(&server).ask(&request);
        begin.elapsed().as_secs_f64() * 1e3
    });
    let (milliseconds, ratio) = (medians(&rounds, |it| *it), ratio(&rounds, |it| *it));
    println!(
        "From the start of the process to the first review answered over TLS, including the creation of a key and a certificate. Medians of {STARTS} starts.\n"
    );
    println!("| baseline, ms | drydock, ms | ratio | target | |\n|---|---|---|---|---|");
    println!(
        "| {:.1} | {:.1} | {ratio:.2} | {} | {} |\n",
        milliseconds.baseline,
        milliseconds.drydock,
        bound(Some(TARGET)),
        verdict(milliseconds.drydock, Some(TARGET))
    );
    println!("Program: {}.", size(directory));
}

/// Returns the size of the program without symbols, as in a release.
fn size(directory: &std::path::Path) -> String {
    let (program, stripped) = (Server::drydock_binary(), directory.join("stripped"));
    let strip = Command::new("strip")
        .arg("-o")
        .arg(&stripped)
        .arg(program)
        .status();
    let bytes = |path: &std::path::Path| std::fs::metadata(path).unwrap().len();
    #[expect(clippy::cast_precision_loss, reason = "programs are small")]
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    match strip {
        Ok(status) if status.success() => {
            format!("{:.2} MB without symbols", megabytes(bytes(&stripped)))
        }
        _ => format!(
            "{:.2} MB with symbols, because `strip` (Debian: binutils) is not installed",
            megabytes(bytes(program))
        ),
    }
}
