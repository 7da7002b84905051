//! Rule R1.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

use super::volume_name;
use crate::testing::{Judged, judge};
use rstest::rstest;
use serde_json::{Value, json};

const CA: &str = "{host: 'registry.mylab.com:5000', configMap: {name: registry-ca, key: root.pem}}";

/// Judges a pod by a policy with registry CAs only. TLS is off in the pods of these tests.
#[track_caller]
fn judge_cas(cas: &str, pod: &str) -> Judged {
    judge(&format!("dind: {{volumes: [], registryCAs: [{cas}]}}"), pod)
}

/// Returns a pod spec. Its dind container has this image, and these mounts of the volume `mine`.
fn dind(image: &str, mounts: &str) -> String {
    format!(
        "volumes: [{{name: mine, configMap: {{name: mine}}}}]
containers: [{{name: build}}, {{name: docker, image: '{image}', env: [{{name: DOCKER_TLS_CERTDIR}}], volumeMounts: [{mounts}]}}]"
    )
}

#[test]
fn r1_one_key_of_a_config_map_is_mounted_as_the_registrys_directory() {
    let judged = judge_cas(CA, &dind("docker:dind", ""));
    assert_eq!(
        judged.volumes()[1],
        json!({"name": "registry-ca-registry-mylab-com-5000", "configMap": {
            "name": "registry-ca",
            "items": [{"key": "root.pem", "path": "ca.crt"}],
            "optional": true,
        }})
    );
    assert_eq!(
        judged.mounts("docker"),
        &json!([{
            "name": "registry-ca-registry-mylab-com-5000",
            "mountPath": "/etc/docker/certs.d/registry.mylab.com:5000",
            "readOnly": true,
        }])
    );
    assert_eq!(judged.mounts("build"), &Value::Null);
}

#[test]
fn r1_each_dind_container_gets_it_from_one_volume() {
    let judged = judge_cas(
        CA,
        "containers: [{name: build}, {name: one, image: docker:dind, env: [{name: DOCKER_TLS_CERTDIR}]}, {name: two, image: docker:dind, env: [{name: DOCKER_TLS_CERTDIR}]}]",
    );
    assert_eq!(judged.mounts("one"), judged.mounts("two"));
    assert_eq!(judged.volumes().as_array().map(Vec::len), Some(1));
}

#[test]
fn v6_rootless_dind_reads_cas_from_its_home() {
    let judged = judge_cas(CA, &dind("docker:28-dind-rootless", ""));
    assert_eq!(
        judged.mounts("docker")[1]["mountPath"],
        "/home/rootless/.config/docker/certs.d/registry.mylab.com:5000"
    );
}

/// The missing parent directories of a mount belong to root, and dockerd before 23 writes a key to
/// one of them.
#[test]
fn r1_rootless_dind_can_write_its_configuration_directory() {
    let two = format!("{CA}, {{host: other.mylab.com, configMap: {{name: other, key: ca.crt}}}}");
    let judged = judge_cas(&two, &dind("docker:20.10-dind-rootless", ""));
    let paths: Vec<&Value> = judged
        .mounts("docker")
        .as_array()
        .into_iter()
        .flatten()
        .map(|mount| &mount["mountPath"])
        .collect();
    assert_eq!(
        paths,
        [
            "/home/rootless/.config/docker",
            "/home/rootless/.config/docker/certs.d/registry.mylab.com:5000",
            "/home/rootless/.config/docker/certs.d/other.mylab.com",
        ]
    );
    assert_eq!(
        judged.volumes()[1],
        json!({"name": "drydock-docker-config", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}})
    );
}

#[rstest]
#[case::at("/home/rootless/.config/docker")]
#[case::above("/home/rootless")]
fn r1_a_configuration_directory_of_the_pod_stays(#[case] path: &str) {
    let mount = format!("{{name: mine, mountPath: '{path}'}}");
    let judged = judge_cas(CA, &dind("docker:20.10-dind-rootless", &mount));
    judged.assert_unchanged();
    assert!(judged.reports_to_team("R1", "registry.mylab.com:5000"));
}

#[rstest]
#[case::at("/etc/docker/certs.d/registry.mylab.com:5000/")]
#[case::above("/etc/docker/certs.d")]
#[case::further_above("/etc//docker")]
#[case::below("/etc/docker/certs.d/registry.mylab.com:5000/ca.crt")]
fn r1_a_conflicting_mount_stays_and_is_reported(#[case] path: &str) {
    let mount = format!("{{name: mine, mountPath: '{path}'}}");
    let judged = judge_cas(CA, &dind("docker:dind", &mount));
    judged.assert_unchanged();
    assert!(judged.reports_to_team("R1", "registry.mylab.com:5000"));
}

#[rstest]
#[case::another_registry("/etc/docker/certs.d/registry.mylab.com")]
#[case::a_longer_name("/etc/docker/certs.d/registry.mylab.com:50000")]
#[case::the_daemons_file("/etc/docker/daemon.json")]
fn r1_a_mount_at_a_similar_path_does_not_conflict(#[case] path: &str) {
    let mount = format!("{{name: mine, mountPath: '{path}'}}");
    let judged = judge_cas(CA, &dind("docker:dind", &mount));
    assert_eq!(judged.changes, ["add-volume", "add-mount"]);
}

#[test]
fn r1_each_host_has_its_own_directory() {
    let cas = "{host: registry, configMap: {name: a, key: k}}, {host: 'registry:5000', configMap: {name: b, key: k}}";
    let judged = judge_cas(cas, &dind("docker:dind", ""));
    let paths: Vec<&Value> = judged
        .mounts("docker")
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    assert_eq!(paths[0]["mountPath"], "/etc/docker/certs.d/registry");
    assert_eq!(paths[1]["mountPath"], "/etc/docker/certs.d/registry:5000");
}

#[test]
fn r1_hosts_with_one_volume_name_get_two_volumes() {
    let cas =
        "{host: a.b, configMap: {name: a, key: k}}, {host: a-b, configMap: {name: b, key: k}}";
    let judged = judge_cas(cas, &dind("docker:dind", ""));
    assert_eq!(judged.volumes()[1]["name"], "registry-ca-a-b");
    assert_eq!(judged.volumes()[2]["name"], "registry-ca-a-b-2");
}

#[test]
fn r1_the_volume_is_named_after_the_registry() {
    assert_eq!(
        volume_name("registry.mylab.com:5000"),
        "registry-ca-registry-mylab-com-5000"
    );
    assert_eq!(volume_name("[fd00::1]:5000"), "registry-ca-fd00--1--5000");
    assert_eq!(volume_name(&format!("{}.com", "a".repeat(50))).len(), 62);
}
