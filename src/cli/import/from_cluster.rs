//! `--from-cluster`: reads the ConfigMaps with the configuration of runners, and the Deployments of
//! runners, as one List.
//!
//! Secrets are neither listed nor read. If the configuration of a runner is in a Secret, the report
//! contains the runner's Deployment and the command to run.

use crate::cli::connection::ConnectionFlags;
use anyhow::Context as _;
use kube::api::ListParams;
use kube::core::Request;
use serde_json::{Value, json};

/// The maximum number of objects in one response.
const PAGE_SIZE: u32 = 200;

/// A kind of object to list: the path of its API, its `apiVersion`, its `kind`, and whether an
/// object belongs to a runner.
type Listed = (&'static str, &'static str, &'static str, fn(&Value) -> bool);
const LISTED: [Listed; 2] = [
    ("/api/v1", "v1", "ConfigMap", has_runners),
    ("/apis/apps/v1", "apps/v1", "Deployment", is_runner),
];

/// Returns the objects as a List in JSON.
pub(super) fn objects(
    connection: &ConnectionFlags,
    namespace: Option<&str>,
) -> anyhow::Result<Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let items = runtime.block_on(read(connection, namespace))?;
    if items.is_empty() {
        let place = namespace.map(|name| format!(" in namespace {name}"));
        anyhow::bail!(
            "the cluster has no ConfigMap with [[runners]] and no Deployment of a runner{}; import a file instead: drydock import FILE",
            place.unwrap_or_default()
        );
    }
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    Ok(serde_json::to_vec(&list)?)
}

async fn read(connection: &ConnectionFlags, namespace: Option<&str>) -> anyhow::Result<Vec<Value>> {
    let client = connection.connect().await?.client;
    let mut objects = Vec::new();
    for (api, version, kind, belongs_to_runner) in LISTED {
        let plural = format!("{}s", kind.to_lowercase());
        let path = match namespace {
            Some(namespace) => format!("{api}/namespaces/{namespace}/{plural}"),
            None => format!("{api}/{plural}"),
        };
        let mut parameters = ListParams::default().limit(PAGE_SIZE);
        loop {
            let request = Request::new(path.as_str()).list(&parameters)?;
            let page: Value = client.request(request).await.with_context(|| {
                format!("cannot list {plural}; get permission to list them, or select one namespace with --namespace")
            })?;
            let items = page.get("items").and_then(Value::as_array);
            let items = items.into_iter().flatten();
            for item in items.filter(|item| belongs_to_runner(item)) {
                let metadata = &item["metadata"];
                // Other metadata is dropped: the annotation `last-applied-configuration` is a
                // copy of the object.
                let metadata =
                    json!({"name": metadata["name"], "namespace": metadata["namespace"]});
                objects.push(json!({
                    "apiVersion": version, "kind": kind, "metadata": metadata,
                    "data": item["data"], "spec": item["spec"],
                }));
            }
            match page.pointer("/metadata/continue").and_then(Value::as_str) {
                Some(token) if !token.is_empty() => parameters = parameters.continue_token(token),
                _ => break,
            }
        }
    }
    Ok(objects)
}

fn has_runners(map: &Value) -> bool {
    let mut data = map["data"].as_object().into_iter().flatten();
    data.any(|(key, value)| {
        let text = value.as_str().unwrap_or_default().to_lowercase();
        key.ends_with(".toml") && text.contains("runners")
    })
}

fn is_runner(deployment: &Value) -> bool {
    let containers = deployment.pointer("/spec/template/spec/containers");
    let mut containers = containers.and_then(Value::as_array).into_iter().flatten();
    containers.any(|container| {
        let image = container["image"].as_str().unwrap_or_default();
        image.contains("gitlab-runner")
    })
}
