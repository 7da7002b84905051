//! Installs and uninstalls drydock with `kubectl apply -k` and `kubectl delete -k`.

use crate::api_server::ApiServer;
use crate::drydock_process::drydock;
use crate::identity::Identity;
use crate::raw_requests::{self, DryRun, create_pod};
use crate::registration::CONFIGURATION;
use crate::wait::{TIMEOUT, eventually};
use kube::Client;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use tempfile::TempDir;

const COMPONENTS: [&str; 8] = [
    "cert-manager",
    "client-ca",
    "fail-open",
    "host-network",
    "live-addresses",
    "monitoring",
    "namespace-per-job",
    "openshift",
];
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/drydock/deployments/drydock";

/// Installs drydock, asserts that kubectl prints no warning, and returns its output.
pub(crate) fn install(api: &ApiServer) -> String {
    api.kubectl(&["apply", "-k", "manifests"]).printed()
}

/// A kustomization with the files of `drydock print manifests` and some components, as a user
/// writes it.
struct Overlay(TempDir);

impl Overlay {
    fn with(components: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let manifests = directory.path().join("manifests");
        drydock(
            &["print", "manifests", "--write", manifests.to_str().unwrap()],
            "",
        );
        let components: Vec<String> = components
            .iter()
            .map(|name| format!("../manifests/components/{name}"))
            .collect();
        let kustomization = json!({"resources": ["../manifests"], "components": components});
        let own = directory.path().join("own");
        fs::create_dir(&own).unwrap();
        fs::write(own.join("kustomization.yaml"), kustomization.to_string()).unwrap();
        Self(directory)
    }

    fn path(&self) -> String {
        self.0.path().join("own").display().to_string()
    }
}

/// Returns the resource version of each installed object, by kind and name.
fn versions(api: &ApiServer) -> BTreeMap<String, String> {
    let template =
        "{range .items[*]}{.kind}/{.metadata.name} {.metadata.resourceVersion}{\"\\n\"}{end}";
    let output = format!("jsonpath={template}");
    let printed = api.kubectl(&["get", "-k", "manifests", "-o", &output]);
    let printed = printed.printed();
    let pairs = printed.lines().filter_map(|line| line.split_once(' '));
    pairs
        .map(|(object, version)| (object.to_owned(), version.to_owned()))
        .collect()
}

#[tokio::test]
async fn kubectl_installs_and_removes_drydock_with_one_command_each() {
    let api = ApiServer::exclusive().await;
    let printed = install(&api);
    assert_eq!(printed.lines().count(), 19);
    for line in printed.lines() {
        assert!(line.ends_with(" created"), "{line}");
    }

    // The API server updates the status of the CRD for a moment after it is created.
    established(&api).await;
    let before = versions(&api);
    assert_eq!(before.len(), 19);
    for line in install(&api).lines() {
        // kubectl always sends the whole selector of a PodDisruptionBudget, and prints
        // "configured".
        let is_quiet = line.ends_with(" unchanged") || line.starts_with("poddisruptionbudget");
        assert!(is_quiet, "{line}");
    }
    assert_eq!(versions(&api), before, "the second apply wrote objects");
    let server_side = ["apply", "--server-side", "-k", "manifests"];
    api.kubectl(&server_side).printed();

    api.kubectl(&["apply", "-f", "manifests/sample-policy.yaml"])
        .printed();
    let objects = objects(&api);
    let deleted = api.kubectl(&["delete", "-k", "manifests", "--wait=false"]);
    assert_eq!(deleted.code, Some(0), "{deleted:?}");
    let admin = api.client(Identity::Admin).await;
    for object in objects {
        is_gone(&admin, &object).await;
    }
}

async fn established(api: &ApiServer) {
    let look = async || api.kubectl(&["get", "jobpodpolicies"]).code;
    eventually("policies are served", TIMEOUT, look, |code| {
        *code == Some(0)
    })
    .await;
}

/// Returns the path of each installed object.
fn objects(api: &ApiServer) -> Vec<String> {
    let printed = api
        .kubectl(&["get", "-k", "manifests", "-o", "json"])
        .printed();
    let list: Value = serde_json::from_str(&printed).unwrap();
    let items = list["items"].as_array().unwrap();
    assert_eq!(items.len(), 19);
    items.iter().map(path).collect()
}

fn path(object: &Value) -> String {
    let version = object["apiVersion"].as_str().unwrap();
    let root = if version == "v1" { "api" } else { "apis" };
    let kind = object["kind"].as_str().unwrap().to_lowercase();
    let plural = match kind.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None if kind.ends_with('s') => format!("{kind}es"),
        None => format!("{kind}s"),
    };
    let name = object["metadata"]["name"].as_str().unwrap();
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("/{root}/{version}/namespaces/{namespace}/{plural}/{name}"),
        None => format!("/{root}/{version}/{plural}/{name}"),
    }
}

/// Waits until an object is deleted. There is no controller manager that removes the namespace and
/// its objects, so the namespace needs only a deletion timestamp.
async fn is_gone(admin: &Client, path: &str) {
    let look = async || raw_requests::call(admin, axum::http::Method::GET, path, None).await;
    eventually(path, TIMEOUT, look, |answer| {
        let ends = answer.body["metadata"]["deletionTimestamp"].is_string();
        answer.status == 404 || (path == "/api/v1/namespaces/drydock" && ends)
    })
    .await;
}

/// Asserts that a pod of the Deployment conforms to the Pod Security level of the namespace.
async fn assert_pods_are_admitted(admin: &Client) {
    let deployment = raw_requests::get(admin, DEPLOYMENT).await.object();
    let mut pod = deployment["spec"]["template"].clone();
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    pod["metadata"]["name"] = "drydock-0".into();
    let answer = create_pod(admin, "drydock", &pod, DryRun::Yes).await;
    assert_eq!(answer.warnings, Vec::<String>::new());
    answer.object();
}

#[tokio::test]
async fn components_change_only_their_objects_and_can_be_removed() {
    let api = ApiServer::exclusive().await;
    let admin = api.client(Identity::Admin).await;
    install(&api);
    assert_pods_are_admitted(&admin).await;
    let services = async || {
        let drydock = api.client(Identity::Drydock).await;
        raw_requests::get(&drydock, "/api/v1/services").await.status
    };
    assert_eq!(services().await, 403);
    for name in [
        "client-ca",
        "fail-open",
        "host-network",
        "live-addresses",
        "openshift",
    ] {
        let overlay = Overlay::with(&[name]);
        api.kubectl(&["apply", "-k", &overlay.path()]).printed();
        let configuration = raw_requests::get(&admin, CONFIGURATION).await.object();
        let webhooks = &configuration["webhooks"];
        let deployment = raw_requests::get(&admin, DEPLOYMENT).await.object();
        let pod = &deployment["spec"]["template"]["spec"];
        let is = |component: &str| name == component;
        let policy = if is("fail-open") { "Ignore" } else { "Fail" };
        assert_eq!(webhooks[0]["failurePolicy"], policy, "{name}");
        assert_eq!(webhooks[1]["failurePolicy"], "Ignore", "{name}");
        assert_eq!(pod["hostNetwork"] == true, is("host-network"), "{name}");
        let has_user = pod["securityContext"].get("runAsUser").is_some();
        assert_eq!(has_user, !is("openshift"), "{name}");
        let has_authority = pod["volumes"][0]["configMap"]["name"] == "drydock-client-ca";
        assert_eq!(has_authority, is("client-ca"), "{name}");
        if is("host-network") || is("openshift") {
            assert_pods_are_admitted(&admin).await;
        }
        let wanted = if is("live-addresses") { 200 } else { 403 };
        eventually(name, TIMEOUT, services, |status| *status == wanted).await;
        if is("live-addresses") {
            let added = overlay
                .0
                .path()
                .join("manifests/components/live-addresses/live-addresses-role-binding.yaml");
            let delete = ["delete", "-f", added.to_str().unwrap()];
            api.kubectl(&delete).printed();
        }
        install(&api);
    }
}

/// Returns the objects of the base with components, as `kubectl kustomize` builds them.
pub(crate) fn built(components: &[&str]) -> Vec<Value> {
    let overlay = Overlay::with(components);
    let kubectl = &crate::binaries::binaries().kubectl;
    let output = std::process::Command::new(kubectl)
        .args(["kustomize", &overlay.path()])
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr, "", "{components:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let documents = drydock::core::document::split(&text).into_iter();
    documents
        .map(|document| document.content.unwrap())
        .collect()
}

fn count(objects: &[Value], kind: &str, name: &str) -> usize {
    let is_it = |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == name;
    objects.iter().filter(is_it).count()
}

/// Checks the rendered objects only, because the API server does not have the CRDs of cert-manager.
#[test]
fn certificates_of_cert_manager_replace_self_managed_ones() {
    let (base, objects) = (built(&[]), built(&["cert-manager"]));
    for kind in ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"] {
        assert_eq!(count(&base, kind, "drydock-certificates"), 1, "{kind}");
        assert_eq!(count(&objects, kind, "drydock-certificates"), 0, "{kind}");
    }
    let one = |kind: &str| {
        let mut found = objects.iter().filter(|object| object["kind"] == kind);
        found.next().unwrap()
    };
    let certificate = objects
        .iter()
        .find(|object| {
            object["kind"] == "Certificate" && object["metadata"]["name"] == "drydock-serving"
        })
        .unwrap();
    let names = certificate["spec"]["dnsNames"].as_array().unwrap();
    assert!(
        names.contains(&json!("drydock.drydock.svc")),
        "the certificate lacks the DNS name that the API server uses"
    );
    let annotations = &one("MutatingWebhookConfiguration")["metadata"]["annotations"];
    assert_eq!(
        annotations["cert-manager.io/inject-ca-from"],
        "drydock/drydock-serving"
    );
    let pod = &one("Deployment")["spec"]["template"]["spec"];
    assert_eq!(
        pod["volumes"][0]["secret"]["secretName"],
        certificate["spec"]["secretName"]
    );
    let container = &pod["containers"][0];
    let mount = &container["volumeMounts"][0];
    assert_eq!(mount["name"], pod["volumes"][0]["name"]);
    let folder = mount["mountPath"].as_str().unwrap();
    for (variable, file) in [
        ("DRYDOCK_TLS_CERT_FILE", "tls.crt"),
        ("DRYDOCK_TLS_KEY_FILE", "tls.key"),
    ] {
        let variables = container["env"].as_array().unwrap();
        let wanted = json!({"name": variable, "value": format!("{folder}/{file}")});
        assert!(variables.contains(&wanted), "{variables:?}");
    }
}

#[test]
fn all_components_can_be_combined() {
    let (base, objects) = (built(&[]), built(&COMPONENTS));
    // Removed: four roles and bindings, the Secret and the NetworkPolicy. Added: two Certificates,
    // two Issuers, a binding, and five objects for monitoring.
    let added = 2 + 2 + 1 + 5;
    assert_eq!(objects.len(), base.len() - 4 - 2 + added);
    let deployment = objects
        .iter()
        .find(|object| object["kind"] == "Deployment")
        .unwrap();
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["args"][2], "--listen=[::]:10343");
    let variables = container["env"].as_array().unwrap();
    assert_eq!(
        variables.len(),
        10,
        "expected 6 of the base and 2 each of cert-manager, client-ca, namespace-per-job: {variables:?}"
    );
    let pod = &deployment["spec"]["template"]["spec"];
    // The component openshift removes all fixed IDs, also the fsGroup of cert-manager.
    assert_eq!(
        pod["securityContext"],
        json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}})
    );
    let volumes = pod["volumes"].as_array().unwrap();
    let mounts = container["volumeMounts"].as_array().unwrap();
    assert_eq!((volumes.len(), mounts.len()), (2, 2), "{volumes:?}");
}
