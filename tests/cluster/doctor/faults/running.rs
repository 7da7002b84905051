//! Faults of a cluster in which drydock runs.

use super::{Fault, Found};
use crate::doctor::cluster::{Cluster, POLICY};
use crate::doctor::kubelet::acceptor;
use crate::drydock_process::Certificate;
use crate::endpoints::own_address;
use crate::identity::Identity;
use crate::raw_requests::{apply, get};
use crate::registration::CONFIGURATION;
use crate::runner_pods::broken_job;
use drydock::names::OPT_IN_LABEL;
use drydock::pki::authority::Authority;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;

const APPS: &str = "/apis/apps/v1/namespaces";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const CI: &str = "/api/v1/namespaces/ci";
const PODS: &str = "/api/v1/namespaces/drydock/pods";
const DEFINITION: &str =
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/jobpodpolicies.drydock.dev";

/// Returns a JSON Patch of a field of the first webhook, which changes pods.
fn replace(field: &str, value: &Value) -> Value {
    json!([{"op": "add", "path": format!("/webhooks/0/{field}"), "value": value}])
}

fn policy(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "drydock.dev/v1alpha1", "kind": "JobPodPolicy", "metadata": {"name": name}, "spec": spec})
}

fn policy_path(name: &str) -> String {
    format!("/apis/drydock.dev/v1alpha1/jobpodpolicies/{name}")
}

fn labelled(name: &str, labels: &Value, annotations: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": labels, "annotations": annotations},
    })
}

/// Returns two addresses: one does not respond, the other responds like the ops port of an older
/// drydock.
async fn listeners() -> (SocketAddr, SocketAddr) {
    let silent = TcpListener::bind((own_address(), 0)).unwrap();
    let address = silent.local_addr().unwrap();
    // Keeps the socket open: the kernel accepts connections, but no process responds.
    std::mem::forget(silent);
    let old = tokio::net::TcpListener::bind((own_address(), 0))
        .await
        .unwrap();
    let old_address = old.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = old.accept().await {
            let body = "drydock_build_info{version=\"0.0.1\"} 1\n";
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = connection.write_all((head + body).as_bytes()).await;
        }
    });
    (address, old_address)
}

/// Adds a third replica whose ops port has this address.
fn third(fault: Fault, template: &Value, ops: SocketAddr) -> Fault {
    let mut pod = template.clone();
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    pod["metadata"]["name"] = "drydock-2".into();
    pod["spec"]["nodeName"] = "node-1".into();
    pod["spec"]["containers"][0]["ports"] = json!([{"name": "ops", "containerPort": ops.port()}, {"name": "webhook", "containerPort": 8443}]);
    let status = json!({"status": {
        "phase": "Running", "podIP": ops.ip(), "podIPs": [{"ip": ops.ip()}],
        "conditions": [{"type": "Ready", "status": "True"}],
    }});
    let path = format!("{PODS}/drydock-2");
    let fault = fault.apply(&path, pod);
    fault.merge_only(&format!("{path}/status"), status)
}

pub(super) async fn faults(cluster: &Cluster) -> Vec<Fault> {
    let deployment = format!("{APPS}/drydock/deployments/drydock");
    let deployment = get(&cluster.admin, &deployment).await.object();
    let template = deployment["spec"]["template"].clone();
    cluster
        .kubelet
        .forward_to("drydock-2", cluster.server.webhook);
    let (silent, old) = listeners().await;
    let mut all = registration();
    all.extend(replicas(&template, [cluster.server.ops, silent, old]));
    all.extend(namespaces());
    all.extend(runners());
    all.extend(policies());
    all.extend(pods(cluster).await);
    all
}

fn registration() -> Vec<Fault> {
    let webhooks = |change: &str, value: Value, finds| {
        Fault::new(finds).patch(CONFIGURATION, replace(change, &value))
    };
    let services = json!([{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["services"], "operations": ["CREATE"]}]);
    let gone = json!([
        {"op": "replace", "path": "/webhooks/0/clientConfig/service/name", "value": "gone"},
        {"op": "replace", "path": "/webhooks/1/clientConfig/service/name", "value": "gone"},
    ]);
    let definition = json!([{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema/description", "value": "Another."}]);
    let other = |name: &str, policy: &str| {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": [{
                "name": "sidecar.example.com",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "failurePolicy": policy,
                "timeoutSeconds": 1,
                "clientConfig": {"url": "https://127.0.0.1:9/"},
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}],
            }],
        })
    };
    let beside = |name: &str| CONFIGURATION.replace("/drydock", &format!("/{name}"));
    let twice = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "team-a"},
        "webhooks": [{
            "name": "audit.job-pods.drydock.dev",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Ignore",
            "clientConfig": {"url": "https://127.0.0.1:9/audit"},
            "namespaceSelector": {"matchLabels": {OPT_IN_LABEL: "nothing"}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}],
        }],
    });
    vec![
        Fault::new(&["definition-differs"]).patch(DEFINITION, definition),
        Fault::new(&["only-audit"]).patch(
            CONFIGURATION,
            json!([{"op": "remove", "path": "/webhooks/0"}]),
        ),
        Fault::new(&["registered-twice"]).apply(&beside("team-a"), twice),
        webhooks("rules", services, &["not-for-pods"]),
        webhooks(
            "namespaceSelector",
            json!({"matchLabels": {"a": "b"}}),
            &["selects-no-namespaces"],
        ),
        webhooks(
            "objectSelector",
            json!({"matchLabels": {"a": "b"}}),
            &["selects-no-job-pods"],
        ),
        webhooks(
            "namespaceSelector",
            json!({}),
            &["selects-all-namespaces", "selects-own-namespace"],
        ),
        webhooks(
            "matchConditions",
            json!([{"name": "never", "expression": "false"}]),
            &["not-repaired"],
        ),
        Fault::new(&["audit-stops-jobs"]).patch(
            CONFIGURATION,
            json!([{"op": "replace", "path": "/webhooks/1/failurePolicy", "value": "Fail"}]),
        ),
        Fault::new(&["no-service", "refused-no-service"]).patch(CONFIGURATION, gone),
        Fault::new(&["refused-other-fails"])
            .apply(&beside("a-sidecar"), other("a-sidecar", "Fail")),
        Fault::new(&["other-webhook-last"])
            .patch(
                CONFIGURATION,
                replace("reinvocationPolicy", &json!("Never")),
            )
            .apply(&beside("sidecar"), other("sidecar", "Ignore")),
    ]
}

fn replicas(template: &Value, [ops, silent, old]: [SocketAddr; 3]) -> Vec<Fault> {
    let deployment = format!("{APPS}/drydock/deployments/drydock");
    let budget = "/apis/policy/v1/namespaces/drydock/poddisruptionbudgets/drydock";
    let unready = json!({"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}]}});
    let status = |name: &str| format!("{PODS}/{name}/status");
    let out = json!({"metadata": {"labels": {"app.kubernetes.io/name": "set-aside"}}});
    let pod = |name: &str| format!("{PODS}/{name}");
    let closed = SocketAddr::new(silent.ip(), 9);
    vec![
        Fault::new(&["few-replicas"]).merge(&deployment, json!({"spec": {"replicas": 1}})),
        Fault::new(&["no-disruption-budget"]).delete(budget),
        Fault::new(&["replica-not-ready"]).merge(&status("drydock-1"), unready.clone()),
        Fault::new(&["no-replica-ready"])
            .merge(&status("drydock-0"), unready.clone())
            .merge(&status("drydock-1"), unready),
        third(Fault::new(&["versions-mixed"]), template, old),
        third(
            Fault::new(&["version-differs"])
                .merge(&pod("drydock-0"), out.clone())
                .merge(&pod("drydock-1"), out.clone()),
            template,
            old,
        ),
        third(
            Fault::new(&["one-node"]).merge(&pod("drydock-1"), out),
            template,
            ops,
        ),
        third(Fault::new(&["not-read"]), template, closed),
        third(
            Fault::new(&["no-answer"]).asked(&["--time-limit", "3s"]),
            template,
            silent,
        ),
    ]
}

fn namespaces() -> Vec<Fault> {
    let none = json!({});
    // Without a namespace controller, deleted namespaces stay, so each fault has its own namespace.
    let other = |name: &str, finds, labels: Value, annotations: Value| {
        let path = format!("/api/v1/namespaces/{name}");
        Fault::new(finds).apply(&path, labelled(name, &labels, &annotations))
    };
    let quota = |hard: &Value, used: &Value| {
        let path = format!("{CI}/resourcequotas/jobs");
        let object = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "jobs"}, "spec": {"hard": hard}});
        let status = json!({"status": {"hard": hard, "used": used}});
        move |fault: Fault| {
            fault
                .apply(&path, object)
                .merge_only(&format!("{path}/status"), status)
        }
    };
    let range = |limits: &Value| {
        let object = json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "jobs"}, "spec": {"limits": [limits]}});
        (format!("{CI}/limitranges/jobs"), object)
    };
    let (path, least) = range(&json!({"type": "Container", "min": {"cpu": "50m"}}));
    let (_, storage) =
        range(&json!({"type": "Container", "default": {"ephemeral-storage": "1Gi"}}));
    let claim = json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let ephemeral = json!({"dind": {"volumes": [{"name": "data", "mountPath": "/var/lib/docker", "ephemeral": {"volumeClaimTemplate": claim}}]}});
    let baseline =
        json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}});
    let full = quota(&json!({"pods": "1"}), &json!({"pods": "1"}));
    let claims = quota(
        &json!({"persistentvolumeclaims": "9"}),
        &json!({"persistentvolumeclaims": "1"}),
    );
    vec![
        other(
            "mobile-1",
            &["label-value"],
            json!({OPT_IN_LABEL: "true"}),
            none.clone(),
        ),
        other(
            "mobile-2",
            &["label-misspelt"],
            json!({"drydock.dev/job-pod": "enforce"}),
            none.clone(),
        ),
        other(
            "mobile-3",
            &["label-is-annotation"],
            none.clone(),
            json!({OPT_IN_LABEL: "enforce"}),
        ),
        Fault::new(&["label-unused"]).merge(
            "/api/v1/namespaces/drydock",
            json!({"metadata": {"labels": {OPT_IN_LABEL: "enforce"}}}),
        ),
        Fault::new(&["not-opted-in", "no-namespace"]).asked(&["-n", "default,gone"]),
        Fault::new(&["none-opted-in"])
            .merge(CI, json!({"metadata": {"labels": {OPT_IN_LABEL: null}}})),
        Fault::new(&["pod-security", "refused-pod-security"]).merge(CI, baseline),
        full(Fault::new(&["quota-used-up", "refused-quota"])),
        claims(Fault::new(&["quota-counts-claims"]))
            .apply(&policy_path("ephemeral"), policy("ephemeral", &ephemeral)),
        Fault::new(&["refused-limit-range"]).apply(&path, least),
        Fault::new(&["limits-ephemeral-storage"]).apply(&path, storage),
    ]
}

fn runners() -> Vec<Fault> {
    let map = "/api/v1/namespaces/gitlab-runner/configmaps/gitlab-runner";
    let config = |line: &str| {
        let text = format!("[[runners]]\n[runners.kubernetes]\n{line}\n");
        json!({"data": {"config.template.toml": text}})
    };
    vec![
        Fault::new(&["runner-not-opted-in"]).merge(map, config("namespace = \"default\"")),
        Fault::new(&["runner-namespace-per-job"]).merge(map, config("namespace_per_job = true")),
        Fault::new(&["runner-rights"]).delete(&format!("{RBAC}/clusterrolebindings/runner-edits")),
        Fault::new(&["runner-rights-minor"]).merge(
            &format!("{RBAC}/clusterroles/gitlab-runner"),
            json!({"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["*"]}]}),
        ),
    ]
}

fn policies() -> Vec<Fault> {
    let add = |finds, name: &str, spec: Value| {
        Fault::new(finds).apply(&policy_path(name), policy(name, &spec))
    };
    let alias = json!([{"ip": "10.0.0.9", "hostnames": ["gitlab.mylab.com"]}]);
    let from = json!([{"from": {"service": {"namespace": "ci", "name": "gone"}}, "hostnames": ["a.mylab.com"]}]);
    let claim = json!({"volumes": [{"name": "data", "mountPath": "/cache", "persistentVolumeClaim": {"claimName": "cache"}}]});
    vec![
        Fault::new(&["no-policy"]).delete(POLICY),
        add(&["policy-conflict"], "lower", json!({"hostAliases": alias})),
        add(&["policy-no-address"], "live", json!({"hostAliases": from})),
        add(
            &["policy-selects-nothing"],
            "narrow",
            json!({"namespaceSelector": {"matchLabels": {"team": "mobile"}}, "dind": {}}),
        ),
        add(&["claim-missing"], "claims", json!({"dind": claim})),
        Fault::new(&["registry-ca-missing"]).delete(&format!("{CI}/configmaps/registry-ca")),
        Fault::new(&["refused-policy"]).merge(
            POLICY,
            json!({"spec": {"dind": {"clientCerts": {"onConflict": "Deny"}}}}),
        ),
    ]
}

async fn pods(cluster: &Cluster) -> Vec<Fault> {
    let mut job = broken_job();
    job["metadata"]["name"] = "job".into();
    job["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("generateName");
    // Kubernetes 1.30 has no pod-level resources.
    job["spec"].as_object_mut().unwrap().remove("resources");
    let of = |namespace: &str| format!("/api/v1/namespaces/{namespace}/pods/job");
    let late = |finds| {
        let namespace = labelled("late", &json!({}), &json!({}));
        let fault = Fault::new(finds).asked(&["-n", "late", "--pod", "job"]);
        let path = "/api/v1/namespaces/late";
        (fault, path, namespace)
    };
    // Without a namespace controller, deleted namespaces stay.
    let (_, path, namespace) = late(&[]);
    apply(&cluster.admin, path, &namespace).await.object();
    let mut other = job.clone();
    other["metadata"]["labels"] = json!({});
    other["metadata"]["annotations"] = json!({});
    let deny = json!({"spec": {"dind": {"clientCerts": {"onConflict": "Deny"}}}});
    vec![
        Fault::new(&["no-pod"]).asked(&["-n", "ci", "--pod", "nothing"]),
        late(&["pod-not-opted-in", "pod-not-repaired"])
            .0
            .apply(&of("late"), job.clone()),
        late(&["pod-without-policy"])
            .0
            .apply(&of("late"), job.clone())
            .delete(POLICY),
        late(&["pod-denied"])
            .0
            .apply(&of("late"), job)
            .merge(POLICY, deny),
        late(&["pod-not-of-a-job"]).0.apply(&of("late"), other),
    ]
}

/// A replica serves a certificate that the `caBundle` does not trust, or that expires soon.
pub(super) async fn certificates(cluster: &Cluster, seen: &mut Found) {
    let own = cluster.server.webhook;
    let hours = |number: u64| Duration::from_secs(number * 60 * 60);
    let listen = format!("{}:0", own_address());
    let stranger = Certificate::new().serve(&["--listen", &listen]);
    let soon = serving(Timestamp::now(), hours(3)).await;
    let past = serving(
        Timestamp::now() - jiff::SignedDuration::from_hours(48),
        hours(24),
    )
    .await;
    for (target, found) in [
        (stranger.webhook, "certificate-refused"),
        (soon, "certificate-expires"),
        (past, "certificate-expired"),
    ] {
        cluster.kubelet.forward_to("drydock-1", target);
        let (api, admin) = (&cluster.api, Identity::Admin);
        seen.wait_for(api, admin, &[], &[found]).await;
    }
    cluster.kubelet.forward_to("drydock-1", own);
}

/// Starts a TLS server with a certificate for drydock's Service.
async fn serving(signed: Timestamp, lifetime: Duration) -> SocketAddr {
    let years = Duration::from_secs(2 * 365 * 24 * 60 * 60);
    let authority = Authority::make("test", signed, years).unwrap();
    serve(&authority, "drydock.drydock.svc", signed, lifetime).await
}

/// Starts a TLS server with a certificate of a CA. It responds to every request with an HTTP error.
pub(super) async fn serve(
    authority: &Authority,
    name: &str,
    signed: Timestamp,
    lifetime: Duration,
) -> SocketAddr {
    let leaf = authority
        .sign(&[name.to_owned()], signed, lifetime)
        .unwrap();
    let directory = tempfile::TempDir::new().unwrap();
    let (file, key) = (directory.path().join("crt"), directory.path().join("key"));
    std::fs::write(&file, leaf.certificate_pem()).unwrap();
    std::fs::write(&key, leaf.key_pem()).unwrap();
    let acceptor = acceptor(&file, &key);
    let listener = tokio::net::TcpListener::bind((own_address(), 0))
        .await
        .unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(mut connection) = acceptor.accept(connection).await {
                    let _ = connection.write_all(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
                    let _ = connection.shutdown().await;
                }
            });
        }
    });
    address
}
