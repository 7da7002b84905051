//! The facts of a healthy cluster. Tests add faults to them.

use super::dry_run_pods::{DryRun, DryRunResult, PodKind};
use super::facts::{Facts, Handshake, ReadError, Reason, ReplicaMetrics, Replicas};
use super::permissions::{PermissionReview, needed};
use super::report::{Check, Level, Report};
use super::runner::{RunnerSettings, Version};
use super::webhook_metrics::AdmissionMetrics;
use crate::core::crd;
use crate::pki::authority::Authority;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub(super) const NOW: i64 = 1_800_000_000;
pub(super) const DAY: i64 = 24 * 60 * 60;

/// Deserializes a Kubernetes object.
#[track_caller]
pub(super) fn object<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// Returns a `caBundle` that expires in `days` days.
pub(super) fn bundle(days: u64) -> String {
    use base64::Engine as _;
    let now = Timestamp::from_second(NOW).unwrap();
    let lifetime = Duration::from_secs(days * 24 * 60 * 60);
    let authority = Authority::make("drydock", now, lifetime).unwrap();
    base64::engine::general_purpose::STANDARD.encode(authority.certificate().pem())
}

pub(super) fn webhook(mode: &str) -> Value {
    json!({
        "name": format!("{mode}.job-pods.drydock.dev"),
        "admissionReviewVersions": ["v1"],
        "clientConfig": {
            "service": {"namespace": "drydock", "name": "drydock", "port": 443, "path": if mode == "audit" { "/audit" } else { "/mutate" }},
            "caBundle": bundle(365),
        },
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"], "scope": "Namespaced"}],
        "namespaceSelector": {"matchExpressions": [
            {"key": "drydock.dev/job-pods", "operator": "In", "values": [mode]},
            {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system", "drydock"]},
        ]},
        "objectSelector": {"matchExpressions": [{"key": "pod", "operator": "Exists"}]},
        "failurePolicy": if mode == "audit" { "Ignore" } else { "Fail" },
        "reinvocationPolicy": "IfNeeded",
        "sideEffects": "NoneOnDryRun",
        "timeoutSeconds": 5,
    })
}

pub(super) fn configuration(name: &str, webhooks: &Value) -> Value {
    json!({"metadata": {"name": name, "creationTimestamp": "2026-01-01T00:00:00Z"}, "webhooks": webhooks})
}

pub(super) fn namespace(name: &str, labels: &Value) -> Value {
    json!({"metadata": {"name": name, "labels": labels}})
}

pub(super) fn policy(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "drydock.dev/v1alpha1",
        "kind": "JobPodPolicy",
        "metadata": {"name": name, "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": spec,
        "status": {"observedGeneration": 1, "conditions": [
            condition("Accepted", "True", ""),
            condition("AddressesResolved", "True", ""),
            condition("Conflicting", "False", ""),
        ]},
    })
}

pub(super) fn condition(type_: &str, status: &str, message: &str) -> Value {
    json!({"type": type_, "status": status, "reason": "R", "message": message, "lastTransitionTime": "2026-01-01T00:00:00Z"})
}

pub(super) fn replica(name: &str, node: &str, is_ready: bool) -> Value {
    let ready = if is_ready { "True" } else { "False" };
    json!({
        "metadata": {"name": name, "namespace": "drydock", "labels": {"app.kubernetes.io/name": "drydock"}},
        "spec": {"nodeName": node, "containers": [{"name": "drydock", "image": "example.com/drydock:0.1.0"}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready, "reason": "ContainersNotReady"}]},
    })
}

pub(super) fn runner(image: &str) -> Value {
    json!({
        "metadata": {"name": "gitlab-runner", "namespace": "gitlab"},
        "spec": {"selector": {}, "template": {"spec": {
            "serviceAccountName": "runner",
            "containers": [{"name": "runner", "image": image, "env": [{"name": "KUBERNETES_NAMESPACE", "value": "ci"}]}],
            "volumes": [{"name": "configuration", "configMap": {"name": "runner"}}],
        }}},
    })
}

/// Returns the dry run of a pod that drydock changed, or did not change.
pub(super) fn dry_run(kind: PodKind, is_changed: bool) -> DryRun {
    let mut pod = kind.pod();
    if is_changed {
        pod["metadata"]["annotations"]["drydock.dev/changes"] = "add-host-alias".into();
    }
    answered(kind, DryRunResult::Pod(Box::new(pod)))
}

pub(super) fn answered(kind: PodKind, result: DryRunResult) -> DryRun {
    DryRun {
        namespace: "ci".to_owned(),
        kind,
        took: Duration::from_millis(if kind == PodKind::Other { 2 } else { 4 }),
        result,
    }
}

pub(super) fn read_error(verb: &'static str, resource: &str, reason: Reason) -> ReadError {
    ReadError {
        verb,
        resource: resource.to_owned(),
        namespace: None,
        reason,
    }
}

/// Returns the CRD as the API server serves it.
pub(super) fn crd() -> Value {
    let mut served = serde_json::to_value(crd::definition()).unwrap();
    served["status"] = json!({
        "acceptedNames": {"kind": "JobPodPolicy", "plural": "jobpodpolicies"},
        "storedVersions": ["v1alpha1"],
        "conditions": [{"type": "Established", "status": "True"}],
    });
    served
}

/// Returns the facts about a healthy cluster: one policy, the opted-in namespace `ci`, one runner
/// and two replicas.
pub(super) fn healthy() -> Facts {
    let labels = json!({"app.kubernetes.io/name": "drydock"});
    let spec = json!({"hostAliases": [{"ip": "10.0.0.232", "hostnames": ["gitlab.mylab.com"]}]});
    let metrics = ReplicaMetrics {
        version: Some("0.1.0".to_owned()),
        certificate_expiry: Some(NOW + DAY),
    };
    let permissions = needed(Some(Version(17, 11)), false).into_iter();
    let permissions = permissions.map(|permission| PermissionReview {
        permission,
        namespace: Some("ci".to_owned()),
        allowed: Ok(true),
    });
    let mut dry_runs = vec![dry_run(PodKind::Other, false)];
    dry_runs.extend(PodKind::GENERATIONS.map(|kind| dry_run(kind, true)));
    Facts {
        version: "0.1.0".to_owned(),
        now: NOW,
        selected: Vec::new(),
        webhook_configurations: Ok(vec![object(configuration(
            "drydock",
            &json!([webhook("enforce"), webhook("audit")]),
        ))]),
        crd: Ok(Some(object(crd()))),
        namespaces: Ok(vec![
            object(namespace("ci", &json!({"drydock.dev/job-pods": "enforce"}))),
            object(namespace("default", &json!({}))),
        ]),
        policies: Ok(vec![policy("gitlab", &spec)]),
        deployments: Ok(vec![object(runner("gitlab/gitlab-runner:alpine-v17.11.0"))]),
        stateful_sets: Ok(Vec::new()),
        quotas: Ok(Vec::new()),
        limit_ranges: Ok(Vec::new()),
        admission_metrics: Ok(AdmissionMetrics {
            calls: 9,
            seconds: 0.009,
            failed: 0,
            fail_open: 0,
        }),
        replicas: Some(Replicas {
            service: Ok(Some(object(json!({
                "metadata": {"name": "drydock", "namespace": "drydock"},
                "spec": {"selector": labels},
            })))),
            deployments: Ok(vec![object(json!({
                "metadata": {"name": "drydock", "namespace": "drydock"},
                "spec": {"replicas": 2, "selector": {}, "template": {"metadata": {"labels": labels}}},
            }))]),
            pods: Ok(vec![
                object(replica("a", "node-1", true)),
                object(replica("b", "node-2", true)),
            ]),
            budgets: Ok(vec![object(
                json!({"spec": {"selector": {"matchLabels": labels}}}),
            )]),
            metrics: [
                ("a".to_owned(), Ok(metrics.clone())),
                ("b".to_owned(), Ok(metrics)),
            ]
            .into(),
            handshakes: ["a", "b"]
                .map(|pod| {
                    let served = Handshake {
                        expires: NOW + DAY,
                        verification_error: None,
                    };
                    (pod.to_owned(), Ok(served))
                })
                .into(),
        }),
        config_map_keys: BTreeMap::new(),
        claims: BTreeMap::new(),
        runner_settings: [(
            "gitlab/deployment/gitlab-runner".to_owned(),
            Ok(RunnerSettings {
                namespaces: vec!["ci".to_owned()],
                retries_webhooks: true,
                ..RunnerSettings::default()
            }),
        )]
        .into(),
        permissions: [(
            "gitlab/deployment/gitlab-runner".to_owned(),
            permissions.collect(),
        )]
        .into(),
        dry_runs,
        resolved: [(
            "gitlab.mylab.com".to_owned(),
            vec!["10.0.0.232".parse().unwrap()],
        )]
        .into(),
        pod: None,
    }
}

/// Returns the findings, each as `level name: text`.
pub(super) fn findings(report: &Report) -> Vec<String> {
    let found = report.checks().filter(|check| check.level.is_finding());
    found.map(line).collect()
}

fn line(check: &Check) -> String {
    note(check);
    let level = match check.level {
        Level::Info | Level::Good => "no finding",
        Level::Warning => "warning",
        Level::Error => "error",
    };
    // Every finding has its meaning for a job and the commands to run next.
    assert!(check.meaning.is_some(), "{check:?}");
    assert!(!check.next.is_empty(), "{check:?}");
    format!("{level} {}: {}", check.name, check.text)
}

thread_local! {
    /// The names of the findings that the tests in this thread produced.
    static SEEN: RefCell<BTreeSet<&'static str>> = RefCell::default();
}

/// Records the name of a check for [`seen`].
pub(super) fn note(check: &Check) {
    SEEN.with_borrow_mut(|seen| seen.insert(check.name));
}

/// Runs tests, and returns the names of the checks that they record.
pub(super) fn seen(tests: &[fn()]) -> BTreeSet<&'static str> {
    for test in tests {
        test();
    }
    SEEN.take()
}

/// Adds a fault to a healthy cluster, and returns the findings.
pub(super) fn with(fault: impl FnOnce(&mut Facts)) -> Vec<String> {
    let mut facts = healthy();
    fault(&mut facts);
    findings(&super::diagnose(&facts))
}
