//! Job pods that are sent with `dryRun=All`: one of each generation of GitLab Runner, and what
//! comes back.
//!
//! The API server runs every step of an admission, webhooks among them, and stores nothing. They
//! meet the strictest Pod Security level and name small resources, so that a refusal is about
//! drydock and not about them; only the one with a Docker daemon is privileged, because such pods
//! are.

use super::facts::Unread;
use serde_json::{Value, json};
use std::time::Duration;

/// The kinds of pods that are sent.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// Runner 17.9 and later: known by a label.
    Label,
    /// Runner 15.9 to 17.8: known by annotations.
    Annotations,
    /// Earlier runners: known by their shape.
    Shape,
    /// Runner 17.9 and later, with a Docker daemon whose certificates a Secret displaces.
    Dind,
    /// No job pod: it says how long a creation takes without drydock.
    Other,
}

/// What became of a pod that was sent.
#[derive(Clone, Debug)]
pub struct Probed {
    /// The namespace.
    pub namespace: String,
    /// What was sent.
    pub kind: Kind,
    /// How long it took.
    pub took: Duration,
    /// What came back.
    pub answer: Answer,
}

/// What came back.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The pod as it would be stored.
    Pod(Box<Value>),
    /// The API server's refusal.
    Refused(String),
    /// It could not be sent.
    Unread(Unread),
}

const LABEL: &str = "runner-drydock-project-0-concurrent-0";
/// Never pulled: nothing is stored. `.invalid` has no addresses (RFC 6761).
const IMAGE: &str = "drydock.invalid/doctor:1";

impl Kind {
    /// Those of job pods, without a Docker daemon.
    pub const GENERATIONS: [Self; 3] = [Self::Label, Self::Annotations, Self::Shape];

    /// Returns who makes such pods.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Label => "GitLab Runner 17.9 or later",
            Self::Annotations => "GitLab Runner 15.9 to 17.8",
            Self::Shape => "GitLab Runner before 15.9",
            Self::Dind => "a job with dind",
            Self::Other => "a pod that is no job pod",
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

/// A container that the Pod Security level `restricted` lets in.
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

impl Probed {
    /// Returns the changes that the pod came back with, in drydock's own names.
    #[must_use]
    pub fn changes(&self) -> Option<&str> {
        let Answer::Pod(pod) = &self.answer else {
            return None;
        };
        let annotations = pod.pointer("/metadata/annotations")?;
        annotations.get("drydock.dev/changes")?.as_str()
    }

    /// Whether it came back changed by drydock.
    #[must_use]
    pub fn is_repaired(&self) -> bool {
        self.changes().is_some()
    }
}
