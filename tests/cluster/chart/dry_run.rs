//! Applies rendered charts to the API server as a dry run. It must accept all objects and fields.

use super::rendered;
use super::rendering::COMPONENTS;
use crate::api_server::ApiServer;
use crate::identity::Identity;
use crate::raw_requests;
use serde_json::{Value, json};
use std::fs;
use tempfile::TempDir;

/// Group, version and kind of resources of other projects, for which the tests define CRDs without
/// a schema.
const FOREIGN: &[(&str, &str, &str)] = &[
    ("cert-manager.io", "v1", "Certificate"),
    ("cert-manager.io", "v1", "Issuer"),
    ("monitoring.coreos.com", "v1", "PrometheusRule"),
    ("monitoring.coreos.com", "v1", "ServiceMonitor"),
];

pub(super) async fn define_foreign_kinds(api: &ApiServer) {
    let admin = api.client(Identity::Admin).await;
    for (group, version, kind) in FOREIGN {
        let plural = format!("{}s", kind.to_lowercase());
        let name = format!("{plural}.{group}");
        let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": name},
            "spec": {
                "group": group,
                "names": {"kind": kind, "plural": plural},
                "scope": "Namespaced",
                "versions": [{"name": version, "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
            },
        });
        let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}");
        raw_requests::apply(&admin, &path, &definition)
            .await
            .object();
        established(api, &name);
    }
}

pub(super) fn established(api: &ApiServer, name: &str) {
    let name = format!("crd/{name}");
    api.kubectl(&["wait", "--for=condition=Established", &name])
        .printed();
}

fn settings() -> Vec<Vec<&'static str>> {
    let mut all: Vec<Vec<&str>> = COMPONENTS
        .iter()
        .map(|(_, setting)| vec![*setting])
        .collect();
    all.push(Vec::new());
    all.push(vec![
        "hostNetwork=true",
        "openshift=true",
        "monitoring.enabled=true",
    ]);
    all.push(vec![
        "certificates.source=cert-manager",
        "clientCA.configMap=clients",
        "clientCA.names={kube-apiserver}",
        "namespacePerJob.enabled=true",
        "namespacePerJob.mode=audit",
        "liveAddresses=true",
        "monitoring.enabled=true",
        "monitoring.serviceMonitor.interval=30s",
        "optIn.value=canary",
        "priorityClassName=ours",
        "podDisruptionBudget.minAvailable=50%",
        "networkPolicy.webhookFrom[0].ipBlock.cidr=10.0.0.0/8",
        "image.pullSecrets[0].name=registry",
        "tolerations[0].operator=Exists",
        "podAnnotations.note=ours",
        "commonAnnotations.note=ours",
        "policies.gitlab.hostAliases[0].ip=10.0.0.232",
        "policies.gitlab.hostAliases[0].hostnames={gitlab.mylab.com}",
    ]);
    all
}

#[tokio::test]
async fn the_api_server_accepts_each_rendered_chart() {
    let api = ApiServer::exclusive().await;
    define_foreign_kinds(&api).await;
    api.kubectl(&["apply", "--server-side", "-f", "manifests/chart/crds"])
        .printed();
    established(&api, "jobpodpolicies.drydock.dev");
    // A dry run does not create the namespace that the other objects need.
    for namespace in ["platform", "ci-drydock-test"] {
        api.kubectl(&["create", "namespace", namespace]).printed();
    }
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("objects.yaml");
    for settings in settings() {
        // Includes the objects of `helm test`.
        fs::write(&file, rendered("ci", "platform", &settings)).unwrap();
        let apply = [
            "apply",
            "--server-side",
            "--dry-run=server",
            "--validate=strict",
            "--force-conflicts",
            "-o",
            "json",
            "-f",
            file.to_str().unwrap(),
        ];
        let output = api.kubectl(&apply).printed();
        let list: Value = serde_json::from_str(&output).unwrap();
        let objects = list["items"].as_array().unwrap();
        assert!(objects.len() > 15, "{settings:?}");
    }
}
