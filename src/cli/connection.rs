//! Connects commands to an API server.

use crate::cluster::client;
use anyhow::anyhow;
use clap::Args;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use std::path::PathBuf;

/// Flags that select an API server, as in kubectl.
#[derive(Args, Debug, Default)]
pub(super) struct ConnectionFlags {
    /// Context of the kubeconfig [default: its current context]
    #[arg(long, value_name = "NAME", help_heading = "Cluster")]
    context: Option<String>,

    /// Kubeconfig file [default: $KUBECONFIG, ~/.kube/config or the pod's ServiceAccount]
    #[arg(long, value_name = "FILE", help_heading = "Cluster")]
    kubeconfig: Option<PathBuf>,
}

struct Context {
    name: String,
    user: Option<String>,
}

/// A client, and the API server that it uses.
pub(super) struct Connection {
    pub(super) client: Client,
    /// The URL of the API server and, with a kubeconfig, the context.
    pub(super) server: String,
    /// The user of the context; `None` in a pod.
    pub(super) user: Option<String>,
    /// The namespace of the context.
    pub(super) namespace: String,
}

impl ConnectionFlags {
    /// Returns whether no flag is set.
    pub(super) fn is_default(&self) -> bool {
        self.context.is_none() && self.kubeconfig.is_none()
    }

    /// Creates a client. Sends no request.
    pub(super) async fn connect(&self) -> anyhow::Result<Connection> {
        let (config, context) = self.config().await?;
        let url = config.cluster_url.to_string();
        let url = url.trim_end_matches('/');
        let (server, user) = match context {
            Some(Context { name, user }) => (format!("{url} (context {name})"), user),
            None => (url.to_owned(), None),
        };
        let namespace = config.default_namespace.clone();
        let client = client::client(config)
            .map_err(|problem| anyhow!("the credentials cannot be used: {problem}"))?;
        Ok(Connection {
            client,
            server,
            user,
            namespace,
        })
    }

    async fn config(&self) -> anyhow::Result<(Config, Option<Context>)> {
        let options = KubeConfigOptions {
            context: self.context.clone(),
            ..KubeConfigOptions::default()
        };
        // The text of these errors already contains their causes, so the causes are not added.
        let file = match &self.kubeconfig {
            Some(file) => Kubeconfig::read_from(file).map_err(|error| {
                anyhow!("--kubeconfig {} cannot be read: {error}", file.display())
            }),
            None => Kubeconfig::read().map_err(|error| anyhow!("{error}")),
        };
        match file {
            Ok(file) => {
                let name = options
                    .context
                    .clone()
                    .or_else(|| file.current_context.clone());
                let context = name.map(|name| Context {
                    user: user(&file, &name),
                    name,
                });
                let config = Config::from_custom_kubeconfig(file, &options).await.map_err(|error| {
                    anyhow!("the kubeconfig cannot be used: {error}; `kubectl config get-contexts` lists its contexts")
                })?;
                Ok((config, context))
            }
            Err(error) if !self.is_default() => Err(error),
            Err(error) => Config::incluster()
                .map(|config| (config, None))
                .map_err(|_| {
                    error.context(
                        "no API server is configured (set KUBECONFIG, or run in a pod with a ServiceAccount)",
                    )
                }),
        }
    }
}

fn user(file: &Kubeconfig, context: &str) -> Option<String> {
    let mut contexts = file.contexts.iter();
    let context = contexts.find(|named| named.name == context)?;
    context.context.as_ref()?.user.clone()
}
