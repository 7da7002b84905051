//! `drydock doctor` at a real API server: a healthy cluster, each fault, no rights, nothing
//! installed, no answer.

use crate::api_server::ApiServer;
use crate::call::{self, Answer, DryRun, apply, create_pod, get, patch};
use crate::identity::Identity;
use crate::install::install;
use crate::pods::{broken_job, changes};
use crate::serve::{Certificate, Drydock, run};
use crate::setup::in_cluster;
use crate::wait::{PATIENCE, eventually};
use axum::http::Method;
use drydock::names::{ENFORCE_WEBHOOK, OPT_IN_LABEL};
use kube::Client;
use regex::Regex;
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;

const CONFIGURATION: &str =
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/drydock";
const POLICY: &str = "/apis/drydock.dev/v1alpha1/jobpodpolicies/gitlab";
const SLICE: &str = "/apis/discovery.k8s.io/v1/namespaces/drydock/endpointslices/drydock-tests";

/// What a run said.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    /// The findings, each with sign and text.
    fn findings(&self) -> Vec<&str> {
        let signs = ["‼ ", "× "];
        let lines = self.out.lines();
        lines
            .filter(|line| signs.iter().any(|sign| line.starts_with(sign)))
            .collect()
    }

    #[track_caller]
    fn finds(&self, text: &str) {
        assert_eq!(self.code, Some(1), "{self:?}");
        assert!(
            self.findings().iter().any(|line| line.contains(text)),
            "{text}: {self:#?}"
        );
    }

    /// Without what differs from run to run.
    fn stable(&self) -> String {
        let mut text = self.out.clone();
        for (pattern, instead) in [
            (r"https://127\.0\.0\.1:\d+", "https://API-SERVER"),
            (r"v1\.\d+\.\d+", "v1.X.Y"),
            (r"\d+(\.\d+)? ms", "N ms"),
            (r"called drydock (once|\d+ times)", "called drydock N times"),
            (r"\(\d+ without", "(N without"),
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

fn run_as(api: &ApiServer, identity: Identity, arguments: &[&str]) -> Ran {
    let (code, out, err) = doctor(&api.kubeconfig(identity), arguments);
    Ran { code, out, err }
}

fn version(api: &ApiServer) -> String {
    let (code, out, err) = run(&api.kubeconfig(Identity::Admin), &["version"]);
    assert_eq!(code, Some(0), "{err}");
    out
}

fn doctor(kubeconfig: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    run(kubeconfig, &[&["doctor"], arguments].concat())
}

/// An address of this machine that an EndpointSlice may have, which no loopback address is.
pub(crate) fn own_address() -> std::net::IpAddr {
    // Nothing is sent: connecting a datagram socket chooses the address.
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("192.0.2.1:9").unwrap();
    socket.local_addr().unwrap().ip()
}

/// An installation that answers behind its Service, two replicas as far as the API server can see,
/// a policy, a runner, a namespace.
struct Cluster {
    api: ApiServer,
    admin: Client,
    server: Drydock,
}

impl Cluster {
    async fn start() -> Self {
        // Services lead to the addresses of their EndpointSlices, without kube-proxy.
        let flags = |_: &Path| vec!["--enable-aggregator-routing=true".to_owned()];
        let api = ApiServer::of_ones_own_with(flags).await;
        install(&api);
        let admin = api.client(Identity::Admin).await;
        let ip = own_address();
        let listen = format!("{ip}:0");
        let server = in_cluster(&api, &["--listen", &listen, "--ops-listen", &listen]);
        server.ready().await;
        endpoints(&admin, server.webhook).await;
        for (name, node) in [("drydock-0", "node-1"), ("drydock-1", "node-2")] {
            replica(&admin, name, node, server.ops).await;
        }
        api.kubectl(&["apply", "-f", "manifests/sample-policy.yaml"])
            .printed();
        namespace(&admin, "ci", json!({OPT_IN_LABEL: "enforce"})).await;
        let authority = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "registry-ca"},
            "data": {"ca.crt": "not looked at"},
        });
        let path = "/api/v1/namespaces/ci/configmaps/registry-ca";
        apply(&admin, path, &authority).await.object();
        runner(&admin).await;
        let pod = broken_job();
        let create = async || create_pod(&admin, "ci", &pod, DryRun::Yes).await;
        let is_repaired = |answer: &Answer| changes(&answer.body).is_some();
        eventually("a job pod is repaired", PATIENCE, create, is_repaired).await;
        let cluster = Self { api, admin, server };
        cluster.policy_is_read().await;
        cluster
    }

    async fn policy_is_read(&self) {
        let read = async || get(&self.admin, POLICY).await.object();
        let is_read = |policy: &Value| {
            policy["status"]["observedGeneration"] == policy["metadata"]["generation"]
        };
        eventually("the policy is read", PATIENCE, read, is_read).await;
    }

    fn doctor(&self, arguments: &[&str]) -> Ran {
        run_as(&self.api, Identity::Admin, arguments)
    }

    /// Runs it until the API server knows of a fault.
    async fn finds(&self, text: &str) -> Ran {
        let look = async || self.doctor(&[]);
        let is_found = |ran: &Ran| ran.findings().iter().any(|line| line.contains(text));
        let ran = eventually(text, PATIENCE, look, is_found).await;
        ran.finds(text);
        ran
    }
}

pub(crate) async fn endpoints(admin: &Client, address: SocketAddr) {
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "drydock-tests", "namespace": "drydock", "labels": {"kubernetes.io/service-name": "drydock"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address.ip()], "conditions": {"ready": true}}],
        "ports": [{"name": "webhook", "port": address.port(), "protocol": "TCP"}],
    });
    apply(admin, SLICE, &slice).await.object();
}

/// A pod as the Deployment would have it, and as its kubelet would describe it.
pub(crate) async fn replica(admin: &Client, name: &str, node: &str, ops: SocketAddr) {
    let deployment = "/apis/apps/v1/namespaces/drydock/deployments/drydock";
    let deployment = get(admin, deployment).await.object();
    let mut pod = deployment["spec"]["template"].clone();
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    pod["metadata"]["name"] = name.into();
    pod["spec"]["nodeName"] = node.into();
    let ports = &mut pod["spec"]["containers"][0]["ports"];
    *ports = json!([{"name": "ops", "containerPort": ops.port()}]);
    create_pod(admin, "drydock", &pod, DryRun::No)
        .await
        .object();
    status(admin, name, "True", ops).await;
}

async fn status(admin: &Client, name: &str, is_ready: &str, ops: SocketAddr) {
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

async fn namespace(admin: &Client, name: &str, labels: Value) {
    let namespace = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": labels},
    });
    apply(admin, &format!("/api/v1/namespaces/{name}"), &namespace)
        .await
        .object();
}

/// A runner as GitLab's chart makes one; the ServiceAccount is the one of [`Identity::Runner`],
/// with all rights.
async fn runner(admin: &Client) {
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_cluster_and_one_fault_after_the_other() {
    let cluster = Cluster::start().await;
    let healthy = cluster.doctor(&[]);
    insta::assert_snapshot!("healthy", healthy.stable());
    assert_eq!(
        (healthy.code, healthy.err.as_str()),
        (Some(0), ""),
        "{healthy:?}"
    );
    let json = cluster.doctor(&["-o", "json"]);
    insta::assert_snapshot!("healthy_json", json.stable());
    let parsed: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(
        (parsed["errors"].as_u64(), parsed["warnings"].as_u64()),
        (Some(0), Some(0))
    );
    let told = version(&cluster.api);
    assert!(
        told.contains(&format!("server:     {}\n", env!("CARGO_PKG_VERSION"))),
        "{told}"
    );

    let admin = &cluster.admin;
    // A label that means nothing.
    namespace(admin, "mobile", json!({OPT_IN_LABEL: "true"})).await;
    let wrong = cluster.doctor(&[]);
    wrong.finds("mobile: the label drydock.dev/job-pods has a value that means nothing");
    insta::assert_snapshot!("fault", wrong.stable());
    assert_eq!(
        cluster.doctor(&["-n", "ci"]).code,
        Some(0),
        "another namespace is not its business"
    );
    call::call(admin, Method::DELETE, "/api/v1/namespaces/mobile", None)
        .await
        .object();

    // Pod Security, a registry's authority, the rights of the runner.
    namespace(
        admin,
        "ci",
        json!({OPT_IN_LABEL: "enforce", "pod-security.kubernetes.io/enforce": "baseline"}),
    )
    .await;
    cluster
        .finds("Pod Security of ci refuses privileged pods")
        .await
        .finds("a job with dind is refused: Pod Security");
    namespace(admin, "ci", json!({OPT_IN_LABEL: "enforce"})).await;
    let authority = "/api/v1/namespaces/ci/configmaps/registry-ca";
    call::call(admin, Method::DELETE, authority, None)
        .await
        .object();
    cluster
        .finds("there is no ConfigMap registry-ca in namespace ci")
        .await;
    let binding = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/runner-edits";
    call::call(admin, Method::DELETE, binding, None)
        .await
        .object();
    let rights = cluster
        .finds("ServiceAccount gitlab-runner/gitlab-runner lacks")
        .await;
    assert!(
        rights.out.contains("secrets is forbidden"),
        "{}",
        rights.out
    );
    runner(admin).await;

    // A replica that is not ready, and a quota that is used up.
    let ops = cluster.server.ops;
    status(admin, "drydock-1", "False", ops).await;
    cluster.finds("1 of 2 replicas are ready").await;
    status(admin, "drydock-1", "True", ops).await;

    // Another webhook after drydock, which does not take dry runs.
    let other = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "sidecar"},
        "webhooks": [{
            "name": "sidecar.example.com",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Ignore",
            "timeoutSeconds": 1,
            "clientConfig": {"url": "https://127.0.0.1:9/"},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}],
        }],
    });
    let path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/sidecar";
    apply(admin, path, &other).await.object();
    let with_other = cluster.doctor(&[]);
    assert!(
        with_other
            .out
            .contains("sidecar.example.com (ci) is called after drydock"),
        "{}",
        with_other.out
    );
    call::call(admin, Method::DELETE, path, None).await.object();

    // No policy.
    call::call(admin, Method::DELETE, POLICY, None)
        .await
        .object();
    cluster.finds("there is no JobPodPolicy").await;

    // Nothing listens any more, and then there is no endpoint either.
    let Cluster { api, admin, server } = cluster;
    server.stop();
    let look = async || run_as(&api, Identity::Admin, &[]);
    let says = |text: &'static str| move |ran: &Ran| ran.out.contains(text);
    let refused = says("a job pod is refused: connection refused");
    let away = eventually("nothing listens", PATIENCE, look, refused).await;
    assert!(
        away.out
            .contains("Jobs fail with \"failed calling webhook\""),
        "{}",
        away.out
    );
    call::call(&admin, Method::DELETE, SLICE, None)
        .await
        .object();
    let none = says("a job pod is refused: no replica is ready");
    eventually("there is no endpoint", PATIENCE, look, none).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bundle_of_another_authority_is_found_by_the_api_servers_own_words() {
    let cluster = Cluster::start().await;
    let admin = &cluster.admin;
    // drydock's own account may do it, and heals it again; so drydock has to be away from the
    // configuration.
    let other = base64_of(&Certificate::new().authority);
    let webhooks = get(admin, CONFIGURATION).await.object()["webhooks"].clone();
    let index = webhooks
        .as_array()
        .unwrap()
        .iter()
        .position(|webhook| webhook["name"] == ENFORCE_WEBHOOK)
        .unwrap();
    let path = format!("/webhooks/{index}/clientConfig/caBundle");
    let change = json!([{"op": "replace", "path": path, "value": other}]);
    let look = async || {
        patch(admin, CONFIGURATION, &change).await.object();
        cluster.doctor(&[])
    };
    let is_found = |ran: &Ran| ran.out.contains("x509, unknown authority");
    eventually(
        "the caBundle is not the authority's",
        PATIENCE,
        look,
        is_found,
    )
    .await;
}

fn base64_of(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// A job pod that was made before its namespace opted in, and one that drydock repaired.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_says_what_became_of_it() {
    let cluster = Cluster::start().await;
    let admin = &cluster.admin;
    let repaired = create_pod(admin, "ci", &broken_job(), DryRun::No)
        .await
        .object();
    let name = repaired["metadata"]["name"].as_str().unwrap();
    let ran = cluster.doctor(&["-n", "ci", "--pod", name]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert!(
        ran.out
            .contains("drydock changed it when it was created, by gitlab@1"),
        "{}",
        ran.out
    );
    namespace(admin, "late", json!({})).await;
    let missed = create_pod(admin, "late", &broken_job(), DryRun::No)
        .await
        .object();
    let name = missed["metadata"]["name"].as_str().unwrap();
    let ran = cluster.doctor(&["-n", "late", "--pod", name]);
    ran.finds("namespace late has not opted in");
    ran.finds("it is not as the policies want it");
    let stable = ran.stable().replace(name, "JOB");
    insta::assert_snapshot!("pod", stable);
    let none = cluster.doctor(&["-n", "ci", "--pod", "nothing"]);
    none.finds("there is no pod nothing in namespace ci");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_rights_and_without_drydock() {
    let api = ApiServer::of_ones_own().await;
    let nothing = run_as(&api, Identity::Admin, &[]);
    assert_eq!(nothing.code, Some(1), "{nothing:?}");
    insta::assert_snapshot!("nothing_installed", nothing.stable());
    let nobody = run_as(&api, Identity::Nobody, &[]);
    assert_eq!(nobody.code, Some(1), "{nobody:?}");
    insta::assert_snapshot!("no_rights", nobody.stable());
    let json = run_as(&api, Identity::Nobody, &["-o", "json"]);
    let parsed: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(parsed["good"], 0, "{parsed:#}");
    // It waits for what never comes, and says for what.
    let waited = run_as(&api, Identity::Admin, &["--wait", "1s"]);
    assert_eq!(waited.code, Some(1), "{waited:?}");
    let told = version(&api);
    assert!(told.contains("server:     not found"), "{told}");
}

#[test]
fn an_api_server_that_hangs_or_is_away_ends_with_2_and_words() {
    let directory = tempfile::TempDir::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let kubeconfig = directory.path().join("kubeconfig");
    let write = |url: String| {
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": url}}],
            "users": [{"name": "test", "user": {"token": "t"}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        });
        std::fs::write(&kubeconfig, config.to_string()).unwrap();
    };
    // The kernel accepts, and nobody answers.
    write(format!("http://{address}"));
    let (code, out, err) = doctor(&kubeconfig, &["--time-limit", "1s"]);
    assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
    assert!(err.contains("has not answered within 1 s"), "{err}");
    assert!(err.contains(&address.to_string()), "{err}");
    drop(listener);
    let (code, out, err) = doctor(&kubeconfig, &["--time-limit", "1s"]);
    assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
    assert!(err.contains("onnection refused"), "{err}");
    let (code, _, err) = doctor(&kubeconfig, &["--context", "production"]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("production"), "{err}");
}
