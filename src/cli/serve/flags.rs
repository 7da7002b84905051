//! Flags of `drydock serve`.

use super::client_ca::ClientFlags;
use super::cluster::OptInFlags;
use super::managed::ManagedFlags;
use super::open_files;
use crate::server::Limits;
use crate::telemetry::{LogFormat, LogLevel};
use anyhow::bail;
use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Run the webhook.
///
/// With no flags it runs on the built-in sample policy and a certificate made in memory, and says
/// how to call it.
#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// Address of the webhook: POST /mutate and POST /audit over TLS
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:8443",
        env = "DRYDOCK_LISTEN",
        help_heading = "Listening"
    )]
    pub(super) listen: SocketAddr,

    /// Address of /livez, /readyz and /metrics, in plain HTTP
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:8080",
        env = "DRYDOCK_OPS_LISTEN",
        help_heading = "Listening"
    )]
    pub(super) ops_listen: SocketAddr,

    /// Number of threads that answer; one is enough for thousands of reviews a second
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256), env = "DRYDOCK_WORKER_THREADS", help_heading = "Listening")]
    pub(super) worker_threads: u16,

    /// Time after SIGTERM in which requests get a response with Connection: close [default: 5 with
    /// --cluster, 0 without]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, env = "DRYDOCK_DRAIN_SECONDS", help_heading = "Listening")]
    pub(super) drain_seconds: Option<Duration>,

    /// File with JobPodPolicy objects, read again when its content changes. Repeats. Without it,
    /// the built-in sample policy
    #[arg(
        long = "policy",
        value_name = "FILE",
        env = "DRYDOCK_POLICY",
        value_delimiter = ',',
        help_heading = "Policies"
    )]
    pub(super) policies: Vec<PathBuf>,

    /// Take policies from the cluster's JobPodPolicy objects, follow live addresses, write status
    /// and Events
    #[arg(
        long,
        env = "DRYDOCK_CLUSTER",
        conflicts_with = "policies",
        help_heading = "Policies"
    )]
    pub(super) cluster: bool,

    /// Namespace of drydock, whose pods are never changed
    #[arg(
        long,
        value_name = "NAME",
        default_value = "drydock",
        env = "DRYDOCK_OWN_NAMESPACE",
        help_heading = "Policies"
    )]
    pub(super) own_namespace: String,

    /// Name of this replica in Events
    #[arg(
        long,
        value_name = "NAME",
        default_value = "drydock",
        env = "DRYDOCK_INSTANCE",
        help_heading = "Policies"
    )]
    pub(super) instance: String,

    /// Time between two reads of policy and certificate files
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = positive_seconds, env = "DRYDOCK_RELOAD_SECONDS", help_heading = "Policies")]
    pub(super) reload_seconds: Duration,

    /// Certificate chain of the server in PEM, read again when its content changes. With --cluster
    /// it must be for the Service
    #[arg(
        long,
        value_name = "FILE",
        env = "DRYDOCK_TLS_CERT_FILE",
        requires = "tls_key_file",
        help_heading = "Certificate files"
    )]
    pub(super) tls_cert_file: Option<PathBuf>,

    /// Private key of the certificate in PEM
    #[arg(
        long,
        value_name = "FILE",
        env = "DRYDOCK_TLS_KEY_FILE",
        requires = "tls_cert_file",
        help_heading = "Certificate files"
    )]
    pub(super) tls_key_file: Option<PathBuf>,

    /// File for the CA of a certificate made in memory, for curl --cacert
    #[arg(
        long,
        value_name = "FILE",
        env = "DRYDOCK_WRITE_CA",
        conflicts_with = "tls_cert_file",
        help_heading = "Certificate files"
    )]
    pub(super) write_ca: Option<PathBuf>,

    #[command(flatten)]
    pub(super) managed: ManagedFlags,

    #[command(flatten)]
    pub(super) clients: ClientFlags,

    #[command(flatten)]
    pub(super) opt_in: OptInFlags,

    #[command(flatten)]
    pub(super) limits: LimitFlags,

    /// Log format
    #[arg(
        long,
        value_enum,
        default_value_t,
        env = "DRYDOCK_LOG_FORMAT",
        help_heading = "Logging"
    )]
    pub(super) log_format: LogFormat,

    /// Log level
    #[arg(
        long,
        value_enum,
        default_value_t,
        env = "DRYDOCK_LOG_LEVEL",
        help_heading = "Logging"
    )]
    pub(super) log_level: LogLevel,

    /// Allow everyone who reaches the ops port to change the log level: PUT /log-level
    #[arg(
        long,
        env = "DRYDOCK_ALLOW_LOG_LEVEL_CHANGES",
        help_heading = "Logging"
    )]
    pub(super) allow_log_level_changes: bool,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Limits")]
pub(super) struct LimitFlags {
    /// Maximum size of a request's body
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().body, value_parser = at_least_one, env = "DRYDOCK_MAX_BODY_BYTES")]
    max_body_bytes: usize,

    /// Time for a request's body
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = positive_seconds, env = "DRYDOCK_BODY_SECONDS")]
    body_seconds: Duration,

    /// Time for a request's headers, from their first byte
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = positive_seconds, env = "DRYDOCK_HEADER_SECONDS")]
    header_seconds: Duration,

    /// Time for a TLS handshake
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = positive_seconds, env = "DRYDOCK_HANDSHAKE_SECONDS")]
    handshake_seconds: Duration,

    /// Time between two requests of a connection; keep it above the API server's 90 s
    #[arg(long, value_name = "SECONDS", default_value = "150", value_parser = positive_seconds, env = "DRYDOCK_IDLE_SECONDS")]
    idle_seconds: Duration,

    /// Maximum size of all bodies and unsent responses together; beyond it the largest is evicted
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().body_memory, value_parser = at_least_one, env = "DRYDOCK_MAX_BODY_MEMORY_BYTES")]
    max_body_memory_bytes: usize,

    /// Maximum number of connections; beyond it the one nearest its time limit is evicted
    #[arg(long, value_name = "NUMBER", default_value_t = Limits::default().connections, value_parser = at_least_one, env = "DRYDOCK_MAX_CONNECTIONS")]
    max_connections: usize,
}

impl LimitFlags {
    pub(super) fn limits(&self) -> anyhow::Result<Limits> {
        let (one, all) = (self.max_body_bytes, self.max_body_memory_bytes);
        if one > all {
            bail!(
                "--max-body-bytes {one} is more than --max-body-memory-bytes {all}, the limit of all bodies; lower the first or raise the second"
            );
        }
        Ok(Limits {
            body: self.max_body_bytes,
            body_time: self.body_seconds,
            header_time: self.header_seconds,
            handshake_time: self.handshake_seconds,
            idle_time: self.idle_seconds,
            connections: open_files::connections(self.max_connections),
            body_memory: self.max_body_memory_bytes,
        })
    }
}

/// A longer time is most likely a wrong unit.
const LONGEST: f64 = 24.0 * 60.0 * 60.0;

pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=LONGEST).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("give a number of seconds between 0 and 86400, as in 5 or 0.5".to_owned()),
    }
}

fn positive_seconds(text: &str) -> Result<Duration, String> {
    seconds(text).and_then(|time| {
        if time < Duration::from_millis(1) {
            Err("give at least 0.001 seconds".to_owned())
        } else {
            Ok(time)
        }
    })
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..) => Ok(number),
        _ => Err("give a whole number of at least 1".to_owned()),
    }
}
