//! The job pods that `drydock doctor` creates with `dryRun=All`: one for each generation of GitLab
//! Runner. The API server runs all admission plugins and webhooks, and stores nothing.
//!
//! The pods meet the strictest Pod Security level and request few resources, so that few namespaces
//! refuse them. Only the pod with dind is privileged.

use super::facts::ReadError;
use serde_json::{Value, json};
use std::time::Duration;

/// A kind of pod that `drydock doctor` creates.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum PodKind {
    /// A job pod of GitLab Runner 17.9 and later, recognised by a label.
    Label,
    /// A job pod of GitLab Runner 15.9 to 17.8, recognised by annotations.
    Annotations,
    /// A job pod of an older runner, recognised by the shape of the pod.
    Shape,
    /// A job pod of GitLab Runner 17.9 and later, with dind and a Secret mounted at
    /// `/certs/client`.
    Dind,
    /// A pod that is not a job pod. It shows how long the creation takes without drydock.
    Other,
}

/// A pod that was created with `dryRun=All`.
#[derive(Clone, Debug)]
pub struct DryRun {
    /// The namespace in which the pod was created.
    pub namespace: String,
    /// The kind of the pod.
    pub kind: PodKind,
    /// The duration of the request.
    pub took: Duration,
    /// The result of the request.
    pub result: DryRunResult,
}

/// The result of a dry run.
#[derive(Clone, Debug)]
pub enum DryRunResult {
    /// The pod as the API server would store it.
    Pod(Box<Value>),
    /// The message with which the API server refused the pod.
    Refused(String),
    /// The error of the request, such as a missing permission to create pods.
    Failed(ReadError),
}

const POD_LABEL: &str = "runner-drydock-project-0-concurrent-0";
/// This image is never pulled. `.invalid` is a reserved domain (RFC 6761).
const IMAGE: &str = "drydock.invalid/doctor:1";

impl PodKind {
    /// The kinds of job pods without dind, one for each generation of GitLab Runner.
    pub const GENERATIONS: [Self; 3] = [Self::Label, Self::Annotations, Self::Shape];

    /// Returns a description for messages.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Label => "a job pod of GitLab Runner 17.9 or later",
            Self::Annotations => "a job pod of GitLab Runner 15.9 to 17.8",
            Self::Shape => "a job pod of GitLab Runner before 15.9",
            Self::Dind => "a job pod with dind",
            Self::Other => "a pod that is not a job pod",
        }
    }

    /// Returns a pod of this kind as JSON.
    #[must_use]
    pub fn pod(self) -> Value {
        let mut pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": format!("{POD_LABEL}-doctor"), "labels": {"pod": POD_LABEL}},
            "spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": false,
                "containers": [restricted("build"), restricted("helper")],
            },
        });
        if let Some(metadata) = pod.get_mut("metadata").and_then(Value::as_object_mut) {
            match self {
                Self::Label | Self::Dind => {
                    let labels = json!({"pod": POD_LABEL, "job.runner.gitlab.com/pod": POD_LABEL});
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
                    metadata.insert("generateName".to_owned(), POD_LABEL.into());
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

/// Returns a container that meets the Pod Security level `restricted`.
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
    /// Returns the annotation in which drydock lists the names of its changes.
    #[must_use]
    pub fn changes(&self) -> Option<&str> {
        let DryRunResult::Pod(pod) = &self.result else {
            return None;
        };
        let annotations = pod.pointer("/metadata/annotations")?;
        annotations.get("drydock.dev/changes")?.as_str()
    }

    /// Returns whether drydock changed the pod.
    #[must_use]
    pub fn is_repaired(&self) -> bool {
        self.changes().is_some()
    }
}
