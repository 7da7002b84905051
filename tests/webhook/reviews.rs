//! Reviews for tests, and checks of the response.

use crate::client::Answer;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// A review of a pod of GitLab Runner 19.3.0 with the faults of two incidents: a Secret at
/// `/certs/client` and a stale address in hostAliases.
pub(crate) const RUNNER: &[u8] =
    include_bytes!("../fixtures/reviews/runner/19.3.0-secret-certs.json");

/// Returns [`RUNNER`] as JSON.
pub(crate) fn runner() -> Value {
    serde_json::from_slice(RUNNER).unwrap()
}

/// Returns a review of a small job pod with an environment variable that has the value `secret`.
pub(crate) fn small(uid: &str, secret: &str) -> Value {
    let mount = json!({"name": "registry-ca", "mountPath": "/certs/client", "readOnly": true});
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": uid,
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "ci",
            "operation": "CREATE",
            "object": {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "generateName": "runner-abc-project-1-concurrent-0-",
                    "labels": {"job.runner.gitlab.com/pod": "runner-abc-project-1-concurrent-0"},
                },
                "spec": {
                    "restartPolicy": "Never",
                    "volumes": [{"name": "registry-ca", "secret": {"secretName": "registry-ca"}}],
                    "containers": [
                        {"name": "build", "image": "docker:28", "env": [{"name": "TOKEN", "value": secret}], "volumeMounts": [mount]},
                        {"name": "helper", "image": "gitlab-runner-helper"},
                        {
                            "name": "docker",
                            "image": "docker:28-dind",
                            "securityContext": {"privileged": true},
                            "env": [{"name": "DOCKER_TLS_CERTDIR", "value": "/certs"}, {"name": "TOKEN", "value": secret}],
                            "volumeMounts": [mount],
                        },
                    ],
                },
            },
        },
    })
}

/// Returns a review with a string of `bytes` bytes in a field that no rule reads.
pub(crate) fn padded(mut review: Value, bytes: usize) -> Vec<u8> {
    review["request"]["userInfo"]["extra"]["padding"] = json!(["x".repeat(bytes)]);
    review.to_string().into_bytes()
}

/// Returns the response in an AdmissionReview. Asserts its HTTP status, content type, kind and
/// version.
#[track_caller]
pub(crate) fn response(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let mut review: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(review["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(review["kind"], "AdmissionReview");
    assert!(
        review.get("request").is_none(),
        "the response contains the request"
    );
    review["response"].take()
}

/// Returns the patch of a response. A response without a patch must not have a `patchType`, because
/// the API server would reject it.
#[track_caller]
pub(crate) fn patch(response: &Value) -> Option<json_patch::Patch> {
    let patch_type = response.get("patchType").map(|name| name.as_str().unwrap());
    let Some(patch) = response.get("patch") else {
        assert_eq!(patch_type, None);
        return None;
    };
    assert_eq!(patch_type, Some("JSONPatch"));
    let text = STANDARD.decode(patch.as_str().unwrap()).unwrap();
    let patch: json_patch::Patch = serde_json::from_slice(&text).unwrap();
    assert!(!patch.is_empty());
    Some(patch)
}

/// Returns the pod of a review with the patch of its response.
#[track_caller]
pub(crate) fn patched(review: &Value, response: &Value) -> Value {
    assert_eq!(response["uid"], review["request"]["uid"]);
    assert_eq!(response["allowed"], true);
    let mut pod = review["request"]["object"].clone();
    let patch = patch(response).expect("the response has no patch");
    json_patch::patch(&mut pod, &patch).expect("the patch does not apply (A3)");
    pod
}

/// Asserts that the built-in policy repaired a pod of [`runner`] or [`small`].
#[track_caller]
pub(crate) fn assert_repaired(pod: &Value) {
    assert_eq!(
        addresses(pod, "gitlab.mylab.com"),
        ["10.0.0.232"],
        "the stale address was not replaced"
    );
    for name in ["build", "docker"] {
        let volume = volume_at(pod, name, "/certs/client");
        assert_eq!(
            volume["emptyDir"]["medium"], "Memory",
            "the Secret at /certs/client was not replaced in {name}: {volume}"
        );
    }
    let storage = volume_at(pod, "docker", "/var/lib/docker");
    assert!(storage["emptyDir"].is_object(), "{storage}");
    assert_eq!(
        pod["metadata"]["annotations"]["drydock.dev/policies"],
        "gitlab"
    );
}

/// Asserts that a response to [`RUNNER`] repairs the pod.
#[track_caller]
pub(crate) fn assert_answers_runner(answer: &Answer) {
    assert_repaired(&patched(&runner(), &response(answer)));
}

/// Returns the addresses of a hostname in the pod's hostAliases.
pub(crate) fn addresses(pod: &Value, hostname: &str) -> Vec<String> {
    let aliases = pod["spec"]["hostAliases"].as_array();
    let entries = aliases.into_iter().flatten().filter(|entry| {
        let hostnames = entry["hostnames"].as_array().unwrap();
        hostnames.iter().any(|other| other == hostname)
    });
    entries
        .map(|entry| entry["ip"].as_str().unwrap().to_owned())
        .collect()
}

/// Returns the volume that a container mounts at a path.
#[track_caller]
fn volume_at(pod: &Value, container: &str, path: &str) -> Value {
    let find = |list: &Value, key: &str, wanted: &str| -> Value {
        let mut found = list.as_array().unwrap().iter().filter(|item| {
            let text = item[key].as_str().unwrap();
            text.trim_end_matches('/') == wanted
        });
        let one = found.next().unwrap_or_else(|| panic!("no {wanted}"));
        assert!(found.next().is_none(), "more than one {wanted}");
        one.clone()
    };
    let container = find(&pod["spec"]["containers"], "name", container);
    let mount = find(&container["volumeMounts"], "mountPath", path);
    assert!(mount.get("subPath").is_none());
    find(
        &pod["spec"]["volumes"],
        "name",
        mount["name"].as_str().unwrap(),
    )
}

/// Returns a policy that sets the address of `gitlab.mylab.com`.
pub(crate) fn policy(name: &str, address: &str) -> String {
    format!(
        "apiVersion: drydock.dev/v1alpha1\nkind: JobPodPolicy\nmetadata: {{name: {name}}}\n\
         spec:\n  hostAliases:\n  - ip: {address}\n    hostnames: [gitlab.mylab.com]\n"
    )
}
