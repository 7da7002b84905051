//! The command line: one file per command. stdout has the answer and can be piped, stderr has
//! messages. Exit codes: 0 good, 1 findings, 2 error.

mod certs;
mod check;
mod connection;
mod doctor;
mod explain;
mod import;
mod input;
mod mutate;
mod plugin;
mod print;
mod rules;
mod serve;
mod terminal;
mod test;
mod version;

use crate::telemetry::metrics::COMMIT;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use plugin::Called;
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
    Test(test::Test),
    Doctor(doctor::Doctor),
    Print(print::Print),
    Rules(rules::Rules),
    Certs(certs::Certs),
    Version(version::Version),
}

/// Result of a command. The worst of several counts.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Exit {
    /// No findings.
    Success,
    /// Findings: a policy has an error, a pod was refused.
    Findings,
    /// The command, or a part of it, failed.
    Error,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Success => Self::SUCCESS,
            Exit::Findings => Self::from(1),
            Exit::Error => Self::from(2),
        }
    }
}

impl Cli {
    /// Reads the arguments of the process. As a kubectl plugin, usage texts have the name
    /// `kubectl drydock`. Returns `None` if kubectl asked for completions, which are printed.
    ///
    /// # Errors
    /// If completions cannot be printed.
    pub fn of_process(out: &mut dyn Write) -> std::io::Result<Option<Self>> {
        let mut command = Self::command();
        let mut arguments = std::env::args_os();
        match Called::by(arguments.next().as_deref()) {
            Called::Directly => {}
            Called::ByKubectl => command = command.bin_name("kubectl drydock"),
            Called::ForCompletion => {
                let words: Vec<_> = arguments.collect();
                return plugin::complete(&command, &words, out).map(|()| None);
            }
        }
        let matches = command.get_matches();
        Ok(Some(
            Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()),
        ))
    }

    /// Runs the command. The answer goes to `out`, messages go to `stderr`.
    ///
    /// # Errors
    /// If the command could not be run at all.
    pub fn run(self, out: &mut dyn Write, stderr: &mut dyn Write) -> anyhow::Result<Exit> {
        match self.command {
            Command::Serve(serve) => serve.run(stderr),
            Command::Mutate(mutate) => mutate.run(out, stderr),
            Command::Import(import) => import.run(out, stderr),
            Command::Check(check) => check.run(out, stderr),
            Command::Test(test) => test.run(out, stderr),
            Command::Doctor(doctor) => doctor.run(out, stderr),
            Command::Print(print) => print.run(out),
            Command::Rules(rules) => rules.run(out),
            Command::Certs(certs) => certs.run(out),
            Command::Version(version) => version.run(out, stderr),
        }
    }
}
