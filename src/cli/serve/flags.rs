//! Flags of `drydock serve`. Each can also be set by an environment variable, for example
//! `--max-body-bytes` by `DRYDOCK_MAX_BODY_BYTES`.

use super::client_ca::ClientFlags;
use super::cluster::OptInFlags;
use super::managed::ManagedFlags;
use super::open_files;
use crate::cli::connection::ConnectionFlags;
use crate::server::limits::{Limits, positive_seconds, seconds};
use crate::telemetry::{LogFormat, LogLevel};
use anyhow::bail;
use clap::{Arg, Args};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Run the webhook.
///
/// Without flags, it uses the built-in sample policy and a certificate generated in memory, and
/// prints a curl command that calls it.
#[derive(Args, Debug)]
#[command(mut_args(with_variable))]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(super) listening: ListeningFlags,

    #[command(flatten)]
    pub(super) policy: PolicyFlags,

    #[command(flatten)]
    pub(super) connection: ConnectionFlags,

    #[command(flatten)]
    pub(super) files: CertificateFlags,

    #[command(flatten)]
    pub(super) managed: ManagedFlags,

    #[command(flatten)]
    pub(super) clients: ClientFlags,

    #[command(flatten)]
    pub(super) opt_in: OptInFlags,

    #[command(flatten)]
    limits: Limits,

    #[command(flatten)]
    pub(super) logging: LoggingFlags,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Listening")]
pub(super) struct ListeningFlags {
    /// Address of the webhook: POST /mutate and POST /audit over TLS
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8443", value_parser = address)]
    pub(super) listen: SocketAddr,

    /// Address of /livez, /readyz and /metrics, in plain HTTP
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080", value_parser = address)]
    pub(super) ops_listen: SocketAddr,

    /// Number of threads that process requests. One is enough for thousands of reviews per second
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(super) worker_threads: u16,

    /// Time after SIGTERM during which requests are still answered, with Connection: close
    /// [default: 5 with --cluster, 0 without]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(super) drain_seconds: Option<Duration>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Policies")]
pub(super) struct PolicyFlags {
    /// File with JobPodPolicy objects, reloaded when its content changes. Can be repeated [default:
    /// the built-in sample policy]
    #[arg(long = "policy", value_name = "FILE", value_delimiter = ',')]
    pub(super) policies: Vec<PathBuf>,

    /// Watch the JobPodPolicy objects of the cluster and the objects that their from: fields name,
    /// and write Events and the status of policies
    #[arg(long, conflicts_with = "policies")]
    pub(super) cluster: bool,

    /// Namespace of drydock, in which pods are never changed
    #[arg(long, value_name = "NAME", default_value = "drydock")]
    pub(super) own_namespace: String,

    /// Name of this replica in Events
    #[arg(long, value_name = "NAME", default_value = "drydock")]
    pub(super) instance: String,

    /// Interval at which policy and certificate files are checked for changes
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = positive_seconds)]
    pub(super) reload_seconds: Duration,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Certificate files")]
pub(super) struct CertificateFlags {
    /// Certificate chain of the server in PEM, reloaded when its content changes. With --cluster,
    /// it must contain the DNS name of the Service
    #[arg(long, value_name = "FILE", requires = "tls_key_file")]
    pub(super) tls_cert_file: Option<PathBuf>,

    /// Private key of the certificate in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    pub(super) tls_key_file: Option<PathBuf>,

    /// File to which the CA of a certificate generated in memory is written, for curl --cacert
    #[arg(long, value_name = "FILE", conflicts_with = "tls_cert_file")]
    pub(super) write_ca: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Logging")]
pub(super) struct LoggingFlags {
    /// Format of log lines
    #[arg(long, value_enum, default_value_t)]
    pub(super) log_format: LogFormat,

    /// Lowest severity of log lines, or off
    #[arg(long, value_enum, default_value_t)]
    pub(super) log_level: LogLevel,

    /// Allow every client of the ops port to change the log level with PUT /log-level
    #[arg(long)]
    pub(super) allow_log_level_changes: bool,
}

/// Adds an environment variable to a flag.
fn with_variable(flag: Arg) -> Arg {
    let name = flag.get_long().unwrap_or_default().replace('-', "_");
    flag.env(format!("DRYDOCK_{}", name.to_uppercase()))
}

impl Serve {
    pub(super) fn limits(&self) -> anyhow::Result<Limits> {
        let (body, body_memory) = (self.limits.body, self.limits.body_memory);
        if body > body_memory {
            bail!(
                "--max-body-bytes {body} exceeds --max-body-memory-bytes {body_memory}, the limit for all bodies together; lower the first or raise the second"
            );
        }
        Ok(Limits {
            connections: open_files::connections(self.limits.connections),
            ..self.limits
        })
    }
}

/// Parses an address with a port. Does not resolve hostnames, because a hostname may have several
/// addresses.
fn address(text: &str) -> Result<SocketAddr, String> {
    const ALL: &str = "all addresses of this machine";
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if let Ok(ip) = text.trim_matches(['[', ']']).parse() {
        let with_port = SocketAddr::new(ip, 8443);
        return Err(format!(
            "the port is missing; use an address with a port, such as {with_port}"
        ));
    }
    let is_port = |port: &str| port.parse::<u16>().is_ok();
    Err(match text.rsplit_once(':') {
        None | Some(("", _)) if is_port(text.trim_start_matches(':')) => {
            let port = text.trim_start_matches(':');
            format!(
                "the address is missing; use 127.0.0.1:{port} for this machine only, or [::]:{port} for {ALL}"
            )
        }
        Some(("localhost", port)) if is_port(port) => {
            format!("hostnames are not resolved; use 127.0.0.1:{port} or [::1]:{port}")
        }
        Some(("*", port)) if is_port(port) => format!("use [::]:{port} for {ALL}"),
        _ => {
            format!("use an IP address and a port, such as 127.0.0.1:8443, or [::]:8443 for {ALL}")
        }
    })
}
