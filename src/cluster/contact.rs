//! When each kind of watch last heard from the API server, as a metric: what is known may be stale where that was long ago.

use super::calls;
use crate::core::policy::SourceKind;
use crate::telemetry::metrics::{Metrics, WatchKind};
use jiff::Timestamp;
use kube::Client;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The last contact of each watch that is open.
#[derive(Clone)]
pub(super) struct Contacts(Arc<Open>);

struct Open {
    metrics: Arc<Metrics>,
    /// By kind and number of the watch, in seconds since 1970.
    watches: Mutex<Watches>,
}

#[derive(Default)]
struct Watches {
    opened: u64,
    last: BTreeMap<(WatchKind, u64), i64>,
}

/// One watch; the metric forgets it when it is dropped.
struct Contact {
    open: Arc<Open>,
    kind: WatchKind,
    number: u64,
}

impl Contacts {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Open {
            metrics,
            watches: Mutex::default(),
        }))
    }

    /// Returns the client of a watch, which is in contact from now on and whenever it receives something.
    pub(super) fn watching(&self, client: &Client, kind: WatchKind) -> Client {
        let number = self.0.change(kind, |watches| {
            watches.opened += 1;
            watches.opened
        });
        let contact = Arc::new(Contact {
            open: self.0.clone(),
            kind,
            number,
        });
        contact.made();
        calls::reporting(client.clone(), move || contact.made())
    }
}

impl Open {
    /// Changes what is known and exports the oldest contact of the kind; 0 where no watch of it is open.
    fn change<T>(&self, kind: WatchKind, change: impl FnOnce(&mut Watches) -> T) -> T {
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut watches);
        let of_kind = watches.last.range((kind, 0)..=(kind, u64::MAX));
        let oldest = of_kind.map(|(_, seconds)| *seconds).min();
        self.metrics
            .of_cluster()
            .set_last_contact(kind, oldest.unwrap_or(0));
        result
    }
}

impl Contact {
    fn made(&self) {
        let now = Timestamp::now().as_second();
        self.open.change(self.kind, |watches| {
            watches.last.insert((self.kind, self.number), now)
        });
    }
}

impl Drop for Contact {
    fn drop(&mut self) {
        self.open.change(self.kind, |watches| {
            watches.last.remove(&(self.kind, self.number))
        });
    }
}

impl From<SourceKind> for WatchKind {
    fn from(kind: SourceKind) -> Self {
        match kind {
            SourceKind::Ingress => Self::Ingresses,
            SourceKind::Service | SourceKind::ServiceClusterIp => Self::Services,
            SourceKind::Gateway => Self::Gateways,
        }
    }
}
