//! `drydock serve --cluster`: connects the watches of the cluster to the server through channels.

use super::Serve;
use super::policies::PolicySource;
use crate::cli::connection::{Connection, ConnectionFlags};
use crate::cluster;
use crate::cluster::client::with_clock;
use crate::cluster::clock::{Clock, Now};
use crate::cluster::events::Events;
use crate::cluster::namespaces::Namespaces;
use crate::cluster::namespaces::live::{LabelReadError, LiveReads};
use crate::names::{ENFORCE, EnforcedNamespaces};
use crate::server::{self, LabelsError};
use crate::telemetry::metrics::Metrics;
use anyhow::Context as _;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use futures::future::{FutureExt as _, TryFutureExt as _};
use kube::Client;
use std::sync::Arc;
use tokio::sync::watch;

/// Flags that describe which namespaces the webhook configuration selects.
#[derive(Args, Debug)]
#[command(next_help_heading = "Namespaces")]
pub(super) struct OptInFlags {
    /// Value of the namespace label drydock.dev/job-pods that enables Events and changes of pods
    #[arg(long, value_name = "VALUE", default_value = ENFORCE, value_parser = NonEmptyStringValueParser::new())]
    opt_in_value: String,

    /// Prefix of the names of job namespaces, if GitLab Runner creates a namespace for each job and
    /// a webhook selects these namespaces by name
    #[arg(long, value_name = "PREFIX", value_parser = NonEmptyStringValueParser::new())]
    job_namespace_prefix: Option<String>,
}

impl OptInFlags {
    fn enforced(&self) -> EnforcedNamespaces {
        EnforcedNamespaces {
            value: self.opt_in_value.clone(),
            prefix: self.job_namespace_prefix.clone(),
        }
    }
}

/// A client, and the API server's clock, which is read from the responses.
#[derive(Clone)]
pub(super) struct Connected {
    pub(super) client: Client,
    pub(super) clock: Clock,
    /// The API server and the user. The banner contains them, so that a wrong cluster is noticed.
    name: String,
}

/// Creates a client from a kubeconfig or the ServiceAccount of the pod. Sends no request.
pub(super) async fn connect(
    flags: &ConnectionFlags,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<Connected> {
    let Connection {
        client,
        server,
        user,
        ..
    } = flags.connect().await.context("--cluster")?;
    let user = match user {
        Some(user) => format!("user {user}"),
        None => "the ServiceAccount of this pod".to_owned(),
    };
    let name = format!("{server}, read as {user}");
    let clock = Clock::new(Now::current, metrics.clone());
    let client = with_clock(client, &clock);
    Ok(Connected {
        client,
        clock,
        name,
    })
}

/// Creates the watches of the cluster and their channels to the server. The watches start when
/// [`PolicySource::work`] runs.
pub(super) fn open(flags: &Serve, connected: &Connected, metrics: &Arc<Metrics>) -> PolicySource {
    let Connected {
        client,
        clock,
        name,
    } = connected;
    let (published, policies) = watch::channel(None);
    let (opted_in, namespaces) = watch::channel(Namespaces::new());
    let events = Events::new(namespaces.clone(), flags.opt_in.enforced(), metrics.clone());
    let events = Arc::new(events);
    let reads = LiveReads::new(client.clone(), metrics.clone());
    let policies_work =
        cluster::policies::run(client.clone(), clock.clone(), published, metrics.clone());
    let namespaces_work = cluster::namespaces::run(client.clone(), opted_in, metrics.clone());
    let events_work = events
        .clone()
        .write(client.clone(), flags.policy.instance.clone());
    let client = client.clone();
    PolicySource {
        set: policies,
        in_force: vec![format!("the JobPodPolicy objects of {name}")],
        reloaders: Vec::new(),
        cluster: Some(server::Cluster {
            namespaces,
            read_labels: Arc::new(move |namespace| {
                let read = reads.read(&namespace);
                read.map_err(|error| match error {
                    LabelReadError::Failed(problem) => LabelsError::ApiServer(problem),
                    refused => LabelsError::Refused(refused.to_string()),
                })
                .boxed()
            }),
            notify_author: Arc::new(move |findings| events.add(&findings)),
        }),
        work: Box::pin(async move {
            // A version of Kubernetes that is too old refuses the CRD. The watches would report
            // only that the kind is unknown, so the version is checked first.
            cluster::version::wait_until_supported(&client).await;
            tokio::join!(policies_work, namespaces_work, events_work);
        }),
    }
}
