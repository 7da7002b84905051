//! The server's certificate: from files that are read again when they change, or made in memory.

use super::{Serve, keep_last_good, refuse, reloaded};
use crate::cli::certs;
use crate::server::tls::{Certificate, CertificateError};
use crate::telemetry::metrics::{Metrics, Reloaded};
use anyhow::Context;
use std::path::{Path, PathBuf};
use tokio::sync::watch;

/// Where the certificate comes from, and the one in use.
pub(super) struct Origin {
    files: Option<Files>,
    /// The authority of a certificate that was made in memory, PEM.
    pub(super) ca: Option<String>,
    /// Where the authority was written, because a flag says so.
    pub(super) ca_file: Option<PathBuf>,
    current: watch::Sender<Option<Certificate>>,
}

struct Files {
    certificate: PathBuf,
    key: PathBuf,
    /// What was read last, good or not: the same bytes are not complained of twice.
    seen: Result<(Vec<u8>, Vec<u8>), String>,
}

impl Origin {
    pub(super) fn open(flags: &Serve, metrics: &Metrics) -> anyhow::Result<Self> {
        let (files, ca, first) = match (&flags.tls_cert_file, &flags.tls_key_file) {
            (Some(certificate), Some(key)) => {
                let (files, first) = Files::open(certificate, key)?;
                (Some(files), None, first)
            }
            _ => {
                let (ca, first) = in_memory(flags)?;
                (None, Some(ca), first)
            }
        };
        metrics.set_certificate_expiry(first.expires);
        if let (Some(path), Some(ca)) = (&flags.write_ca, &ca) {
            std::fs::write(path, ca)
                .with_context(|| format!("--write-ca {} cannot be written", path.display()))?;
        }
        Ok(Self {
            files,
            ca,
            ca_file: flags.write_ca.clone(),
            current: watch::channel(Some(first)).0,
        })
    }

    /// Returns where the certificate in use is to be seen.
    pub(super) fn subscribe(&self) -> watch::Receiver<Option<Certificate>> {
        self.current.subscribe()
    }

    /// Reads the files again; a changed pair that is good comes into use.
    pub(super) fn reload(&mut self, metrics: &Metrics) {
        let Some(files) = &mut self.files else {
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
