//! `drydock serve`: the webhook. This file joins the parts: flags, policies, certificate, server.

mod certificate;
mod clients;
mod cluster;
mod managed;
mod open_files;
mod policies;
mod try_it;

use super::Exit;
use crate::server::{self, Limits, State};
use crate::telemetry::metrics::{Metrics, Reloaded};
use crate::telemetry::{self, LevelSwitch, Lines, LogFormat, LogLevel};
use anyhow::{Context, bail};
use clap::Args;
use std::future::Future;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

/// Run the webhook.
///
/// With no flags it runs on the built-in sample policy and a certificate made in memory, and says how to call it.
#[derive(Args, Debug)]
pub(super) struct Serve {
    /// Address of the webhook: POST /mutate and POST /audit over TLS
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:8443",
        env = "DRYDOCK_LISTEN"
    )]
    listen: SocketAddr,

    /// Address for /livez, /readyz and /metrics, in plain HTTP
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:8080",
        env = "DRYDOCK_OPS_LISTEN"
    )]
    ops_listen: SocketAddr,

    /// File with JobPodPolicy objects, read again when its content changes. Repeats. Without it, the built-in sample policy
    #[arg(
        long = "policy",
        value_name = "FILE",
        env = "DRYDOCK_POLICY",
        value_delimiter = ','
    )]
    policies: Vec<PathBuf>,

    /// Take policies from the cluster's JobPodPolicy objects, follow live addresses, write status and events
    #[arg(long, env = "DRYDOCK_CLUSTER", conflicts_with = "policies")]
    cluster: bool,

    /// The server's certificate chain in PEM, read again when its content changes
    #[arg(
        long,
        value_name = "FILE",
        env = "DRYDOCK_TLS_CERT_FILE",
        requires = "tls_key_file"
    )]
    tls_cert_file: Option<PathBuf>,

    /// The private key of the certificate in PEM
    #[arg(
        long,
        value_name = "FILE",
        env = "DRYDOCK_TLS_KEY_FILE",
        requires = "tls_cert_file"
    )]
    tls_key_file: Option<PathBuf>,

    /// Where to write the authority of the certificate that is made in memory, for `curl --cacert`
    #[arg(
        long,
        value_name = "FILE",
        env = "DRYDOCK_WRITE_CA",
        conflicts_with = "tls_cert_file"
    )]
    write_ca: Option<PathBuf>,

    #[command(flatten)]
    managed: managed::ManagedFlags,

    #[command(flatten)]
    clients: clients::ClientFlags,

    #[command(flatten)]
    opt_in: cluster::OptInFlags,

    /// drydock's own namespace, whose pods are never changed
    #[arg(
        long,
        value_name = "NAME",
        default_value = "drydock",
        env = "DRYDOCK_OWN_NAMESPACE"
    )]
    own_namespace: String,

    /// What this process is called in Events, among several replicas
    #[arg(
        long,
        value_name = "NAME",
        default_value = "drydock",
        env = "DRYDOCK_INSTANCE"
    )]
    instance: String,

    /// How long to go on answering after SIGTERM, each answer with Connection: close
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds, env = "DRYDOCK_DRAIN_SECONDS")]
    drain_seconds: Duration,

    /// How often files are looked at for changes
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = positive_seconds, env = "DRYDOCK_RELOAD_SECONDS")]
    reload_seconds: Duration,

    #[command(flatten)]
    limits: LimitFlags,

    /// Threads that answer; one is enough for thousands of reviews a second
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256), env = "DRYDOCK_WORKER_THREADS")]
    worker_threads: u16,

    /// How log lines look
    #[arg(long, value_enum, default_value_t, env = "DRYDOCK_LOG_FORMAT")]
    log_format: LogFormat,

    /// What is logged
    #[arg(long, value_enum, default_value_t, env = "DRYDOCK_LOG_LEVEL")]
    log_level: LogLevel,

    /// Let everyone who reaches the ops port change the log level: PUT /log-level
    #[arg(long, env = "DRYDOCK_ALLOW_LOG_LEVEL_CHANGES")]
    allow_log_level_changes: bool,
}

/// Bounds for clients.
#[derive(Args, Debug)]
struct LimitFlags {
    /// Size of a request's body
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

    /// Time between two requests of a connection; keep it above the API server's 90
    #[arg(long, value_name = "SECONDS", default_value = "150", value_parser = positive_seconds, env = "DRYDOCK_IDLE_SECONDS")]
    idle_seconds: Duration,

    /// Size of all bodies that are held at one time; beyond it the largest that is still coming is refused
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().body_memory, value_parser = at_least_one, env = "DRYDOCK_MAX_BODY_MEMORY_BYTES")]
    max_body_memory_bytes: usize,

    /// Number of connections; beyond it the one that has used up most of its time is closed
    #[arg(long, value_name = "NUMBER", default_value_t = Limits::default().connections, value_parser = at_least_one, env = "DRYDOCK_MAX_CONNECTIONS")]
    max_connections: usize,
}

impl LimitFlags {
    fn limits(&self) -> anyhow::Result<Limits> {
        let (one, all) = (self.max_body_bytes, self.max_body_memory_bytes);
        if one > all {
            bail!(
                "--max-body-bytes {one} is more than --max-body-memory-bytes {all}, which is for all bodies; lower the one or raise the other"
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

/// Any longer and a mistyped unit is the likeliest reason.
const LONGEST: f64 = 24.0 * 60.0 * 60.0;

fn seconds(text: &str) -> Result<Duration, String> {
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

/// Makes the runtime. Log lines wait until one of its threads has nothing else to do.
fn runtime(threads: u16, lines: Lines) -> io::Result<Runtime> {
    let mut builder = match threads {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    lines.hold();
    builder
        .worker_threads(threads.into())
        .enable_all()
        .on_thread_park(move || lines.write())
        .build()
}

/// Makes the runtime of the ops port, for one thread. Its signals are those of the process.
fn runtime_of_ops(lines: Lines) -> io::Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .on_thread_park(move || lines.write())
        .build()
}

impl Serve {
    pub(super) fn run(self, talk: &mut impl Write) -> anyhow::Result<Exit> {
        let metrics = Arc::new(Metrics::new());
        let lines = Lines::new(metrics.log_lines_dropped());
        let level = telemetry::start_logging(self.log_format, self.log_level, lines.clone());
        metrics.set_log_level(self.log_level);
        let runtime =
            runtime(self.worker_threads, lines.clone()).context("the runtime cannot be started")?;
        let of_ops = lines.clone();
        let ops_runtime = move || runtime_of_ops(of_ops);
        let served = runtime.block_on(self.serve(metrics, level, ops_runtime, talk));
        // A review that is still judged on a blocking thread has nobody to be answered to.
        runtime.shutdown_background();
        lines.write();
        served.map(|()| Exit::Good)
    }

    async fn serve(
        self,
        metrics: Arc<Metrics>,
        level: LevelSwitch,
        ops_runtime: impl FnOnce() -> io::Result<Runtime> + Send + 'static,
        talk: &mut impl Write,
    ) -> anyhow::Result<()> {
        let limits = self.limits.limits()?;
        let client = match self.cluster {
            true => Some(cluster::client().await?),
            false => None,
        };
        let mut certificate = certificate::Origin::open(&self, client.as_ref(), &metrics)?;
        let mut clients = clients::Origin::open(&self.clients)?;
        let mut policies = match &client {
            Some(client) => policies::Origin::Cluster(cluster::join(&self, client, &metrics)),
            None => {
                policies::Origin::Files(policies::Files::open(self.policies.clone(), &metrics)?)
            }
        };
        let (webhook, ops) = (
            bind(self.listen, "--listen")?,
            bind(self.ops_listen, "--ops-listen")?,
        );
        let state = State {
            cluster: policies.cluster(),
            log_level: self.allow_log_level_changes.then_some(level),
            ..State::new(
                policies.subscribe(),
                certificate.subscribe(),
                metrics.clone(),
                &self.own_namespace,
                limits,
            )
        };
        let of_clients = clients.as_ref().map(clients::Origin::subscribe);
        let tls = crate::pki::tls::server_config(certificate.subscribe(), of_clients);
        let shutdown = termination()?;
        // Files for the curl line; they go when the server ends. In a cluster it is not people who call.
        let example = (!self.cluster).then(|| try_it::Example::write(&certificate));
        try_it::say(
            talk,
            webhook.local_addr()?,
            ops.local_addr()?,
            &policies.in_force(),
            &certificate,
            example.as_ref(),
        );
        let work = futures::future::join(policies.work(), certificate.work());
        let reload = async {
            let mut interval = tokio::time::interval(self.reload_seconds);
            interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                interval.tick().await;
                policies.reload(&metrics);
                certificate.reload(&metrics);
                if let Some(clients) = &mut clients {
                    clients.reload(&metrics);
                }
            }
        };
        tokio::select! {
            ended = server::run(webhook, ops, tls, state, ops_runtime, self.drain_seconds, shutdown) => ended.context("the server failed"),
            () = reload => Ok(()),
            _ = work => Ok(()),
        }
    }
}

fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(address).or_else(|error| match address.ip() {
        // A kernel without IPv6: every address that there is.
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) if has_no_ipv6(&error) => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port()))
        }
        _ => Err(error),
    });
    bound.with_context(|| format!("{flag} {address} cannot be used; give another address or port"))
}

fn has_no_ipv6(error: &io::Error) -> bool {
    // EAFNOSUPPORT has no name in std.
    error.kind() == io::ErrorKind::AddrNotAvailable
        || rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::AFNOSUPPORT)
}

/// Ends with SIGTERM, which the kubelet sends, or SIGINT, which Ctrl-C does.
fn termination() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let listen = |kind| signal(kind).context("signals cannot be listened for");
    let (mut terminate, mut interrupt) = (
        listen(SignalKind::terminate())?,
        listen(SignalKind::interrupt())?,
    );
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Logs and counts that a changed file cannot be used; what was in force stays.
fn keep_last_good(metrics: &Metrics, what: Reloaded, problem: &str) {
    metrics.reloaded(what, false);
    tracing::error!(
        what = what.name(),
        "a changed file cannot be used, the last good version stays in force: {problem}"
    );
}

fn reloaded(metrics: &Metrics, what: Reloaded) {
    metrics.reloaded(what, true);
    tracing::info!(what = what.name(), "a changed file is in force");
}

/// Refuses flags that cannot work, with every reason.
fn refuse(problems: &[String]) -> anyhow::Result<()> {
    if problems.is_empty() {
        Ok(())
    } else {
        bail!("{}", problems.join("\n"))
    }
}
