//! The command line, with one file per command. Results are written to stdout, and messages to
//! stderr. Exit codes: 0 success, 1 findings, 2 error.

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
use plugin::Invocation;
use std::io::Write;
use std::process::ExitCode;
use std::sync::LazyLock;

/// The policy that is used if `--policy` is not set. `drydock print policy` prints it.
pub const SAMPLE_POLICY: &str = include_str!("../manifests/sample-policy.yaml");
/// The name of the sample policy in messages.
const SAMPLE_POLICY_NAME: &str = "built-in sample policy";

/// The version and commit that `drydock --version` prints.
static VERSION: LazyLock<String> =
    LazyLock::new(|| format!("{} (commit {COMMIT})", env!("CARGO_PKG_VERSION")));

/// Mutating admission webhook that repairs the pods of GitLab CI jobs when they are created.
#[derive(Debug, Parser)]
#[command(name = "drydock", version = VERSION.as_str(), arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    // The help of a command is the doc comment of its struct. A doc comment here would replace it.
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

/// The exit status of a command. The variants are in order of severity.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Exit {
    /// No findings.
    Success,
    /// There are findings, such as an invalid policy or a refused pod.
    Findings,
    /// The command failed, or could not process a part of its input.
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
    /// Parses the command line of the process. If kubectl started the program as a plugin, usage
    /// texts contain `kubectl drydock`. If kubectl started the program to complete arguments,
    /// prints the completions and returns `None`.
    ///
    /// # Errors
    /// Returns an error if the completions cannot be written.
    pub fn from_process_args(out: &mut dyn Write) -> std::io::Result<Option<Self>> {
        let mut command = Self::command();
        let mut arguments = std::env::args_os();
        match Invocation::from_program(arguments.next().as_deref()) {
            Invocation::Direct => {}
            Invocation::KubectlPlugin => command = command.bin_name("kubectl drydock"),
            Invocation::KubectlCompletion => {
                let words: Vec<_> = arguments.collect();
                return plugin::complete(&command, &words, out).map(|()| None);
            }
        }
        let matches = command.get_matches();
        Ok(Some(
            Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()),
        ))
    }

    /// Runs the command. Writes its result to `out` and messages to `stderr`.
    ///
    /// # Errors
    /// Returns the error that ends the command. An error in a part of the input is only printed,
    /// and the result is [`Exit::Error`].
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
