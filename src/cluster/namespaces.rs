//! Watches the namespaces that opted in, and reads the labels of other namespaces.
//!
//! drydock watches only the metadata of namespaces with the opt-in label. Policies select by the
//! labels of these namespaces, and drydock writes Events only there. If a policy needs the labels
//! of another namespace, [`live`] reads them during the review: the opt-in label may be so new that
//! the watch has not returned it yet, and without the read the pod would be admitted unchanged.

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

/// Maximum size of the labels of one namespace in bytes, many times the usual size. It prevents
/// a user who may label namespaces from exhausting the memory of a replica. A review that needs
/// larger labels fails (rule F1).
const MAX_LABEL_BYTES: usize = 16 << 10;

/// Maximum number of watch events that are published together.
const BATCH_SIZE: usize = 100;

/// The labels of each namespace that opted in; empty before the first LIST.
pub type Namespaces = BTreeMap<String, Labels>;

/// Watches the namespaces that opted in and publishes their labels until the future is dropped.
pub async fn run(client: Client, namespaces: Sender<Namespaces>, metrics: Arc<Metrics>) {
    let opted_in = Config::default().labels(names::OPT_IN_LABEL);
    let watches = Watches::new(metrics);
    let events = watches.watch(&client, WatchKind::Namespaces, opted_in, Api::all);
    // All pending events are published together.
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

/// Removes all metadata but the name and the labels, and removes labels that are too large.
fn strip(namespace: &mut PartialObjectMeta<Namespace>) {
    let metadata = std::mem::take(&mut namespace.metadata);
    let labels = check_size(metadata.labels.unwrap_or_default());
    if let Err(problem) = &labels {
        tracing::warn!(
            namespace = metadata.name,
            "the namespace is ignored, because {problem}"
        );
    }
    namespace.metadata.name = metadata.name;
    namespace.metadata.labels = labels.ok();
}

/// Returns the labels, or a message if they exceed [`MAX_LABEL_BYTES`].
fn check_size(labels: Labels) -> Result<Labels, String> {
    let sizes = labels.iter().map(|(key, value)| key.len() + value.len());
    match sizes.sum::<usize>() {
        bytes if bytes > MAX_LABEL_BYTES => Err(format!(
            "its labels have {bytes} bytes, and the maximum is {MAX_LABEL_BYTES}"
        )),
        _ => Ok(labels),
    }
}

#[cfg(test)]
mod tests;
