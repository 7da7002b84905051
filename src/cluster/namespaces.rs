//! Watches the namespaces that opted in, and reads the labels of others.
//!
//! Only metadata of namespaces with the opt-in label is watched: policies select by their labels,
//! and Events are written only there. For a review in another namespace, the labels are read live
//! if a policy needs them ([`live`]): the namespace may have got its label a moment ago, and
//! without the read its pods would be admitted unchanged.

pub mod live;

use super::watch::{Watched, Watches};
use crate::core::policy::set::Labels;
use crate::names;
use crate::telemetry::metrics::{Metrics, WatchKind};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::{Api, PartialObjectMeta};
use kube::runtime::reflector;
use kube::runtime::watcher::Config;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch::Sender;

/// Maximum size of the labels of one namespace, many times the usual size: a user who may label
/// namespaces must not fill the memory of a replica. A review that needs larger labels is an error
/// (F1).
const MAX_LABEL_BYTES: usize = 16 << 10;

/// Maximum number of changes that are published at once.
const BATCH_SIZE: usize = 100;

/// The labels of each namespace that opted in; empty before the first list.
pub type Namespaces = BTreeMap<String, Labels>;

/// Watches until it is dropped.
pub async fn run(client: Client, namespaces: Sender<Namespaces>, metrics: Arc<Metrics>) {
    let opted_in = Config::default().labels(names::OPT_IN_LABEL);
    let watches = Watches::new(metrics);
    let events = watches.watch(&client, WatchKind::Namespaces, opted_in, Api::all);
    // Several changes are published at once.
    let mut batches = events.ready_chunks(BATCH_SIZE);
    let (store, mut writer) = reflector::store();
    while let Some(batch) = batches.next().await {
        for watched in batch {
            if let Watched::Event(event) = watched {
                writer.apply_watcher_event(&event.modify(strip));
            }
        }
        let objects = store.state();
        let objects = objects.iter().map(|namespace| &namespace.metadata);
        let with_labels =
            objects.filter_map(|meta| Some((meta.name.clone()?, meta.labels.clone()?)));
        namespaces.send_replace(with_labels.collect());
    }
}

/// Keeps only name and labels; drops labels that are too large.
fn strip(namespace: &mut PartialObjectMeta<Namespace>) {
    let metadata = std::mem::take(&mut namespace.metadata);
    let labels = bounded(metadata.labels.unwrap_or_default());
    if let Err(problem) = &labels {
        tracing::warn!(
            namespace = metadata.name,
            "the namespace is ignored: {problem}"
        );
    }
    namespace.metadata.name = metadata.name;
    namespace.metadata.labels = labels.ok();
}

/// Checks the size of labels; the error is a sentence.
fn bounded(labels: Labels) -> Result<Labels, String> {
    let sizes = labels.iter().map(|(key, value)| key.len() + value.len());
    match sizes.sum::<usize>() {
        bytes if bytes > MAX_LABEL_BYTES => Err(format!(
            "its labels have {bytes} bytes, which is more than {MAX_LABEL_BYTES}"
        )),
        _ => Ok(labels),
    }
}

#[cfg(test)]
mod tests;
