//! `serve --cluster`: joins the cluster side with the server, by channels.

use super::Serve;
use crate::cluster;
use crate::policy::PolicySet;
use crate::server;
use crate::telemetry::metrics::Metrics;
use anyhow::{Context as _, anyhow};
use futures::future::BoxFuture;
use kube::{Client, Config};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// What the cluster gives the server, and the work that keeps it so.
pub(super) struct Joined {
    pub(super) policies: watch::Receiver<Option<Arc<PolicySet>>>,
    pub(super) for_answers: server::Cluster,
    /// Ends only with the process.
    pub(super) work: BoxFuture<'static, ()>,
}

/// Finds the API server as every client does: a kubeconfig, or the ServiceAccount of the pod. Nothing is asked of it yet.
pub(super) async fn client() -> anyhow::Result<Client> {
    // The error's own text has its causes already, and would have each of them again.
    let mut config = Config::infer().await.map_err(|error| {
        anyhow!("--cluster finds no API server; set KUBECONFIG, or run in a pod with a ServiceAccount: {error}")
    })?;
    // Whoever asks tries again and says so. kube would do it in silence, and wait for minutes after an outage.
    config.default_retry = false;
    Client::try_from(config).context("--cluster cannot use the credentials that it found")
}

pub(super) fn join(flags: &Serve, client: &Client, metrics: &Arc<Metrics>) -> Joined {
    let (published, policies) = watch::channel(None);
    let (known, namespaces) = watch::channel(BTreeMap::new());
    let (author_notes, queue) = mpsc::channel(cluster::events::QUEUE);
    let policies_work = cluster::policies::run(client.clone(), published, metrics.clone());
    let namespaces_work = cluster::namespaces::run(client.clone(), policies.clone(), known);
    let events_work = cluster::events::run(
        client.clone(),
        queue,
        flags.instance.clone(),
        metrics.clone(),
    );
    let reader = client.clone();
    Joined {
        policies,
        for_answers: server::Cluster {
            namespaces,
            read_labels: Arc::new(move |namespace| {
                let client = reader.clone();
                Box::pin(async move { cluster::namespaces::read(client, &namespace).await })
            }),
            author_notes,
        },
        work: Box::pin(async move {
            tokio::join!(policies_work, namespaces_work, events_work);
        }),
    }
}
