//! `drydock import`: writes policies to stdout and a migration report to stderr.

mod from_cluster;

use super::Exit;
use super::connection::ConnectionFlags;
use crate::import::{Input, ReportFormat, import};
use anyhow::bail;
use clap::{Args, ValueEnum};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// The maximum number of bytes to read from a file: one more than the import accepts, so that the
/// import refuses a larger file.
const READ_LIMIT: u64 = (8 << 20) + 1;

/// Create policies from the configuration of runners
///
/// Reads config.toml of GitLab Runner, values of its Helm chart (alone, below gitlab-runner:, in a
/// HelmRelease, an Application or a HelmChart), and Kubernetes objects that contain them. Prints
/// policies to stdout, for drydock check and kubectl apply, and a migration report to stderr. Never
/// prints a token or another secret. If a file cannot be read or contains no runner, the exit code
/// is 2 and nothing is printed to stdout.
#[derive(Args, Debug)]
pub(super) struct Import {
    /// File with the configuration of runners, or - for stdin
    #[arg(value_name = "FILE", required_unless_present = "from_cluster")]
    files: Vec<PathBuf>,

    /// Format of the report
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    report: Format,

    /// Read ConfigMaps and Deployments of runners with the kubeconfig, never Secrets
    #[arg(long, conflicts_with = "files")]
    from_cluster: bool,

    /// Read only this namespace [default: all namespaces]
    #[arg(long, short, value_name = "NAME", requires = "from_cluster")]
    namespace: Option<String>,

    #[command(flatten)]
    connection: ConnectionFlags,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Md,
    Json,
}

impl Import {
    pub(super) fn run(self, out: &mut dyn Write, stderr: &mut dyn Write) -> anyhow::Result<Exit> {
        let mut read = Vec::new();
        let mut exit = Exit::Success;
        if self.from_cluster {
            let objects = from_cluster::objects(&self.connection, self.namespace.as_deref())?;
            read.push(("cluster".to_owned(), objects, true));
        } else if !self.connection.is_default() {
            bail!(
                "--kubeconfig and --context are used only with --from-cluster; add --from-cluster, or remove them"
            );
        }
        for (index, path) in self.files.iter().enumerate() {
            let is_stdin = path.as_os_str() == "-";
            if is_stdin && self.files.iter().take(index).any(|other| other == path) {
                bail!("- (stdin) is given twice, but it can be read only once");
            }
            let bytes = match is_stdin {
                true => content(std::io::stdin().lock()),
                false => file(path),
            };
            match bytes {
                Ok(bytes) => read.push((path.display().to_string(), bytes, is_stdin)),
                Err(error) => {
                    exit = Exit::Error;
                    writeln!(stderr, "error: {}: {error}", path.display())?;
                }
            }
        }
        if read.is_empty() {
            return Ok(exit);
        }
        let inputs = read.iter().map(|(name, bytes, is_stdin)| Input {
            name,
            bytes,
            is_stdin: *is_stdin,
        });
        let outcome = import(&inputs.collect::<Vec<_>>());
        let format = match self.report {
            Format::Text => ReportFormat::Text,
            Format::Md => ReportFormat::Markdown,
            Format::Json => ReportFormat::Json,
        };
        stderr.write_all(outcome.report.render(format).as_bytes())?;
        if !outcome.is_complete || exit == Exit::Error {
            return Ok(Exit::Error);
        }
        out.write_all(outcome.policies.as_bytes())?;
        Ok(Exit::Success)
    }
}

fn file(path: &Path) -> Result<Vec<u8>, String> {
    if path.is_dir() {
        let path = path.display();
        return Err(format!(
            "is a directory; give its files, such as {path}/*.yaml"
        ));
    }
    content(File::open(path).map_err(|error| format!("cannot be opened: {error}"))?)
}

fn content(reader: impl Read) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = reader.take(READ_LIMIT).read_to_end(&mut bytes);
    read.map_err(|error| format!("cannot be read: {error}"))?;
    Ok(bytes)
}
