//! `drydock doctor`: reads facts about a cluster with the permissions of the user, and prints the
//! findings of [`crate::diagnose`].

mod dry_run;
mod gather;
mod print;
mod reader;

use super::Exit;
use super::connection::{Connection, ConnectionFlags};
use crate::diagnose::report::Level;
use crate::diagnose::{self, Report};
use anyhow::Context as _;
use clap::{Args, ValueEnum};
use gather::{Scope, gather};
use print::{Heading, TextStyle};
use reader::Reader;
use std::collections::BTreeSet;
use std::io::Write;
use std::time::{Duration, Instant};

/// The time between two repetitions of the checks with `--wait`.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);
/// The time limit of the first request, which shows whether the API server responds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Check a cluster: find out why job pods are not repaired.
///
/// Uses your permissions and changes nothing: job pods are created as a server-side dry run. Exit
/// codes: 0 no findings, 1 findings, 2 the API server did not respond.
#[derive(Args, Debug)]
pub(super) struct Doctor {
    /// Namespace in which jobs run. Can be repeated [default: all namespaces]
    #[arg(
        short,
        long = "namespace",
        value_name = "NAMESPACE",
        value_delimiter = ','
    )]
    namespaces: Vec<String>,

    /// Explain an existing pod: what drydock changed, or why it changed nothing
    #[arg(long, value_name = "NAME")]
    pod: Option<String>,

    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,

    /// Repeat the checks until there are no errors, for at most this time, such as 90s or 5m
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    wait: Option<Duration>,

    /// Time limit for all requests to the API server; with --wait, for each repetition
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    time_limit: Duration,

    /// Also print the details of passed checks, such as the permissions of a runner
    #[arg(short, long)]
    verbose: bool,

    #[command(flatten)]
    connection: ConnectionFlags,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
enum Output {
    /// Text, in colour on a terminal
    #[default]
    Text,
    /// JSON, with all details
    Json,
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix('m') {
        Some(minutes) => (minutes, 60),
        None => (text.strip_suffix('s').unwrap_or(text), 1),
    };
    match number.parse::<u32>() {
        Ok(number) if number > 0 => Ok(Duration::from_secs(u64::from(number) * unit)),
        _ => Err("use a number of seconds or minutes, such as 30s or 5m".to_owned()),
    }
}

/// The versions of Kubernetes and of drydock in a cluster.
pub(super) struct ServerVersions {
    pub(super) kubernetes: String,
    /// The versions of the replicas, or the error with which the request for them failed.
    pub(super) replicas: Result<BTreeSet<String>, String>,
}

/// Reads the versions of the API server and of the replicas, for `drydock version`.
pub(super) async fn server_versions(
    connection: &Connection,
    limit: Duration,
) -> anyhow::Result<ServerVersions> {
    let reader = Reader::new(&connection.client, limit);
    let kubernetes = reader.server_version(limit).await;
    let kubernetes = kubernetes.with_context(|| connection.server.clone())?;
    let replicas = gather::versions(&reader)
        .await
        .map_err(|error| error.to_string());
    Ok(ServerVersions {
        kubernetes,
        replicas,
    })
}

impl Doctor {
    pub(super) fn run(self, out: &mut dyn Write, stderr: &mut dyn Write) -> anyhow::Result<Exit> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let result = runtime.block_on(self.check(out, stderr));
        // A DNS lookup cannot be cancelled, so do not wait for it.
        runtime.shutdown_background();
        result
    }

    async fn check(&self, out: &mut dyn Write, stderr: &mut dyn Write) -> anyhow::Result<Exit> {
        let connection = self.connection.connect().await?;
        let scope = Scope {
            namespaces: self.namespaces(&connection.namespace),
            pod: self.pod.clone(),
        };
        let begin = Instant::now();
        let (report, heading) = loop {
            let reader = Reader::new(&connection.client, self.time_limit);
            let first = CONNECT_TIMEOUT.min(self.time_limit);
            let found = match reader.server_version(first).await {
                Ok(version) => {
                    let facts = gather(&reader, &scope).await;
                    let heading = Heading {
                        server: connection.server.clone(),
                        version,
                    };
                    Ok((diagnose::diagnose(&facts), heading))
                }
                Err(error) => Err(error),
            };
            let is_over = self
                .wait
                .is_none_or(|wait| begin.elapsed() + RETRY_INTERVAL > wait);
            match found {
                Ok((report, heading)) if is_over || report.worst() < Level::Error => {
                    break (report, heading);
                }
                Ok((report, _)) => writeln!(stderr, "waiting: {}", first_error(&report))?,
                Err(error) if is_over => {
                    return Err(error.context(connection.server));
                }
                Err(error) => writeln!(stderr, "waiting: {error:#}")?,
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        };
        match self.output {
            Output::Text => {
                let style = TextStyle::of_terminal(is_coloured(), self.verbose);
                print::text(out, &report, &heading, style)?;
            }
            Output::Json => print::json(out, &report, &heading).context("stdout")?,
        }
        Ok(match report.worst().is_finding() {
            true => Exit::Findings,
            false => Exit::Success,
        })
    }

    fn namespaces(&self, current: &str) -> Vec<String> {
        match (self.namespaces.as_slice(), &self.pod) {
            ([], Some(_)) => vec![current.to_owned()],
            (named, _) => named.to_vec(),
        }
    }
}

fn first_error(report: &Report) -> &str {
    let mut errors = report.checks().filter(|check| check.level == Level::Error);
    errors.next().map_or("", |check| &check.text)
}

/// Returns whether stdout is a terminal and neither `NO_COLOR` nor `TERM=dumb` is set.
fn is_coloured() -> bool {
    let choice = anstream::AutoStream::choice(&std::io::stdout());
    choice != anstream::ColorChoice::Never
}
