//! `drydock version`: of this program, and of what runs in a cluster.

use super::Exit;
use super::connection::ConnectionFlags;
use super::doctor::server_versions;
use clap::Args;
use std::io::Write;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(10);

/// Print the version of this program and, with a cluster, of its API server and of drydock's
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
    pub(super) fn run(self, out: &mut impl Write, talk: &mut impl Write) -> anyhow::Result<Exit> {
        writeln!(out, "client:     {}", env!("CARGO_PKG_VERSION"))?;
        // It is printed whatever becomes of the rest.
        out.flush()?;
        if self.client {
            return Ok(Exit::Success);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let versions = runtime.block_on(async {
            match self.connection.connect().await {
                Ok(connection) => server_versions(&connection, LIMIT).await.map(Some),
                // Nobody asked for a cluster.
                Err(_) if self.connection.is_default() => Ok(None),
                Err(error) => Err(error),
            }
        });
        runtime.shutdown_background();
        let Some(versions) = versions? else {
            writeln!(talk, "no kubeconfig is found, so no server is asked")?;
            return Ok(Exit::Success);
        };
        writeln!(out, "Kubernetes: {}", versions.kubernetes)?;
        match versions.replicas {
            Ok(replicas) if replicas.is_empty() => {
                writeln!(out, "server:     not found")?;
                writeln!(talk, "run drydock doctor to see why")?;
            }
            Ok(replicas) => {
                let replicas: Vec<String> = replicas.into_iter().collect();
                writeln!(out, "server:     {}", replicas.join(", "))?;
            }
            Err(why) => {
                writeln!(out, "server:     not known")?;
                writeln!(talk, "{why}")?;
            }
        }
        Ok(Exit::Success)
    }
}
