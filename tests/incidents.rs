//! The incidents for which drydock was written, with pods that real runners created.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "laws/verdict.rs"]
mod verdict;

use drydock::core::policy::{AddressesBySource, Mode, PolicySet, read};
use rstest::rstest;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use verdict::{judge, patched};

const HOSTNAMES: [&str; 3] = ["gitlab.mylab.com", "minio.mylab.com", "registry.mylab.com"];

/// A policy with the current address of the load balancer.
const ALIASES: &str = "
apiVersion: drydock.dev/v1alpha1
kind: JobPodPolicy
metadata: {name: gitlab}
spec:
  hostAliases:
  - ip: 10.0.0.232
    hostnames: [gitlab.mylab.com, minio.mylab.com, registry.mylab.com]
";

/// A policy that takes the same addresses from Ingresses.
const LIVE_ALIASES: &str = "
apiVersion: drydock.dev/v1alpha1
kind: JobPodPolicy
metadata: {name: gitlab}
spec:
  hostAliases:
  - from: {ingress: {namespace: cicd, name: gitlab-webservice-default}}
    hostnames: [gitlab.mylab.com]
  - from: {ingress: {namespace: cicd, name: gitlab-minio}}
    hostnames: [minio.mylab.com]
  - from: {ingress: {namespace: cicd, name: gitlab-registry}}
    hostnames: [registry.mylab.com]
";

/// A policy with the three volumes of the manual fix in `config.toml`, which mounts them in every
/// container.
const TRIO: &str = "
apiVersion: drydock.dev/v1alpha1
kind: JobPodPolicy
metadata: {name: dind}
spec:
  dind:
    volumes:
    - {name: dind-storage, mountPath: /var/lib/docker, containers: All, emptyDir: {}}
    - name: hostpath-modules
      mountPath: /lib/modules
      readOnly: true
      containers: All
      hostPath: {path: /lib/modules, type: ''}
    - {name: hostpath-cgroup, mountPath: /sys/fs/cgroup, containers: All, hostPath: {path: /sys/fs/cgroup, type: ''}}
";

/// Returns the pod of a fixture.
fn pod(fixture: &str) -> Value {
    let path = format!(
        "{}/tests/fixtures/{fixture}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let object: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    match object.pointer("/request/object") {
        Some(pod) => pod.clone(),
        None => object,
    }
}

/// Returns a pod with drydock's patch.
#[track_caller]
fn mutate(pod: &Value, policy: &str, live: &AddressesBySource) -> Value {
    let read = read("policy.yaml", policy);
    assert_eq!(read.errors, []);
    let set = PolicySet::new(read.policies, live);
    judge(pod, &set, Mode::Enforce, |verdict| {
        patched(pod, verdict.patch.as_deref())
    })
}

/// Returns addresses of the three Ingresses.
fn ingresses(address: &str) -> AddressesBySource {
    let names = [
        "gitlab-webservice-default",
        "gitlab-minio",
        "gitlab-registry",
    ];
    let source = |name| format!("ingress/cicd/{name}").parse().unwrap();
    names
        .map(|name| {
            (
                source(name),
                [address.parse().unwrap()].into_iter().collect(),
            )
        })
        .into()
}

/// Returns a pod without hostAliases and drydock's annotations.
fn without_aliases(pod: &Value) -> Value {
    let mut pod = pod.clone();
    pod["spec"].as_object_mut().unwrap().remove("hostAliases");
    let annotations = pod["metadata"]
        .get_mut("annotations")
        .and_then(Value::as_object_mut);
    if let Some(annotations) = annotations {
        annotations.retain(|name, _| !name.starts_with("drydock.dev/"));
        if annotations.is_empty() {
            pod["metadata"]
                .as_object_mut()
                .unwrap()
                .remove("annotations");
        }
    }
    pod
}

/// The job failed with `Failed to connect to gitlab.mylab.com port 443: Host is unreachable`.
#[rstest]
#[case::without_any("pods/c-19.3.0-no-dind", json!([]))]
#[case::with_services("reviews/runner/19.3.0-dind-plain", json!([{"ip": "127.0.0.1", "hostnames": ["docker", "docker"]}]))]
#[case::of_an_old_runner("reviews/runner/13.12.0-dind-plain", json!([{"ip": "127.0.0.1", "hostnames": ["docker", "docker"]}]))]
fn a_job_pod_without_host_aliases_gets_the_address_of_gitlab(
    #[case] fixture: &str,
    #[case] mut aliases: Value,
) {
    let before = pod(fixture);
    let after = mutate(&before, ALIASES, &AddressesBySource::new());
    let new = json!({"ip": "10.0.0.232", "hostnames": HOSTNAMES});
    aliases.as_array_mut().unwrap().push(new);
    assert_eq!(after["spec"]["hostAliases"], aliases);
    assert_eq!(without_aliases(&after), without_aliases(&before));
}

/// The load balancer's address changed from 10.0.0.216 to 10.0.0.232, but `config.toml` still had
/// the old one.
#[rstest]
#[case::written_down(ALIASES, AddressesBySource::new())]
#[case::followed(LIVE_ALIASES, ingresses("10.0.0.232"))]
fn a_stale_address_is_replaced(
    #[values(
        "13.12.0-no-services",
        "19.3.0-no-services",
        "13.12.0-secret-certs",
        "19.3.0-secret-certs"
    )]
    fixture: &str,
    #[case] policy: &str,
    #[case] live: AddressesBySource,
) {
    let before = pod(&format!("reviews/runner/{fixture}"));
    let after = mutate(&before, policy, &live);
    let mut aliases = before["spec"]["hostAliases"].as_array().unwrap().clone();
    assert_eq!(aliases.pop().unwrap()["ip"], "10.0.0.216");
    aliases.push(json!({"ip": "10.0.0.232", "hostnames": HOSTNAMES}));
    assert_eq!(after["spec"]["hostAliases"], json!(aliases));
    assert_eq!(without_aliases(&after), without_aliases(&before));
}

/// While the Ingresses have the old address, or none, the hostAliases must not change.
#[rstest]
#[case::still_the_old_one(ingresses("10.0.0.216"))]
#[case::not_known(AddressesBySource::new())]
fn host_aliases_are_unchanged_without_a_new_ingress_address(#[case] live: AddressesBySource) {
    let before = pod("reviews/runner/19.3.0-no-services");
    assert_eq!(mutate(&before, LIVE_ALIASES, &live), before);
}

/// Returns the mounts of a container by path: the volume source without its size limit, which the
/// manual fix does not set, and whether the mount is read-only.
fn mounts(pod: &Value, container: &Value) -> BTreeMap<String, (Value, bool)> {
    let volumes = pod["spec"]["volumes"].as_array().unwrap();
    let mut mounts = BTreeMap::new();
    for mount in container["volumeMounts"].as_array().unwrap() {
        let volume = volumes
            .iter()
            .find(|volume| volume["name"] == mount["name"]);
        let mut source = volume.unwrap().as_object().unwrap().clone();
        source.remove("name");
        if let Some(limit) = source.get_mut("emptyDir").and_then(Value::as_object_mut) {
            limit.remove("sizeLimit");
        }
        let path = mount["mountPath"].as_str().unwrap();
        // The mount paths of the runner's own volumes contain the job's number.
        if !path.starts_with("/logs") && !path.starts_with("/scripts") {
            let is_read_only = mount["readOnly"] == true;
            mounts.insert(path.to_owned(), (json!(source), is_read_only));
        }
    }
    mounts
}

/// A Secret at `/certs/client` prevented dind from writing its certificates there.
#[rstest]
fn the_secret_is_replaced_as_in_the_manual_fix(
    #[values("13.12.0-secret-certs", "16.11.0-secret-certs", "19.3.0-secret-certs")] fixture: &str,
) {
    let after = mutate(
        &pod(&format!("reviews/runner/{fixture}")),
        TRIO,
        &AddressesBySource::new(),
    );
    let fixed = pod("reviews/runner/19.3.0-fixed");
    let containers = after["spec"]["containers"].as_array().unwrap();
    for (container, like) in containers
        .iter()
        .zip(fixed["spec"]["containers"].as_array().unwrap())
    {
        let (found, expected) = (mounts(&after, container), mounts(&fixed, like));
        assert_eq!(found, expected, "{}", container["name"]);
        assert_eq!(
            found["/certs/client"],
            (json!({"emptyDir": {"medium": "Memory"}}), false)
        );
    }
    // The runner's init container has all mounts, too; only the one for certificates matters.
    for init in after["spec"]["initContainers"]
        .as_array()
        .into_iter()
        .flatten()
    {
        assert_eq!(
            mounts(&after, init)["/certs/client"].0,
            json!({"emptyDir": {"medium": "Memory"}})
        );
    }
    assert!(!after["spec"]["volumes"].to_string().contains("secretName"));
}

/// A pod with the manual fix needs no change.
#[rstest]
#[case::the_trio(TRIO)]
#[case::the_defaults(
    "
apiVersion: drydock.dev/v1alpha1
kind: JobPodPolicy
metadata: {name: dind}
spec: {dind: {}}
"
)]
fn a_pod_with_the_manual_fix_is_unchanged(#[case] policy: &str) {
    let fixed = pod("reviews/runner/19.3.0-fixed");
    assert_eq!(mutate(&fixed, policy, &AddressesBySource::new()), fixed);
}

/// A pod with the manual fix and stale hostAliases: only the hostAliases change.
#[test]
fn a_pod_with_the_manual_fix_gets_new_host_aliases() {
    let fixed = pod("reviews/runner/19.3.0-fixed");
    let both = format!("{ALIASES}---{TRIO}");
    let after = mutate(&fixed, &both, &AddressesBySource::new());
    assert_eq!(
        after["spec"]["hostAliases"][1],
        json!({"ip": "10.0.0.232", "hostnames": HOSTNAMES})
    );
    assert_eq!(without_aliases(&after), without_aliases(&fixed));
}
