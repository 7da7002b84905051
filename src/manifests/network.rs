//! How drydock is reached, and what it may reach.

use super::yaml::{self, Unwritable};
use super::{File, namespaced, selector};
use crate::names::NAME;
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// The webhook's port: its number in the pod, and its name for the Service.
pub(super) const WEBHOOK_PORT: (i32, &str) = (8443, "webhook");
/// The port for probes and metrics.
pub(super) const OPS_PORT: (i32, &str) = (8080, "ops");
/// The Service's port, on which the API server calls unless told otherwise.
pub(super) const SERVICE_PORT: i32 = 443;

pub(super) fn service() -> Result<File, Unwritable> {
    let service = Service {
        metadata: namespaced(NAME),
        spec: Some(ServiceSpec {
            selector: Some(selector()),
            ports: Some(vec![ServicePort {
                name: Some(WEBHOOK_PORT.1.to_owned()),
                port: SERVICE_PORT,
                target_port: Some(IntOrString::String(WEBHOOK_PORT.1.to_owned())),
                protocol: Some("TCP".to_owned()),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    };
    yaml::file(
        "service.yaml",
        "Where the API server calls the webhook.",
        &[yaml::document(&service)?],
    )
}

pub(super) fn policy() -> Result<File, Unwritable> {
    let into = |number, from| NetworkPolicyIngressRule {
        ports: Some(vec![port("TCP", number)]),
        from,
    };
    let own_namespace = NetworkPolicyPeer {
        pod_selector: Some(LabelSelector::default()),
        ..NetworkPolicyPeer::default()
    };
    let policy = NetworkPolicy {
        metadata: namespaced(NAME),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_labels: Some(selector()),
                ..LabelSelector::default()
            }),
            policy_types: Some(super::texts(["Ingress", "Egress"])),
            ingress: Some(vec![
                into(WEBHOOK_PORT.0, None),
                into(OPS_PORT.0, Some(vec![own_namespace])),
            ]),
            egress: Some(vec![NetworkPolicyEgressRule {
                ports: Some(way_to_the_api_server()),
                ..NetworkPolicyEgressRule::default()
            }]),
        }),
    };
    yaml::file(
        "network-policy.yaml",
        "In, webhook (8443): from anywhere, because the API server's address, a node's or one outside of the cluster, fits no selector.\n\
         Where those addresses are known, give this rule a from with an ipBlock for each; or let only API servers in by their\n\
         certificate, with the component client-ca.\n\
         In, ops (8080): from pods of this namespace only. The kubelet's probes need no rule: a pod cannot block traffic from its own node\n\
         (https://kubernetes.io/docs/concepts/services-networking/network-policies/). The component monitoring lets Prometheus in.\n\
         Out: only to where API servers listen. Network plugins look at the port before or after the Service kubernetes is resolved, so\n\
         443 is not enough: 6443 is what most clusters use, 8443 minikube, 16443 MicroK8s. An API server on another port needs a\n\
         line here; until then drydock is not ready and its log says that the API server cannot be reached.",
        &[yaml::document(&policy)?],
    )
}

/// Returns a policy that lets pods of namespaces with one of these names in on the ops port, beside
/// what [`policy`] allows.
pub(super) fn metrics_policy(name: &str, namespaces: Vec<String>) -> NetworkPolicy {
    let requirement = LabelSelectorRequirement {
        key: "kubernetes.io/metadata.name".to_owned(),
        operator: "In".to_owned(),
        values: Some(namespaces),
    };
    let peer = NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector {
            match_expressions: Some(vec![requirement]),
            ..LabelSelector::default()
        }),
        ..NetworkPolicyPeer::default()
    };
    NetworkPolicy {
        metadata: namespaced(name),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_labels: Some(selector()),
                ..LabelSelector::default()
            }),
            policy_types: Some(super::texts(["Ingress"])),
            ingress: Some(vec![NetworkPolicyIngressRule {
                ports: Some(vec![port("TCP", OPS_PORT.0)]),
                from: Some(vec![peer]),
            }]),
            ..NetworkPolicySpec::default()
        }),
    }
}

/// DNS is for configurations that name the API server by host name; the usual one has its address.
fn way_to_the_api_server() -> Vec<NetworkPolicyPort> {
    let servers = [443, 6443, 8443, 16443].map(|number| port("TCP", number));
    let dns = ["UDP", "TCP"].map(|protocol| port(protocol, 53));
    servers.into_iter().chain(dns).collect()
}

fn port(protocol: &str, number: i32) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: Some(protocol.to_owned()),
        port: Some(IntOrString::Int(number)),
        ..NetworkPolicyPort::default()
    }
}
