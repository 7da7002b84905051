//! The message at the start of the server: its addresses, the policies in force, and a curl command
//! that sends a review.

use super::certificate::DevelopmentCa;
use crate::telemetry::LogFormat;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A review of a pod of GitLab Runner 19.3.0, with a Secret at /certs/client and an outdated
/// address in hostAliases.
const REVIEW: &[u8] =
    include_bytes!("../../../tests/fixtures/reviews/runner/19.3.0-secret-certs.json");

/// Temporary files for the curl command. Dropping the value removes them.
pub(super) struct Example {
    /// `None` if the files cannot be written, for example to a read-only root file system.
    directory: Option<TempDir>,
}

impl Example {
    pub(super) fn write(ca: Option<&DevelopmentCa>) -> Self {
        let written = || -> std::io::Result<TempDir> {
            let directory = TempDir::with_prefix("drydock-")?;
            std::fs::write(directory.path().join("review.json"), REVIEW)?;
            if let Some(ca) = ca {
                std::fs::write(directory.path().join("ca.crt"), &ca.pem)?;
            }
            Ok(directory)
        };
        Self {
            directory: written().ok(),
        }
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        let directory = self.directory.as_ref()?;
        Some(directory.path().join(name))
    }
}

pub(super) struct Banner<'b> {
    pub(super) webhook: SocketAddr,
    pub(super) ops: SocketAddr,
    pub(super) policies: &'b [String],
    pub(super) ca: Option<&'b DevelopmentCa>,
    pub(super) example: Option<&'b Example>,
}

impl Banner<'_> {
    /// Writes the banner in the log format if the log level includes info. Ignores write errors.
    pub(super) fn write(&self, format: LogFormat, stderr: &mut dyn Write) {
        if !tracing::enabled!(tracing::Level::INFO) {
            return;
        }
        let (webhook, ops) = (self.webhook, self.ops);
        let policies = match self.policies {
            [] => "none".to_owned(),
            policies => policies.join(", "),
        };
        let curl = self
            .example
            .map(|example| curl_line(webhook, self.ca, example));
        let version = env!("CARGO_PKG_VERSION");
        let first = format!(
            "drydock {version} answers AdmissionReviews at https://{webhook}/mutate and /audit; health and metrics at http://{ops}"
        );
        if format == LogFormat::Json {
            tracing::info!(policies, curl, "{first}");
            return;
        }
        let curl = curl.map_or_else(String::new, |curl| {
            format!("to send a review of a real job pod, run:\n{curl}\n")
        });
        let text = format!("{first}\npolicies in force: {policies}\n{curl}");
        let _ = stderr
            .write_all(text.as_bytes())
            .and_then(|()| stderr.flush());
    }
}

fn curl_line(webhook: SocketAddr, ca: Option<&DevelopmentCa>, example: &Example) -> String {
    // If the certificate is from files, its CA is unknown, so curl does not verify the certificate.
    let ca = ca.and_then(|ca| ca.file.clone().or_else(|| example.path("ca.crt")));
    let trust = ca.map_or("--insecure".to_owned(), |file| {
        format!("--cacert {}", quoted(&file))
    });
    let review = example
        .path("review.json")
        .map_or_else(|| "review.json".to_owned(), |path| quoted(&path));
    let url = format!(
        "https://{}/mutate",
        SocketAddr::new(reachable(webhook.ip()), webhook.port())
    );
    format!("curl -sS {trust} -H 'Content-Type: application/json' --data-binary @{review} {url}")
}

/// Returns the address to connect to. This is a loopback address if the server listens on all
/// addresses.
fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

/// Quotes a path for a shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}
