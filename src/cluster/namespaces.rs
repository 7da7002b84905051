//! Labels of namespaces, for policies that select by them.
//!
//! Only namespaces that opted in are watched, their metadata only, and only while some policy asks. One that is not there yet is
//! read when the first pod in it is created: guessing would let pods of a new namespace through unrepaired.

use super::watch::{Watched, watch};
use crate::names;
use crate::policy::PolicySet;
use crate::policy::set::Labels;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::{Api, PartialObjectMeta};
use kube::runtime::watcher::{Config, Event};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::watch as channel;

/// The labels of each namespace that is known.
pub type Namespaces = BTreeMap<String, Labels>;

/// Watches until it is dropped.
pub async fn run(
    client: Client,
    mut policies: channel::Receiver<Option<Arc<PolicySet>>>,
    known: channel::Sender<Namespaces>,
) {
    let asks = |set: &Option<Arc<PolicySet>>| {
        set.as_ref()
            .is_some_and(|set| set.asks_for_namespace_labels())
    };
    loop {
        if policies.wait_for(asks).await.is_err() {
            return;
        }
        let mut until = policies.clone();
        tokio::select! {
            () = follow(client.clone(), &known) => {}
            ended = until.wait_for(|set| !asks(set)) => {
                // What is not watched would be out of date when somebody asks again.
                known.send_modify(Namespaces::clear);
                if ended.is_err() {
                    return;
                }
            }
        }
    }
}

async fn follow(client: Client, known: &channel::Sender<Namespaces>) {
    let api: Api<PartialObjectMeta<Namespace>> = Api::all(client);
    let config = Config::default().labels(names::OPT_IN_LABEL);
    let mut events = std::pin::pin!(watch(api, config, "namespaces that opted in".to_owned()));
    let mut listed = BTreeSet::new();
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
    if let Some(name) = metadata.name {
        let labels = metadata.labels.unwrap_or_default();
        known.send_modify(|known| {
            known.insert(name, labels);
        });
    }
}

/// Reads the labels of one namespace.
///
/// # Errors
/// Where it does not exist or cannot be read, as a sentence.
pub async fn read(client: Client, name: &str) -> Result<Labels, String> {
    let api: Api<Namespace> = Api::all(client);
    match api.get_metadata(name).await {
        Ok(namespace) => Ok(namespace.metadata.labels.unwrap_or_default()),
        Err(kube::Error::Api(answer)) => Err(answer.message.clone()),
        Err(error) => Err(error.to_string()),
    }
}
