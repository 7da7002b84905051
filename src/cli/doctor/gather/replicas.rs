//! What stands behind the Service that the API server calls.

use super::AT_ONCE;
use crate::cli::doctor::reader::{Question, Reader};
use crate::diagnose::admission::{label_of, value_of};
use crate::diagnose::facts::{Read, ReplicaMetrics, Replicas};
use crate::diagnose::installation::ServiceName;
use futures::StreamExt as _;
use futures::stream;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{Api, ListParams};

/// The port of health and metrics, by the name that it ships with.
const OPS_PORT: &str = "ops";

pub(super) async fn read(reader: &Reader, name: &ServiceName) -> Replicas {
    let own = std::slice::from_ref(&name.namespace);
    let question = Question {
        verb: "get",
        resource: "services",
        namespace: Some(&name.namespace),
    };
    let services: Api<Service> = Api::namespaced(reader.client.clone(), &name.namespace);
    let (service, deployments, budgets) = tokio::join!(
        reader.get(question, services, &name.name),
        reader.list("deployments.apps", own),
        reader.list("poddisruptionbudgets.policy", own),
    );
    let pods = match &service {
        Ok(Some(service)) => pods(reader, &name.namespace, service).await,
        _ => Ok(Vec::new()),
    };
    let running = pods.iter().flatten();
    let addresses: Vec<(String, i32)> = running.filter_map(ops_port).collect();
    let metrics = stream::iter(addresses)
        .map(|(pod, port)| metrics(reader, &name.namespace, pod, port))
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    Replicas {
        service,
        deployments,
        pods,
        budgets,
        metrics,
    }
}

async fn pods(reader: &Reader, namespace: &str, service: &Service) -> Read<Vec<Pod>> {
    let spec = service.spec.as_ref();
    let selector = spec.and_then(|spec| spec.selector.as_ref());
    let labels: Vec<String> = selector
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    if labels.is_empty() {
        return Ok(Vec::new());
    }
    let question = Question {
        verb: "list",
        resource: "pods",
        namespace: Some(namespace),
    };
    let api: Api<Pod> = Api::namespaced(reader.client.clone(), namespace);
    let params = ListParams::default().labels(&labels.join(","));
    let list = reader.ask(question, api.list(&params)).await?;
    Ok(list.items)
}

/// A pod that runs, and its port.
fn ops_port(pod: &Pod) -> Option<(String, i32)> {
    let status = pod.status.as_ref()?;
    if status.phase.as_deref() != Some("Running") {
        return None;
    }
    let containers = &pod.spec.as_ref()?.containers;
    let mut ports = containers
        .iter()
        .flat_map(|container| container.ports.iter().flatten());
    let port = ports.find(|port| port.name.as_deref() == Some(OPS_PORT))?;
    Some((pod.metadata.name.clone()?, port.container_port))
}

#[allow(clippy::cast_possible_truncation, reason = "seconds since 1970")]
async fn metrics(
    reader: &Reader,
    namespace: &str,
    pod: String,
    port: i32,
) -> (String, Read<ReplicaMetrics>) {
    let question = Question {
        verb: "get",
        resource: "pods/proxy",
        namespace: Some(namespace),
    };
    let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy/metrics");
    let text = reader.text(question, &path).await;
    let read = text.map(|text| ReplicaMetrics {
        version: label_of(&text, "drydock_build_info", "version").map(str::to_owned),
        certificate_expiry: value_of(&text, "drydock_certificate_expiry_timestamp_seconds")
            .map(|seconds| seconds as i64)
            .filter(|seconds| *seconds > 0),
    });
    (pod, read)
}
