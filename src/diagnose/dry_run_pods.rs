//! The job pods that `drydock doctor` creates with `dryRun=All`: one for each generation of GitLab
//! Runner. The API server runs the whole admission, with all webhooks, and stores nothing.
//!
//! The pods meet the strictest Pod Security level and request few resources, so that a namespace
//! rarely refuses them. Only the pod with dind is privileged.

use super::facts::ReadError;
use serde_json::{Value, json};
use std::time::Duration;

/// A kind of pod.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum PodKind {
    /// Of GitLab Runner 17.9 and later, recognised by a label.
    Label,
    /// Of GitLab Runner 15.9 to 17.8, recognised by annotations.
    Annotations,
    /// Of older runners, recognised by the shape of the pod.
    Shape,
    /// Of GitLab Runner 17.9 and later, with dind and a Secret mounted at `/certs/client`.
    Dind,
    /// Not a job pod: shows how long the creation takes without drydock.
    Other,
}

/// The dry run of one pod.
#[derive(Clone, Debug)]
pub struct DryRun {
    /// The namespace.
    pub namespace: String,
    /// The kind of pod.
    pub kind: PodKind,
    /// The duration of the request.
    pub took: Duration,
    /// The result.
    pub result: DryRunResult,
}

/// The result of a dry run.
#[derive(Clone, Debug)]
pub enum DryRunResult {
    /// The pod as the API server would store it.
    Pod(Box<Value>),
    /// The message with which the API server refused the pod.
    Refused(String),
    /// The request failed.
    Failed(ReadError),
}

const LABEL: &str = "runner-drydock-project-0-concurrent-0";
/// It is never pulled. `.invalid` is a reserved domain (RFC 6761).
const IMAGE: &str = "drydock.invalid/doctor:1";

impl PodKind {
    /// The generations of job pods, without dind.
    pub const GENERATIONS: [Self; 3] = [Self::Label, Self::Annotations, Self::Shape];

    /// Returns the description of such pods.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Label => "GitLab Runner 17.9 or later",
            Self::Annotations => "GitLab Runner 15.9 to 17.8",
            Self::Shape => "GitLab Runner before 15.9",
            Self::Dind => "a job with dind",
            Self::Other => "a pod that is not a job pod",
        }
    }

    /// Returns the pod.
    #[must_use]
    pub fn pod(self) -> Value {
        let mut pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": format!("{LABEL}-doctor"), "labels": {"pod": LABEL}},
            "spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": false,
                "containers": [restricted("build"), restricted("helper")],
            },
        });
        if let Some(metadata) = pod.get_mut("metadata").and_then(Value::as_object_mut) {
            match self {
                Self::Label | Self::Dind => {
                    let labels = json!({"pod": LABEL, "job.runner.gitlab.com/pod": LABEL});
                    metadata.insert("labels".to_owned(), labels);
                }
                Self::Annotations => {
                    let id = "0";
                    let annotations =
                        json!({"job.runner.gitlab.com/id": id, "project.runner.gitlab.com/id": id});
                    metadata.insert("annotations".to_owned(), annotations);
                }
                Self::Shape => {
                    metadata.remove("name");
                    metadata.insert("generateName".to_owned(), LABEL.into());
                }
                Self::Other => {
                    metadata.remove("labels");
                    metadata.insert("name".to_owned(), "drydock-doctor".into());
                }
            }
        }
        if self == Self::Dind
            && let Some(spec) = pod.get_mut("spec")
        {
            *spec = dind();
        }
        pod
    }
}

fn resources() -> Value {
    let small = json!({"cpu": "10m", "memory": "16Mi"});
    json!({"requests": small, "limits": small})
}

/// A container that meets the Pod Security level `restricted`.
fn restricted(name: &str) -> Value {
    json!({
        "name": name,
        "image": IMAGE,
        "resources": resources(),
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": true,
            "runAsUser": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    })
}

fn dind() -> Value {
    let mount = json!({"name": "docker-certs", "mountPath": "/certs/client", "readOnly": true});
    let container = |name: &str, image: &str, env: Value| {
        json!({
            "name": name,
            "image": image,
            "env": env,
            "resources": resources(),
            "securityContext": {"privileged": true},
            "volumeMounts": [mount],
        })
    };
    let host = json!([{"name": "DOCKER_HOST", "value": "tcp://docker:2376"}]);
    let directory = json!([{"name": "DOCKER_TLS_CERTDIR", "value": "/certs"}]);
    json!({
        "restartPolicy": "Never",
        "automountServiceAccountToken": false,
        "hostAliases": [{"ip": "127.0.0.1", "hostnames": ["docker"]}],
        "containers": [
            container("build", IMAGE, host),
            container("helper", IMAGE, json!([])),
            container("docker", "drydock.invalid/docker:28-dind", directory),
        ],
        "volumes": [{"name": "docker-certs", "secret": {"secretName": "docker-certs"}}],
    })
}

impl DryRun {
    /// Returns drydock's annotation with the names of its changes.
    #[must_use]
    pub fn changes(&self) -> Option<&str> {
        let DryRunResult::Pod(pod) = &self.result else {
            return None;
        };
        let annotations = pod.pointer("/metadata/annotations")?;
        annotations.get("drydock.dev/changes")?.as_str()
    }

    /// Whether drydock changed the pod.
    #[must_use]
    pub fn is_repaired(&self) -> bool {
        self.changes().is_some()
    }
}
