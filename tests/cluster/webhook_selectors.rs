//! The pods for which the API server calls drydock, with the selectors of `manifests/` (rules P1,
//! P2).

use crate::api_server::shared;
use crate::identity::Identity;
use crate::isolation::{SCOPE_LABEL, Scope};
use crate::job_pods::registered;
use crate::other_webhook::OtherWebhook;
use crate::raw_requests::{self, DryRun, create_pod};
use crate::registration::Registration;
use crate::runner_pods::{broken_job, essence, fixture, fixtures};
use crate::wait::{TIMEOUT, eventually};
use drydock::core::job_pod::recognise;
use drydock::core::pod::Pod;
use drydock::names::{AUDIT, ENFORCE, OPT_IN_LABEL};
use kube::Client;
use serde_json::{Value, json};

/// A webhook that counts its calls, with the selectors of drydock.
struct CountingWebhook<'a> {
    scope: Scope<'a>,
    webhook: OtherWebhook,
    namespace: String,
    runner: Client,
}

impl CountingWebhook<'_> {
    async fn new() -> Self {
        let api = shared().await;
        let scope = api.scope("called").await;
        let webhook = OtherWebhook::start(|_| Vec::new()).await;
        let registration = Registration::new(webhook.url(), webhook.authority(), None);
        registration.apply(&scope).await;
        let namespace = scope.namespace("jobs", Some(ENFORCE)).await;
        let runner = api.client(Identity::Runner).await;
        let new = Self {
            scope,
            webhook,
            namespace,
            runner,
        };
        let pod = broken_job();
        let create = async || new.calls_for(&new.namespace, &pod).await;
        eventually("the webhook is called", TIMEOUT, create, |calls| {
            *calls == 1
        })
        .await;
        new
    }

    /// Returns how often the API server calls the webhook for a pod.
    async fn calls_for(&self, namespace: &str, pod: &Value) -> usize {
        let before = self.webhook.calls();
        create_pod(&self.runner, namespace, pod, DryRun::Yes).await;
        self.webhook.calls() - before
    }

    async fn is_called_for(&self, pod: &Value) -> bool {
        self.calls_for(&self.namespace, pod).await == 1
    }
}

fn is_job_pod(pod: &Value) -> bool {
    let text = pod.to_string();
    let pod: Pod<'_> = serde_json::from_str(&text).unwrap();
    recognise(&pod).is_ok()
}

fn ordinary_pod() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web"},
        "spec": {"containers": [{"name": "web", "image": "web"}]},
    })
}

#[tokio::test]
async fn real_job_pods_are_reviewed_and_other_pods_are_not() {
    let counted = CountingWebhook::new().await;
    for (name, pod) in fixtures() {
        // This fixture is not a runner's pod.
        let is_runner_s = name != "reviews/nomatch";
        assert_eq!(is_job_pod(&pod), is_runner_s, "{name}");
        assert_eq!(counted.is_called_for(&pod).await, is_runner_s, "{name}");
    }
    assert!(!counted.is_called_for(&ordinary_pod()).await);
}

/// `pod_labels` in the runner's configuration can change the value of the label, but not remove it.
#[tokio::test]
async fn the_value_of_the_label_does_not_matter() {
    let counted = CountingWebhook::new().await;
    for value in ["", "web", "runner-abcdefgh-project-1-concurrent-0"] {
        let mut pod = fixture("pods/a-13.12.0-dind-secret");
        pod["metadata"]["labels"]["pod"] = value.into();
        assert!(counted.is_called_for(&pod).await, "{value:?}");
    }
}

/// The selectors match any pod with the label; drydock does not change pods that are not job pods.
#[tokio::test]
async fn a_pod_with_only_the_label_pod_is_reviewed_and_skipped() {
    let mut pod = ordinary_pod();
    pod["metadata"]["labels"]["pod"] = "web".into();
    assert!(!is_job_pod(&pod));
    let counted = CountingWebhook::new().await;
    assert!(counted.is_called_for(&pod).await);

    let api = shared().await;
    let scope = api.scope("skipped").await;
    let server = registered(&scope).await;
    let namespace = scope.namespace("jobs", Some(ENFORCE)).await;
    let plain = scope.namespace("plain", None).await;
    let runner = api.client(Identity::Runner).await;
    let skipped = create_pod(&runner, &namespace, &pod, DryRun::No).await;
    let untouched = create_pod(&runner, &plain, &pod, DryRun::No).await;
    assert_eq!(skipped.warnings, Vec::<String>::new());
    assert_eq!(essence(&skipped.object()), essence(&untouched.object()));
    let (_, metrics) = server.get("/metrics");
    let is_counted = |line: &str| {
        line.starts_with("drydock_reviews_total{outcome=\"skipped\"") && line.ends_with(" 1")
    };
    assert!(metrics.lines().any(is_counted), "{metrics}");
}

/// Only the namespace decides whether job pods are reviewed (rule P1).
#[tokio::test]
async fn only_pods_of_opted_in_namespaces_are_reviewed() {
    let counted = CountingWebhook::new().await;
    let scope = &counted.scope;
    let pod = broken_job();
    for (about, mode, calls) in [
        ("audit", Some(AUDIT), 1),
        ("none", None, 0),
        ("misspelt", Some("Enforce"), 0),
        ("off", Some("off"), 0),
    ] {
        let namespace = scope.namespace(about, mode).await;
        assert_eq!(counted.calls_for(&namespace, &pod).await, calls, "{about}");
    }
    // These namespaces are excluded by name, even if they have the label.
    for name in ["kube-system", "drydock"] {
        let namespace = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": {SCOPE_LABEL: scope.name, OPT_IN_LABEL: ENFORCE}},
        });
        let path = format!("/api/v1/namespaces/{name}");
        raw_requests::apply(&scope.admin, &path, &namespace)
            .await
            .object();
        assert_eq!(counted.calls_for(name, &pod).await, 0, "{name}");
    }
}
