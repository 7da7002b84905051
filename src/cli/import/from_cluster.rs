//! `--from-cluster`: ConfigMaps that hold the configuration of runners, and the Deployments that
//! mount them, as one List.
//!
//! Secrets are neither listed nor read: a runner whose configuration is in one is named by its
//! Deployment, with the command to run.

use anyhow::Context as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use std::fmt::Debug;

/// Objects of one answer.
const PAGE: u32 = 200;

/// Returns the objects as JSON.
pub(super) fn objects(context: Option<&str>, namespace: Option<&str>) -> anyhow::Result<Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let items = runtime.block_on(read(context, namespace))?;
    if items.is_empty() {
        anyhow::bail!(
            "the cluster has no ConfigMap with [[runners]] and no Deployment of a runner{}; give the file itself: drydock import FILE",
            namespace
                .map(|name| format!(" in namespace {name}"))
                .unwrap_or_default()
        );
    }
    Ok(serde_json::to_vec(
        &json!({"apiVersion": "v1", "kind": "List", "items": items}),
    )?)
}

async fn read(context: Option<&str>, namespace: Option<&str>) -> anyhow::Result<Vec<Value>> {
    // kube takes the provider of the process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = match context {
        None => Config::infer()
            .await
            .context("there is no cluster to ask: set KUBECONFIG, or name files instead")?,
        Some(context) => {
            let options = KubeConfigOptions {
                context: Some(context.to_owned()),
                ..KubeConfigOptions::default()
            };
            let kubeconfig = Kubeconfig::read().context("the kubeconfig cannot be read")?;
            Config::from_custom_kubeconfig(kubeconfig, &options)
                .await
                .context("--context names no context of the kubeconfig")?
        }
    };
    let client = Client::try_from(config)?;
    let maps: Vec<ConfigMap> = list(&api(client.clone(), namespace), "configmaps").await?;
    let deployments: Vec<Deployment> = list(&api(client, namespace), "deployments").await?;
    let maps = maps.into_iter().filter(holds_runners).map(|mut map| {
        map.metadata = named(map.metadata);
        map.binary_data = None;
        ("v1", "ConfigMap", json!(map))
    });
    let deployments = deployments
        .into_iter()
        .filter(is_runner)
        .map(|mut deployment| {
            deployment.metadata = named(deployment.metadata);
            deployment.status = None;
            ("apps/v1", "Deployment", json!(deployment))
        });
    let objects = maps.chain(deployments).map(|(version, kind, mut object)| {
        if let Some(fields) = object.as_object_mut() {
            fields.insert("apiVersion".to_owned(), version.into());
            fields.insert("kind".to_owned(), kind.into());
        }
        object
    });
    Ok(objects.collect())
}

fn api<K>(client: Client, namespace: Option<&str>) -> Api<K>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    }
}

async fn list<K>(api: &Api<K>, plural: &str) -> anyhow::Result<Vec<K>>
where
    K: Clone + Debug + serde::de::DeserializeOwned,
{
    let mut objects = Vec::new();
    let mut parameters = ListParams::default().limit(PAGE);
    loop {
        let page = api.list(&parameters).await.with_context(|| {
            format!("{plural} cannot be listed; ask for the permission to list them, or name one namespace with --namespace")
        })?;
        objects.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok(objects),
        }
    }
}

/// Name and namespace: what else metadata has (`last-applied-configuration`) is a second copy.
fn named(metadata: ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        name: metadata.name,
        namespace: metadata.namespace,
        ..ObjectMeta::default()
    }
}

fn holds_runners(map: &ConfigMap) -> bool {
    let data = map.data.iter().flatten();
    data.into_iter()
        .any(|(key, text)| key.ends_with(".toml") && text.to_lowercase().contains("runners"))
}

fn is_runner(deployment: &Deployment) -> bool {
    let spec = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.template.spec.as_ref());
    let containers = spec
        .map(|spec| spec.containers.as_slice())
        .unwrap_or_default();
    containers.iter().any(|container| {
        container
            .image
            .as_deref()
            .is_some_and(|image| image.contains("gitlab-runner"))
    })
}
