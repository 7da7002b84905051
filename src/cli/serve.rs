//! `drydock serve`: flags, policies, certificate and server joined together.

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
use flags::seconds;

use super::Exit;
use crate::pki::tls::server_config;
use crate::server::{self, State};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::{self, LevelSwitch};
use anyhow::Context;
use banner::Example;
use futures::FutureExt as _;
use futures::future::{BoxFuture, join, pending, ready};
use std::future::Future;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpSocket;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

/// Time in which a Service learns that a replica is not ready.
const DRAIN: Duration = Duration::from_secs(5);

impl Serve {
    pub(super) fn run(self, stderr: &mut impl Write) -> anyhow::Result<Exit> {
        let metrics = Arc::new(Metrics::new());
        let dropped = metrics.log_lines_dropped();
        let (level, _log) = telemetry::start_logging(self.log_format, self.log_level, dropped);
        metrics.set_log_level(self.log_level);
        let runtime = runtime(self.worker_threads).context("the runtime cannot be started")?;
        let served = runtime.block_on(self.serve(metrics, level, stderr));
        // A review on a blocking thread has no client any more.
        runtime.shutdown_background();
        served.map(|()| Exit::Good)
    }

    async fn serve(
        self,
        metrics: Arc<Metrics>,
        level: LevelSwitch,
        stderr: &mut impl Write,
    ) -> anyhow::Result<()> {
        let limits = self.limits.limits()?;
        let client = match self.cluster {
            true => Some(cluster::client().await?),
            false => None,
        };
        let certificate = certificate::open(&self, client.as_ref(), &metrics)?;
        let (client_ca_reloader, client_ca) = client_ca::open(&self.clients)?.unzip();
        let mut reloaders: Vec<_> = certificate.reloader.into_iter().collect();
        reloaders.extend(client_ca_reloader);
        let (policies, in_force, of_cluster, policies_work): (_, _, _, BoxFuture<'static, ()>) =
            match &client {
                Some(client) => {
                    let joined = cluster::join(&self, client, &metrics);
                    let in_force = vec!["those of the cluster".to_owned()];
                    let of_cluster = Some(joined.for_answers);
                    (joined.policies, in_force, of_cluster, joined.work)
                }
                None => {
                    let files = policies::open(&self.policies, &metrics)?;
                    reloaders.extend(files.reloaders);
                    (files.set, files.in_force, None, Box::pin(pending()))
                }
            };
        let webhook = bind(self.listen, "--listen")?;
        let webhook_address = webhook.local_addr()?;
        let webhook = match &*certificate.current.borrow() {
            Some(_) => ready(server::listen(webhook)).left_future(),
            None => {
                server::listen_with_certificate(webhook, certificate.current.clone()).right_future()
            }
        };
        let ops = bind(self.ops_listen, "--ops-listen")?;
        let ops = server::listen(ops)?.into_std()?;
        let ops_address = ops.local_addr()?;
        let state = State {
            cluster: of_cluster,
            log_level: self.allow_log_level_changes.then_some(level),
            ..State::new(
                policies,
                certificate.current.clone(),
                metrics.clone(),
                &self.own_namespace,
                limits,
            )
        };
        let tls = server_config(certificate.current, client_ca);
        let (shutdown, abort) = (signals(1)?, signals(2)?);
        let ca = certificate.development_ca.as_ref();
        // In a cluster the API server is the only client.
        let example = (!self.cluster).then(|| Example::write(ca));
        banner::write(
            stderr,
            webhook_address,
            ops_address,
            &in_force,
            ca,
            example.as_ref(),
        );
        // Without a cluster no Service has to learn that the server stops.
        let default_drain = if self.cluster { DRAIN } else { Duration::ZERO };
        let drain = self.drain_seconds.unwrap_or(default_drain);
        tokio::select! {
            ended = server::run(webhook, ops, tls, state, ops_runtime, drain, shutdown) => ended.context("the server failed"),
            () = reload::run(reloaders, self.reload_seconds, metrics) => Ok(()),
            _ = join(policies_work, certificate.work) => Ok(()),
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

/// Makes the runtime of the ops port, for one thread.
fn ops_runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpSocket> {
    server::bind(address)
        .with_context(|| format!("{flag} {address} cannot be used; give another address or port"))
}

/// Ends with the signal of this number, counted from 1: SIGTERM from the kubelet, SIGINT from
/// Ctrl-C, or SIGHUP from a terminal that closes.
fn signals(number: usize) -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let listen = |kind| signal(kind).context("signals cannot be listened for");
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
