//! Reads the CA of client certificates from a file.

use super::reload::{Reloader, problem};
use crate::pki::client_ca::ClientCa;
use crate::telemetry::metrics::Reloaded;
use anyhow::Error;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use std::path::PathBuf;
use tokio::sync::watch;

const FLAG: &str = "--client-ca-file";

#[derive(Args, Debug)]
#[command(next_help_heading = "Client certificates")]
pub(super) struct ClientFlags {
    /// Accept only clients whose certificate is signed by a CA in this PEM file, which is reloaded
    /// when its content changes
    #[arg(long, value_name = "FILE")]
    client_ca_file: Option<PathBuf>,

    /// Common name or DNS name that a client certificate must contain. Can be repeated; one match
    /// is enough
    #[arg(long = "client-name", value_name = "NAME", value_delimiter = ',', value_parser = NonEmptyStringValueParser::new(), requires = "client_ca_file")]
    client_names: Vec<String>,
}

/// Reads the file of `--client-ca-file`, if the flag is set. The channel contains the CA in force.
pub(super) fn open(
    flags: &ClientFlags,
) -> anyhow::Result<Option<(Reloader, watch::Receiver<ClientCa>)>> {
    let Some(path) = flags.client_ca_file.clone() else {
        return Ok(None);
    };
    let names = flags.client_names.clone();
    let files = vec![(FLAG, path.clone())];
    let parse = move |content: &[Vec<u8>]| {
        let ca = ClientCa::from_pem(&content.concat(), &names);
        ca.map_err(|error| problem(FLAG, &path, error))
    };
    let opened = Reloader::open(Reloaded::ClientAuthority, files, parse);
    Ok(Some(opened.map_err(Error::msg)?))
}
