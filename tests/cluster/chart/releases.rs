//! Releases at a real API server: installs, upgrades, rolls back, tests and uninstalls one, and
//! installs two at the same time.

use super::dry_run::define_foreign_kinds;
use super::release::Release;
use super::template;
use crate::api_server::ApiServer;
use crate::binaries::binaries;
use crate::endpoints::api_server;
use crate::identity::Identity;
use crate::raw_requests::{Answer, DryRun, apply, create_pod, get};
use crate::registration::CONFIGURATION;
use crate::replica::Throughout;
use crate::runner_pods::{broken_job, changes};
use crate::wait::{TIMEOUT, eventually};
use kube::Client;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use tempfile::TempDir;

const POLICY: [&str; 3] = [
    "policies.gitlab.hostAliases[0].ip=10.0.0.232",
    "policies.gitlab.hostAliases[0].hostnames={gitlab.mylab.com}",
    "policies.gitlab.dind.clientCerts.onConflict=Replace",
];
const PLATFORM: (&str, &str, &str) = ("ci", "platform", "ci-drydock");

/// Creates a namespace. If `value` is set, it is the value of its opt-in label.
async fn namespace(admin: &Client, name: &str, value: Option<&str>) {
    let mut object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    if let Some(value) = value {
        object["metadata"]["labels"] = json!({"drydock.dev/job-pods": value});
    }
    let path = format!("/api/v1/namespaces/{name}");
    apply(admin, &path, &object).await.object();
}

async fn repaired(api: &ApiServer, namespace: &str) -> Answer {
    let runner = api.client(Identity::Runner).await;
    let pod = broken_job();
    let create = async || create_pod(&runner, namespace, &pod, DryRun::Yes).await;
    let is_repaired = |answer: &Answer| changes(&answer.body).is_some();
    eventually("a job pod is repaired", TIMEOUT, create, is_repaired).await
}

/// Resources of which the API server creates objects itself, for example an APIService for each API
/// group and an IPAddress for each Service.
const OF_THE_API_SERVER: &[&str] = &[
    "apiservices.apiregistration.k8s.io",
    "events",
    "events.events.k8s.io",
    "ipaddresses.networking.k8s.io",
    "leases.coordination.k8s.io",
];

/// Returns the names of all objects except those of [`OF_THE_API_SERVER`].
fn everything(api: &ApiServer) -> BTreeSet<String> {
    let kinds = ["api-resources", "--verbs=list", "-o", "name"];
    let kinds = api.kubectl(&kinds).printed();
    let kinds: Vec<&str> = kinds
        .lines()
        .filter(|kind| !OF_THE_API_SERVER.contains(kind))
        .collect();
    let get = ["get", &kinds.join(","), "-A", "-o", "name"];
    // kubectl warns about deprecated versions, so stderr is not checked.
    let output = api.kubectl(&get);
    assert_eq!(output.code, Some(0), "{output:?}");
    output.stdout.lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn helm_installs_upgrades_and_rolls_back_while_pods_are_repaired() {
    let api = api_server().await;
    let admin = api.client(Identity::Admin).await;
    namespace(&admin, "jobs", Some("enforce")).await;
    let before = everything(&api);
    let release = Release::install(&api, PLATFORM, &POLICY).await;
    let first = release.start_pod("ci-drydock-a").await;
    release.route_to(&[&first]).await;
    repaired(&api, "jobs").await;

    let runner = api.client(Identity::Runner).await;
    let load = Throughout::admissions(&runner, "jobs");
    let upgrade = ["upgrade", "ci", super::CHART, "--reuse-values"];
    let settings = ["--set", "timeoutSeconds=9", "--set", "logLevel=debug"];
    release.helm(&[&upgrade[..], &settings].concat()).printed();
    // A rollout: the new pod is ready before the endpoint of the old one is removed.
    let second = release.start_pod("ci-drydock-b").await;
    release.route_to(&[&first, &second]).await;
    release.route_to(&[&second]).await;
    let (status, log) = first.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    assert_eq!(timeout(&admin).await, 9);
    repaired(&api, "jobs").await;
    release.helm(&["rollback", "ci", "1"]).printed();
    assert_eq!(timeout(&admin).await, 5);
    repaired(&api, "jobs").await;
    load.all_were_good(20).await;

    let (status, log) = second.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("orbidden"), "{log}");
    release.delete_endpoints().await;
    release.helm(&["uninstall", "ci"]).printed();
    let after = everything(&api);
    let left: Vec<&String> = after.difference(&before).collect();
    // Helm deletes neither the namespace nor the CRD. The chart's README has a command that
    // deletes the CRD.
    assert_eq!(
        left,
        [
            "customresourcedefinition.apiextensions.k8s.io/jobpodpolicies.drydock.dev",
            "namespace/platform",
        ]
    );
    api.kubectl(&["delete", "crd", "jobpodpolicies.drydock.dev"])
        .printed();
}

async fn timeout(admin: &Client) -> Value {
    let path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/ci-drydock";
    let configuration = get(admin, path).await.object();
    for webhook in configuration["webhooks"].as_array().unwrap() {
        assert!(webhook["clientConfig"]["caBundle"].is_string(), "{webhook}");
    }
    configuration["webhooks"][0]["timeoutSeconds"].clone()
}

/// Installs a canary release for one namespace beside the release for all others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_releases_review_only_pods_of_their_own_namespaces() {
    let api = api_server().await;
    let admin = api.client(Identity::Admin).await;
    let stable = Release::install(&api, ("drydock", "drydock", "drydock"), &POLICY).await;
    let names = ("canary", "drydock-canary", "canary-drydock");
    let canary = Release::install(&api, names, &["optIn.value=canary"]).await;
    let of_stable = stable.start_pod("drydock-a").await;
    let of_canary = canary.start_pod("canary-drydock-a").await;
    stable.route_to(&[&of_stable]).await;
    canary.route_to(&[&of_canary]).await;
    for (name, value) in [
        ("first", "enforce"),
        ("second", "canary"),
        ("third", "audit"),
        ("fourth", "canary-audit"),
    ] {
        namespace(&admin, name, Some(value)).await;
    }
    for name in ["first", "second"] {
        repaired(&api, name).await;
    }
    let runner = api.client(Identity::Runner).await;
    for name in ["third", "fourth"] {
        let pod = broken_job();
        let create = async || create_pod(&runner, name, &pod, DryRun::Yes).await;
        let is_audited = |answer: &Answer| answer.warnings.iter().any(|it| it.contains("audit"));
        let audited = eventually("the pod is audited", TIMEOUT, create, is_audited).await;
        assert_eq!(changes(&audited.object()), None);
    }
    canary.helm(&["uninstall", "canary"]).printed();
    // Uninstalling the canary removed neither the CRD nor the policy.
    repaired(&api, "first").await;
    let (_, of_stable) = of_stable.stop();
    let (_, of_canary) = of_canary.stop();
    for (log, own, others) in [
        (&of_stable, ["first", "third"], ["second", "fourth"]),
        (&of_canary, ["second", "fourth"], ["first", "third"]),
    ] {
        let is_about = |name: &str| {
            log.contains(&format!("namespace=\"{name}\""))
                || log.contains(&format!("namespace={name}"))
        };
        assert!(own.into_iter().all(is_about), "{log}");
        assert!(!others.into_iter().any(is_about), "{log}");
    }
}

/// With `namespace_per_job`, GitLab Runner creates namespaces without a label (rule P1).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn namespaces_created_for_a_job_are_selected_by_name() {
    let api = api_server().await;
    let admin = api.client(Identity::Admin).await;
    let settings = [&POLICY[..], &["namespacePerJob.enabled=true"]].concat();
    let release = Release::install(&api, PLATFORM, &settings).await;
    let server = release.start_pod("ci-drydock-a").await;
    release.route_to(&[&server]).await;
    namespace(&admin, "ci-job-4711", None).await;
    repaired(&api, "ci-job-4711").await;
    let runner = api.client(Identity::Runner).await;
    // A namespace with another prefix does not match. For a namespace with the label, the label
    // decides.
    for (name, value) in [("my-ci-job-1", None), ("ci-job-1", Some("off"))] {
        namespace(&admin, name, value).await;
        let answer = create_pod(&runner, name, &broken_job(), DryRun::Yes).await;
        assert_eq!(changes(&answer.object()), None, "{name}");
    }
    // The Event for the author of the job is created in that namespace, too.
    let mut pod = broken_job();
    pod["metadata"]["name"] = "runner-author-project-1-concurrent-0".into();
    create_pod(&runner, "ci-job-4711", &pod, DryRun::No)
        .await
        .object();
    let (_, metrics) = server.get("/metrics");
    assert!(!metrics.contains("reason=\"not-opted-in\"} 1"), "{metrics}");
}

/// No kubelet runs the pods of `helm test`, so the test runs their kubectl command with their
/// ServiceAccount.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chart_test_succeeds_only_if_drydock_responds() {
    let api = api_server().await;
    let release = Release::install(&api, PLATFORM, &POLICY).await;
    let hooks = release.helm(&["get", "hooks", "ci"]).printed();
    let hooks = super::parse(&hooks);
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("hooks.yaml");
    let list = json!({"apiVersion": "v1", "kind": "List", "items": hooks});
    fs::write(&file, list.to_string()).unwrap();
    api.kubectl(&["apply", "-f", file.to_str().unwrap()])
        .printed();

    let pod = super::one(&hooks, "Pod");
    let container = &pod["spec"]["containers"][0];
    assert_eq!(container["command"], json!(["kubectl"]));
    let job = directory.path().join("pod.yaml");
    let config_map = super::one(&hooks, "ConfigMap");
    fs::write(&job, config_map["data"]["pod.yaml"].as_str().unwrap()).unwrap();
    let arguments: Vec<String> = container["args"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| {
            it.as_str()
                .unwrap()
                .replace("/job/pod.yaml", job.to_str().unwrap())
        })
        .collect();
    let kubeconfig = release.kubeconfig(pod["spec"]["serviceAccountName"].as_str().unwrap());
    let test = || {
        let mut command = Command::new(&binaries().kubectl);
        let command = command.args(&arguments).env("KUBECONFIG", &kubeconfig);
        let output = command.env("HOME", directory.path()).output().unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr),
        )
    };
    // The API server uses a new webhook configuration only after a moment.
    let refused = eventually(
        "the test fails",
        TIMEOUT,
        async || test(),
        |(good, _)| !good,
    )
    .await;
    assert!(
        refused.1.contains("enforce.job-pods.drydock.dev"),
        "{refused:?}"
    );
    let server = release.start_pod("ci-drydock-a").await;
    release.route_to(&[&server]).await;
    let passed = eventually(
        "the test passes",
        TIMEOUT,
        async || test(),
        |(good, _)| *good,
    )
    .await;
    assert!(passed.1.contains("gitlab.mylab.com"), "{passed:?}");
}

/// Objects for other controllers are created and deleted with the release.
#[tokio::test]
async fn each_optional_object_depends_on_its_value() {
    let api = api_server().await;
    define_foreign_kinds(&api).await;
    let before = everything(&api);
    let settings = [
        "monitoring.enabled=true",
        "liveAddresses=true",
        "certificates.source=cert-manager",
    ];
    let release = Release::install(&api, PLATFORM, &settings).await;
    let installed = everything(&api).difference(&before).count();
    // Plus the namespace and the Secret in which Helm stores the release.
    let objects = template("ci", "platform", &settings).len();
    assert_eq!(installed, objects + 2);
    release
        .helm(&["upgrade", "ci", super::CHART, "--reset-values"])
        .printed();
    let objects = template("ci", "platform", &[]).len();
    let upgraded = everything(&api).difference(&before).count();
    // Plus the Secret of the second revision.
    assert_eq!(upgraded, objects + 3);
}

/// An installation by kubectl can become a Helm release without recreated objects, as described in
/// the CHANGELOG.
#[tokio::test]
async fn an_installation_by_kustomize_becomes_a_release() {
    let api = api_server().await;
    crate::install::install(&api);
    let secret = "/api/v1/namespaces/drydock/secrets/drydock-ca";
    let admin = api.client(Identity::Admin).await;
    let before = get(&admin, secret).await.object();
    let settings = [
        "--take-ownership",
        "--force-conflicts",
        "--set",
        "timeoutSeconds=7",
    ];
    let install = ["install", "drydock", super::CHART, "-n", "drydock"];
    super::run(Some(&api), &[&install[..], &settings].concat()).printed();
    let after = get(&admin, secret).await.object();
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    let configuration = get(&admin, CONFIGURATION).await.object();
    assert_eq!(configuration["webhooks"][0]["timeoutSeconds"], 7);
}
