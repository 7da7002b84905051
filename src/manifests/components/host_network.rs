//! drydock on the nodes' own network, for clusters whose API server cannot reach pods.

use crate::manifests::deployment;
use crate::manifests::kustomization::Kustomization;
use crate::manifests::yaml::Unwritable;
use crate::manifests::{File, selector};
use crate::names::{NAME, NAMESPACE};
use serde_json::json;

/// Ports of the node, away from those that its own daemons and common software take.
const WEBHOOK: i32 = 10343;
const OPS: i32 = 10380;

pub(super) fn files() -> Result<Vec<File>, Unwritable> {
    let spread = json!([{"labelSelector": {"matchLabels": selector()}, "topologyKey": "kubernetes.io/hostname"}]);
    let levels = json!({
        "pod-security.kubernetes.io/enforce": "privileged",
        "pod-security.kubernetes.io/audit": "privileged",
        "pod-security.kubernetes.io/warn": "privileged",
    });
    let container = "/spec/template/spec/containers/0";
    let kustomization = Kustomization::component()
        .merge(&json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": NAMESPACE, "labels": levels},
        }))?
        .merge(&json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": NAME, "namespace": NAMESPACE},
            "spec": {
                "strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
                "template": {"spec": {
                    "hostNetwork": true,
                    "dnsPolicy": "ClusterFirstWithHostNet",
                    "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": spread}},
                }},
            },
        }))?
        .operate(
            "Deployment",
            NAME,
            &json!([
                {"op": "replace", "path": format!("{container}/args"), "value": deployment::arguments(WEBHOOK, OPS)},
                {"op": "replace", "path": format!("{container}/ports"), "value": deployment::ports(WEBHOOK, OPS)},
            ]),
        )?;
    Ok(vec![kustomization.file(
        "components/host-network/kustomization.yaml",
        "For API servers that reach nodes but not pods (an overlay network that the control plane is not part of, as EKS with another CNI).\n\
         Pod Security has no level but privileged that allows the node's network; everything else of the pod stays as strict as it was.\n\
         One pod a node, since both would take the same ports; so a rollout takes one away first, and the second answers meanwhile.\n\
         Network policies do not hold for the node's network: let the node's firewall allow only the control plane on 10343.",
    )?])
}
