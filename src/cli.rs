//! The command line: one file per command. stdout has the answer and can be piped, stderr has
//! messages. Exit codes: 0 good, 1 findings, 2 error.

mod certs;
mod check;
mod explain;
mod import;
mod input;
mod mutate;
mod print;
mod rules;
mod serve;

use crate::telemetry::metrics::COMMIT;
use clap::{Parser, Subcommand};
use std::io::Write;
use std::process::ExitCode;
use std::sync::LazyLock;

/// The policy without `--policy`, which `drydock print policy` prints.
pub const SAMPLE_POLICY: &str = include_str!("../manifests/sample-policy.yaml");
/// The name of the sample policy in messages.
const SAMPLE_POLICY_NAME: &str = "built-in sample policy";

/// Version and commit, as `drydock --version` prints them.
static VERSION: LazyLock<String> =
    LazyLock::new(|| format!("{} (commit {COMMIT})", env!("CARGO_PKG_VERSION")));

/// Repairs GitLab CI job pods on their way into a Kubernetes cluster.
#[derive(Debug, Parser)]
#[command(name = "drydock", version = VERSION.as_str(), about, long_about = None, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    // The help of a command is the comment of its struct; a comment here would hide it.
    Serve(Box<serve::Serve>),
    Mutate(mutate::Mutate),
    Import(import::Import),
    Check(check::Check),
    Print(print::Print),
    Rules(rules::Rules),
    Certs(certs::Certs),
}

/// Result of a command. The worst of several counts.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Exit {
    /// No findings.
    Good,
    /// Findings: a policy has an error, a pod was refused.
    Findings,
    /// The command, or a part of it, failed.
    Error,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Good => Self::SUCCESS,
            Exit::Findings => Self::from(1),
            Exit::Error => Self::from(2),
        }
    }
}

impl Cli {
    /// Runs the command. The answer goes to `out`, messages go to `stderr`.
    ///
    /// # Errors
    /// If the command could not be run at all.
    pub fn run(self, out: &mut impl Write, stderr: &mut impl Write) -> anyhow::Result<Exit> {
        match self.command {
            Command::Serve(serve) => serve.run(stderr),
            Command::Mutate(mutate) => mutate.run(out, stderr),
            Command::Import(import) => import.run(out, stderr),
            Command::Check(check) => check.run(out, stderr),
            Command::Print(print) => print.run(out),
            Command::Rules(rules) => rules.run(out),
            Command::Certs(certs) => certs.run(out),
        }
    }
}
