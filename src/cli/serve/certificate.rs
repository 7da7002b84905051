//! Selects the certificate of the server: from files, self-managed in a cluster, or generated in
//! memory.

use super::cluster::Connected;
use super::reload::{Reloader, problem};
use super::{Serve, managed};
use crate::cli::certs;
use crate::pki::tls::{Certificate, CertificateError};
use crate::telemetry::metrics::{Metrics, Reloaded};
use anyhow::{Context, Error};
use futures::future::BoxFuture;
use jiff::Timestamp;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::watch;

/// The certificate in use and its source.
pub(super) struct CertificateSource {
    /// The certificate in use.
    pub(super) current: watch::Receiver<Option<Certificate>>,
    /// Reloads certificate files.
    pub(super) reloader: Option<Reloader>,
    /// A background task, which runs until the process ends.
    pub(super) work: BoxFuture<'static, ()>,
    /// The CA of a certificate that was generated in memory.
    pub(super) development_ca: Option<DevelopmentCa>,
}

pub(super) struct DevelopmentCa {
    pub(super) pem: String,
    /// The file that `--write-ca` names.
    pub(super) file: Option<PathBuf>,
}

/// Reads the certificate files that flags name. Without these flags, the certificate is
/// self-managed in a cluster and otherwise generated in memory.
pub(super) fn open(
    flags: &Serve,
    cluster: Option<&Connected>,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<CertificateSource> {
    let (sender, current) = watch::channel(None);
    let mut source = CertificateSource {
        current,
        reloader: None,
        work: Box::pin(std::future::pending()),
        development_ca: None,
    };
    match (
        &flags.files.tls_cert_file,
        &flags.files.tls_key_file,
        cluster,
    ) {
        (Some(certificate), Some(key), cluster) => {
            let files = open_files(flags, certificate, key, sender);
            source.reloader = Some(files.map_err(Error::msg)?);
            if let Some(cluster) = cluster {
                source.work = managed::report_leftover(flags, cluster.client.clone());
            }
        }
        (_, _, Some(cluster)) => {
            source.work = managed::run(flags, cluster.clone(), metrics.clone(), sender)?;
        }
        _ => {
            let (ca, certificate) = generate(flags)?;
            sender.send_replace(Some(certificate));
            source.development_ca = Some(ca);
        }
    }
    Ok(source)
}

fn open_files(
    flags: &Serve,
    certificate: &Path,
    key: &Path,
    current: watch::Sender<Option<Certificate>>,
) -> Result<Reloader, String> {
    const CERTIFICATE: &str = "--tls-cert-file";
    const KEY: &str = "--tls-key-file";
    let names = names(flags);
    let (certificate, key) = (certificate.to_owned(), key.to_owned());
    let files = vec![(CERTIFICATE, certificate.clone()), (KEY, key.clone())];
    let apply = move |content: &[Vec<u8>]| {
        let [chain, private_key] = content else {
            return Err("expected a certificate file and a key file".to_owned());
        };
        let parsed = parse(chain, private_key, &names).map_err(|error| {
            let problem = match error {
                CertificateError::NoKey(_) | CertificateError::EncryptedKey => {
                    problem(KEY, &key, error)
                }
                _ => problem(CERTIFICATE, &certificate, error),
            };
            match &*current.borrow() {
                Some(last) => {
                    let expires = last.expires();
                    format!("{problem}; the certificate in use expires at {expires}")
                }
                None => problem,
            }
        })?;
        current.send_replace(Some(parsed));
        Ok(())
    };
    let (reloader, _) = Reloader::open(Reloaded::Certificate, files, apply)?;
    Ok(reloader)
}

/// Returns the names that a certificate from files must contain.
fn names(flags: &Serve) -> Vec<String> {
    let mut names = flags.managed.names.clone();
    if flags.policy.cluster {
        names.push(format!(
            "{}.{}.svc",
            flags.managed.service, flags.policy.own_namespace
        ));
    }
    names
}

fn parse(chain: &[u8], key: &[u8], names: &[String]) -> Result<Certificate, CertificateError> {
    let certificate = Certificate::from_pem(chain, key)?;
    certificate.check(Timestamp::now(), names)?;
    Ok(certificate)
}

/// Generates a certificate for localhost, the address of `--listen` and the names of `--tls-name`.
fn generate(flags: &Serve) -> anyhow::Result<(DevelopmentCa, Certificate)> {
    let mut names = ["localhost", "127.0.0.1", "::1"]
        .map(str::to_owned)
        .to_vec();
    let listen = flags.listening.listen.ip();
    if !listen.is_unspecified() && !listen.is_loopback() {
        names.push(listen.to_string());
    }
    names.extend(flags.managed.names.iter().cloned());
    let (ca, leaf) = certs::create(&names)?;
    let pem = ca.certificate().pem().to_owned();
    let file = flags.files.write_ca.clone();
    if let Some(path) = &file {
        std::fs::write(path, &pem)
            .with_context(|| format!("--write-ca {} cannot be written", path.display()))?;
    }
    Ok((DevelopmentCa { pem, file }, Certificate::from_leaf(&leaf)?))
}
