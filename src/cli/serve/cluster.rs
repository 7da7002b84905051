//! `serve --cluster`: joins the cluster side with the server, by channels.

use super::Serve;
use crate::cluster;
use crate::cluster::client::{self, timed};
use crate::cluster::clock::Clock;
use crate::cluster::events::Events;
use crate::cluster::namespaces::Namespaces;
use crate::cluster::namespaces::live::LiveReads;
use crate::core::policy::PolicySet;
use crate::names::{ENFORCE, Enforced};
use crate::server;
use crate::telemetry::metrics::Metrics;
use anyhow::anyhow;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use futures::future::BoxFuture;
use hyper_util::client::proxy::matcher::Matcher;
use kube::{Client, Config};
use std::sync::Arc;
use tokio::sync::watch;

/// The namespaces that the webhook configuration selects.
#[derive(Args, Debug)]
#[command(next_help_heading = "Namespaces")]
pub(super) struct OptInFlags {
    /// Value of a namespace's label drydock.dev/job-pods with which its pods are changed; Events
    /// are written to these namespaces only
    #[arg(
        long,
        value_name = "VALUE",
        default_value = ENFORCE,
        value_parser = NonEmptyStringValueParser::new(),
        env = "DRYDOCK_OPT_IN_VALUE"
    )]
    opt_in_value: String,

    /// Beginning of the names of namespaces that GitLab Runner creates for each job, where a
    /// webhook selects these by name
    #[arg(
        long,
        value_name = "PREFIX",
        value_parser = NonEmptyStringValueParser::new(),
        env = "DRYDOCK_JOB_NAMESPACE_PREFIX"
    )]
    job_namespace_prefix: Option<String>,
}

impl OptInFlags {
    fn enforced(&self) -> Enforced {
        Enforced {
            value: self.opt_in_value.clone(),
            prefix: self.job_namespace_prefix.clone(),
        }
    }
}

/// What the cluster gives the server, and the work that keeps it so.
pub(super) struct Joined {
    pub(super) policies: watch::Receiver<Option<Arc<PolicySet>>>,
    pub(super) for_answers: server::Cluster,
    /// Ends only with the process.
    pub(super) work: BoxFuture<'static, ()>,
}

/// Takes the proxy of the environment away if `NO_PROXY` names the API server. kube compares
/// `NO_PROXY` with the proxy instead (kube-client 5, `ConfigLoader::proxy_url`).
fn respect_no_proxy(config: &mut Config) {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let either = |upper, lower| variable(upper).or_else(|| variable(lower));
    let proxy = either("HTTPS_PROXY", "https_proxy").and_then(|proxy| proxy.parse().ok());
    // A proxy-url of the kubeconfig is used in any case, as by kubectl.
    if proxy.is_none() || config.proxy_url != proxy {
        return;
    }
    let no_proxy = either("NO_PROXY", "no_proxy").unwrap_or_default();
    let proxies = Matcher::builder().all("http://proxy").no(no_proxy).build();
    if proxies.intercept(&config.cluster_url).is_none() {
        config.proxy_url = None;
    }
}

/// Finds the API server as every client does: a kubeconfig, or the ServiceAccount of the pod.
/// Nothing is asked of it yet.
pub(super) async fn client() -> anyhow::Result<Client> {
    // The error's own text has its causes already, and would have each of them again.
    let mut config = Config::infer().await.map_err(|error| {
        anyhow!("--cluster finds no API server; set KUBECONFIG, or run in a pod with a ServiceAccount: {error}")
    })?;
    respect_no_proxy(&mut config);
    client::client(config)
        .map_err(|problem| anyhow!("--cluster cannot use the credentials that it found: {problem}"))
}

pub(super) fn join(flags: &Serve, client: &Client, metrics: &Arc<Metrics>) -> Joined {
    let (published, policies) = watch::channel(None);
    let client = &timed(client.clone(), &Clock::logged(metrics.clone()));
    let (opted_in, namespaces) = watch::channel(Namespaces::new());
    let events = Events::new(namespaces.clone(), flags.opt_in.enforced(), metrics.clone());
    let reads = LiveReads::new(client.clone(), metrics.clone());
    let policies_work = cluster::policies::run(client.clone(), published, metrics.clone());
    let namespaces_work = cluster::namespaces::run(client.clone(), opted_in, metrics.clone());
    let events_work = events.clone().write(client.clone(), flags.instance.clone());
    let client = client.clone();
    Joined {
        policies,
        for_answers: server::Cluster {
            namespaces,
            read_labels: Arc::new(move |namespace| reads.read(&namespace)),
            notify_author: Arc::new(move |notes| events.add(&notes)),
        },
        work: Box::pin(async move {
            // An older one does not have the kind, which the watches could only call unknown.
            cluster::version::wait_until_supported(&client).await;
            tokio::join!(policies_work, namespaces_work, events_work);
        }),
    }
}
