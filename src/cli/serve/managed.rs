//! Runs the self-managed certificate: an authority in a Secret, trusted through the `caBundle`.

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

/// Maximum time between two reconciliations of Secret, configuration and certificate.
const INTERVAL: Duration = Duration::from_secs(30);
/// Minimum number of reconciliations in the life of a short-lived certificate, which is renewed
/// when a third of it is left.
const RECONCILIATIONS_PER_LEAF: u32 = 12;

#[derive(Args, Debug)]
#[command(next_help_heading = "Self-managed certificates")]
pub(super) struct ManagedFlags {
    /// Additional DNS name or IP address of the certificate, besides the Service's name (with
    /// --cluster) or localhost. A certificate from files must have it too. Can be repeated
    #[arg(long = "tls-name", value_name = "NAME", value_delimiter = ',')]
    pub(super) names: Vec<String>,

    /// Name of the Service that the API server calls
    #[arg(long, value_name = "NAME", default_value = NAME)]
    pub(super) service: String,

    /// Name of the MutatingWebhookConfiguration whose caBundle drydock writes
    #[arg(long, value_name = "NAME", default_value = NAME)]
    webhook_configuration: String,

    /// Name of the Secret, in drydock's own namespace, that holds the authority
    #[arg(long, value_name = "NAME", default_value = CA_SECRET)]
    ca_secret: String,

    /// How long the authority lives; it is renewed when a third of that is left
    #[arg(long, value_name = "DAYS", default_value = "365", value_parser = days)]
    ca_days: Duration,

    /// How long the certificate lives; it is renewed when a third of that is left
    #[arg(long, value_name = "HOURS", default_value = "24", value_parser = hours)]
    certificate_hours: Duration,

    /// How long a new authority is in the caBundle before it signs: every API server has to have
    /// seen it
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = seconds)]
    ca_overlap_seconds: Duration,
}

fn days(text: &str) -> Result<Duration, String> {
    times(text, 24.0 * 60.0 * 60.0, "days, as in 365")
}

fn hours(text: &str) -> Result<Duration, String> {
    times(text, 60.0 * 60.0, "hours, as in 24 or 0.5")
}

/// Parses a time in a unit, of at most a hundred years.
fn times(text: &str, unit: f64, what: &str) -> Result<Duration, String> {
    const LONGEST: f64 = 100.0 * 365.0 * 24.0 * 60.0 * 60.0;
    match text.parse::<f64>().map(|number| number * unit) {
        Ok(seconds) if seconds > 0.0 && seconds <= LONGEST => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!(
            "give a number of {what}, more than 0 and at most a hundred years"
        )),
    }
}

/// Reconciles the certificate, and sends each new one to `current`.
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
                    "a new certificate cannot be used, the last one stays in use: {:#}",
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

/// Logs once if the Secret of an earlier self-managed authority still exists.
pub(super) fn report_leftover(flags: &Serve, client: Client) -> BoxFuture<'static, ()> {
    let namespace = flags.policy.own_namespace.clone();
    let (secret, configuration) = (
        flags.managed.ca_secret.clone(),
        flags.managed.webhook_configuration.clone(),
    );
    Box::pin(async move {
        let leftover = ca::leftover(&client, &namespace, &secret, &configuration);
        if let Some(leftover) = leftover.await {
            tracing::warn!("{leftover}");
        }
        // Work ends only with the process.
        std::future::pending().await
    })
}
