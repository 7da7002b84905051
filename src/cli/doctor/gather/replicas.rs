//! Reads the Service that the API server calls, and its replicas.

use super::{CONCURRENCY, handshake};
use crate::cli::doctor::reader::{ApiCall, Reader};
use crate::diagnose::facts::{Read, ReplicaMetrics, Replicas};
use crate::diagnose::installation::ServiceReference;
use crate::diagnose::webhook_metrics::{label_of, value_of};
use futures::StreamExt as _;
use futures::stream;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{Api, ListParams};

/// The name of the port for health and metrics.
const OPS_PORT: &str = "ops";

pub(super) async fn read(
    reader: &Reader,
    name: &ServiceReference,
    bundle: Option<&str>,
) -> Replicas {
    let own = std::slice::from_ref(&name.namespace);
    let call = ApiCall::of("get", "services", Some(&name.namespace));
    let services: Api<Service> = Api::namespaced(reader.client.clone(), &name.namespace);
    let (service, deployments, budgets) = tokio::join!(
        reader.get(call, services, &name.name),
        reader.list("deployments.apps", own),
        reader.list("poddisruptionbudgets.policy", own),
    );
    let pods = match &service {
        Ok(Some(service)) => pods(reader, &name.namespace, service).await,
        _ => Ok(Vec::new()),
    };
    let running = pods.iter().flatten().filter(|pod| is_running(pod));
    let running: Vec<&Pod> = running.collect();
    let ops_port = IntOrString::String(OPS_PORT.to_owned());
    let ops = running.iter().filter_map(|pod| port_of(pod, &ops_port));
    let metrics = stream::iter(ops.collect::<Vec<_>>())
        .map(|(pod, port)| metrics(reader, &name.namespace, pod, port))
        .buffer_unordered(CONCURRENCY)
        .collect();
    let target = service
        .iter()
        .flatten()
        .find_map(|service| target_port(service, name.port));
    let target = target.unwrap_or(IntOrString::Int(name.port));
    // If there is no caBundle, no certificate can be verified, so there are no handshakes. Another
    // finding reports the missing caBundle.
    let verifiable = running.iter().filter(|_| bundle.is_some());
    let webhook = verifiable.filter_map(|pod| port_of(pod, &target));
    let client = handshake::Client::new(reader, name, bundle.unwrap_or_default());
    let handshakes = stream::iter(webhook.collect::<Vec<_>>())
        .map(|(pod, port)| client.handshake(pod, port))
        .buffer_unordered(CONCURRENCY)
        .collect();
    let (metrics, handshakes) = tokio::join!(metrics, handshakes);
    Replicas {
        service,
        deployments,
        pods,
        budgets,
        metrics,
        handshakes,
    }
}

fn is_running(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    phase == Some("Running") && pod.metadata.deletion_timestamp.is_none()
}

/// Returns the `targetPort` for a port of the Service.
fn target_port(service: &Service, port: i32) -> Option<IntOrString> {
    let mut ports = service.spec.as_ref()?.ports.iter().flatten();
    ports.find(|one| one.port == port)?.target_port.clone()
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
    let call = ApiCall::of("list", "pods", Some(namespace));
    let api: Api<Pod> = Api::namespaced(reader.client.clone(), namespace);
    let params = ListParams::default().labels(&labels.join(","));
    let list = reader.ask(call, api.list(&params)).await?;
    Ok(list.items)
}

/// Returns the name of a pod, and the number of one of its ports. `port` is the number or the name
/// of this port.
fn port_of(pod: &Pod, port: &IntOrString) -> Option<(String, u16)> {
    let number = match port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => {
            let containers = pod.spec.as_ref()?.containers.iter();
            let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
            ports
                .find(|port| port.name.as_ref() == Some(name))?
                .container_port
        }
    };
    Some((pod.metadata.name.clone()?, number.try_into().ok()?))
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "seconds since the Unix epoch fit into an i64"
)]
async fn metrics(
    reader: &Reader,
    namespace: &str,
    pod: String,
    port: u16,
) -> (String, Read<ReplicaMetrics>) {
    let call = ApiCall::of("get", "pods/proxy", Some(namespace));
    let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy/metrics");
    let text = reader.text(call, &path).await;
    let read = text.map(|text| ReplicaMetrics {
        version: label_of(&text, "drydock_build_info", "version").map(str::to_owned),
        certificate_expiry: value_of(&text, "drydock_certificate_expiry_timestamp_seconds")
            .map(|seconds| seconds as i64)
            .filter(|seconds| *seconds > 0),
    });
    (pod, read)
}
