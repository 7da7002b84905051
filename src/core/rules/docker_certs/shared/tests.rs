//! Rules D7 and D9, and rule A4 for invalid pods.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

use crate::testing::{CERTS_ONLY, dind_pod, judge};
use rstest::rstest;
use serde_json::{Value, json};

const SECRET: &str = "{name: ca, secret: {secretName: ca}}";
const AT: &str = "{name: ca, mountPath: /certs/client, readOnly: true}";

fn memory(name: &str) -> Value {
    json!({"name": name, "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}})
}

#[test]
fn d7_a_conflicting_volume_is_swapped_in_place() {
    let mount = "{name: ca, mountPath: /certs/client, readOnly: true, recursiveReadOnly: Enabled, subPath: a, mountPropagation: None, newer: 1}";
    let judged = judge(
        CERTS_ONLY,
        &dind_pod(
            "{name: repo, emptyDir: {}}, {name: ca, secret: {secretName: ca}, newer: 1}, {name: logs, emptyDir: {}}",
            mount,
            mount,
        ),
    );
    assert_eq!(
        judged.volumes(),
        &json!([
            {"name": "repo", "emptyDir": {}},
            {"name": "ca", "newer": 1, "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
            {"name": "logs", "emptyDir": {}},
        ])
    );
    let freed = json!([{"name": "ca", "mountPath": "/certs/client", "newer": 1}]);
    assert_eq!(judged.mounts("build"), &freed);
    assert_eq!(judged.mounts("docker"), &freed);
}

#[test]
fn d7_of_several_conflicting_volumes_the_first_is_swapped() {
    let judged = judge(
        CERTS_ONLY,
        &dind_pod(
            "{name: second, configMap: {name: c}}, {name: first, secret: {secretName: s}}",
            "{name: first, mountPath: /certs/client}",
            "{name: first, mountPath: /certs/client}, {name: second, mountPath: /certs/client/}",
        ),
    );
    assert_eq!(
        judged.volumes(),
        &json!([memory("second"), {"name": "first", "secret": {"secretName": "s"}}])
    );
    assert_eq!(
        judged.mounts("docker"),
        &json!([{"name": "second", "mountPath": "/certs/client"}, {"name": "second", "mountPath": "/certs/client/"}])
    );
    assert!(judged.reports_to_author("D7", "\"first\""));
    assert!(judged.reports_to_author("D7", "\"second\""));
}

#[test]
fn d7_the_memory_volume_of_dind_is_preferred_to_a_conflicting_volume() {
    let judged = judge(
        CERTS_ONLY,
        &dind_pod(
            &format!("{SECRET}, {{name: mine, emptyDir: {{medium: Memory}}}}"),
            AT,
            "{name: mine, mountPath: /certs/client}",
        ),
    );
    assert_eq!(judged.volumes(), &judged.before["spec"]["volumes"]);
    assert_eq!(
        judged.mounts("build"),
        &json!([{"name": "mine", "mountPath": "/certs/client"}])
    );
}

#[test]
fn d7_a_volume_with_a_mount_elsewhere_is_not_swapped() {
    let judged = judge(
        CERTS_ONLY,
        &dind_pod(
            SECRET,
            &format!("{AT}, {{name: ca, mountPath: /etc/ssl/corp}}"),
            AT,
        ),
    );
    assert_eq!(
        judged.volumes(),
        &json!([{"name": "ca", "secret": {"secretName": "ca"}}, memory("drydock-docker-certs")])
    );
    assert_eq!(
        judged.mounts("build"),
        &json!([{"name": "drydock-docker-certs", "mountPath": "/certs/client"}, {"name": "ca", "mountPath": "/etc/ssl/corp"}])
    );
    assert_eq!(
        judged.mounts("docker"),
        &json!([{"name": "drydock-docker-certs", "mountPath": "/certs/client"}])
    );
}

#[test]
fn d7_an_unwritable_ancestor_that_another_container_uses_is_not_swapped() {
    let parent = "{name: ca, mountPath: /certs}";
    let judged = judge(
        CERTS_ONLY,
        &format!(
            "volumes: [{SECRET}]\ncontainers: [{{name: build, volumeMounts: [{parent}]}}, {{name: helper, volumeMounts: [{parent}]}}, {{name: docker, image: docker:dind, volumeMounts: [{parent}]}}]"
        ),
    );
    let shared = json!([{"name": "drydock-docker-certs", "mountPath": "/certs/client"}]);
    assert_eq!(judged.mounts("docker"), &shared);
    assert_eq!(
        judged.mounts("build"),
        &json!([{"name": "ca", "mountPath": "/certs"}, shared[0]])
    );
    assert_eq!(
        judged.mounts("helper"),
        &json!([{"name": "ca", "mountPath": "/certs"}])
    );
    assert_eq!(judged.volumes()[0], judged.before["spec"]["volumes"][0]);
}

#[test]
fn d7_a_block_device_is_not_swapped() {
    let judged = judge(
        CERTS_ONLY,
        "volumes: [{name: disk, persistentVolumeClaim: {claimName: disk}}]
containers: [{name: build, volumeDevices: [{name: disk, devicePath: /dev/xvda}]}, {name: docker, image: docker:dind, volumeMounts: [{name: disk, mountPath: /certs/client}]}]",
    );
    assert_eq!(
        judged.volumes(),
        &json!([{"name": "disk", "persistentVolumeClaim": {"claimName": "disk"}}, memory("drydock-docker-certs")])
    );
}

#[test]
fn d7_a_volume_that_loses_its_last_mount_stays() {
    let judged = judge(
        CERTS_ONLY,
        &dind_pod(
            &format!("{{name: mine, emptyDir: {{medium: Memory}}}}, {SECRET}"),
            "{name: ca, mountPath: /certs/client/ca.pem, subPath: ca.pem}",
            "{name: mine, mountPath: /certs/client}",
        ),
    );
    assert_eq!(judged.volumes(), &judged.before["spec"]["volumes"]);
    assert_eq!(
        judged.mounts("build"),
        &json!([{"name": "mine", "mountPath": "/certs/client"}])
    );
}

#[test]
fn d7_several_mounts_of_one_container_are_removed_and_the_others_stay() {
    let mounts = "{name: scripts, mountPath: /scripts}, {name: ca, mountPath: /certs/client/ca.pem, subPath: ca.pem}, {name: repo, mountPath: /builds}, {name: ca, mountPath: /certs/client/key.pem, subPath: key.pem}, {name: ca, mountPath: /certs}, {name: logs, mountPath: /logs}";
    let judged = judge(
        CERTS_ONLY,
        &dind_pod(
            &format!("{SECRET}, {{name: repo}}, {{name: scripts}}, {{name: logs}}"),
            "",
            mounts,
        ),
    );
    assert_eq!(
        judged.mounts("docker"),
        &json!([
            {"name": "scripts", "mountPath": "/scripts"},
            {"name": "repo", "mountPath": "/builds"},
            {"name": "logs", "mountPath": "/logs"},
            {"name": "ca", "mountPath": "/certs/client"},
        ])
    );
}

#[test]
fn d7_a_new_volume_has_an_unused_name() {
    let judged = judge(
        CERTS_ONLY,
        "volumes: [{name: drydock-docker-certs, emptyDir: {}}, {name: drydock-docker-certs-2, emptyDir: {}}]\ncontainers: [{name: build}, {name: docker, image: docker:dind}]",
    );
    assert_eq!(judged.volumes()[2], memory("drydock-docker-certs-3"));
}

#[test]
fn d7_each_directory_has_its_own_volume() {
    let at_two = "{name: ca, mountPath: /two/client}";
    let judged = judge(
        CERTS_ONLY,
        &format!(
            "volumes: [{SECRET}]
containers: [{{name: build}}, {{name: one, image: docker:dind, volumeMounts: [{AT}, {at_two}]}}, {{name: two, image: docker:dind, env: [{{name: DOCKER_TLS_CERTDIR, value: /two}}], volumeMounts: [{AT}, {at_two}]}}]"
        ),
    );
    let both = &judged.mounts("one");
    assert_eq!(both, &judged.mounts("two"));
    assert_ne!(both[0]["name"], both[1]["name"]);
}

#[test]
fn a4_a_mount_without_a_volume_is_unchanged() {
    let mount = "{name: nowhere, mountPath: /certs/client}";
    let judged = judge(CERTS_ONLY, &dind_pod("", mount, mount));
    judged.assert_unchanged();
    assert!(judged.reports_to_author("A4", "/certs/client"));
}

#[test]
fn a4_two_mounts_at_the_same_path_stay() {
    let judged = judge(CERTS_ONLY, &dind_pod(SECRET, AT, &format!("{AT}, {AT}")));
    let freed = json!({"name": "ca", "mountPath": "/certs/client"});
    assert_eq!(judged.mounts("docker"), &json!([freed, freed]));
}

#[test]
fn a4_a_file_mounted_twice_at_the_same_path_stays_invalid() {
    let file = "{name: ca, mountPath: /certs/client/ca.pem, subPath: ca.pem}";
    let judged = judge(
        CERTS_ONLY,
        &dind_pod(SECRET, "", &format!("{file}, {file}")),
    );
    let files = judged.mounts("docker").as_array().into_iter().flatten();
    assert_eq!(
        files
            .filter(|mount| mount["mountPath"] == "/certs/client/ca.pem")
            .count(),
        2
    );
    assert!(judged.reports_to_author("A4", "/certs/client/ca.pem"));
}

#[rstest]
#[case::two_volumes_of_one_name(
    "{name: ca, secret: {secretName: a}}, {name: ca, configMap: {name: b}}"
)]
#[case::two_sources("{name: ca, secret: {secretName: a}, configMap: {name: b}}")]
fn a4_a_volume_that_the_api_server_refuses_is_not_repaired(#[case] volumes: &str) {
    let judged = judge(CERTS_ONLY, &dind_pod(volumes, AT, AT));
    let before = judged.before["spec"]["volumes"].as_array();
    let after = judged.volumes().as_array();
    assert_eq!(
        before.map(Vec::as_slice),
        after.and_then(|after| after.get(..before.map_or(0, Vec::len)))
    );
}

#[rstest]
#[case::swapped(SECRET)]
#[case::emptied_disk("{name: ca, emptyDir: {sizeLimit: 1Gi}}")]
fn d9_a_swapped_volume_has_a_size_limit(#[case] volume: &str) {
    let policy = "dind: {volumes: [], clientCerts: {sizeLimit: 64Ki}}";
    let judged = judge(policy, &dind_pod(volume, AT, AT));
    assert_eq!(
        judged.volumes(),
        &json!([{"name": "ca", "emptyDir": {"medium": "Memory", "sizeLimit": "64Ki"}}])
    );
}

#[test]
fn d9_a_new_volume_has_a_size_limit() {
    let policy = "dind: {volumes: [], clientCerts: {sizeLimit: 64Ki}}";
    let judged = judge(policy, &dind_pod("", "", ""));
    assert_eq!(
        judged.volumes()[0]["emptyDir"],
        json!({"medium": "Memory", "sizeLimit": "64Ki"})
    );
}

/// The kubelet creates mount points in these volumes, so only dind, which must write, loses them.
#[rstest]
#[case::secret("{name: ca, secret: {secretName: ca}}")]
#[case::config_map("{name: ca, configMap: {name: ca}}")]
#[case::projected("{name: ca, projected: {sources: [{secret: {name: ca}}]}}")]
#[case::downward_api(
    "{name: ca, downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}}"
)]
fn d7_an_ancestor_that_the_kubelet_fills_is_removed_from_dind_only(#[case] volume: &str) {
    let judged = {
        let mount = "{name: ca, mountPath: /certs/}";
        judge(CERTS_ONLY, &dind_pod(volume, mount, mount))
    };
    let shared = json!({"name": "drydock-docker-certs", "mountPath": "/certs/client"});
    assert_eq!(judged.mounts("docker"), &json!([shared]));
    assert_eq!(
        judged.mounts("build"),
        &json!([{"name": "ca", "mountPath": "/certs/"}, shared])
    );
    assert!(judged.reports_to_author("D7", "no longer mounted at /certs/ in container \"docker\""));
}

#[test]
fn d7_all_unwritable_ancestors_are_removed() {
    let judged = judge(
        CERTS_ONLY,
        &dind_pod(
            &format!("{SECRET}, {{name: repo, emptyDir: {{}}}}"),
            "",
            "{name: repo, mountPath: /, readOnly: true}, {name: ca, mountPath: /certs}, {name: repo, mountPath: //certs, readOnly: true}",
        ),
    );
    assert_eq!(
        judged.mounts("docker"),
        &json!([{"name": "ca", "mountPath": "/certs/client"}])
    );
}
