//! Helpers for unit tests, which judge a pod, apply the patch, and judge the result again.
//!
//! A test specifies only the fields that it needs. A policy is written as its `spec` in YAML, and a
//! pod as its `spec` with an optional `metadata` inside. This module adds the other fields of a job
//! pod, and checks the rules that hold for every pod (A1 to A4).

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

pub(crate) mod cases;
pub(crate) mod mangle;

use crate::core::pod::Pod;
use crate::core::policy::set::{Namespace, PolicySet};
use crate::core::policy::{AddressesBySource, Mode};
use crate::core::rules::{Audience, Plan};
use crate::core::verdict::{self, Outcome, Scope, Verdict};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The containers `build`, `helper` and dind without mounts, for most tests of Docker rules.
pub(crate) const DIND: &str = "containers: [{name: build}, {name: helper}, {name: docker, image: docker:28-dind, securityContext: {privileged: true}}]";

/// Policies, a pod, and the namespace of the pod.
#[derive(Clone, Copy, Default)]
pub(crate) struct Setup<'a> {
    /// The name and spec of each policy. A policy with the name `name@3` has the generation 3.
    pub(crate) policies: &'a [(&'a str, &'a str)],
    /// The spec of the pod, with an optional `metadata` inside.
    pub(crate) pod: &'a str,
    /// The mode of the namespace.
    pub(crate) mode: Mode,
    /// The current addresses of live sources, by name as in `ingress/cicd/gitlab`.
    pub(crate) live: &'a [(&'a str, &'a [&'a str])],
    /// The name of the namespace.
    pub(crate) namespace: &'a str,
    /// The labels of the namespace.
    pub(crate) namespace_labels: &'a [(&'a str, &'a str)],
}

/// The spec of a policy that changes only the certificates of dind.
pub(crate) const CERTS_ONLY: &str = "dind: {volumes: []}";

/// The result of judging a pod.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) outcome: Outcome,
    /// The original pod.
    pub(crate) before: Value,
    /// The pod with the patch applied.
    pub(crate) pod: Value,
    /// The patch, or null.
    pub(crate) patch: Value,
    /// The names of the changes of Enforce policies.
    pub(crate) changes: Vec<&'static str>,
    /// The names of the changes that Audit policies would make to the result.
    pub(crate) audit_changes: Vec<&'static str>,
    /// The rule, sentence and audience of each finding.
    pub(crate) findings: Vec<(&'static str, String, Audience)>,
    /// The rule and sentence of each change.
    pub(crate) sentences: Vec<(&'static str, String)>,
    /// The sentences of the overrides.
    pub(crate) overrides: Vec<String>,
}

/// Judges a pod with one Enforce policy.
#[track_caller]
pub(crate) fn judge(policy: &str, pod: &str) -> Judged {
    let policies = &[("test", policy)];
    Setup {
        policies,
        pod,
        ..Setup::default()
    }
    .judge()
}

impl Setup<'_> {
    /// Judges the pod, applies the patch, and judges the result.
    #[track_caller]
    pub(crate) fn judge(&self) -> Judged {
        let before = pod(self.pod);
        let judged = self.judge_once(&before);
        check_changed_pod(&judged);
        let again = self.judge_once(&judged.pod);
        if judged.outcome == Outcome::Mutated {
            let empty: Vec<&str> = Vec::new();
            assert_eq!(again.changes, empty, "A2: {:#}", judged.pod);
            assert_eq!(again.patch, Value::Null);
        } else {
            assert_eq!(again.outcome, judged.outcome);
        }
        judged
    }

    /// Calls a function with the verdict on the pod.
    pub(crate) fn with_verdict<R>(&self, test: impl FnOnce(&Verdict<'_>) -> R) -> R {
        self.judge_value(&pod(self.pod), test)
    }

    fn judge_value<R>(&self, pod: &Value, test: impl FnOnce(&Verdict<'_>) -> R) -> R {
        let text = pod.to_string();
        let labels = self.namespace_labels.iter();
        let labels: BTreeMap<String, String> = labels
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let scope = Scope {
            namespace: Namespace {
                name: self.namespace,
                labels: Some(&labels),
            },
            mode: self.mode,
            own_namespace: "drydock",
        };
        let set = self.policy_set();
        let pod = Pod::from_json(&text).expect("the pod should be valid");
        test(&verdict::judge(pod, &set, scope).expect("the patch should be within its limit"))
    }

    /// Returns the policies, with the addresses of their live sources.
    #[track_caller]
    pub(crate) fn policy_set(&self) -> PolicySet {
        let policies = self.policies.iter().map(|(name, spec)| policy(name, spec));
        let live: AddressesBySource = self
            .live
            .iter()
            .map(|(source, addresses)| {
                let addresses = addresses
                    .iter()
                    .map(|ip| ip.parse().expect("the text should be an address"))
                    .collect();
                (
                    source.parse().expect("the text should be a source"),
                    addresses,
                )
            })
            .collect();
        PolicySet::new(policies.collect(), &live)
    }

    #[track_caller]
    fn judge_once(&self, before: &Value) -> Judged {
        self.judge_value(before, |verdict| {
            let patch: Value = match &verdict.patch {
                Some(text) => serde_json::from_str(text).expect("the patch should be JSON"),
                None => Value::Null,
            };
            assert_eq!(
                patch.is_array(),
                verdict.outcome == Outcome::Mutated,
                "{verdict:?}"
            );
            let mut pod = before.clone();
            if patch.is_array() {
                let patch: json_patch::Patch = serde_json::from_value(patch.clone())
                    .expect("the patch should be a JSON Patch");
                json_patch::patch(&mut pod, &patch).expect("A3: the patch should apply");
            }
            let names = |plan: &Plan<'_>| plan.changes.iter().map(|change| change.name()).collect();
            let changes = verdict.enforced.changes.iter();
            let overrides = [&verdict.matching.enforce, &verdict.matching.audit];
            Judged {
                outcome: verdict.outcome,
                before: before.clone(),
                pod,
                patch,
                changes: names(&verdict.enforced),
                audit_changes: names(&verdict.audited),
                findings: verdict
                    .findings(Audience::Explain)
                    .map(|(finding, _)| (finding.rule(), finding.to_string(), finding.audience()))
                    .collect(),
                sentences: changes
                    .map(|change| (change.rule(), change.to_string()))
                    .collect(),
                overrides: overrides
                    .iter()
                    .flat_map(|desired| &desired.overrides)
                    .map(ToString::to_string)
                    .collect(),
            }
        })
    }
}

impl Judged {
    /// Returns the `hostAliases` of the pod.
    pub(crate) fn host_aliases(&self) -> &Value {
        field(&self.pod, "/spec/hostAliases")
    }

    /// Returns the volumes of the pod.
    pub(crate) fn volumes(&self) -> &Value {
        field(&self.pod, "/spec/volumes")
    }

    /// Returns the mounts of a container or init container.
    #[track_caller]
    pub(crate) fn mounts(&self, container: &str) -> &Value {
        let found = containers(&self.pod).find(|(_, known)| known["name"] == container);
        let (_, found) = found.expect("the pod should have the container");
        field(found, "/volumeMounts")
    }

    /// Returns the sentences of the findings of a rule.
    pub(crate) fn findings_of(&self, rule: &str) -> Vec<&str> {
        let findings = self.findings.iter().filter(|(known, ..)| *known == rule);
        findings.map(|(_, sentence, _)| sentence.as_str()).collect()
    }

    /// Returns whether a finding of a rule for the author of the job contains a text.
    pub(crate) fn reports_to_author(&self, rule: &str, text: &str) -> bool {
        self.reports(rule, text, |audience| audience == Audience::Author)
    }

    /// Returns whether a finding of a rule for the platform team contains a text.
    pub(crate) fn reports_to_team(&self, rule: &str, text: &str) -> bool {
        self.reports(rule, text, |audience| audience != Audience::Explain)
    }

    fn reports(&self, rule: &str, text: &str, fits: impl Fn(Audience) -> bool) -> bool {
        self.findings.iter().any(|(known, sentence, audience)| {
            *known == rule && sentence.contains(text) && fits(*audience)
        })
    }

    /// Asserts that the pod is unchanged.
    #[track_caller]
    pub(crate) fn assert_unchanged(&self) {
        assert_eq!(self.outcome, Outcome::Unchanged, "{:?}", self.sentences);
        assert_eq!(self.pod, self.before);
    }
}

/// Returns a job pod of a current runner with the fields of a spec and of the `metadata` in it.
#[track_caller]
pub(crate) fn pod(spec: &str) -> Value {
    let (mut metadata, mut spec) = metadata_and_spec(spec);
    metadata
        .entry("labels")
        .or_insert_with(|| json!({"job.runner.gitlab.com/pod": "runner-t-project-1-concurrent-0"}));
    spec.entry("containers")
        .or_insert_with(|| json!([{"name": "build"}, {"name": "helper"}]));
    json!({"metadata": metadata, "spec": spec})
}

/// Returns the spec of a pod with these volumes, and with these mounts of `build` and of the dind
/// container `docker`.
pub(crate) fn dind_pod(volumes: &str, build: &str, docker: &str) -> String {
    format!(
        "volumes: [{volumes}]
containers:
- {{name: build, volumeMounts: [{build}]}}
- {{name: helper}}
- {{name: docker, image: 'docker:28-dind', securityContext: {{privileged: true}}, volumeMounts: [{docker}]}}"
    )
}

/// Returns the text of a policy file with one policy.
pub(crate) fn policy_text(name: &str, spec: &str) -> String {
    let (mut metadata, spec) = metadata_and_spec(spec);
    let (name, generation) = name.split_once('@').unwrap_or((name, ""));
    metadata.insert("name".to_owned(), json!(name));
    if let Ok(generation) = generation.parse::<i64>() {
        metadata.insert("generation".to_owned(), json!(generation));
    }
    json!({"apiVersion": "drydock.dev/v1alpha1", "kind": "JobPodPolicy", "metadata": metadata, "spec": spec}).to_string()
}

#[track_caller]
fn policy(name: &str, spec: &str) -> crate::core::policy::Policy {
    let mut file = crate::core::policy::read("test", &policy_text(name, spec));
    assert!(file.errors.is_empty(), "{:?}", file.errors);
    file.policies
        .pop()
        .expect("the text should contain a policy")
}

#[track_caller]
fn metadata_and_spec(yaml: &str) -> (Map<String, Value>, Map<String, Value>) {
    let spec: Option<Value> =
        serde_saphyr::from_str(yaml).expect("the YAML of the test should be valid");
    let mut spec = match spec {
        Some(Value::Object(spec)) => spec,
        other => {
            assert!(
                other.is_none_or(|other| other.is_null()),
                "the YAML should be a mapping"
            );
            Map::new()
        }
    };
    match spec.remove("metadata") {
        Some(Value::Object(metadata)) => (metadata, spec),
        _ => (Map::new(), spec),
    }
}

/// Asserts the rules that hold for every pod: the patch has no `test` operation (A3), only the
/// fields that rules change are changed (A1), and the pod is as valid as before (A4).
#[track_caller]
fn check_changed_pod(judged: &Judged) {
    for operation in judged.patch.as_array().into_iter().flatten() {
        assert!(
            ["add", "remove", "replace"].contains(&operation["op"].as_str().unwrap_or_default()),
            "A3: {operation}"
        );
    }
    assert_eq!(
        unchanged_fields(&judged.before),
        unchanged_fields(&judged.pod),
        "A1"
    );
    assert_eq!(
        validation_errors(&judged.before),
        validation_errors(&judged.pod),
        "A4"
    );
}

/// Returns the pod without the fields that rules change.
fn unchanged_fields(pod: &Value) -> Value {
    let mut pod = pod.clone();
    let without = |object: &mut Value, fields: &[&str]| {
        if let Some(object) = object.as_object_mut() {
            object.retain(|field, _| !fields.contains(&field.as_str()));
        }
    };
    without(&mut pod["metadata"], &["annotations"]);
    let changed = ["hostAliases", "volumes", "nodeSelector", "tolerations"];
    without(&mut pod["spec"], &changed);
    for list in ["containers", "initContainers"] {
        let list = pod.pointer_mut(&format!("/spec/{list}"));
        for container in list.and_then(Value::as_array_mut).into_iter().flatten() {
            without(container, &["volumeMounts"]);
        }
    }
    pod
}

/// Returns the errors that the API server would report for a pod. Checks only for errors that
/// changes could cause.
fn validation_errors(pod: &Value) -> Vec<String> {
    let mut errors = Vec::new();
    let volumes: Vec<&str> = texts(field(pod, "/spec/volumes"), "name");
    for (index, name) in volumes.iter().enumerate() {
        if volumes[..index].contains(name) {
            errors.push(format!("two volumes have the name {name}"));
        }
        if name.len() > 63 {
            errors.push(format!("{name} is too long"));
        }
    }
    for (list, container) in containers(pod) {
        let name = format!("{list} {}", container["name"]);
        let mounts = field(container, "/volumeMounts");
        let devices = texts(field(container, "/volumeDevices"), "name");
        for volume in texts(mounts, "name") {
            if !volumes.contains(&volume) {
                errors.push(format!("{name} mounts the missing volume {volume}"));
            }
            if devices.contains(&volume) {
                errors.push(format!("{name} mounts the device {volume}"));
            }
        }
        let paths = texts(mounts, "mountPath");
        for (index, path) in paths.iter().enumerate() {
            if paths[..index].contains(path) {
                errors.push(format!("{name} has two mounts at {path}"));
            }
        }
    }
    errors.sort();
    errors
}

fn containers(pod: &Value) -> impl Iterator<Item = (&'static str, &Value)> {
    ["containers", "initContainers"]
        .into_iter()
        .flat_map(|list| {
            let containers = field(pod, &format!("/spec/{list}")).as_array();
            containers
                .into_iter()
                .flatten()
                .map(move |container| (list, container))
        })
}

fn texts<'v>(list: &'v Value, name: &str) -> Vec<&'v str> {
    let items = list.as_array().into_iter().flatten();
    items.filter_map(|item| item[name].as_str()).collect()
}

/// Returns a field, or null if it is missing.
fn field<'v>(value: &'v Value, pointer: &str) -> &'v Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}
