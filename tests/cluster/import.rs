//! `drydock import` at a real API server: from a chart's values to a repaired pod, and from what
//! the cluster has.

use crate::api_server::shared;
use crate::call::{DryRun, call, create_pod};
use crate::definition::defined;
use crate::identity::Identity;
use crate::pods::broken_job;
use crate::registration::Registration;
use crate::serve::{Certificate, drydock};
use axum::http::Method;
use drydock::names::ENFORCE;
use serde_json::{Value, json};
use std::process::Command;

/// The values of seed 004 with its mistake: a Secret where dind writes its certificates.
const VALUES: &str = r#"image: gitlab/gitlab-runner:latest
gitlabUrl: "https://gitlab.mylab.com"
runnerRegistrationToken: "EXAMPLE-registration"
hostAliases:
- ip: "10.0.0.232"
  hostnames:
  - "mylab.com"
  - "gitlab.mylab.com"
certsSecretName: "mylab-wildcard-tls"
runners:
  config: |
    [[runners]]
      name = "ains-specific-runner"
      token = "EXAMPLE-token"
      executor = "kubernetes"
      [runners.kubernetes]
        image = "docker:19.03.13"
        privileged = true
        [[runners.kubernetes.host_aliases]]
          ip = "10.0.0.232"
          hostnames = ["gitlab.mylab.com", "minio.mylab.com", "registry.mylab.com"]
      [[runners.kubernetes.volumes.secret]]
        name = "mylab-ca-pem"
        mount_path = "/certs/client"
        read_only = true
      [[runners.kubernetes.volumes.empty_dir]]
        name = "dind-storage"
        mount_path = "/var/lib/docker"
      [[runners.kubernetes.volumes.host_path]]
        name = "hostpath-modules"
        mount_path = "/lib/modules"
        read_only = true
        host_path = "/lib/modules"
      [[runners.kubernetes.volumes.host_path]]
        name = "hostpath-cgroup"
        mount_path = "/sys/fs/cgroup"
        host_path = "/sys/fs/cgroup"
"#;

fn mounted<'p>(pod: &'p Value, container: &str, path: &str) -> Option<&'p Value> {
    let containers = pod["spec"]["containers"].as_array().unwrap();
    let container = containers.iter().find(|it| it["name"] == container)?;
    let mounts = container["volumeMounts"].as_array().unwrap();
    let mount = mounts.iter().find(|mount| mount["mountPath"] == path)?;
    let volumes = pod["spec"]["volumes"].as_array().unwrap();
    volumes
        .iter()
        .find(|volume| volume["name"] == mount["name"])
}

/// The commands of the README, in its order: import, check, apply, label; then a runner creates a
/// job pod.
#[tokio::test]
async fn a_charts_values_become_the_policy_that_repairs_a_runners_pod() {
    let api = shared().await;
    defined(api).await;
    let scope = api.scope("import").await;
    let policies = drydock(&["import", "-"], VALUES);
    assert!(!policies.contains("EXAMPLE"), "{policies}");
    drydock(&["check", "-"], &policies);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("imported.yaml");
    std::fs::write(&file, &policies).unwrap();
    let file = file.to_str().unwrap();
    let applied = api.kubectl(&["apply", "--dry-run=server", "-f", file]);
    assert!(
        applied
            .printed()
            .contains("jobpodpolicy.drydock.dev/imported")
    );
    let certificate = Certificate::new();
    let server = certificate.serve(&["--policy", file]);
    server.ready().await;
    Registration {
        url: &server.url(),
        authority: &certificate.authority,
        failure_policy: None,
    }
    .repairs(&scope)
    .await;
    let namespace = scope.namespace("jobs", None).await;
    let label = format!("drydock.dev/job-pods={ENFORCE}");
    api.kubectl(&["label", "namespace", &namespace, &label])
        .printed();
    let runner = api.client(Identity::Runner).await;
    let pod = broken_job();
    let stored = create_pod(&runner, &namespace, &pod, DryRun::No)
        .await
        .object();
    let aliases = stored["spec"]["hostAliases"].to_string();
    assert!(aliases.contains("registry.mylab.com"), "{aliases}");
    let containers = stored["spec"]["containers"].as_array().unwrap();
    let dind = containers
        .iter()
        .find(|it| it["image"].as_str().unwrap().contains("dind"))
        .unwrap();
    let dind = dind["name"].as_str().unwrap();
    for container in ["build", dind] {
        let volume = mounted(&stored, container, "/certs/client").unwrap();
        assert_eq!(
            volume["emptyDir"]["medium"], "Memory",
            "{container}: {volume}"
        );
    }
    for (path, source) in [
        ("/var/lib/docker", "emptyDir"),
        ("/lib/modules", "hostPath"),
    ] {
        let volume = mounted(&stored, dind, path).unwrap();
        assert!(volume[source].is_object(), "{path}: {volume}");
    }
}

#[tokio::test]
async fn runners_of_the_cluster_are_imported_and_no_secret_is_read() {
    let api = shared().await;
    let scope = api.scope("import-cluster").await;
    let namespace = scope.namespace("ci", None).await;
    let toml = "[[runners]]\n  name = \"stable\"\n  token = \"EXAMPLE-token\"\n  [runners.kubernetes]\n    [[runners.kubernetes.host_aliases]]\n      ip = \"10.0.0.5\"\n      hostnames = [\"gitlab.mylab.com\"]\n";
    let create = async |path: &str, object: Value| {
        let path = format!(
            "{path}/namespaces/{namespace}/{}s",
            object["kind"].as_str().unwrap().to_lowercase()
        );
        call(&scope.admin, Method::POST, &path, Some(&object))
            .await
            .object()
    };
    create("/api/v1", json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "runner"}, "data": {"config.toml": toml}})).await;
    create("/api/v1", json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "other"}, "stringData": {"config.toml": toml.replace("10.0.0.5", "10.0.0.6")}})).await;
    create("/apis/apps/v1", json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "gitlab-runner"},
        "spec": {"selector": {"matchLabels": {"app": "r"}}, "template": {"metadata": {"labels": {"app": "r"}}, "spec": {
            "containers": [{"name": "runner", "image": "gitlab/gitlab-runner", "env": [{"name": "KUBERNETES_NAMESPACE", "value": "jobs"}]}],
            "volumes": [{"name": "config", "configMap": {"name": "runner"}}],
        }}},
    }))
    .await;
    let output = Command::new(env!("CARGO_BIN_EXE_drydock"))
        .args(["import", "--from-cluster", "--namespace", &namespace])
        .env("KUBECONFIG", api.kubeconfig(Identity::Admin))
        .env("NO_PROXY", "127.0.0.1")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let policies = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        policies.contains("ip: 10.0.0.5\n    hostnames: [gitlab.mylab.com]"),
        "{policies}"
    );
    assert!(!format!("{policies}{said}").contains("EXAMPLE"), "{said}");
    assert!(!policies.contains("10.0.0.6"), "{policies}");
    assert!(
        said.contains("items[0].data.config.toml.runners[0]"),
        "{said}"
    );
    assert!(said.contains("label namespace jobs"), "{said}");
}
