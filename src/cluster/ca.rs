//! Self-managed certificates: the replicas share an authority in a Secret, and each replica signs a
//! short-lived leaf certificate for itself.
//!
//! ```text
//! Secret ──► CaSecret ── plan ──► Secret                one replica writes, the others read again
//!               │
//!               ├── trusted ──► caBundle of all webhooks, restored when it is changed
//!               └── current ──► leaf, once the caBundle trusts it ──► the server
//! ```
//!
//! One rule prevents lost admissions: *a leaf is served only while the `caBundle` contains its
//! authority*. Each reconciliation reads both objects again; a watch only triggers it. So a write
//! is never based on old reads, and no leader is needed: of two writers the API server accepts one,
//! and the other reconciles again.
//!
//! If another client deletes, empties, replaces or restores the Secret, the first replica that
//! reconciles keeps every authority that may have a leaf in use, for the lifetime of a leaf.
//!
//! During an outage of the API server, and until a new authority has been trusted for the overlap,
//! the authority of a leaf renews it; everything else waits.

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
    /// The name of this replica's pod, at most 128 characters: the field manager of the Secret.
    pub replica: String,
    /// Lifetimes of authorities and leaf certificates.
    pub lifetimes: Lifetimes,
    /// The longest time between two reconciliations.
    pub interval: Duration,
    /// The clocks of this node and of the API server.
    pub clock: Clock,
}

impl Settings {
    /// Returns all names of the server; the API server verifies the first.
    fn server_names(&self) -> Vec<String> {
        let own = format!("{}.{}", self.service, self.namespace);
        let of_service = ["svc", "svc.cluster.local"].map(|suffix| format!("{own}.{suffix}"));
        let further = self.names.iter().cloned();
        distinct(of_service.into_iter().chain([own]).chain(further))
    }
}

/// Reconciles authority, `caBundle` and leaf until the future is dropped.
///
/// `issued` is `None` until there is a leaf that the webhook configuration trusts.
pub async fn run(
    client: Client,
    settings: Settings,
    metrics: Arc<Metrics>,
    issued: Sender<Option<Leaf>>,
) -> Infallible {
    let watches = Watches::new(metrics.clone());
    let only = |name: &str| watcher::Config::default().fields(&format!("metadata.name={name}"));
    // Only metadata is watched: a reconciliation reads the objects.
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

/// Increases the time between reconciliations with each write or failure, so that an overloaded API
/// server or another writer of the same fields causes no flood of requests.
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

    /// Returns the minimum time to wait, even if an object changes, and the maximum time.
    ///
    /// A write increases the time by more than a reconciliation without changes decreases it, so
    /// two writers that overwrite each other slow down, too.
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
