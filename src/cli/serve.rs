//! `drydock serve`: starts the webhook with the policies and the certificate that flags select.

mod banner;
mod certificate;
mod client_ca;
mod cluster;
mod flags;
mod managed;
mod open_files;
mod policies;
mod reload;

pub(super) use flags::Serve;

use super::Exit;
use crate::pki::tls::server_config;
use crate::server::{self, State};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::{self, LevelSwitch};
use anyhow::{Context, bail};
use banner::{Banner, Example};
use futures::FutureExt as _;
use futures::future::{join, ready};
use jiff::Timestamp;
use std::future::Future;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpSocket;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

/// The default of `--drain-seconds` in a cluster. After this time, the Service should no longer
/// send requests to a replica that is not ready.
const CLUSTER_DRAIN: Duration = Duration::from_secs(5);

impl Serve {
    pub(super) fn run(self, stderr: &mut dyn Write) -> anyhow::Result<Exit> {
        let metrics = Arc::new(Metrics::new());
        let dropped = &metrics.log_lines_dropped;
        let (format, level) = (self.logging.log_format, self.logging.log_level);
        metrics.set_log_level(level);
        let (level, _log) = telemetry::start_logging(format, level, dropped);
        let threads = self.listening.worker_threads;
        let runtime = runtime(threads).context("the Tokio runtime cannot be started")?;
        let served = runtime.block_on(self.serve(metrics, level, stderr));
        // Does not wait for reviews on blocking threads, because their connections are closed.
        runtime.shutdown_background();
        served.map(|()| Exit::Success)
    }

    async fn serve(
        self,
        metrics: Arc<Metrics>,
        level: LevelSwitch,
        stderr: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let limits = self.limits()?;
        let connected = match self.policy.cluster {
            true => Some(cluster::connect(&self.connection, &metrics).await?),
            false if !self.connection.is_default() => {
                bail!("--kubeconfig and --context have no effect without --cluster; add --cluster")
            }
            false => None,
        };
        let certificate = certificate::open(&self, connected.as_ref(), &metrics)?;
        let (client_ca_reloader, client_ca) = client_ca::open(&self.clients)?.unzip();
        let mut reloaders: Vec<_> = certificate.reloader.into_iter().collect();
        reloaders.extend(client_ca_reloader);
        let policies = match &connected {
            Some(connected) => cluster::open(&self, connected, &metrics),
            None => policies::open(&self.policy.policies, &metrics)?,
        };
        reloaders.extend(policies.reloaders);
        let webhook = bind(self.listening.listen, "--listen")?;
        let webhook_address = webhook.local_addr()?;
        let webhook = match &*certificate.current.borrow() {
            Some(_) => ready(server::listen(webhook)).left_future(),
            None => {
                server::listen_with_certificate(webhook, certificate.current.clone()).right_future()
            }
        };
        let ops = bind(self.listening.ops_listen, "--ops-listen")?;
        let ops = server::listen(ops)?.into_std()?;
        let ops_address = ops.local_addr()?;
        // In a cluster, the API server verifies the certificate with its own clock, so drydock uses
        // the time of that clock.
        let clock: Arc<dyn Fn() -> Timestamp + Send + Sync> = match connected {
            Some(connected) => Arc::new(move || connected.clock.api_server_time()),
            None => Arc::new(Timestamp::now),
        };
        let state = State {
            cluster: policies.cluster,
            clock,
            log_level: self.logging.allow_log_level_changes.then_some(level),
            ..State::new(
                policies.set,
                certificate.current.clone(),
                metrics.clone(),
                &self.policy.own_namespace,
                limits,
            )
        };
        let tls = server_config(certificate.current, client_ca);
        let (shutdown, abort) = (signals(1)?, signals(2)?);
        let ca = certificate.development_ca.as_ref();
        // In a cluster, the API server is the only client, so the banner has no curl command.
        let example = (!self.policy.cluster).then(|| Example::write(ca));
        let banner = Banner {
            webhook: webhook_address,
            ops: ops_address,
            policies: &policies.in_force,
            ca,
            example: example.as_ref(),
        };
        banner.write(self.logging.log_format, stderr);
        // Without a cluster, no Service sends requests, so there is no need to drain.
        let default_drain = match self.policy.cluster {
            true => CLUSTER_DRAIN,
            false => Duration::ZERO,
        };
        let drain = self.listening.drain_seconds.unwrap_or(default_drain);
        tokio::select! {
            ended = server::run(webhook, ops, tls, state, drain, shutdown) => ended.context("the server failed"),
            () = reload::run(reloaders, self.policy.reload_seconds, metrics) => Ok(()),
            _ = join(policies.work, certificate.work) => Ok(()),
            () = abort => Ok(()),
        }
    }
}

fn runtime(threads: u16) -> io::Result<Runtime> {
    let mut builder = match threads {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder.worker_threads(threads.into()).enable_all().build()
}

fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpSocket> {
    server::bind(address).with_context(|| {
        format!("{flag}: cannot listen on {address} (use another address or port)")
    })
}

/// Returns a future that completes after `number` signals: SIGTERM (from the kubelet), SIGINT (from
/// Ctrl-C) or SIGHUP (from a closed terminal).
fn signals(number: usize) -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let listen = |kind| signal(kind).context("cannot install a signal handler");
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut hangup = listen(SignalKind::hangup())?;
    Ok(async move {
        for _ in 0..number {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hangup.recv() => {}
            }
        }
    })
}
