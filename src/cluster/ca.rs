//! Self-managed certificates: all replicas share a certificate authority (CA) in a Secret, and each
//! replica signs a short-lived leaf certificate for itself.
//!
//! ```text
//! Secret ──► CaSecret ── plan ──► Secret                one replica writes, the others read again
//!               │
//!               ├── trusted ──► caBundle of all webhooks, restored when it is changed
//!               └── current ──► leaf, once the caBundle trusts it ──► the server
//! ```
//!
//! One rule prevents failed admissions: *a replica serves a leaf only while the `caBundle` contains
//! the authority of the leaf*. A watch only triggers a reconciliation, which reads the Secret and
//! the webhook configuration again. If two replicas write at the same time, the API server accepts
//! one write because of the resourceVersion, and the other replica reconciles again. Therefore the
//! replicas need no leader.
//!
//! If another client deletes, empties, replaces or restores the Secret, the first replica that
//! reconciles trusts every authority that may have a leaf in use, for the lifetime of a leaf.
//!
//! During an outage of the API server, and until a new authority has been trusted for the overlap,
//! a replica renews its leaf with the authority that signed it. All other steps wait.

mod ca_bundle;
mod leaf;
mod plan;
mod reconcile;
mod secret;

pub use plan::Lifetimes;
pub use reconcile::leftover_secret_warning;

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

/// Maximum time between two reconciliations of a replica that has no certificate to serve.
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
    /// Additional DNS names and IP addresses of the leaf certificate.
    pub names: Vec<String>,
    /// The name of this replica's pod. It is the field manager of the Secret, so the API server
    /// accepts at most 128 characters.
    pub replica: String,
    /// Lifetimes of authorities and leaf certificates.
    pub lifetimes: Lifetimes,
    /// Maximum time between two reconciliations.
    pub interval: Duration,
    /// The clocks of this node and of the API server.
    pub clock: Clock,
}

impl Settings {
    /// Returns all names of the leaf certificate. The API server verifies the first one.
    fn server_names(&self) -> Vec<String> {
        let own = format!("{}.{}", self.service, self.namespace);
        let of_service = ["svc", "svc.cluster.local"].map(|suffix| format!("{own}.{suffix}"));
        let further = self.names.iter().cloned();
        distinct(of_service.into_iter().chain([own]).chain(further))
    }
}

/// Reconciles the authority, the `caBundle` and the leaf until the future is dropped.
///
/// The value of `issued` is the leaf to serve. It is `None` until the `caBundle` trusts a leaf, and
/// while the leaf is not valid by the API server's clock.
pub async fn run(
    client: Client,
    settings: Settings,
    metrics: Arc<Metrics>,
    issued: Sender<Option<Leaf>>,
) -> Infallible {
    let watches = Watches::new(metrics.clone());
    let only = |name: &str| watcher::Config::default().fields(&format!("metadata.name={name}"));
    // The watches return only metadata, because each reconciliation reads the objects.
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
        let (min, max) = backoff.after(reconciler.reconcile().await);
        // Without a certificate the replica is not ready, so it reconciles again soon.
        let limit = match reconciler.is_serving() {
            true => Duration::MAX,
            false => INTERVAL_WITHOUT_CERTIFICATE,
        };
        let (min, max) = (min.min(limit), max.min(limit));
        let change = async {
            tokio::time::sleep(min).await;
            changes.next().await;
            // One reconciliation covers all pending changes.
            while let Some(Some(())) = changes.next().now_or_never() {}
        };
        let _ = tokio::time::timeout(max, change).await;
    }
}

/// Increases the time between reconciliations after each write or failure. This limits the requests
/// if the API server is overloaded, or if another client writes the same fields.
#[derive(Debug)]
struct Backoff {
    /// Maximum time between two reconciliations.
    interval: Duration,
    /// Current minimum time between two reconciliations.
    min: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(25);

    fn new(interval: Duration) -> Self {
        let min = Duration::ZERO;
        Self { interval, min }
    }

    /// Returns the minimum and the maximum time until the next reconciliation. A changed object
    /// triggers it after the minimum.
    ///
    /// A write increases the minimum by more than a reconciliation without changes decreases it, so
    /// two clients that overwrite each other's changes slow down too.
    fn after(&mut self, outcome: Outcome) -> (Duration, Duration) {
        let increased = (self.min * 4).clamp(Self::FIRST.min(self.interval), self.interval);
        self.min = match outcome {
            Outcome::Unchanged if self.min < Self::FIRST => Duration::ZERO,
            Outcome::Unchanged => self.min / 2,
            Outcome::Wrote | Outcome::Failed => increased,
        };
        match outcome {
            Outcome::Failed => (self.min, self.min),
            Outcome::Unchanged | Outcome::Wrote => (self.min, self.interval),
        }
    }
}

#[cfg(test)]
mod tests;
