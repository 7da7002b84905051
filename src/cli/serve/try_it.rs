//! What `serve` says when it starts: where it listens, what is in force, and a curl line that works as it is.

use super::certificate::Origin;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A review that GitLab Runner 19.3.0 caused: a Secret at /certs/client (seed 004) and a stale address (seed 003).
const REVIEW: &[u8] =
    include_bytes!("../../../tests/fixtures/reviews/runner/19.3.0-secret-certs.json");

/// Files that the curl line reads. They go when this does.
pub(super) struct Example {
    directory: Option<TempDir>,
}

impl Example {
    /// Writes the files. Where there is no room for them (a read-only root), the line shown asks for a review of one's own.
    pub(super) fn write(certificate: &Origin) -> Self {
        let written = || -> std::io::Result<TempDir> {
            let directory = TempDir::with_prefix("drydock-")?;
            std::fs::write(directory.path().join("review.json"), REVIEW)?;
            if let Some((ca, _)) = certificate.made_here() {
                std::fs::write(directory.path().join("ca.crt"), ca)?;
            }
            Ok(directory)
        };
        Self {
            directory: written().ok(),
        }
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.directory
            .as_ref()
            .map(|directory| directory.path().join(name))
    }
}

/// Says it. Where nobody can be told, the server serves all the same.
pub(super) fn say(
    talk: &mut impl Write,
    webhook: SocketAddr,
    ops: SocketAddr,
    policies: &[String],
    certificate: &Origin,
    example: Option<&Example>,
) {
    let policies = if policies.is_empty() {
        "none".to_owned()
    } else {
        policies.join(", ")
    };
    let text = format!(
        "drydock {version} answers AdmissionReviews at https://{webhook}/mutate and /audit; health and metrics at http://{ops}\n\
         policies in force: {policies}\n",
        version = env!("CARGO_PKG_VERSION"),
    );
    let line = example.map(|example| curl_line(webhook, certificate, example));
    let text = text + &line.unwrap_or_default();
    let _ = talk.write_all(text.as_bytes()).and_then(|()| talk.flush());
}

fn curl_line(webhook: SocketAddr, certificate: &Origin, example: &Example) -> String {
    let trust = match certificate.made_here() {
        Some((_, Some(file))) => format!("--cacert {}", quoted(file)),
        Some((_, None)) => match example.path("ca.crt") {
            Some(file) => format!("--cacert {}", quoted(&file)),
            None => "--insecure".to_owned(),
        },
        // Whose authority signed a certificate from files is not known here.
        None => "--insecure".to_owned(),
    };
    let review = example
        .path("review.json")
        .map_or_else(|| "review.json".to_owned(), |path| quoted(&path));
    let url = format!(
        "https://{}/mutate",
        SocketAddr::new(reachable(webhook.ip()), webhook.port())
    );
    format!(
        "try it on the pod of a real runner:\n\
         curl -sS {trust} -H 'Content-Type: application/json' --data-binary @{review} {url}\n"
    )
}

/// An address to call where every address is listened on.
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
