//! A generated case, and drydock's result for it.

use super::verdict::{self, patched};
use drydock::core::pod::Pod;
use drydock::core::policy::{self, AddressesBySource, Mode, PolicySet};
use drydock::core::rules;
use drydock::core::verdict::Verdict;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;

/// Policies, the addresses of their live sources, and a pod. `Debug` prints YAML that reproduces
/// the case.
#[derive(Clone)]
pub struct Case {
    pub policies: Vec<Value>,
    /// The addresses of each live source, such as `service/cicd/gitlab`, in the order of its
    /// status.
    pub live: BTreeMap<String, Vec<&'static str>>,
    pub namespace_mode: Mode,
    pub pod: Value,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "namespace mode: {:?}", self.namespace_mode)?;
        writeln!(f, "live addresses: {:?}", self.live)?;
        for object in self.policies.iter().chain([&self.pod]) {
            let yaml = serde_saphyr::to_string(object).map_err(|_| fmt::Error)?;
            write!(f, "---\n{yaml}")?;
        }
        Ok(())
    }
}

impl Case {
    /// Returns a case with one policy and a pod, both as YAML.
    pub fn from_yaml(policy: &str, pod: &str) -> Self {
        let read = |text: &str| -> Value {
            serde_saphyr::from_str(text).expect("the case is not valid YAML")
        };
        Self {
            policies: vec![read(policy)],
            live: BTreeMap::new(),
            namespace_mode: Mode::Enforce,
            pod: read(pod),
        }
    }

    /// Returns the case without policy volumes that would break a working pod: volumes that hide
    /// files of dind, and read-only volumes for its data.
    pub fn with_usable_volumes(&self) -> Self {
        let mut case = self.clone();
        // Mounts above or below a policy's volume do not prevent it (rule V2), but then one of the
        // mount points may be missing. The volume of dind's image for its data needs one, too.
        let containers = super::pod_model::containers(&self.pod, &[]);
        let mounts: Vec<String> = containers
            .iter()
            .flat_map(|container| container.mounts())
            .map(super::pod_model::path)
            .collect();
        let is_contested = |path: &str| {
            let mut others = mounts.iter().filter(|mount| *mount != path);
            others.any(|mount| super::pod_model::overlap(mount, path))
        };
        for policy in &mut case.policies {
            let has_defaults = policy
                .pointer("/spec/dind")
                .is_some_and(|dind| dind.is_object() && dind.get("volumes").is_none());
            if has_defaults && (is_contested("/lib/modules") || is_contested("/var/lib/docker")) {
                policy["spec"]["dind"]["volumes"] = json!([]);
            }
            let volumes = policy.pointer_mut("/spec/dind/volumes");
            if let Some(volumes) = volumes.and_then(Value::as_array_mut) {
                volumes.retain(|volume| {
                    let path = volume["mountPath"].as_str().unwrap_or_default();
                    // The driver of a PersistentVolumeClaim decides whether a rootless daemon can
                    // write.
                    let is_data = volume.get("emptyDir").is_some()
                        && volume["readOnly"] != true
                        && volume["containers"] != "All";
                    let is_usable = matches!(path, "/lib/modules" | "/cache")
                        || path == "/var/lib/docker" && is_data;
                    is_usable && !is_contested(path)
                });
            }
        }
        case
    }

    /// Returns the policies as drydock reads them. Asserts that all are valid, because the
    /// generator creates only valid policies.
    pub fn policy_set(&self) -> PolicySet {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": self.policies});
        let read = policy::read("the case", &list.to_string());
        assert!(
            read.errors.is_empty(),
            "a valid policy is refused: {:?}",
            read.errors
        );
        let live: AddressesBySource = self
            .live
            .iter()
            .map(|(source, addresses)| {
                let addresses = addresses.iter().map(|text| text.parse().unwrap());
                (source.parse().unwrap(), addresses.collect())
            })
            .collect();
        PolicySet::new(read.policies, &live)
    }

    /// Calls `read` with the verdict on `pod`.
    pub fn judge<T>(&self, pod: &Value, read: impl FnOnce(&Verdict<'_>) -> T) -> T {
        verdict::judge(pod, &self.policy_set(), self.namespace_mode, read)
    }

    /// Runs drydock on the case's pod.
    pub fn run(&self) -> Run {
        let (patch, outcome, findings, team_findings) = self.judge(&self.pod, |verdict| {
            let findings = |audience| -> Vec<String> {
                let notes = verdict.findings(audience);
                notes
                    .map(|(note, _)| format!("{}: {note}", note.rule()))
                    .collect()
            };
            (
                verdict.patch.clone(),
                verdict.outcome.name(),
                findings(rules::Audience::Author),
                findings(rules::Audience::Team),
            )
        });
        Run {
            output: patched(&self.pod, patch.as_deref()),
            patch,
            outcome,
            findings,
            team_findings,
        }
    }

    /// Returns the parts of the pod to which drydock applied its changes in memory, without the
    /// patch.
    pub fn changed_parts(&self) -> Vec<String> {
        let (set, text) = (self.policy_set(), self.pod.to_string());
        let mut pod = Pod::from_json(&text).unwrap();
        let scope = verdict::scope(self.namespace_mode);
        let matching = set.matching(|key| pod.label(key), scope.namespace);
        let _ = rules::plan(&mut pod, &matching.enforce);
        changed_parts(&pod)
    }
}

/// The result for a case's pod.
pub struct Run {
    pub patch: Option<String>,
    pub output: Value,
    pub outcome: &'static str,
    /// The findings for the author of the job, each with its rule.
    pub findings: Vec<String>,
    /// The findings for the platform team, including those for the author.
    pub team_findings: Vec<String>,
}

/// Returns the parts of a pod that rules change (mounts, volumes, hostAliases, scheduling), one
/// line each.
pub fn changed_parts(pod: &Pod<'_>) -> Vec<String> {
    let mut lines = vec![format!("{:?}", pod.host_aliases())];
    for volume in pod.volumes() {
        lines.push(format!("{} {}", &*volume.name, &*volume.kind));
    }
    for (id, container) in pod.containers() {
        for mount in container.mounts() {
            lines.push(format!("{id:?} {mount:?}"));
        }
    }
    for toleration in pod.spec.tolerations.iter().flatten() {
        let terms = [
            &toleration.key,
            &toleration.operator,
            &toleration.value,
            &toleration.effect,
        ];
        let terms = terms.map(|term| term.as_deref().unwrap_or_default());
        lines.push(format!("{terms:?} {:?}", toleration.toleration_seconds));
    }
    let selector = pod.spec.node_selector.as_ref();
    lines.push(format!("{selector:?}"));
    lines
}
