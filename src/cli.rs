//! The command line: one file per command. stdout is the answer and can be piped, stderr is talk.
//! Exit codes: 0 good, 1 findings, 2 error.

mod certs;
mod check;
mod connection;
mod doctor;
mod explain;
mod input;
mod mutate;
mod plugin;
mod print;
mod rules;
mod serve;
mod test;
mod version;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use plugin::Called;
use std::io::Write;
use std::process::ExitCode;

/// The policy that is used when none is given, and what `drydock print policy` prints.
pub const SAMPLE_POLICY: &str = include_str!("../manifests/sample-policy.yaml");
/// What errors call it.
const SAMPLE_POLICY_NAME: &str = "built-in sample policy";

/// Repairs GitLab CI job pods on their way into a Kubernetes cluster.
#[derive(Debug, Parser)]
#[command(name = "drydock", version, about, long_about = None, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    // What help says of them are the comments on the structs: one here would hide the longer one there.
    Serve(Box<serve::Serve>),
    Mutate(mutate::Mutate),
    Check(check::Check),
    Test(test::Test),
    Doctor(doctor::Doctor),
    Print(print::Print),
    Rules(rules::Rules),
    Certs(certs::Certs),
    Version(version::Version),
}

/// How a command ended. The worst of several counts.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Exit {
    /// Good.
    Good,
    /// There are findings: a policy is not right, a pod was refused.
    Findings,
    /// Something could not be done.
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
    /// Reads the arguments of the process. As a plugin of kubectl it is called otherwise in usage texts; `None` where kubectl asked
    /// for completions, which are printed.
    ///
    /// # Errors
    /// Where completions cannot be printed.
    pub fn of_process(out: &mut impl Write) -> std::io::Result<Option<Self>> {
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

    /// Runs the command; `out` takes the answer, `talk` what is said about it.
    ///
    /// # Errors
    /// What kept the command from being done at all.
    pub fn run(self, out: &mut impl Write, talk: &mut impl Write) -> anyhow::Result<Exit> {
        match self.command {
            Command::Serve(serve) => serve.run(talk),
            Command::Mutate(mutate) => mutate.run(out, talk),
            Command::Check(check) => check.run(out, talk),
            Command::Test(test) => test.run(out, talk),
            Command::Doctor(doctor) => doctor.run(out, talk),
            Command::Print(print) => print.run(out),
            Command::Rules(rules) => rules.run(out),
            Command::Certs(certs) => certs.run(out),
            Command::Version(version) => version.run(out, talk),
        }
    }
}
