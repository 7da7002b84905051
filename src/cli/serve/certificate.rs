//! The server's certificate: from files that are read again when they change, kept by drydock itself in a cluster, or made in memory.

use super::{Serve, keep_last_good, managed, refuse, reloaded};
use crate::cli::certs;
use crate::pki::tls::{Certificate, CertificateError};
use crate::telemetry::metrics::{Metrics, Reloaded};
use anyhow::Context;
use futures::future::BoxFuture;
use kube::Client;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::watch;

/// Where the certificate comes from, and the one in use.
pub(super) struct Origin {
    source: Source,
    current: watch::Sender<Option<Certificate>>,
    /// What has to be done beside the server.
    work: BoxFuture<'static, ()>,
}

enum Source {
    Files(Files),
    /// Made in memory at the start.
    Memory {
        /// Its authority, PEM.
        ca: String,
        /// Where that was written, because a flag says so.
        ca_file: Option<PathBuf>,
    },
    /// Kept by drydock itself in a cluster.
    Managed,
}

struct Files {
    certificate: PathBuf,
    key: PathBuf,
    /// What was read last, good or not: the same bytes are not complained of twice.
    seen: Result<(Vec<u8>, Vec<u8>), String>,
}

impl Origin {
    /// Takes the files that flags name; else in a cluster drydock keeps a certificate itself; else one is made here.
    pub(super) fn open(
        flags: &Serve,
        client: Option<&Client>,
        metrics: &Arc<Metrics>,
    ) -> anyhow::Result<Self> {
        let (current, _) = watch::channel(None);
        let mut work: BoxFuture<'static, ()> = Box::pin(std::future::pending());
        let (source, first) = match (&flags.tls_cert_file, &flags.tls_key_file, client) {
            (Some(certificate), Some(key), client) => {
                let (files, first) = Files::open(certificate, key)?;
                if let Some(client) = client {
                    work = managed::tell_leftover(flags, client.clone());
                }
                (Source::Files(files), Some(first))
            }
            (_, _, Some(client)) => {
                work = managed::keep(flags, client.clone(), metrics.clone(), current.clone())?;
                (Source::Managed, None)
            }
            _ => {
                let (ca, first) = in_memory(flags)?;
                let ca_file = flags.write_ca.clone();
                if let Some(path) = &ca_file {
                    std::fs::write(path, &ca).with_context(|| {
                        format!("--write-ca {} cannot be written", path.display())
                    })?;
                }
                (Source::Memory { ca, ca_file }, Some(first))
            }
        };
        if let Some(first) = first {
            metrics.set_certificate_expiry(first.expires);
            current.send_replace(Some(first));
        }
        Ok(Self {
            source,
            current,
            work,
        })
    }

    /// Returns the authority of a certificate that was made in memory, PEM, and the file where it was written.
    pub(super) fn made_here(&self) -> Option<(&str, Option<&Path>)> {
        match &self.source {
            Source::Memory { ca, ca_file } => Some((ca, ca_file.as_deref())),
            Source::Files(_) | Source::Managed => None,
        }
    }

    /// Takes the work that has to be done beside the server.
    pub(super) fn work(&mut self) -> BoxFuture<'static, ()> {
        std::mem::replace(&mut self.work, Box::pin(std::future::pending()))
    }

    /// Returns where the certificate in use is to be seen.
    pub(super) fn subscribe(&self) -> watch::Receiver<Option<Certificate>> {
        self.current.subscribe()
    }

    /// Reads the files again; a changed pair that is good comes into use.
    pub(super) fn reload(&mut self, metrics: &Metrics) {
        let Source::Files(files) = &mut self.source else {
            return;
        };
        let read = files.read();
        if read == files.seen {
            return;
        }
        files.seen = read;
        match files.parse() {
            Ok(certificate) => {
                metrics.set_certificate_expiry(certificate.expires);
                self.current.send_replace(Some(certificate));
                reloaded(metrics, Reloaded::Certificate);
            }
            // A pair that is being replaced may be read half old, half new: the next look finds it whole.
            Err(problem) => keep_last_good(metrics, Reloaded::Certificate, &problem),
        }
    }
}

impl Files {
    fn open(certificate: &Path, key: &Path) -> anyhow::Result<(Self, Certificate)> {
        let mut files = Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            seen: Err(String::new()),
        };
        files.seen = files.read();
        match files.parse() {
            Ok(first) => Ok((files, first)),
            Err(problem) => refuse(&[problem]).and(Err(anyhow::anyhow!("no certificate"))),
        }
    }

    fn read(&self) -> Result<(Vec<u8>, Vec<u8>), String> {
        let read = |path: &Path, flag: &str| {
            std::fs::read(path)
                .map_err(|error| format!("{flag} {} cannot be read: {error}", path.display()))
        };
        Ok((
            read(&self.certificate, "--tls-cert-file")?,
            read(&self.key, "--tls-key-file")?,
        ))
    }

    fn parse(&self) -> Result<Certificate, String> {
        let (certificate, key) = self.seen.as_ref().map_err(Clone::clone)?;
        Certificate::from_pem(certificate, key).map_err(|error| {
            let flag = if matches!(error, CertificateError::Key(_)) {
                "--tls-key-file"
            } else {
                "--tls-cert-file"
            };
            let path = if matches!(error, CertificateError::Key(_)) {
                &self.key
            } else {
                &self.certificate
            };
            format!(
                "{flag} {}: {:#}",
                path.display(),
                anyhow::Error::from(error)
            )
        })
    }
}

/// Makes a certificate for this machine's names and the address that is listened on.
fn in_memory(flags: &Serve) -> anyhow::Result<(String, Certificate)> {
    let mut names = vec![
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ];
    let listen = flags.listen.ip();
    if !listen.is_unspecified() && !listen.is_loopback() {
        names.push(listen.to_string());
    }
    let (authority, server) = certs::development(&names)?;
    let certificate = Certificate::from_pem(server.certificate.as_bytes(), server.key.as_bytes())?;
    Ok((authority.certificate().pem().to_owned(), certificate))
}
