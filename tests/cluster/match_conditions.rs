//! The conditions of the committed webhooks: the API server calls for those pods that `job_pod::recognise` takes (P2, P3), and for no others.

use crate::api_server::shared;
use crate::call::{self, DryRun, create_pod};
use crate::identity::Identity;
use crate::other_webhook::OtherWebhook;
use crate::pods::{broken_job, fixture, fixtures};
use crate::registration::Registration;
use crate::scope::{SCOPE_LABEL, Scope};
use crate::wait::{PATIENCE, eventually};
use drydock::core::job_pod::{NotJobPod, Recognised, recognise};
use drydock::core::pod::Pod;
use drydock::names::{AUDIT, ENFORCE, OPT_IN_LABEL};
use kube::Client;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// A webhook that counts, registered as drydock is.
struct Counted<'a> {
    scope: Scope<'a>,
    webhook: OtherWebhook,
    namespace: String,
    runner: Client,
}

impl Counted<'_> {
    async fn new() -> Self {
        let api = shared().await;
        let scope = api.scope("conditions").await;
        let webhook = OtherWebhook::start(|_| Vec::new()).await;
        let registration = Registration {
            url: &webhook.url(),
            authority: webhook.authority(),
            failure_policy: None,
        };
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
        eventually("it is called", PATIENCE, create, |calls| *calls == 1).await;
        new
    }

    /// How often the API server calls for a pod. Whether it lets it in is its own affair, but no condition has failed.
    async fn calls_for(&self, namespace: &str, pod: &Value) -> usize {
        let before = self.webhook.calls();
        let answer = create_pod(&self.runner, namespace, pod, DryRun::Yes).await;
        let said = answer.body["message"].as_str().unwrap_or_default();
        for of_webhooks in ["webhook", "expression"] {
            assert!(!said.contains(of_webhooks), "{said}: {pod}");
        }
        self.webhook.calls() - before
    }

    async fn is_called_for(&self, pod: &Value) -> bool {
        self.calls_for(&self.namespace, pod).await == 1
    }
}

fn recognised(pod: &Value) -> Result<Recognised, NotJobPod> {
    let text = pod.to_string();
    let pod: Pod<'_> = serde_json::from_str(&text).unwrap();
    recognise(&pod)
}

#[tokio::test]
async fn every_real_job_pod_is_called_for_and_ordinary_pods_are_not() {
    let counted = Counted::new().await;
    for (name, pod) in fixtures() {
        // One of them is no runner's.
        let is_job_pod = name != "reviews/nomatch";
        assert_eq!(recognised(&pod).is_ok(), is_job_pod, "{name}");
        assert_eq!(counted.is_called_for(&pod).await, is_job_pod, "{name}");
    }
    let ordinary = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web"},
        "spec": {"containers": [{"name": "web", "image": "web"}]},
    });
    assert!(!counted.is_called_for(&ordinary).await);
}

/// P1: the namespace decides, whatever the pod.
#[tokio::test]
async fn only_namespaces_that_opted_in_are_called_for() {
    let counted = Counted::new().await;
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
    // Whatever their labels: these are excluded by name.
    for name in ["kube-system", "drydock"] {
        let namespace = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": {SCOPE_LABEL: scope.name, OPT_IN_LABEL: ENFORCE}},
        });
        let path = format!("/api/v1/namespaces/{name}");
        call::apply(&scope.admin, &path, &namespace).await.object();
        assert_eq!(counted.calls_for(name, &pod).await, 0, "{name}");
    }
}

/// The runner of 13.12, by its shape alone, under each name that a runner could have given.
#[tokio::test]
async fn names_of_every_length_are_called_for() {
    let counted = Counted::new().await;
    let mut calls = 0;
    let labels = labels();
    for label in &labels {
        for (field, name) in [
            ("generateName", label.clone()),
            ("generateName", format!("{label}-")),
            (
                "name",
                format!("{}-abcdefgh", &label[..label.len().min(54)]),
            ),
            ("name", format!("{}x-abcdef", &label[..label.len().min(53)])),
        ] {
            let mut pod = by_shape();
            pod["metadata"] = json!({"labels": {"pod": label}, field: name});
            let wanted = recognised(&pod).is_ok();
            assert_eq!(counted.is_called_for(&pod).await, wanted, "{field}: {name}");
            calls += usize::from(wanted);
        }
    }
    assert!(calls >= 40, "{calls} of {}", 4 * labels.len());
}

/// Unique names of runners, whole and cut at 63 characters at every place, and what only looks like one.
fn labels() -> Vec<String> {
    let mut labels: Vec<String> = [
        "runner-abcdefgh-project-1-concurrent-0",
        "runner-abcdefgh-project-1",
        "runner-a-b-project-1-concurrent-12",
        "runner-project-7-project-1-concurrent-0",
        "runner-abcdefgh-project-1-concurrent-",
        "runner-abcdefgh-project-1-concurrent-x",
        "runner-abcdefgh-project-1-concurrent-0x",
        "runner-abcdefgh-project-1-conc",
        "runner-abcdefgh-project-1-",
        "runner-abcdefgh-project--concurrent-0",
        "runner-abcdefgh-project-x-concurrent-0",
        "runner--project-1-concurrent-0",
        "runner-project-1-concurrent-0",
        "my-runner-abcdefgh-project-1-concurrent-0",
        "Runner-abcdefgh-project-1-concurrent-0",
        "web",
        "",
    ]
    .map(str::to_owned)
    .into();
    // From the last digit of the project on, one character more of it each time.
    for cut in 0.."-concurrent-123".len() {
        let tail = format!("-project-4711{}", &"-concurrent-123"[..cut]);
        for length in [62, 63] {
            let token = "t".repeat(length - "runner-".len() - tail.len());
            labels.push(format!("runner-{token}{tail}"));
        }
    }
    labels
}

/// A pod of a runner without labels and annotations of its own.
fn by_shape() -> Value {
    let mut pod = fixture("pods/a-13.12.0-dind-secret");
    let label = pod["metadata"]["labels"]["pod"].clone();
    pod["metadata"] = json!({"labels": {"pod": label}, "generateName": label});
    pod
}

/// What somebody may do to a pod, each by its name.
type Mutation = (&'static str, fn(&mut Value));

const MUTATIONS: &[Mutation] = &[
    ("no pod label of 17.9", |pod| {
        remove(pod, "/metadata/labels", "job.runner.gitlab.com/pod")
    }),
    ("no job annotation", |pod| {
        remove(pod, "/metadata/annotations", "job.runner.gitlab.com/id")
    }),
    ("no project annotation", |pod| {
        remove(pod, "/metadata/annotations", "project.runner.gitlab.com/id")
    }),
    ("no pod label", |pod| remove(pod, "/metadata/labels", "pod")),
    ("no labels", |pod| remove(pod, "/metadata", "labels")),
    ("no annotations", |pod| {
        remove(pod, "/metadata", "annotations")
    }),
    ("null labels", |pod| pod["metadata"]["labels"] = Value::Null),
    ("null annotations", |pod| {
        pod["metadata"]["annotations"] = Value::Null
    }),
    ("only a name", |pod| {
        name(
            pod,
            "name",
            "runner-abcdefgh-project-1-concurrent-0-abcdefgh",
        )
    }),
    ("only a generateName", |pod| {
        name(
            pod,
            "generateName",
            "runner-abcdefgh-project-1-concurrent-0",
        )
    }),
    ("another pod label", |pod| {
        pod["metadata"]["labels"]["pod"] = "runner-abcdefgh-project-1-concurrent-0".into()
    }),
    ("a pod label of one's own", |pod| {
        pod["metadata"]["labels"]["pod"] = "web".into()
    }),
    ("restarted always", |pod| {
        pod["spec"]["restartPolicy"] = "Always".into()
    }),
    ("restarted by default", |pod| {
        remove(pod, "/spec", "restartPolicy")
    }),
    ("another first container", |pod| rename(pod, 0, "main")),
    ("another second container", |pod| rename(pod, 1, "other")),
    ("a helper", |pod| rename(pod, 1, "helper")),
    ("one container", |pod| {
        if let Some(containers) = pod["spec"]["containers"].as_array_mut() {
            containers.truncate(1);
        }
    }),
    ("no containers", |pod| pod["spec"]["containers"] = json!([])),
    ("null containers", |pod| {
        pod["spec"]["containers"] = Value::Null
    }),
    ("absent containers", |pod| {
        remove(pod, "/spec", "containers")
    }),
    (
        "bootstrapped",
        |pod| {
            pod["spec"]["initContainers"] =
                json!([{"name": "init-steps-bootstrap", "image": "helper"}])
        },
    ),
    ("no init containers", |pod| {
        remove(pod, "/spec", "initContainers")
    }),
    ("a pause pod", |pod| {
        pod["metadata"]["labels"]["runner.gitlab.com/pause-pod"] = "true".into()
    }),
    ("a pause pod, whatever the value", |pod| {
        pod["metadata"]["labels"]["runner.gitlab.com/pause-pod"] = "".into()
    }),
    ("a mirror", |pod| {
        pod["metadata"]["annotations"]["kubernetes.io/config.mirror"] = "abc".into()
    }),
    ("controlled", |pod| {
        pod["metadata"]["ownerReferences"] = owner(Some(true))
    }),
    ("owned", |pod| {
        pod["metadata"]["ownerReferences"] = owner(Some(false))
    }),
    ("owned, nothing said of control", |pod| {
        pod["metadata"]["ownerReferences"] = owner(None)
    }),
    ("on Windows", |pod| {
        pod["spec"]["os"] = json!({"name": "windows"})
    }),
    ("on Linux", |pod| {
        pod["spec"]["os"] = json!({"name": "linux"})
    }),
    ("on some system", |pod| pod["spec"]["os"] = json!({})),
    ("on Windows nodes", |pod| {
        pod["spec"]["nodeSelector"] = json!({"kubernetes.io/os": "windows"})
    }),
    ("on Linux nodes", |pod| {
        pod["spec"]["nodeSelector"] = json!({"kubernetes.io/os": "linux"})
    }),
    ("on some nodes", |pod| {
        pod["spec"]["nodeSelector"] = json!({"pool": "windows"})
    }),
];

fn remove(pod: &mut Value, parent: &str, key: &str) {
    if let Some(parent) = pod.pointer_mut(parent).and_then(Value::as_object_mut) {
        parent.remove(key);
    }
}

fn name(pod: &mut Value, field: &str, name: &str) {
    for field in ["name", "generateName"] {
        remove(pod, "/metadata", field);
    }
    pod["metadata"][field] = name.into();
}

fn rename(pod: &mut Value, container: usize, name: &str) {
    let path = format!("/spec/containers/{container}/name");
    if let Some(container) = pod.pointer_mut(&path) {
        *container = name.into();
    }
}

fn owner(controller: Option<bool>) -> Value {
    let mut owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "8d0c3c6b-1f6e-4c47-b1a0-6f7a1c6a8f01"});
    if let Some(controller) = controller {
        owner["controller"] = controller.into();
    }
    json!([owner])
}

/// Every mutation of every fixture, alone or with others. Those that the API server will refuse are called for all the same.
#[tokio::test]
async fn a_pod_is_called_for_exactly_when_it_is_recognised() {
    let counted = Counted::new().await;
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut bases = fixtures();
    // The weakest sign depends on most. Twice, so that each mutation comes to it alone and with others.
    bases.extend(["by its shape", "by its shape again"].map(|name| (name.to_owned(), by_shape())));
    for (base_number, (name, base)) in bases.iter().enumerate() {
        for number in 0..MUTATIONS.len() {
            let others = if (base_number + number) % 2 == 0 {
                3
            } else {
                0
            };
            let mut pod = base.clone();
            let mut told = Vec::new();
            for (what, mutate) in mutations(name, number, others) {
                told.push(what);
                mutate(&mut pod);
            }
            let wanted = recognised(&pod);
            let is_called = counted.is_called_for(&pod).await;
            assert_eq!(is_called, wanted.is_ok(), "{name}, {told:?}: {wanted:?}");
            *seen.entry(format!("{wanted:?}")).or_default() += 1;
        }
    }
    // Each way to be recognised, and each reason not to be.
    assert_eq!(seen.len(), 3 + NotJobPod::ALL.len(), "{seen:?}");
    assert!(seen.values().all(|times| *times >= 20), "{seen:?}");
}

/// One mutation by its number, and some more that depend on nothing but the arguments.
fn mutations(name: &str, number: usize, others: usize) -> impl Iterator<Item = Mutation> {
    let picked = move |nth: usize| {
        let mut hasher = DefaultHasher::new();
        (name, number, nth).hash(&mut hasher);
        usize::try_from(hasher.finish() % MUTATIONS.len() as u64).unwrap()
    };
    std::iter::once(number)
        .chain((0..others).map(picked))
        .map(|number| MUTATIONS[number])
}

/// The API server gives a condition a bounded effort; beyond it the pod would be refused for drydock's sake.
#[tokio::test]
async fn no_pod_is_too_large_for_the_conditions() {
    let counted = Counted::new().await;
    let mut many = by_shape();
    let init = |number: usize| json!({"name": format!("init-{number}"), "image": "a"});
    many["spec"]["containers"][1]["name"] = "other".into();
    many["spec"]["initContainers"] = (0..5000).map(init).collect();
    assert!(!counted.is_called_for(&many).await);
    many["spec"]["initContainers"][4999]["name"] = "init-steps-bootstrap".into();
    assert!(counted.is_called_for(&many).await);
    let owners: Vec<Value> = (0..5000).map(|_| owner(Some(false))[0].clone()).collect();
    many["metadata"]["ownerReferences"] = owners.into();
    assert!(counted.is_called_for(&many).await);

    let mut long = by_shape();
    let label = format!(
        "runner-{}-project-1-concurrent-0",
        "project-".repeat(50_000)
    );
    long["metadata"]["labels"]["pod"] = label.clone().into();
    long["metadata"]["generateName"] = label.into();
    // Nothing is lost: the API server refuses such a label anyway.
    assert!(!counted.is_called_for(&long).await);
    let answer = create_pod(&counted.runner, &counted.namespace, &long, DryRun::Yes).await;
    assert!(
        answer.refusal().contains("must be no more than 63"),
        "{answer:?}"
    );
}
