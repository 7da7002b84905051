//! Reviews at the bounds (`docs/limits.md`), which are the most expensive ones to process.
//!
//! A review that exceeds a bound is refused early. These reviews are within all bounds, and combine
//! the maximum of one dimension with the maximum of another.

use serde_json::{Value, json};

/// Slightly below the bounds, because each pod already has a few of these elements.
const CONTAINERS: usize = 250;
const MOUNTS: usize = 2_000;
const VOLUMES: usize = 1_000;
const ITEMS: usize = 4_000;
const ALIASES: usize = 2_000;
const TOLERATIONS: usize = 1_000;
const WORDS: usize = 8_000;
const DEVICES: usize = 1_000;
const NODE_LABELS: usize = 500;
const LABELS: usize = 1_000;
const ANNOTATIONS: usize = 2_000;
const VARIABLES: usize = 16_000;
/// The length of a path or an image.
const PATH: usize = 1_000;
const OWNED: usize = 256;

/// A review at the bounds.
pub(crate) struct AtBounds {
    pub(crate) name: &'static str,
    pub(crate) review: fn() -> Vec<u8>,
    /// The policy for the review, as JSON.
    pub(crate) policy: fn() -> String,
    /// Whether drydock returns a patch. Otherwise the patch would be larger than the API server
    /// accepts.
    pub(crate) has_patch: bool,
}

pub(crate) const AT_BOUNDS: [AtBounds; 8] = [
    AtBounds {
        name: "everything at its bound",
        review: || everything(0),
        policy,
        has_patch: true,
    },
    AtBounds {
        name: "everything, in 8 MiB",
        review: || everything(8 << 20),
        policy,
        has_patch: true,
    },
    AtBounds {
        name: "directories, and mounts above all of them",
        review: mounts_above_directories,
        policy,
        has_patch: true,
    },
    AtBounds {
        name: "the same, with mounts that the API server refuses",
        review: refused_mounts_above_directories,
        policy,
        has_patch: true,
    },
    AtBounds {
        name: "long directories, and long mounts beside them",
        review: long_paths,
        policy,
        has_patch: true,
    },
    AtBounds {
        name: "items, and mounts that may show them to dind",
        review: items_and_mounts,
        policy,
        has_patch: true,
    },
    AtBounds {
        name: "one long subPath for many mounts",
        review: long_sub_path,
        policy,
        has_patch: false,
    },
    AtBounds {
        name: "all that a policy adds, in each container",
        review: || review(&pod(&dinds(CONTAINERS, |_| json!([])))),
        policy: largest_policy,
        has_patch: false,
    },
];

/// Returns a JobPodPolicy with 256 hostnames that uses all rules.
pub(crate) fn policy() -> String {
    policy_with(2, 2)
}

/// Returns the largest JobPodPolicy that the API server accepts.
fn largest_policy() -> String {
    policy_with(32, 64)
}

fn policy_with(volumes: usize, authorities: usize) -> String {
    let list =
        |count: usize, item: &dyn Fn(usize) -> Value| -> Value { (0..count).map(item).collect() };
    let hosts = |entry: usize| list(OWNED / 32, &|name| json!(owned(entry * OWNED / 32 + name)));
    let labels: serde_json::Map<String, Value> = (0..32)
        .map(|number| (format!("role-{number}"), json!("ci")))
        .collect();
    json!({
        "apiVersion": "drydock.dev/v1alpha1",
        "kind": "JobPodPolicy",
        "metadata": {"name": "all"},
        "spec": {
            "hostAliases": list(32, &|entry| json!({"ip": format!("10.0.1.{}", entry + 1), "hostnames": hosts(entry)})),
            "dind": {
                "clientCerts": {"onConflict": "Relocate", "relocateTo": "/displaced"},
                "volumes": list(volumes, &|number| json!({"name": format!("volume-{number}"), "mountPath": match number {
                    0 => "/var/lib/docker".to_owned(),
                    number => format!("/volumes/{number}"),
                }, "emptyDir": {}, "containers": "All"})),
                "registryCAs": list(authorities, &|number| json!({"host": format!("registry-{number}.mylab.com"), "configMap": {"name": "ca", "key": "ca.crt"}})),
                "scheduling": {
                    "nodeSelector": labels,
                    "tolerations": list(32, &|number| json!({"key": format!("key-{number}"), "operator": "Exists"})),
                },
            },
        },
    })
    .to_string()
}

fn owned(number: usize) -> String {
    format!("owned-{number}.mylab.com")
}

fn review(pod: &Value) -> Vec<u8> {
    let mut pod = pod.clone();
    pod["metadata"]["generateName"] = json!("runner-abc-project-1-concurrent-0-");
    pod["metadata"]["labels"]["job.runner.gitlab.com/pod"] = json!("runner-abc");
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "at-the-bounds",
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "ci",
            "operation": "CREATE",
            "object": pod,
        },
    })
    .to_string()
    .into_bytes()
}

fn many(count: usize, item: impl Fn(usize) -> Value) -> Value {
    (0..count).map(item).collect()
}

fn members(count: usize) -> Value {
    let member = |number| (format!("key-{number}"), json!("x"));
    Value::Object((0..count).map(member).collect())
}

fn pod(containers: &Value) -> Value {
    json!({"spec": {
        "volumes": [
            {"name": "claim", "persistentVolumeClaim": {"claimName": "c", "readOnly": true}},
            {"name": "empty", "emptyDir": {}},
            {"name": "secret", "secret": {"secretName": "s", "items": many(ITEMS, |_| json!({"path": "x"}))}},
        ],
        "containers": containers,
    }})
}

/// Returns `build` and `count` dind containers, each with its own certificate directory.
fn dinds(count: usize, mounts_of_build: impl Fn(usize) -> Value) -> Value {
    many(count, |number| match number {
        0 => json!({"name": "build", "image": "alpine", "volumeMounts": mounts_of_build(MOUNTS)}),
        number => dind(number, &format!("/certs/{number}")),
    })
}

fn dind(number: usize, directory: &str) -> Value {
    json!({
        "name": format!("d{number}"),
        "image": "docker:28-dind",
        "securityContext": {"privileged": true},
        "env": [{"name": "DOCKER_TLS_CERTDIR", "value": directory}],
    })
}

/// Returns a review with the maximum of all elements, and with variables up to a total size.
fn everything(bytes: usize) -> Vec<u8> {
    let mut containers = dinds(CONTAINERS, |_| json!([]));
    let list = containers.as_array_mut().unwrap();
    let each = MOUNTS / CONTAINERS;
    for (number, container) in list.iter_mut().enumerate() {
        let mount = |at: usize| {
            let name = format!("volume-{}", number * 4 + at % 4);
            let path = match at % 4 {
                0 => format!("/certs/{number}/client"),
                1 => format!("/certs/{number}/client/{at}"),
                2 => format!("/certs/{}/client", (number + 1) % CONTAINERS),
                _ => format!("/certs/{number}/"),
            };
            json!({"name": name, "mountPath": path, "readOnly": true, "subPath": at.to_string()})
        };
        container["volumeMounts"] = many(each, mount);
        container["volumeDevices"] = many(DEVICES / CONTAINERS, |_| json!({"name": "empty"}));
        container["args"] = many(WORDS / CONTAINERS, |_| json!("--mtu=1400"));
    }
    let volume = |number: usize| {
        let items = many(ITEMS / VOLUMES, |_| json!({"path": "server/ca.pem"}));
        json!({"name": format!("volume-{number}"), "secret": {"items": items}})
    };
    let mut pod = pod(&containers);
    let spec = &mut pod["spec"];
    spec["volumes"] = many(VOLUMES, volume);
    spec["hostAliases"] = many(ALIASES, |entry| {
        let hostnames = many(4, |name| json!(owned((entry + name * 64) % OWNED)));
        json!({"ip": format!("10.9.{}.{}", entry / 200, entry % 200), "hostnames": hostnames})
    });
    spec["tolerations"] = many(TOLERATIONS, |number| json!({"key": format!("k{number}")}));
    spec["nodeSelector"] = members(NODE_LABELS);
    pod["metadata"] = json!({"labels": members(LABELS), "annotations": members(ANNOTATIONS)});
    let variable = r#"{"name":"DOCKER_HOST","value":"tcp://docker:2376"},"#;
    let missing = bytes.saturating_sub(review(&pod).len()) / CONTAINERS / variable.len();
    let body = String::from_utf8(review(&pod)).unwrap();
    let variables = variable.repeat(missing.min(VARIABLES));
    body.replace(r#""env":["#, &format!(r#""env":[{variables}"#))
        .into_bytes()
}

/// Each mount of `build` is above all certificate directories.
fn mounts_above_directories() -> Vec<u8> {
    let mounts = |count| {
        many(
            count,
            |number| json!({"name": "claim", "mountPath": format!("/x{number}/../certs")}),
        )
    };
    review(&pod(&dinds(CONTAINERS, mounts)))
}

fn refused_mounts_above_directories() -> Vec<u8> {
    let mounts = |count| many(count, |_| json!({"name": "claim", "mountPath": "/certs"}));
    review(&pod(&dinds(CONTAINERS, mounts)))
}

fn long_paths() -> Vec<u8> {
    let start = format!("/{}", "x".repeat(PATH - 20));
    let mounts = |count| {
        many(
            count,
            |number| json!({"name": "claim", "mountPath": format!("{start}/{number}")}),
        )
    };
    let containers = many(CONTAINERS, |number| match number {
        0 => json!({"name": "build", "volumeMounts": mounts(MOUNTS)}),
        number => dind(number, &format!("{start}/d{number}")),
    });
    review(&pod(&containers))
}

/// drydock compares each item of the Secret with each mount above dind's directory.
fn items_and_mounts() -> Vec<u8> {
    let mount = |number: usize| json!({"name": "secret", "mountPath": format!("/x{number}/../certs"), "subPath": format!("{number}")});
    let mut dind = dind(1, "/certs");
    dind["volumeMounts"] = many(MOUNTS, mount);
    review(&pod(&json!([{"name": "build"}, dind])))
}

/// All mounts get the subPath of dind's mount. Each of its characters takes six bytes in the patch.
fn long_sub_path() -> Vec<u8> {
    let mut dind = dind(1, "/certs");
    dind["volumeMounts"] =
        json!([{"name": "empty", "mountPath": "/certs/client", "subPath": "\u{1}".repeat(PATH)}]);
    let mounts = many(
        MOUNTS,
        |number| json!({"name": "claim", "mountPath": format!("/x{number}/../certs/client")}),
    );
    review(&pod(
        &json!([{"name": "build", "volumeMounts": mounts}, dind]),
    ))
}
