//! `drydock version`: prints the versions of this program, the API server and drydock's replicas.

use super::Exit;
use super::connection::ConnectionFlags;
use super::doctor::server_versions;
use clap::Args;
use std::io::Write;
use std::time::Duration;

/// The time limit of all requests to the API server.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Print the versions of this program and, if there is a cluster, of the API server and drydock's
/// replicas.
#[derive(Args, Debug)]
pub(super) struct Version {
    /// Print only the version of this program
    #[arg(long)]
    client: bool,

    #[command(flatten)]
    connection: ConnectionFlags,
}

impl Version {
    pub(super) fn run(self, out: &mut dyn Write, stderr: &mut dyn Write) -> anyhow::Result<Exit> {
        writeln!(out, "client:     {}", env!("CARGO_PKG_VERSION"))?;
        // Flushes, so that the version of this program is printed even if the API server does not
        // respond.
        out.flush()?;
        if self.client {
            return Ok(Exit::Success);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let versions = runtime.block_on(async {
            match self.connection.connect().await {
                Ok(connection) => server_versions(&connection, TIMEOUT).await.map(Some),
                // A cluster is required only if a flag selects one.
                Err(_) if self.connection.is_default() => Ok(None),
                Err(error) => Err(error),
            }
        });
        runtime.shutdown_background();
        let Some(versions) = versions? else {
            writeln!(
                stderr,
                "note: no cluster is configured, so the versions of the API server and the replicas are unknown"
            )?;
            return Ok(Exit::Success);
        };
        writeln!(out, "Kubernetes: {}", versions.kubernetes)?;
        match versions.replicas {
            Ok(replicas) if replicas.is_empty() => {
                writeln!(out, "server:     not found")?;
                writeln!(
                    stderr,
                    "note: `drydock doctor` shows why no replica was found"
                )?;
            }
            Ok(replicas) => {
                let replicas: Vec<String> = replicas.into_iter().collect();
                writeln!(out, "server:     {}", replicas.join(", "))?;
            }
            Err(why) => {
                writeln!(out, "server:     unknown")?;
                writeln!(stderr, "note: {why}")?;
            }
        }
        Ok(Exit::Success)
    }
}
