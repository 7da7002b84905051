//! Self-managed certificates: an authority in a Secret that all replicas share, and a short-lived
//! leaf certificate that each replica signs for itself.
//!
//! ```text
//! Secret ──► CaSecret ── plan ──► Secret                one replica writes, the others read again
//!               │
//!               ├── trusted ──► caBundle of all webhooks, restored when it is changed
//!               └── current ──► leaf, once the caBundle trusts it ──► the server
//! ```
//!
//! One rule keeps every admission: *no leaf is served whose authority is not in the `caBundle`, and
//! no authority leaves the `caBundle` while a leaf of it is served*. Each reconciliation reads both
//! objects anew; watches only start one. A write therefore never rests on old reads, and no leader
//! is needed: the API server lets one of two writers win, and the other reconciles again.
//!
//! When another client deletes, empties, replaces or restores the Secret, the first replica to
//! reconcile keeps every authority that may still have a live leaf, for the lifetime of a leaf.
//!
//! While the API server is away, or trusts a new authority for less than the overlap, leaf
//! certificates are renewed by their own authority; everything else waits.

mod ca_bundle;
mod leaf;
mod plan;
mod reconcile;
mod secret;

pub use plan::Lifetimes;
pub use reconcile::leftover;

use super::clock::Clock;
use super::distinct;
use super::watch::Watches;
use crate::pki::leaf::Leaf;
use crate::telemetry::metrics::{Metrics, WatchKind};
use futures::{FutureExt as _, StreamExt as _};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::api::PartialObjectMeta;
use kube::runtime::watcher;
use kube::{Api, Client};
use reconcile::{Outcome, Reconciler};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch::Sender;

/// The longest time between two reconciliations while there is no certificate to serve.
const INTERVAL_WITHOUT_CERTIFICATE: Duration = Duration::from_secs(3);

/// Settings of self-managed certificates.
#[derive(Clone)]
pub struct Settings {
    /// The namespace of the Secret and of the Service.
    pub namespace: String,
    /// The name of the Secret.
    pub secret: String,
    /// The name of the MutatingWebhookConfiguration.
    pub configuration: String,
    /// The name of the Service that the API server calls.
    pub service: String,
    /// Further DNS names and IP addresses of the server.
    pub names: Vec<String>,
    /// The name of this replica's pod, at most 128 characters: it is the field manager of a Secret.
    pub replica: String,
    /// Lifetimes of authorities and leaf certificates.
    pub lifetimes: Lifetimes,
    /// The longest time between two reconciliations.
    pub interval: Duration,
    /// The clocks of this node and of the API server.
    pub clock: Clock,
}

impl Settings {
    /// Returns all names of the server; the API server asks for the first.
    fn server_names(&self) -> Vec<String> {
        let own = format!("{}.{}", self.service, self.namespace);
        let of_service = ["svc", "svc.cluster.local"].map(|suffix| format!("{own}.{suffix}"));
        let further = self.names.iter().cloned();
        distinct(of_service.into_iter().chain([own]).chain(further))
    }
}

/// Reconciles authority, `caBundle` and leaf for as long as it is polled.
///
/// `issued` holds nothing until there is a leaf that the webhook configuration trusts, and a good
/// one from then on.
pub async fn run(
    client: Client,
    settings: Settings,
    metrics: Arc<Metrics>,
    issued: Sender<Option<Leaf>>,
) -> Infallible {
    let watches = Watches::new(metrics.clone());
    let only = |name: &str| watcher::Config::default().fields(&format!("metadata.name={name}"));
    // Only metadata are watched: a reconciliation reads the objects.
    type Metadata<K> = PartialObjectMeta<K>;
    let secrets = |client| Api::<Metadata<Secret>>::namespaced(client, &settings.namespace);
    let of_secret = only(&settings.secret);
    let secret = watches.watch(&client, WatchKind::Secret, of_secret, secrets);
    let configurations = Api::<Metadata<MutatingWebhookConfiguration>>::all;
    let of_webhook = only(&settings.configuration);
    let webhook = watches.watch(&client, WatchKind::Webhook, of_webhook, configurations);
    let (secret, webhook) = (secret.map(drop), webhook.map(drop));
    let mut changes = futures::stream::select(secret, webhook);
    let mut backoff = Backoff::new(settings.interval);
    let mut reconciler = Reconciler::new(client, settings, metrics, issued);
    loop {
        let (least, most) = backoff.after(reconciler.reconcile().await);
        // Without a certificate the replica is not ready.
        let longest = match reconciler.is_serving() {
            true => Duration::MAX,
            false => INTERVAL_WITHOUT_CERTIFICATE,
        };
        let (least, most) = (least.min(longest), most.min(longest));
        let change = async {
            tokio::time::sleep(least).await;
            changes.next().await;
            // Several changes share one reconciliation.
            while let Some(Some(())) = changes.next().now_or_never() {}
        };
        let _ = tokio::time::timeout(most, change).await;
    }
}

/// The time between reconciliations grows with each write or failure, so that neither an API server
/// in trouble nor another writer of the same fields causes a flood.
#[derive(Debug)]
struct Backoff {
    interval: Duration,
    least: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(25);

    fn new(interval: Duration) -> Self {
        let least = Duration::ZERO;
        Self { interval, least }
    }

    /// Returns how long to wait at least, even if something changes, and at most, if nothing does.
    ///
    /// A write adds more than the next quiet reconciliation takes back, so two alternate writers
    /// slow down, too.
    fn after(&mut self, outcome: Outcome) -> (Duration, Duration) {
        let grown = (self.least * 4).clamp(Self::FIRST.min(self.interval), self.interval);
        self.least = match outcome {
            Outcome::Unchanged if self.least < Self::FIRST => Duration::ZERO,
            Outcome::Unchanged => self.least / 2,
            Outcome::Wrote | Outcome::Failed => grown,
        };
        match outcome {
            Outcome::Failed => (self.least, self.least),
            Outcome::Unchanged | Outcome::Wrote => (self.least, self.interval),
        }
    }
}

#[cfg(test)]
mod tests;
