//! Rules D4, D5 and D6.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

use crate::testing::{CERTS_ONLY, Judged, dind_pod, judge};
use rstest::rstest;
use serde_json::{Value, json};

const SECRET: &str = "{name: ca, secret: {secretName: ca}}";
const SCRATCH: &str = "{name: scratch, emptyDir: {}}";

/// Judges a pod whose `build` and dind containers have the same mounts.
#[track_caller]
fn judge_both(volumes: &str, mounts: &str) -> Judged {
    judge(CERTS_ONLY, &dind_pod(volumes, mounts, mounts))
}

fn memory(name: &str) -> Value {
    json!({"name": name, "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}})
}

#[rstest]
#[case::secret("secret: {secretName: ca}")]
#[case::config_map("configMap: {name: ca}")]
#[case::projected("projected: {sources: [{secret: {name: ca}}]}")]
#[case::downward_api(
    "downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}"
)]
#[case::csi("csi: {driver: secrets-store.csi.k8s.io}")]
#[case::claim("persistentVolumeClaim: {claimName: ca}")]
#[case::host_path("hostPath: {path: /etc/ssl}")]
#[case::nfs("nfs: {server: nas, path: /ca}")]
#[case::image("image: {reference: 'corp/ca:1'}")]
#[case::ephemeral("ephemeral: {volumeClaimTemplate: {spec: {}}}")]
#[case::of_a_newer_kubernetes("ociArtifact: {ref: 'corp/ca:1', deep: [{er: 1}]}")]
fn d4_every_kind_of_volume_conflicts(#[case] source: &str) {
    let judged = judge_both(
        &format!("{{name: ca, {source}}}"),
        "{name: ca, mountPath: /certs/client}",
    );
    assert_eq!(judged.volumes(), &json!([memory("ca")]));
    assert_eq!(judged.changes, ["swap-volume"]);
}

#[rstest]
#[case("/certs/client")]
#[case("/certs/client/")]
#[case("//certs//client")]
#[case("/a/../certs/client")]
#[case("/../certs/./client/.")]
#[case("certs/client")]
fn d4_the_directory_is_recognised_in_every_spelling(#[case] path: &str) {
    let judged = judge_both(SECRET, &format!("{{name: ca, mountPath: {path}}}"));
    assert_eq!(judged.volumes(), &json!([memory("ca")]));
    assert_eq!(
        judged.mounts("docker"),
        &json!([{"name": "ca", "mountPath": path}])
    );
}

#[rstest]
#[case("/certs/clients")]
#[case("/certs/client-ca")]
#[case("/certs/Client")]
#[case("/data/certs/client")]
fn d4_a_mount_at_a_similar_path_does_not_conflict(#[case] path: &str) {
    let judged = judge_both(SECRET, &format!("{{name: ca, mountPath: {path}}}"));
    assert_eq!(judged.volumes()[0], judged.before["spec"]["volumes"][0]);
    assert_eq!(judged.mounts("docker")[0]["mountPath"], path);
}

#[rstest]
#[case::read_only("readOnly: true")]
#[case::read_only_recursively("readOnly: true, recursiveReadOnly: Enabled")]
#[case::sub_path("subPath: client")]
#[case::sub_path_expr("subPathExpr: $(JOB)")]
#[case::all_of_them(
    "readOnly: true, recursiveReadOnly: IfPossible, subPath: a, mountPropagation: HostToContainer"
)]
fn d4_a_restricted_mount_of_the_shared_volume_conflicts(#[case] restriction: &str) {
    let (read_only, plain) = (
        format!("{{name: certs, mountPath: /certs/client, {restriction}}}"),
        "{name: certs, mountPath: /certs/client}",
    );
    // Only dind must write. Its mount determines which part of the volume is shared.
    let is_read_only = restriction.contains("readOnly") && !restriction.contains("subPath");
    let restricted = if is_read_only { "docker" } else { "build" };
    let (build, docker) = if is_read_only {
        (plain, read_only.as_str())
    } else {
        (read_only.as_str(), plain)
    };
    let memory = "{name: certs, emptyDir: {medium: Memory}}";
    let judged = judge(CERTS_ONLY, &dind_pod(memory, build, docker));
    assert_eq!(
        judged.mounts(restricted),
        &json!([{"name": "certs", "mountPath": "/certs/client"}])
    );
    assert_eq!(judged.changes, ["point-mount"]);
}

#[test]
fn d4_a_second_memory_volume_conflicts() {
    let judged = judge(
        CERTS_ONLY,
        &dind_pod(
            "{name: mine, emptyDir: {medium: Memory}}, {name: theirs, emptyDir: {medium: Memory}}",
            "{name: mine, mountPath: /certs/client}",
            "{name: theirs, mountPath: /certs/client}",
        ),
    );
    assert_eq!(
        judged.mounts("build"),
        &json!([{"name": "theirs", "mountPath": "/certs/client"}])
    );
}

#[rstest]
#[case("/certs/client/ca.pem")]
#[case("/certs//client/deep/er/")]
fn d4_a_mount_below_the_directory_conflicts(#[case] path: &str) {
    let judged = judge_both(
        SECRET,
        &format!("{{name: ca, mountPath: {path}, subPath: ca.pem}}"),
    );
    assert_eq!(
        judged.mounts("docker"),
        &json!([{"name": "ca", "mountPath": "/certs/client"}])
    );
    assert_eq!(judged.mounts("build"), judged.mounts("docker"));
}

#[rstest]
#[case::image("{name: ca, image: {reference: 'corp/ca:1'}}", "")]
#[case::claim_read_only(
    "{name: ca, persistentVolumeClaim: {claimName: ca, readOnly: true}}",
    ""
)]
#[case::csi_read_only("{name: ca, csi: {driver: d, readOnly: true}}", "")]
#[case::mounted_read_only("{name: ca, hostPath: {path: /etc/ssl}}", ", readOnly: true")]
fn d4_an_unwritable_ancestor_conflicts(#[case] volume: &str, #[case] mount: &str) {
    let judged = judge_both(volume, &format!("{{name: ca, mountPath: /certs/{mount}}}"));
    assert_eq!(
        judged.mounts("docker"),
        &json!([{"name": "ca", "mountPath": "/certs/client"}])
    );
    assert_eq!(judged.mounts("build"), judged.mounts("docker"));
    assert_eq!(judged.volumes(), &json!([memory("ca")]));
}

#[test]
fn d4_an_unwritable_ancestor_in_another_container_does_not_conflict() {
    let parent = "{name: ca, mountPath: /certs, readOnly: true}";
    let judged = judge(
        CERTS_ONLY,
        &format!(
            "volumes: [{SECRET}]\ncontainers: [{{name: build}}, {{name: helper, volumeMounts: [{parent}]}}, {{name: docker, image: docker:dind}}]"
        ),
    );
    assert_eq!(
        judged.mounts("helper"),
        &json!([{"name": "ca", "mountPath": "/certs", "readOnly": true}])
    );
}

#[test]
fn d4_the_nearest_mounted_ancestor_conflicts_if_it_is_unwritable() {
    let judged = judge(
        CERTS_ONLY,
        "volumes: [{name: ca, secret: {secretName: ca}}]\ncontainers: [{name: build}, {name: docker, image: docker:dind, env: [{name: DOCKER_TLS_CERTDIR, value: /a/tls}], volumeMounts: [{name: ca, mountPath: /a}]}]",
    );
    assert_eq!(
        judged.mounts("docker"),
        &json!([{"name": "ca", "mountPath": "/a/tls/client"}])
    );
}

#[test]
fn d4_two_mounts_at_the_directory_get_the_same_volume() {
    let judged = judge_both(
        &format!("{{name: certs, emptyDir: {{medium: Memory}}}}, {SECRET}"),
        "{name: certs, mountPath: /certs/client}, {name: ca, mountPath: /certs/client/, readOnly: true}",
    );
    assert_eq!(
        judged.mounts("docker"),
        &json!([{"name": "certs", "mountPath": "/certs/client"}, {"name": "certs", "mountPath": "/certs/client/"}])
    );
}

#[rstest]
#[case::on_disk(
    "emptyDir: {}",
    "{name: v, mountPath: /certs}",
    "{name: v, mountPath: /certs}"
)]
#[case::in_memory(
    "emptyDir: {medium: Memory}",
    "{name: v, mountPath: /certs}",
    "{name: v, mountPath: /certs}"
)]
#[case::read_only_in_build(
    "emptyDir: {}",
    "{name: v, mountPath: /certs, readOnly: true}",
    "{name: v, mountPath: /certs}"
)]
#[case::same_sub_path(
    "emptyDir: {}",
    "{name: v, mountPath: /certs, subPath: a}",
    "{name: v, mountPath: /certs/, subPath: a}"
)]
#[case::other_spelling(
    "emptyDir: {}",
    "{name: v, mountPath: certs}",
    "{name: v, mountPath: /x/../certs}"
)]
fn d5_an_empty_dir_that_dind_and_build_share_above_the_directory_stays(
    #[case] source: &str,
    #[case] build: &str,
    #[case] docker: &str,
) {
    let volumes = format!("{{name: v, {source}}}");
    let judged = judge(CERTS_ONLY, &dind_pod(&volumes, build, docker));
    judged.assert_unchanged();
    assert!(judged.findings_of("D5")[0].contains("\"v\""));
}

#[rstest]
#[case::other_sub_path(
    SCRATCH,
    "{name: scratch, mountPath: /certs, subPath: a}",
    "{name: scratch, mountPath: /certs, subPath: b}"
)]
#[case::sub_path_in_one(
    SCRATCH,
    "{name: scratch, mountPath: /certs}",
    "{name: scratch, mountPath: /certs, subPath: b}"
)]
#[case::variable_sub_path(
    SCRATCH,
    "{name: scratch, mountPath: /certs, subPathExpr: $(A)}",
    "{name: scratch, mountPath: /certs, subPathExpr: $(A)}"
)]
#[case::other_volume(
    "{name: scratch, emptyDir: {}}, {name: other, emptyDir: {}}",
    "{name: scratch, mountPath: /certs}",
    "{name: other, mountPath: /certs}"
)]
#[case::in_dind_only(SCRATCH, "", "{name: scratch, mountPath: /certs}")]
#[case::in_build_only(SCRATCH, "{name: scratch, mountPath: /certs}", "")]
#[case::claim(
    "{name: pvc, persistentVolumeClaim: {claimName: c}}",
    "{name: pvc, mountPath: /certs}",
    "{name: pvc, mountPath: /certs}"
)]
#[case::host_path(
    "{name: node, hostPath: {path: /certs}}",
    "{name: node, mountPath: /certs}",
    "{name: node, mountPath: /certs}"
)]
fn d5_another_writable_ancestor_stays_and_the_directory_is_mounted_below_it(
    #[case] volumes: &str,
    #[case] build: &str,
    #[case] docker: &str,
) {
    let judged = judge(CERTS_ONLY, &dind_pod(volumes, build, docker));
    let on_top = json!({"name": "drydock-docker-certs", "mountPath": "/certs/client"});
    for (container, index) in [("build", 0), ("docker", 2)] {
        let before = &judged.before["spec"]["containers"][index]["volumeMounts"];
        let mut expected = before.clone();
        expected
            .as_array_mut()
            .expect("a list")
            .push(on_top.clone());
        assert_eq!(judged.mounts(container), &expected, "{container}");
    }
    assert_eq!(judged.changes, ["add-volume", "add-mount", "add-mount"]);
}

#[rstest]
#[case::in_dind(
    "{name: scratch, mountPath: /certs}",
    "{name: scratch, mountPath: /certs, readOnly: true}",
    "docker",
    "build"
)]
#[case::in_build(
    "{name: scratch, mountPath: /certs, readOnly: true}",
    "",
    "build",
    "docker"
)]
fn d5_a_read_only_ancestor_that_does_not_serve_the_directory_is_removed(
    #[case] build: &str,
    #[case] docker: &str,
    #[case] loser: &str,
    #[case] other: &str,
) {
    let judged = judge(CERTS_ONLY, &dind_pod(SCRATCH, build, docker));
    let paths: Vec<&Value> = [loser, other]
        .iter()
        .flat_map(|container| judged.mounts(container).as_array().into_iter().flatten())
        .filter(|mount| mount["mountPath"] == "/certs/client")
        .collect();
    assert_eq!(paths.len(), 2);
    assert_eq!(paths[0]["name"], paths[1]["name"]);
    assert_eq!(judged.mounts(loser).as_array().map(Vec::len), Some(1));
    // The emptyDir had no files that the author could miss.
    assert!(judged.reports_to_team("D7", "\"scratch\""));
}

#[test]
fn d5_an_ancestor_does_not_serve_a_directory_with_a_mount() {
    let parent = "{name: scratch, mountPath: /certs}";
    let judged = judge(
        CERTS_ONLY,
        &format!(
            "volumes: [{SCRATCH}, {SECRET}]
containers: [{{name: build, volumeMounts: [{parent}]}}, {{name: helper, volumeMounts: [{{name: ca, mountPath: /certs/client}}]}}, {{name: docker, image: docker:dind, volumeMounts: [{parent}]}}]"
        ),
    );
    let on_top = json!([{"name": "scratch", "mountPath": "/certs"}, {"name": "ca", "mountPath": "/certs/client"}]);
    assert_eq!(judged.mounts("build"), &on_top);
    assert_eq!(judged.mounts("docker"), &on_top);
    assert_eq!(judged.volumes()[1], memory("ca"));
}

#[test]
fn d5_a_read_only_ancestor_is_removed_if_the_directory_is_mounted() {
    let judged = judge(
        CERTS_ONLY,
        &format!(
            "volumes: [{SCRATCH}, {SECRET}]
containers: [{{name: build, volumeMounts: [{{name: scratch, mountPath: /certs, readOnly: true}}]}}, {{name: helper, volumeMounts: [{{name: ca, mountPath: /certs/client}}]}}, {{name: docker, image: docker:dind, volumeMounts: [{{name: scratch, mountPath: /certs}}]}}]"
        ),
    );
    assert_eq!(
        judged.mounts("build"),
        &json!([{"name": "ca", "mountPath": "/certs/client"}])
    );
}

const AT_CLIENT: &str = "{name: ca, mountPath: /certs/client, readOnly: true}";

#[rstest]
#[case::at_server("secret: {secretName: s}", "{name: s, mountPath: /certs/server}")]
#[case::below_server(
    "secret: {secretName: s}",
    "{name: s, mountPath: /certs/server/key.pem, subPath: key.pem}"
)]
#[case::other_spelling(
    "secret: {secretName: s}",
    "{name: s, mountPath: //certs/x/../server/}"
)]
#[case::a_claim(
    "persistentVolumeClaim: {claimName: s}",
    "{name: s, mountPath: /certs/server}"
)]
#[case::secret_items(
    "secret: {items: [{key: k, path: server/key.pem}]}",
    "{name: s, mountPath: /certs}"
)]
#[case::config_map_items(
    "configMap: {items: [{key: c, path: client/ca.pem}, {key: k, path: server/key.pem}]}",
    "{name: s, mountPath: /certs}"
)]
#[case::projected_secret(
    "projected: {sources: [{configMap: {name: c}}, {secret: {items: [{key: k, path: server/key.pem}]}}]}",
    "{name: s, mountPath: /certs}"
)]
#[case::projected_config_map(
    "projected: {sources: [{configMap: {items: [{key: k, path: server/key.pem}]}}]}",
    "{name: s, mountPath: /certs}"
)]
#[case::by_sub_path(
    "projected: {sources: [{secret: {items: [{key: k, path: tls/server/key.pem}]}}]}",
    "{name: s, mountPath: /certs, subPath: tls}"
)]
fn d6_dind_with_supplied_server_certificates_is_unchanged(
    #[case] source: &str,
    #[case] mount: &str,
) {
    let volumes = format!("{SECRET}, {{name: s, {source}}}");
    let judged = judge(
        CERTS_ONLY,
        &dind_pod(&volumes, AT_CLIENT, &format!("{AT_CLIENT}, {mount}")),
    );
    judged.assert_unchanged();
    assert!(judged.reports_to_team("D6", "/certs/client"));
}

#[test]
fn d6_a_sub_path_may_end_in_a_slash() {
    let volumes =
        format!("{SECRET}, {{name: s, secret: {{items: [{{key: k, path: tls/server/key.pem}}]}}}}");
    let docker = format!("{AT_CLIENT}, {{name: s, mountPath: /certs, subPath: tls/}}");
    judge(CERTS_ONLY, &dind_pod(&volumes, AT_CLIENT, &docker)).assert_unchanged();
}

#[rstest]
#[case::a_neighbour("{name: s, mountPath: /certs/servers}", "")]
#[case::other_items("{name: s, mountPath: /certs}", "")]
#[case::outside_the_sub_path("{name: s, mountPath: /certs, subPath: other}", "")]
#[case::in_build_only("", "{name: s, mountPath: /certs/server}")]
fn d6_other_certificates_are_no_server_certificates(#[case] docker: &str, #[case] build: &str) {
    let volumes = "{name: ca, secret: {secretName: ca}}, {name: s, secret: {items: [{key: k, path: client/server/key.pem}, {key: k, path: tls/server/key.pem}]}}";
    let (build, docker) = (
        format!("{AT_CLIENT}, {build}"),
        format!("{AT_CLIENT}, {docker}"),
    );
    let judged = judge(CERTS_ONLY, &dind_pod(volumes, &build, &docker));
    assert_eq!(judged.volumes()[0], memory("ca"));
}

#[test]
fn d6_only_the_directory_of_that_dind_is_unchanged() {
    let judged = judge(
        CERTS_ONLY,
        "volumes: [{name: s, secret: {secretName: s}}]
containers: [{name: build}, {name: one, image: docker:dind, volumeMounts: [{name: s, mountPath: /certs/server}]}, {name: two, image: docker:dind, env: [{name: DOCKER_TLS_CERTDIR, value: /two}]}]",
    );
    let shared = json!([{"name": "drydock-docker-certs", "mountPath": "/two/client"}]);
    assert_eq!(judged.mounts("build"), &shared);
    assert_eq!(judged.mounts("two"), &shared);
    assert_eq!(
        judged.mounts("one"),
        &judged.before["spec"]["containers"][1]["volumeMounts"]
    );
}
