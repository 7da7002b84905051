//! Rule D8: Relocate.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

use crate::testing::{dind_pod, judge};
use serde_json::{Value, json};

const RELOCATE: &str = "dind: {volumes: [], clientCerts: {onConflict: Relocate}}";
const SECRET: &str = "{name: ca, secret: {secretName: ca}}";
const AT: &str = "{name: ca, mountPath: /certs/client}";

fn shared(path: &str) -> Value {
    json!({"name": "drydock-docker-certs", "mountPath": path})
}

fn read_only(name: &str, path: &str) -> Value {
    json!({"name": name, "mountPath": path, "readOnly": true})
}

#[test]
fn d8_relocate_keeps_the_volume_and_mounts_it_read_only_elsewhere() {
    let judged = judge(RELOCATE, &dind_pod(SECRET, AT, AT));
    assert_eq!(
        judged.volumes(),
        &json!([
            {"name": "ca", "secret": {"secretName": "ca"}},
            {"name": "drydock-docker-certs", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        ])
    );
    let mounts = json!([shared("/certs/client"), read_only("ca", "/certs/displaced")]);
    assert_eq!(judged.mounts("build"), &mounts);
    assert_eq!(judged.mounts("docker"), &mounts);
    assert_eq!(judged.mounts("helper"), &Value::Null);
    assert!(judged.reports_to_author("D7", "the volume is now mounted at /certs/displaced"));
}

#[test]
fn d8_relocate_uses_the_path_of_the_policy() {
    let policy =
        "dind: {volumes: [], clientCerts: {onConflict: Relocate, relocateTo: /etc/corp/ca}}";
    let judged = judge(policy, &dind_pod(SECRET, AT, AT));
    assert_eq!(judged.mounts("docker")[1], read_only("ca", "/etc/corp/ca"));
}

#[test]
fn d8_relocate_keeps_the_sub_path() {
    let below = "{name: ca, mountPath: /certs/client/ca.pem, subPath: ca.pem}";
    let at = "{name: ca, mountPath: /certs/client, subPathExpr: $(JOB)}";
    let judged = judge(RELOCATE, &dind_pod(SECRET, below, at));
    assert_eq!(
        judged.mounts("build"),
        &json!([
            shared("/certs/client"),
            {"name": "ca", "mountPath": "/certs/displaced", "readOnly": true, "subPath": "ca.pem"},
        ])
    );
    assert_eq!(
        judged.mounts("docker"),
        &json!([
            shared("/certs/client"),
            {"name": "ca", "mountPath": "/certs/displaced", "readOnly": true, "subPathExpr": "$(JOB)"},
        ])
    );
}

#[test]
fn d8_relocate_appends_the_volume_name_for_further_volumes() {
    let mounts = format!("{{name: pem, mountPath: /certs/client/}}, {AT}");
    let judged = judge(
        RELOCATE,
        &dind_pod(
            &format!("{SECRET}, {{name: pem, configMap: {{name: pem}}}}"),
            AT,
            &mounts,
        ),
    );
    assert_eq!(
        judged.mounts("docker"),
        &json!([
            shared("/certs/client/"),
            shared("/certs/client"),
            read_only("ca", "/certs/displaced"),
            read_only("pem", "/certs/displaced-pem"),
        ])
    );
    assert_eq!(
        judged.mounts("build"),
        &json!([shared("/certs/client"), read_only("ca", "/certs/displaced")])
    );
}

#[test]
fn d8_relocate_keeps_an_existing_mount_at_the_path() {
    let docker = format!("{AT}, {{name: repo, mountPath: /certs/displaced/}}");
    let judged = judge(
        RELOCATE,
        &dind_pod(&format!("{SECRET}, {{name: repo}}"), AT, &docker),
    );
    assert_eq!(
        judged.mounts("docker"),
        &json!([shared("/certs/client"), {"name": "repo", "mountPath": "/certs/displaced/"}])
    );
    assert_eq!(
        judged.mounts("build"),
        &json!([shared("/certs/client"), read_only("ca", "/certs/displaced")])
    );
    assert!(judged.reports_to_author(
        "D8",
        "\"ca\" is not mounted at /certs/displaced in container \"docker\""
    ));
}

#[test]
fn d8_relocate_shares_the_memory_volume_that_dind_has() {
    let judged = judge(
        RELOCATE,
        &dind_pod(
            &format!("{SECRET}, {{name: mine, emptyDir: {{medium: Memory}}}}"),
            AT,
            "{name: mine, mountPath: /certs/client}",
        ),
    );
    assert_eq!(
        judged.mounts("build"),
        &json!([{"name": "mine", "mountPath": "/certs/client"}, read_only("ca", "/certs/displaced")])
    );
    assert_eq!(judged.volumes(), &judged.before["spec"]["volumes"]);
}

#[test]
fn d8_relocate_moves_an_unwritable_ancestor_too() {
    let parent = "{name: ca, mountPath: /certs}";
    let judged = judge(RELOCATE, &dind_pod(SECRET, parent, parent));
    let moved = json!([shared("/certs/client"), read_only("ca", "/certs/displaced")]);
    let kept = json!([{"name": "ca", "mountPath": "/certs"}, shared("/certs/client")]);
    assert_eq!(judged.mounts("build"), &kept);
    assert_eq!(judged.mounts("docker"), &moved);
}

#[test]
fn d8_relocate_never_hides_another_certificate_directory() {
    let judged = judge(
        "dind: {volumes: [], clientCerts: {onConflict: Relocate, relocateTo: /two}}",
        &format!(
            "volumes: [{SECRET}]
containers: [{{name: build}}, {{name: one, image: docker:dind, volumeMounts: [{AT}]}}, {{name: two, image: docker:dind, env: [{{name: DOCKER_TLS_CERTDIR, value: /two}}]}}]"
        ),
    );
    assert_eq!(judged.mounts("one"), &json!([shared("/certs/client")]));
    assert!(judged.reports_to_author("D8", "is not mounted at /two"));
}

#[test]
fn d8_relocate_mounts_a_volume_once_for_several_conflicts() {
    let mounts = format!(
        "{AT}, {{name: ca, mountPath: /certs//client}}, {{name: ca, mountPath: /certs/client/ca.pem, subPath: ca.pem}}"
    );
    let judged = judge(RELOCATE, &dind_pod(SECRET, "", &mounts));
    assert_eq!(
        judged.mounts("docker"),
        &json!([
            shared("/certs/client"),
            shared("/certs//client"),
            read_only("ca", "/certs/displaced")
        ])
    );
}

#[test]
fn d8_relocate_mounts_files_at_different_paths() {
    let file = |name: &str| {
        format!("{{name: {name}, mountPath: /certs/client/{name}.pem, subPath: {name}.pem}}")
    };
    let judged = judge(
        RELOCATE,
        &dind_pod(
            &format!("{SECRET}, {{name: pem, configMap: {{name: pem}}}}"),
            "",
            &format!("{}, {}", file("ca"), file("pem")),
        ),
    );
    assert_eq!(
        judged.mounts("docker"),
        &json!([
            shared("/certs/client"),
            {"name": "ca", "mountPath": "/certs/displaced", "readOnly": true, "subPath": "ca.pem"},
            {"name": "pem", "mountPath": "/certs/displaced-pem", "readOnly": true, "subPath": "pem.pem"},
        ])
    );
}

#[test]
fn d8_relocate_appends_the_volume_name_for_a_second_directory() {
    let mounts = format!("{AT}, {{name: pem, mountPath: /two/client}}");
    let judged = judge(
        RELOCATE,
        &format!(
            "volumes: [{SECRET}, {{name: pem, configMap: {{name: pem}}}}]
containers: [{{name: build, volumeMounts: [{mounts}]}}, {{name: one, image: docker:dind, volumeMounts: [{mounts}]}}, {{name: two, image: docker:dind, env: [{{name: DOCKER_TLS_CERTDIR, value: /two}}], volumeMounts: [{mounts}]}}]"
        ),
    );
    let relocated = judged.mounts("build").as_array().into_iter().flatten();
    let relocated: Vec<&Value> = relocated
        .filter(|mount| mount["readOnly"] == true)
        .collect();
    assert_eq!(
        relocated,
        [
            &read_only("ca", "/certs/displaced"),
            &read_only("pem", "/certs/displaced-pem"),
        ]
    );
}
