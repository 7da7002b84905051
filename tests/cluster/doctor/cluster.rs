//! A cluster in which drydock runs, and runs of `drydock doctor` on it.

use super::kubelet::Kubelet;
use crate::api_server::ApiServer;
use crate::drydock_process::{Drydock, run};
use crate::endpoints;
use crate::identity::Identity;
use crate::install::install;
use crate::installation::in_cluster;
use crate::raw_requests::{Answer, DryRun, apply, create_pod, get};
use crate::runner_pods::{broken_job, changes};
use crate::wait::{TIMEOUT, eventually};
use drydock::names::OPT_IN_LABEL;
use kube::Client;
use regex::Regex;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;

pub(super) const POLICY: &str = "/apis/drydock.dev/v1alpha1/jobpodpolicies/gitlab";

/// The exit code and output of a run.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) err: String,
}

impl Ran {
    /// Returns the lines with findings.
    pub(super) fn findings(&self) -> Vec<&str> {
        let signs = ["‼ ", "× "];
        let lines = self.out.lines();
        lines
            .filter(|line| signs.iter().any(|sign| line.starts_with(sign)))
            .collect()
    }

    #[track_caller]
    pub(super) fn finds(&self, text: &str) {
        assert_eq!(self.code, Some(1), "{self:?}");
        assert!(
            self.findings().iter().any(|line| line.contains(text)),
            "{text}: {self:#?}"
        );
    }

    /// Returns stdout, with placeholders for what differs between runs.
    pub(super) fn stable(&self) -> String {
        let mut text = self.out.clone();
        for (pattern, instead) in [
            (r"https://127\.0\.0\.1:\d+", "https://API-SERVER"),
            (r"v1\.\d+\.\d+", "v1.X.Y"),
            (r"\d+(\.\d+)? ms", "N ms"),
            (r"called drydock (once|\d+ times)", "called drydock N times"),
            (r"\(\d+ ms without", "(N ms without"),
            (r"\d+ (days|hours)", "N $1"),
        ] {
            text = Regex::new(pattern)
                .unwrap()
                .replace_all(&text, instead)
                .into_owned();
        }
        text
    }
}

pub(super) fn run_as(api: &ApiServer, identity: Identity, arguments: &[&str]) -> Ran {
    let (code, out, err) = doctor(&api.kubeconfig(identity), arguments);
    Ran { code, out, err }
}

pub(super) fn version(api: &ApiServer) -> String {
    let (code, out, err) = run(&api.kubeconfig(Identity::Admin), &["version"]);
    assert_eq!(code, Some(0), "{err}");
    out
}

pub(super) fn doctor(kubeconfig: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    run(kubeconfig, &[&["doctor"], arguments].concat())
}

/// A cluster with an installation, two replicas, a policy, a runner and a namespace that opted in.
pub(super) struct Cluster {
    pub(super) api: ApiServer,
    pub(super) admin: Client,
    pub(super) server: Drydock,
    pub(super) kubelet: Kubelet,
}

impl Cluster {
    pub(super) async fn start() -> Self {
        let api = endpoints::api_server().await;
        install(&api);
        let admin = api.client(Identity::Admin).await;
        let ip = endpoints::own_address();
        let listen = format!("{ip}:0");
        let server = in_cluster(&api, &["--listen", &listen, "--ops-listen", &listen]);
        server.ready().await;
        set_endpoint(&admin, server.webhook).await;
        let kubelet = Kubelet::start(ip).await;
        for (name, node) in [("drydock-0", "node-1"), ("drydock-1", "node-2")] {
            kubelet.create_node(&admin, node).await;
            kubelet.forward_to(name, server.webhook);
            replica(&admin, name, node, server.ops).await;
        }
        api.kubectl(&["apply", "-f", "manifests/sample-policy.yaml"])
            .printed();
        namespace(&admin, "ci", json!({OPT_IN_LABEL: "enforce"})).await;
        let authority = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "registry-ca"},
            "data": {"ca.crt": "content is not read"},
        });
        let path = "/api/v1/namespaces/ci/configmaps/registry-ca";
        apply(&admin, path, &authority).await.object();
        runner(&admin).await;
        let pod = broken_job();
        let create = async || create_pod(&admin, "ci", &pod, DryRun::Yes).await;
        let is_repaired = |answer: &Answer| changes(&answer.body).is_some();
        eventually("a job pod is repaired", TIMEOUT, create, is_repaired).await;
        let cluster = Self {
            api,
            admin,
            server,
            kubelet,
        };
        cluster.wait_for_policy().await;
        cluster
    }

    pub(super) async fn wait_for_policy(&self) {
        let read = async || get(&self.admin, POLICY).await.object();
        let is_read = |policy: &Value| {
            policy["status"]["observedGeneration"] == policy["metadata"]["generation"]
        };
        eventually("the policy is read", TIMEOUT, read, is_read).await;
    }

    pub(super) fn doctor(&self, arguments: &[&str]) -> Ran {
        run_as(&self.api, Identity::Admin, arguments)
    }
}

/// Sets the address of the only endpoint of drydock's Service.
pub(crate) async fn set_endpoint(admin: &Client, address: SocketAddr) {
    endpoints::set_endpoints(admin, "drydock", "drydock", &[address]).await;
}

/// Creates a pod from the Deployment's template, with the status that a kubelet would write.
pub(crate) async fn replica(admin: &Client, name: &str, node: &str, ops: SocketAddr) {
    let deployment = "/apis/apps/v1/namespaces/drydock/deployments/drydock";
    let deployment = get(admin, deployment).await.object();
    let mut pod = deployment["spec"]["template"].clone();
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    pod["metadata"]["name"] = name.into();
    pod["spec"]["nodeName"] = node.into();
    let ports = &mut pod["spec"]["containers"][0]["ports"];
    // The test kubelet ignores the port number of a port-forward.
    *ports = json!([
        {"name": "ops", "containerPort": ops.port()},
        {"name": "webhook", "containerPort": 8443},
    ]);
    create_pod(admin, "drydock", &pod, DryRun::No)
        .await
        .object();
    status(admin, name, "True", ops).await;
}

pub(super) async fn status(admin: &Client, name: &str, is_ready: &str, ops: SocketAddr) {
    let status = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "drydock"},
        "status": {
            "phase": "Running",
            "podIP": ops.ip(),
            "podIPs": [{"ip": ops.ip()}],
            "conditions": [{"type": "Ready", "status": is_ready}],
        },
    });
    let path = format!("/api/v1/namespaces/drydock/pods/{name}/status");
    apply(admin, &path, &status).await.object();
}

pub(super) async fn namespace(admin: &Client, name: &str, labels: Value) {
    let namespace = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": labels},
    });
    apply(admin, &format!("/api/v1/namespaces/{name}"), &namespace)
        .await
        .object();
}

/// Creates the objects of a runner like GitLab's chart. [`Identity::Runner`] is its ServiceAccount.
pub(super) async fn runner(admin: &Client) {
    namespace(admin, "gitlab-runner", json!({})).await;
    let config = "[[runners]]\n[runners.kubernetes]\nnamespace = \"ci\"\n[runners.kubernetes.retry_limits]\n\"failed calling webhook\" = 10\n";
    let map = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "gitlab-runner"},
        "data": {"config.template.toml": config},
    });
    apply(
        admin,
        "/api/v1/namespaces/gitlab-runner/configmaps/gitlab-runner",
        &map,
    )
    .await
    .object();
    let labels = json!({"app": "gitlab-runner"});
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "gitlab-runner"},
        "spec": {"selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels},
            "spec": {
                "serviceAccountName": "gitlab-runner",
                "containers": [{"name": "runner", "image": "registry.gitlab.com/gitlab-org/gitlab-runner:alpine-v17.11.0"}],
                "volumes": [{"name": "configmaps", "configMap": {"name": "gitlab-runner"}}],
            },
        }},
    });
    let path = "/apis/apps/v1/namespaces/gitlab-runner/deployments/gitlab-runner";
    apply(admin, path, &deployment).await.object();
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "runner-edits"},
        "rules": [{
            "apiGroups": [""],
            "resources": ["pods/attach", "pods/exec", "pods/log", "secrets", "serviceaccounts", "services"],
            "verbs": ["*"],
        }],
    });
    let path = "/apis/rbac.authorization.k8s.io/v1/clusterroles/runner-edits";
    apply(admin, path, &role).await.object();
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "runner-edits"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "runner-edits"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": Identity::Runner.user()}],
    });
    let path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/runner-edits";
    apply(admin, path, &role).await.object();
}
