//! The namespaces that opted in, and the labels of others.
//!
//! Namespaces with the opt-in label are watched all the time, their metadata only: policies select by their labels, and Events are
//! written to none but these. Another namespace may have been labelled a moment ago, so where its labels decide it is read
//! when a pod in it is reviewed ([`live`]): guessing would admit pods of a new namespace unrepaired.

pub mod live;

use super::contact::Contacts;
use super::watch::{Watched, watch};
use crate::core::policy::set::Labels;
use crate::names;
use crate::telemetry::metrics::{Metrics, WatchKind};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::{Api, PartialObjectMeta};
use kube::runtime::watcher::{Config, Event};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::watch as channel;

/// The bytes that the labels of one namespace may have, many times what is in use: who may label a namespace must not fill the
/// memory of a replica. Beyond it they are not known, and a review that needs them is an error (F1).
const LARGEST_LABELS: usize = 16 << 10;

/// The labels of each namespace that opted in.
pub type Namespaces = BTreeMap<String, Labels>;

/// Where the watch puts what it sees.
#[derive(Clone)]
pub struct OptedIn {
    /// The namespaces, as far as they have been read.
    pub namespaces: channel::Sender<Namespaces>,
    /// Whether all of them have been read once.
    pub is_listed: channel::Sender<bool>,
}

impl Default for OptedIn {
    fn default() -> Self {
        Self {
            namespaces: channel::Sender::new(Namespaces::new()),
            is_listed: channel::Sender::new(false),
        }
    }
}

/// Watches until it is dropped.
pub async fn run(client: Client, opted_in: OptedIn, metrics: Arc<Metrics>) {
    let client = Contacts::new(metrics).watching(&client, WatchKind::Namespaces);
    let api: Api<PartialObjectMeta<Namespace>> = Api::all(client);
    let config = Config::default().labels(names::OPT_IN_LABEL);
    let mut events = std::pin::pin!(watch(api, config, "namespaces that opted in".to_owned()));
    let mut listed = BTreeSet::new();
    let known = &opted_in.namespaces;
    while let Some(event) = events.next().await {
        let Watched::Event(event) = event else {
            continue;
        };
        match event {
            Event::Init => listed.clear(),
            Event::InitApply(namespace) => {
                listed.extend(namespace.metadata.name.clone());
                insert(known, namespace);
            }
            Event::InitDone => {
                known.send_modify(|known| known.retain(|name, _| listed.contains(name)));
                opted_in.is_listed.send_replace(true);
            }
            Event::Apply(namespace) => insert(known, namespace),
            Event::Delete(namespace) => {
                let name = namespace.metadata.name.unwrap_or_default();
                known.send_modify(|known| {
                    known.remove(&name);
                });
            }
        }
    }
}

fn insert(known: &channel::Sender<Namespaces>, namespace: PartialObjectMeta<Namespace>) {
    let metadata = namespace.metadata;
    let Some(name) = metadata.name else {
        return;
    };
    let labels = bounded(metadata.labels.unwrap_or_default());
    if let Err(problem) = &labels {
        tracing::warn!(namespace = name, "the namespace is left out: {problem}");
    }
    known.send_modify(|known| {
        match labels {
            Ok(labels) => known.insert(name, labels),
            Err(_) => known.remove(&name),
        };
    });
}

/// Returns labels that are not too large, or what is wrong, as a sentence.
fn bounded(labels: Labels) -> Result<Labels, String> {
    let bytes: usize = labels
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    if bytes > LARGEST_LABELS {
        return Err(format!(
            "its labels have {bytes} bytes, which is more than {LARGEST_LABELS}"
        ));
    }
    Ok(labels)
}

#[cfg(test)]
mod tests;
