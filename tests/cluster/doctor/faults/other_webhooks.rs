//! Faults caused by other webhooks and admission policies, which deny job pods or make them
//! invalid.

use super::{Fault, Found, provoke};
use crate::doctor::cluster::Cluster;
use crate::other_webhook::OtherWebhook;
use crate::registration::CONFIGURATION;
use serde_json::{Value, json};

pub(super) async fn provoke_all(cluster: &Cluster, seen: &mut Found) {
    let denying = OtherWebhook::responding(|_| json!({"allowed": false})).await;
    let breaking = OtherWebhook::start(|_| {
        let second = json!({"name": "build", "image": "a"});
        vec![json!({"op": "add", "path": "/spec/containers/-", "value": second})]
    });
    let breaking = breaking.await;
    let registered = |other: &OtherWebhook| {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": "sidecar"},
            "webhooks": [other.webhook(&json!({"matchLabels": {"kubernetes.io/metadata.name": "ci"}}))],
        })
    };
    let path = CONFIGURATION.replace("/drydock", "/sidecar");
    let kind = |name: &str, spec: Value| {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": name,
            "metadata": {"name": "no-pods"},
            "spec": spec,
        })
    };
    let policy = json!({
        "matchConstraints": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ci"}},
            "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        },
        "validations": [{"expression": "false", "message": "no pods today"}],
    });
    let binding = json!({"policyName": "no-pods", "validationActions": ["Deny"]});
    let of = |plural: &str| format!("/apis/admissionregistration.k8s.io/v1/{plural}/no-pods");
    for fault in [
        Fault::new(&["refused-other-denies"]).apply(&path, registered(&denying)),
        Fault::new(&["refused-other-denies"])
            .apply(
                &of("validatingadmissionpolicies"),
                kind("ValidatingAdmissionPolicy", policy),
            )
            .apply(
                &of("validatingadmissionpolicybindings"),
                kind("ValidatingAdmissionPolicyBinding", binding),
            ),
        Fault::new(&["refused"]).apply(&path, registered(&breaking)),
    ] {
        provoke(cluster, fault, seen).await;
    }
}
