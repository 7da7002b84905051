//! `drydock doctor`: why jobs are not repaired. It gathers facts with the user's rights, and
//! [`crate::diagnose`] finds what is wrong.

mod gather;
mod print;
mod probe;
mod reader;

use super::Exit;
use super::connection::{Connection, ConnectionFlags};
use crate::diagnose::report::Level;
use crate::diagnose::{self, Report};
use anyhow::Context as _;
use clap::{Args, ValueEnum};
use gather::{Asked, gather};
use print::Heading;
use reader::Reader;
use std::collections::BTreeSet;
use std::io::Write;
use std::time::{Duration, Instant};

/// Time between two attempts.
const PAUSE: Duration = Duration::from_secs(2);
/// The first question is whether the API server is there at all.
const FIRST_ANSWER: Duration = Duration::from_secs(10);

/// Find out why jobs are not repaired: look at a cluster.
///
/// Reads what you may read and changes nothing: job pods are created as a dry run. Exit 0: nothing
/// is wrong; 1: findings; 2: the API server could not be asked.
#[derive(Args, Debug)]
pub(super) struct Doctor {
    /// Namespace of jobs. Can be repeated [default: all namespaces]
    #[arg(
        short,
        long = "namespace",
        value_name = "NAMESPACE",
        value_delimiter = ','
    )]
    namespaces: Vec<String>,

    /// Existing pod to explain: what drydock did with it, or why it did nothing
    #[arg(long, value_name = "NAME")]
    pod: Option<String>,

    /// What to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,

    /// Repeat until there are no errors, at most this long, as in 90s or 5m
    #[arg(long, value_name = "TIME", value_parser = time)]
    wait: Option<Duration>,

    /// How long the API server may take for all answers of one look
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    time_limit: Duration,

    #[command(flatten)]
    connection: ConnectionFlags,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
enum Output {
    /// For people; in colour on a terminal
    #[default]
    Text,
    /// For scripts: the same findings
    Json,
}

fn time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is no time; give seconds or minutes, as in 30s or 5m");
    let (number, unit) = match text.strip_suffix('m') {
        Some(minutes) => (minutes, 60),
        None => (text.strip_suffix('s').unwrap_or(text), 1),
    };
    match number.parse::<u32>() {
        Ok(number) if number > 0 => Ok(Duration::from_secs(u64::from(number) * unit)),
        _ => Err(wrong()),
    }
}

/// What runs in a cluster.
pub(super) struct ServerVersions {
    pub(super) kubernetes: String,
    /// Of the replicas; or why they are not known.
    pub(super) replicas: Result<BTreeSet<String>, String>,
}

/// Reads the versions of the API server and of the replicas, for `drydock version`.
pub(super) async fn server_versions(
    connection: &Connection,
    limit: Duration,
) -> anyhow::Result<ServerVersions> {
    let reader = Reader::new(&connection.client, limit);
    let not_asked = || format!("{} could not be asked", connection.server);
    let kubernetes = reader.server_version(limit).await.with_context(not_asked)?;
    let replicas = gather::versions(&reader)
        .await
        .map_err(|unread| unread.to_string());
    Ok(ServerVersions {
        kubernetes,
        replicas,
    })
}

impl Doctor {
    pub(super) fn run(self, out: &mut impl Write, talk: &mut impl Write) -> anyhow::Result<Exit> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let result = runtime.block_on(self.look(out, talk));
        // A look-up of a name cannot be ended; nobody waits for it.
        runtime.shutdown_background();
        result
    }

    async fn look(&self, out: &mut impl Write, talk: &mut impl Write) -> anyhow::Result<Exit> {
        let connection = self.connection.connect().await?;
        let asked = Asked {
            namespaces: self.namespaces(&connection.namespace),
            pod: self.pod.clone(),
        };
        let begin = Instant::now();
        let (report, heading) = loop {
            let reader = Reader::new(&connection.client, self.time_limit);
            let first = FIRST_ANSWER.min(self.time_limit);
            let found = match reader.server_version(first).await {
                Ok(version) => {
                    let facts = gather(&reader, &asked).await;
                    let heading = Heading {
                        server: connection.server.clone(),
                        version,
                    };
                    Ok((diagnose::diagnose(&facts), heading))
                }
                Err(error) => Err(error),
            };
            let is_over = self.wait.is_none_or(|wait| begin.elapsed() + PAUSE > wait);
            match found {
                Ok((report, heading)) if is_over || report.worst() < Level::Error => {
                    break (report, heading);
                }
                Ok((report, _)) => writeln!(talk, "waiting: {}", first_error(&report))?,
                Err(error) if is_over => {
                    return Err(error.context(format!("{} could not be asked", connection.server)));
                }
                Err(error) => writeln!(talk, "waiting: {error:#}")?,
            }
            tokio::time::sleep(PAUSE).await;
        };
        match self.output {
            Output::Text => print::text(out, &report, &heading, is_coloured())?,
            Output::Json => print::json(out, &report, &heading).context("stdout")?,
        }
        Ok(match report.worst() {
            Level::Good => Exit::Success,
            Level::Warning | Level::Error => Exit::Findings,
        })
    }

    fn namespaces(&self, of_context: &str) -> Vec<String> {
        match (self.namespaces.as_slice(), &self.pod) {
            ([], Some(_)) => vec![of_context.to_owned()],
            (named, _) => named.to_vec(),
        }
    }
}

fn first_error(report: &Report) -> &str {
    let mut errors = report.checks().filter(|check| check.level == Level::Error);
    errors.next().map_or("", |check| &check.text)
}

/// On a terminal, unless `NO_COLOR` or `TERM=dumb` say otherwise.
fn is_coloured() -> bool {
    let choice = anstream::AutoStream::choice(&std::io::stdout());
    choice != anstream::ColorChoice::Never
}
