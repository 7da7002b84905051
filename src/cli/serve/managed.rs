//! Manages the certificate of the server with a CA that drydock keeps in a Secret and writes to the
//! `caBundle` of the webhook configuration.

use super::Serve;
use super::cluster::Connected;
use crate::cluster::ca::{self, Lifetimes, Settings};
use crate::names::{CA_SECRET, NAME};
use crate::pki::tls::Certificate;
use crate::server::limits::seconds;
use crate::telemetry::metrics::Metrics;
use anyhow::anyhow;
use clap::Args;
use futures::future::BoxFuture;
use kube::Client;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Maximum time between two reconciliations of the Secret, the webhook configuration and the
/// certificate.
const INTERVAL: Duration = Duration::from_secs(30);
/// Minimum number of reconciliations in the lifetime of a certificate, so that a short-lived one is
/// renewed in time.
const RECONCILIATIONS_PER_LEAF: u32 = 12;

#[derive(Args, Debug)]
#[command(next_help_heading = "Self-managed certificates")]
pub(super) struct ManagedFlags {
    /// Additional DNS name or IP address of the certificate, besides the DNS name of the Service
    /// (with --cluster) or localhost. A certificate from files must also contain this name. Can be
    /// repeated
    #[arg(long = "tls-name", value_name = "NAME", value_delimiter = ',')]
    pub(super) names: Vec<String>,

    /// Name of the Service that the API server calls
    #[arg(long, value_name = "NAME", default_value = NAME)]
    pub(super) service: String,

    /// Name of the MutatingWebhookConfiguration whose caBundle drydock writes
    #[arg(long, value_name = "NAME", default_value = NAME)]
    webhook_configuration: String,

    /// Name of the Secret, in drydock's namespace, that contains the CA
    #[arg(long, value_name = "NAME", default_value = CA_SECRET)]
    ca_secret: String,

    /// Lifetime of the CA, which is renewed when a third of this time is left
    #[arg(long, value_name = "DAYS", default_value = "365", value_parser = days)]
    ca_days: Duration,

    /// Lifetime of the certificate, which is renewed when a third of this time is left
    #[arg(long, value_name = "HOURS", default_value = "24", value_parser = hours)]
    certificate_hours: Duration,

    /// Time for which a new CA is in the caBundle before certificates are signed with it, so that
    /// every API server already trusts the CA
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = seconds)]
    ca_overlap_seconds: Duration,
}

fn days(text: &str) -> Result<Duration, String> {
    duration(text, 24.0 * 60.0 * 60.0, "days, such as 365")
}

fn hours(text: &str) -> Result<Duration, String> {
    duration(text, 60.0 * 60.0, "hours, such as 24 or 0.5")
}

/// Parses a duration of at most 100 years. `unit` is the length of the unit in seconds.
fn duration(text: &str, unit: f64, description: &str) -> Result<Duration, String> {
    const LONGEST: f64 = 100.0 * 365.0 * 24.0 * 60.0 * 60.0;
    match text.parse::<f64>().map(|number| number * unit) {
        Ok(seconds) if seconds > 0.0 && seconds <= LONGEST => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!(
            "use a number of {description}; the time must be more than 0 and at most 100 years"
        )),
    }
}

/// Reconciles the certificate, and sends each new certificate to `current`.
pub(super) fn run(
    flags: &Serve,
    Connected { client, clock, .. }: Connected,
    metrics: Arc<Metrics>,
    current: watch::Sender<Option<Certificate>>,
) -> anyhow::Result<BoxFuture<'static, ()>> {
    let managed = &flags.managed;
    let lifetimes = Lifetimes::new(
        managed.ca_days,
        managed.certificate_hours,
        managed.ca_overlap_seconds,
    )
    .map_err(|problem| {
        anyhow!(
            "--ca-days, --certificate-hours and --ca-overlap-seconds are inconsistent: {problem}"
        )
    })?;
    let settings = Settings {
        namespace: flags.policy.own_namespace.clone(),
        secret: managed.ca_secret.clone(),
        configuration: managed.webhook_configuration.clone(),
        service: managed.service.clone(),
        names: managed.names.clone(),
        replica: flags.policy.instance.clone(),
        lifetimes,
        interval: INTERVAL.min(managed.certificate_hours / RECONCILIATIONS_PER_LEAF),
        clock,
    };
    let (sender, mut issued) = watch::channel(None);
    let use_each = async move {
        while issued.changed().await.is_ok() {
            let leaf = issued.borrow_and_update().clone();
            match leaf.as_ref().map(Certificate::from_leaf).transpose() {
                Ok(certificate) => drop(current.send_replace(certificate)),
                Err(error) => tracing::error!(
                    "a new certificate cannot be used; the previous one stays in use: {:#}",
                    anyhow::Error::from(error)
                ),
            }
        }
    };
    Ok(Box::pin(async move {
        tokio::select! {
            never = ca::run(client, settings, metrics, sender) => match never {},
            () = use_each => {}
        }
    }))
}

/// Logs a warning if the Secret of an earlier self-managed CA still exists.
pub(super) fn report_leftover(flags: &Serve, client: Client) -> BoxFuture<'static, ()> {
    let namespace = flags.policy.own_namespace.clone();
    let (secret, configuration) = (
        flags.managed.ca_secret.clone(),
        flags.managed.webhook_configuration.clone(),
    );
    Box::pin(async move {
        let warning =
            ca::leftover_secret_warning(&client, &namespace, &secret, &configuration).await;
        if let Some(warning) = warning {
            tracing::warn!("{warning}");
        }
        // The server stops when its background tasks end, so this task must not end.
        std::future::pending().await
    })
}
