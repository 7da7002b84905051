//! Which clients are answered: an authority from a file that is read again when it changes, and names.

use super::{keep_last_good, refuse, reloaded};
use crate::pki::tls::Clients;
use crate::telemetry::metrics::{Metrics, Reloaded};
use clap::Args;
use std::path::PathBuf;
use tokio::sync::watch;

/// Who is answered. Without these flags, every client.
#[derive(Args, Debug)]
pub(super) struct ClientFlags {
    /// Answer only clients with a certificate of an authority in this PEM file, read again when its content changes
    #[arg(long, value_name = "FILE", env = "DRYDOCK_CLIENT_CA_FILE")]
    client_ca_file: Option<PathBuf>,

    /// Of those, only clients whose certificate has this common name or DNS name. Repeats
    #[arg(
        long = "client-name",
        value_name = "NAME",
        env = "DRYDOCK_CLIENT_NAME",
        value_delimiter = ',',
        value_parser = clap::builder::NonEmptyStringValueParser::new(),
        requires = "client_ca_file"
    )]
    client_names: Vec<String>,
}

/// The clients that are answered, from a file.
pub(super) struct Origin {
    file: PathBuf,
    names: Vec<String>,
    /// What was read last, good or not: the same bytes are not complained of twice.
    seen: Result<Vec<u8>, String>,
    current: watch::Sender<Clients>,
}

impl Origin {
    /// Reads the file, where there is to be one.
    pub(super) fn open(flags: &ClientFlags) -> anyhow::Result<Option<Self>> {
        let Some(file) = flags.client_ca_file.clone() else {
            return Ok(None);
        };
        let names = flags.client_names.clone();
        let seen = read(&file);
        match parse(&file, &seen, &names) {
            Ok(first) => Ok(Some(Self {
                file,
                names,
                seen,
                current: watch::channel(first).0,
            })),
            Err(problem) => refuse(&[problem]).and(Err(anyhow::anyhow!("no authority of clients"))),
        }
    }

    /// Returns where the clients that are answered are to be seen.
    pub(super) fn subscribe(&self) -> watch::Receiver<Clients> {
        self.current.subscribe()
    }

    /// Reads the file again; a changed one that is good comes into force.
    pub(super) fn reload(&mut self, metrics: &Metrics) {
        let read = read(&self.file);
        if read == self.seen {
            return;
        }
        self.seen = read;
        match parse(&self.file, &self.seen, &self.names) {
            Ok(clients) => {
                self.current.send_replace(clients);
                reloaded(metrics, Reloaded::ClientAuthority);
            }
            Err(problem) => keep_last_good(metrics, Reloaded::ClientAuthority, &problem),
        }
    }
}

fn read(file: &PathBuf) -> Result<Vec<u8>, String> {
    let read = std::fs::read(file);
    read.map_err(|error| {
        format!(
            "--client-ca-file {} cannot be read: {error}",
            file.display()
        )
    })
}

fn parse(
    file: &std::path::Path,
    content: &Result<Vec<u8>, String>,
    names: &[String],
) -> Result<Clients, String> {
    let content = content.as_ref().map_err(Clone::clone)?;
    Clients::from_pem(content, names).map_err(|error| {
        format!(
            "--client-ca-file {}: {:#}",
            file.display(),
            anyhow::Error::from(error)
        )
    })
}
