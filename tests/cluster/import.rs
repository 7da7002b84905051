//! `drydock import` with a real API server: the policy imported from chart values repairs a pod,
//! and `--from-cluster` imports running runners.

use crate::api_server::shared;
use crate::doctor::{replica, set_endpoint};
use crate::drydock_process::{drydock, run};
use crate::endpoints;
use crate::identity::Identity;
use crate::install::install;
use crate::installation::in_cluster;
use crate::raw_requests::{Answer, DryRun, call, create_pod};
use crate::runner_pods::{broken_job, changes};
use crate::wait::{TIMEOUT, eventually};
use axum::http::Method;
use drydock::names::{AUDIT, ENFORCE};
use serde_json::{Value, json};
use std::process::Command;

/// Chart values with a mistake: a Secret is mounted at the directory in which dind creates its
/// certificates.
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

/// Runs the commands of the README in their order: install, import, check, apply, label, doctor.
/// Before doctor, a runner creates a job pod.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_policy_imported_from_chart_values_repairs_a_runner_pod() {
    let api = endpoints::api_server().await;
    install(&api);
    let admin = api.client(Identity::Admin).await;
    let listen = format!("{}:0", endpoints::own_address());
    let server = in_cluster(&api, &["--listen", &listen, "--ops-listen", &listen]);
    server.ready().await;
    set_endpoint(&admin, server.webhook).await;
    for (name, node) in [("drydock-0", "node-1"), ("drydock-1", "node-2")] {
        replica(&admin, name, node, server.ops).await;
    }

    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let [values, imported] = [file("override-values.yaml"), file("imported.yaml")];
    std::fs::write(&values, VALUES).unwrap();
    let policies = drydock(&["import", &values], "");
    assert!(!policies.contains("EXAMPLE"), "{policies}");
    std::fs::write(&imported, &policies).unwrap();
    drydock(&["check", &imported], "");
    let applied = api.kubectl(&["apply", "-f", &imported]).printed();
    assert!(applied.contains("imported created"), "{applied}");
    let scope = api.scope("import").await;
    let namespace = scope.namespace("jobs", None).await;
    let label = |value: &str| {
        let label = format!("drydock.dev/job-pods={value}");
        let command = ["label", "namespace", &namespace, &label, "--overwrite"];
        api.kubectl(&command).printed();
    };
    label(AUDIT);
    label(ENFORCE);

    let runner = api.client(Identity::Runner).await;
    let pod = broken_job();
    let create = async || create_pod(&runner, &namespace, &pod, DryRun::Yes).await;
    let is_repaired = |answer: &Answer| changes(&answer.body).is_some();
    eventually("a job pod is repaired", TIMEOUT, create, is_repaired).await;
    let stored = create_pod(&runner, &namespace, &pod, DryRun::No)
        .await
        .object();
    assert_repaired(&stored);
    let kubeconfig = api.kubeconfig(Identity::Admin);
    let (code, out, err) = run(&kubeconfig, &["doctor", "-n", &namespace]);
    assert!(
        out.contains("kinds of job pods are repaired"),
        "{code:?} {out}{err}"
    );
    assert!(
        out.contains("imported: in force, 3 hostnames and dind"),
        "{out}"
    );
}

fn assert_repaired(stored: &Value) {
    let aliases = stored["spec"]["hostAliases"].to_string();
    assert!(aliases.contains("registry.mylab.com"), "{aliases}");
    let containers = stored["spec"]["containers"].as_array().unwrap();
    let dind = containers
        .iter()
        .find(|it| it["image"].as_str().unwrap().contains("dind"))
        .unwrap();
    let dind = dind["name"].as_str().unwrap();
    for container in ["build", dind] {
        let volume = mounted(stored, container, "/certs/client").unwrap();
        assert_eq!(
            volume["emptyDir"]["medium"], "Memory",
            "{container}: {volume}"
        );
    }
    for (path, source) in [
        ("/var/lib/docker", "emptyDir"),
        ("/lib/modules", "hostPath"),
    ] {
        let volume = mounted(stored, dind, path).unwrap();
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
    let stderr = String::from_utf8(output.stderr).unwrap();
    let policies = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(
        policies.contains("10.0.0.5") && policies.contains("gitlab.mylab.com"),
        "{policies}"
    );
    assert!(
        !format!("{policies}{stderr}").contains("EXAMPLE"),
        "{stderr}"
    );
    assert!(!policies.contains("10.0.0.6"), "{policies}");
    assert!(
        stderr.contains("items[0].data.config.toml.runners[0]"),
        "{stderr}"
    );
    assert!(stderr.contains("label namespace jobs"), "{stderr}");
}
