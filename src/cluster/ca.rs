//! Certificates that nobody has to renew: an authority in a Secret that all replicas share, and a short-lived leaf that each signs for itself.
//!
//! ```text
//! Secret drydock-ca ──► Content ── rotation ──► Secret            written by whoever is first, read again by the others
//!                          │
//!                          ├── trusted ──► caBundle of both webhooks, healed when somebody changes it
//!                          └── current ──► leaf, once the caBundle trusts it ──► the server
//! ```
//!
//! One rule keeps every admission: *nothing is served whose authority is not in the `caBundle`, and no authority leaves the `caBundle` while
//! something of its is served*. Each look reads both objects afresh; watches only say when to look. So what a replica writes never rests on
//! what it read long ago, and there is no leader: the API server lets one of two writers win, and the other looks again.
//!
//! Where somebody else deletes, empties or replaces the Secret, or puts an old one back, whoever looks first goes on trusting all that any
//! replica could serve of, for the life of a leaf.
//!
//! When the API server is away, or does not trust a new authority for long enough yet, leafs are renewed by the authority that they are of;
//! everything else waits.

mod in_use;
mod leftover;
mod lifetimes;
mod pause;
mod plan;
mod problem;
mod reconcile;
mod secret;
mod serving;
#[cfg(test)]
mod tests;
mod webhook;

pub use leftover::leftover;
pub use lifetimes::{Lifetimes, LifetimesError};

use super::contact::Contacts;
use super::watch;
use crate::names::{CA_SECRET, NAME};
use crate::telemetry::metrics::{Metrics, WatchKind};
use futures::{FutureExt as _, Stream, StreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::api::PartialObjectMeta;
use kube::runtime::watcher;
use kube::{Api, Client, Resource};
use pause::Pause;
use reconcile::Keeper;
use std::convert::Infallible;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch::Sender;

/// What the caller decides.
#[derive(Clone)]
pub struct Settings {
    /// The namespace of the Secret and of the Service.
    pub namespace: String,
    /// The name of the Service that the API server calls.
    pub service: String,
    /// Further DNS names and IP addresses of the server.
    pub names: Vec<String>,
    /// What tells this replica from others: the name of its pod. At most 128 characters, for it is the manager of the fields of a new Secret.
    pub replica: String,
    /// How long things live.
    pub lifetimes: Lifetimes,
    /// How long at most until the next look.
    pub look: Duration,
    /// Tells the time: [`Now::here`], but for tests.
    pub clock: Arc<dyn Fn() -> Now + Send + Sync>,
}

/// What time it is.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// By the wall: certificates begin and end by it. It may be put forward and back.
    pub wall: Timestamp,
    /// By a clock that only goes forward: times that pass are measured by it.
    pub steady: Instant,
}

impl Now {
    /// Returns what time it is.
    #[must_use]
    pub fn here() -> Self {
        Self {
            wall: Timestamp::now(),
            steady: Instant::now(),
        }
    }
}

impl Settings {
    /// Returns all names of the server: the Service's, the first being the one that the API server asks for, and the further ones.
    fn server_names(&self) -> Vec<String> {
        let own = format!("{}.{}", self.service, self.namespace);
        let of_service = ["svc", "svc.cluster.local"].map(|suffix| format!("{own}.{suffix}"));
        let further = self.names.iter().cloned();
        let all = of_service.into_iter().chain([own]).chain(further);
        let mut names: Vec<String> = Vec::new();
        for name in all {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

/// A server certificate whose authority the webhook configuration trusts.
#[derive(Clone)]
pub struct Issued {
    /// The certificate, PEM.
    pub chain_pem: String,
    /// Its private key, PEM.
    pub key_pem: String,
    /// When it ends; another one comes long before.
    pub expires: Timestamp,
    /// The name of its authority.
    pub authority: String,
}

/// The key is left out.
impl fmt::Debug for Issued {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            expires, authority, ..
        } = self;
        write!(formatter, "certificate of {authority} until {expires}")
    }
}

/// Keeps the authority, the `caBundle` and the leaf, for as long as it is polled. What fails is told once, and tried again.
///
/// `issued` holds nothing until there is a leaf that the webhook configuration trusts, and a good one ever after.
pub async fn run(
    client: Client,
    settings: Settings,
    metrics: Arc<Metrics>,
    issued: Sender<Option<Issued>>,
) -> Infallible {
    // Lifetimes may be shorter than anybody needs, for a trial.
    let look = settings.look.min(settings.lifetimes.leaf() / 10);
    let contacts = Contacts::new(metrics.clone());
    let of_secret = contacts.watching(&client, WatchKind::Secret);
    let secrets = Api::namespaced(of_secret, &settings.namespace);
    let configurations = Api::all(contacts.watching(&client, WatchKind::Webhook));
    let mut changes = pin!(futures::stream::select(
        changes_of::<Secret>(secrets, CA_SECRET),
        changes_of::<MutatingWebhookConfiguration>(configurations, NAME),
    ));
    let mut keeper = Keeper::new(client, settings, metrics, issued);
    let mut pause = Pause::new(look);
    loop {
        let (least, most) = pause.after(keeper.look().await);
        let change = async {
            tokio::time::sleep(least).await;
            changes.next().await;
            // Several changes are seen in one look.
            while let Some(Some(())) = changes.next().now_or_never() {}
        };
        // Past the time, one looks in any case.
        let _ = tokio::time::timeout(most, change).await;
    }
}

/// Says that an object may have changed. Only its metadata are watched: what it holds is read in the look.
fn changes_of<K>(api: Api<PartialObjectMeta<K>>, name: &str) -> impl Stream<Item = ()> + use<K>
where
    K: Resource<DynamicType = ()> + Clone + fmt::Debug + Send + 'static,
{
    let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let what = format!("{} {name}", K::kind(&()).to_lowercase());
    watch::watch(api, only, what).map(drop)
}
