//! `drydock certs`: writes a CA and a server certificate for development to files.

use super::Exit;
use crate::core::crd::format;
use crate::pki::authority::{Authority, AuthorityError};
use crate::pki::leaf::Leaf;
use anyhow::{Context, bail};
use clap::Args;
use jiff::Timestamp;
use std::fs::OpenOptions;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Create a CA and a server certificate for development.
///
/// Writes ca.crt, tls.crt and tls.key. The private key of the CA is discarded. The certificates are
/// valid for one year and are not renewed.
#[derive(Args, Debug)]
pub(super) struct Certs {
    /// Directory for the files; it is created if it does not exist
    #[arg(short, long, value_name = "DIR", default_value = "certs")]
    out: PathBuf,

    /// DNS name or IP address of the certificate. Can be repeated
    #[arg(long = "name", value_name = "NAME", value_parser = server_name, default_values_t = default_names())]
    names: Vec<String>,

    /// Overwrite existing files
    #[arg(long)]
    force: bool,
}

/// Returns the names of localhost and of the Service in the manifests.
fn default_names() -> Vec<String> {
    ["localhost", "127.0.0.1", "::1", "drydock.drydock.svc"]
        .map(str::to_owned)
        .to_vec()
}

/// Parses a DNS name or an IP address. Clients look for no other kinds of names in a
/// certificate.
fn server_name(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("*.").unwrap_or(text).to_ascii_lowercase();
    if text.parse::<IpAddr>().is_ok() || format::SUBDOMAIN.check(&host).is_ok() {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "\"{text}\" is neither a DNS name nor an IP address; use a name such as drydock.drydock.svc, without scheme or port"
        ))
    }
}

/// The lifetime of both certificates.
const LIFETIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Creates a CA and a server certificate for development.
pub(super) fn create(names: &[String]) -> Result<(Authority, Leaf), AuthorityError> {
    let now = Timestamp::now();
    let authority = Authority::make("drydock development CA", now, LIFETIME)?;
    let server = authority.sign(names, now, LIFETIME)?;
    Ok((authority, server))
}

impl Certs {
    pub(super) fn run(self, out: &mut dyn Write) -> anyhow::Result<Exit> {
        let (authority, server) = create(&self.names)?;
        std::fs::create_dir_all(&self.out)
            .with_context(|| format!("{} cannot be created", self.out.display()))?;
        let files = [
            ("ca.crt", authority.certificate().pem().to_owned(), 0o644),
            ("tls.crt", server.certificate_pem(), 0o644),
            ("tls.key", server.key_pem(), 0o600),
        ];
        if let Some((name, ..)) = files
            .iter()
            .find(|(name, ..)| !self.force && self.out.join(name).exists())
        {
            bail!(
                "{} already exists; choose another directory with --out, or overwrite the file with --force",
                self.out.join(name).display()
            );
        }
        for (name, content, mode) in files {
            let path = self.out.join(name);
            write_file(&path, &content, mode)
                .with_context(|| format!("{} cannot be written", path.display()))?;
            writeln!(out, "{}", path.display())?;
        }
        Ok(Exit::Success)
    }
}

fn write_file(path: &Path, content: &str, mode: u32) -> std::io::Result<()> {
    // An existing file is removed first, because writing to it would keep its mode.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?
        .write_all(content.as_bytes())
}
