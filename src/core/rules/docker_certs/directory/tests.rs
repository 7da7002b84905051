//! Rule D3: the containers that share the directory, and the volumes that stay at it.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

use crate::testing::{CERTS_ONLY, dind_pod, judge};
use rstest::rstest;
use serde_json::{Value, json};

const SECRET: &str = "{name: ca, secret: {secretName: ca}}";
const AT_CLIENT: &str = "{name: ca, mountPath: /certs/client, readOnly: true}";

fn memory(name: &str) -> Value {
    json!({"name": name, "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}})
}

#[rstest]
#[case::on_disk("emptyDir: {}")]
#[case::on_disk_with_a_limit("emptyDir: {medium: '', sizeLimit: 1Gi}")]
#[case::null_medium("emptyDir: {medium: null}")]
#[case::in_memory("emptyDir: {medium: Memory}")]
#[case::no_source("emptyDir: null")]
fn d3_an_empty_dir_of_any_medium_that_dind_and_build_share_stays(#[case] source: &str) {
    for restriction in ["", ", subPath: certs", ", subPathExpr: $(CI_JOB_ID)"] {
        let mount = format!("{{name: ca, mountPath: /certs/client{restriction}}}");
        let volume = format!("{{name: ca, {source}}}");
        let judged = judge(CERTS_ONLY, &dind_pod(&volume, &mount, &mount));
        judged.assert_unchanged();
    }
}

#[rstest]
#[case::on_disk("emptyDir: {}")]
#[case::in_memory("emptyDir: {medium: Memory}")]
fn d3_the_empty_dir_of_dind_is_mounted_in_build_even_if_it_is_mounted_elsewhere(
    #[case] source: &str,
) {
    let judged = judge(
        CERTS_ONLY,
        &dind_pod(
            &format!("{{name: certs, {source}}}"),
            "{name: certs, mountPath: /root/.docker}",
            "{name: certs, mountPath: /certs/client, subPath: x}",
        ),
    );
    assert_eq!(judged.volumes(), &judged.before["spec"]["volumes"]);
    assert_eq!(
        judged.mounts("build"),
        &json!([{"name": "certs", "mountPath": "/root/.docker"}, {"name": "certs", "mountPath": "/certs/client", "subPath": "x"}])
    );
    assert_eq!(judged.changes, ["add-mount"]);
}

#[test]
fn d3_a_mount_gets_the_sub_path_of_dind() {
    let judged = judge(
        CERTS_ONLY,
        &dind_pod(
            &format!("{SECRET}, {{name: certs, emptyDir: {{}}}}"),
            "{name: ca, mountPath: /certs/client, subPath: ca, readOnly: true}",
            "{name: certs, mountPath: /certs/client, subPath: x}",
        ),
    );
    assert_eq!(
        judged.mounts("build"),
        &json!([{"name": "certs", "mountPath": "/certs/client", "subPath": "x"}])
    );
}

#[test]
fn d3_a_changed_sub_path_is_in_the_sentence() {
    let judged = judge(
        CERTS_ONLY,
        &dind_pod(
            "{name: certs, emptyDir: {}}",
            "{name: certs, mountPath: /certs/client}",
            "{name: certs, mountPath: /certs/client, subPath: x}",
        ),
    );
    assert_eq!(judged.mounts("build"), judged.mounts("docker"));
    assert_eq!(
        judged.sentences[0].1,
        "changed the mount at /certs/client of container \"build\": with subPath x"
    );
}

#[test]
fn d3_a_sub_path_expr_is_removed_if_a_container_may_lack_its_variables() {
    let judged = judge(
        CERTS_ONLY,
        &dind_pod(
            "{name: certs, emptyDir: {}}",
            "",
            "{name: certs, mountPath: /certs/client, subPathExpr: $(CI_JOB_ID)}",
        ),
    );
    let whole = json!([{"name": "certs", "mountPath": "/certs/client"}]);
    assert_eq!(judged.mounts("docker"), &whole);
    assert_eq!(judged.mounts("build"), &whole);
}

/// If the client calls another daemon, or a host that is no alias, mounts at the directory stay.
#[rstest]
#[case::remote("tcp://farm.corp.example:2376", true)]
#[case::remote_by_address("tcp://10.1.2.3:2376", true)]
#[case::ssh("ssh://farm", true)]
#[case::no_alias("tcp://docker:2376", true)]
#[case::an_alias("tcp://dind:2376", false)]
#[case::an_alias_without_a_port("tcp://dind", false)]
#[case::loopback("tcp://localhost:2376", false)]
#[case::unknown("tcp://$(HOST):2376", false)]
fn d3_certificates_for_another_daemon_stay(#[case] host: &str, #[case] stays: bool) {
    let judged = judge(
        CERTS_ONLY,
        &format!(
            "hostAliases: [{{ip: 127.0.0.1, hostnames: [dind]}}]
volumes: [{SECRET}]
containers: [{{name: build, env: [{{name: DOCKER_HOST, value: '{host}'}}], volumeMounts: [{AT_CLIENT}]}}, {{name: docker, image: docker:28-dind, securityContext: {{privileged: true}}, volumeMounts: [{AT_CLIENT}]}}]"
        ),
    );
    assert_eq!(judged.patch.is_null(), stays);
    // A missing alias is reported to the author, and a remote daemon to the team.
    let is_reported = judged.reports_to_team("D3", "is unchanged")
        || judged.reports_to_author("R2", "no service of the job");
    assert_eq!(is_reported, stays);
}

/// The client needs no certificates, so `build` gets no mount. dind must still be able to write.
#[rstest]
#[case::a_socket("unix:///var/run/docker.sock")]
#[case::the_plain_port("tcp://localhost:2375")]
fn d3_build_gets_no_mount_if_its_client_needs_no_certificates(#[case] host: &str) {
    let judged = judge(
        CERTS_ONLY,
        &format!(
            "volumes: [{SECRET}]
containers: [{{name: build, env: [{{name: DOCKER_HOST, value: '{host}'}}]}}, {{name: docker, image: docker:28-dind, volumeMounts: [{AT_CLIENT}]}}]"
        ),
    );
    assert!(judged.mounts("build").is_null());
    assert_eq!(judged.volumes(), &json!([memory("ca")]));
}

/// Because of the Secret the daemon starts without TLS. If it had certificates, the client could no
/// longer connect.
#[rstest]
#[case("docker:20.10.17-dind", "tcp://localhost:2375", true)]
#[case("docker:19.03-dind", "tcp://localhost:2375", true)]
#[case("docker:20.10-dind", "tcp://localhost:2375", false)]
#[case("docker:20.10.17-dind", "tcp://localhost:2376", false)]
#[case("docker:28-dind", "tcp://localhost:2375", false)]
fn d3_a_fallback_without_tls_stays_if_the_client_expects_it(
    #[case] image: &str,
    #[case] host: &str,
    #[case] stays: bool,
) {
    let judged = judge(
        CERTS_ONLY,
        &format!(
            "volumes: [{SECRET}]
containers: [{{name: build, env: [{{name: DOCKER_HOST, value: '{host}'}}]}}, {{name: docker, image: '{image}', volumeMounts: [{AT_CLIENT}]}}]"
        ),
    );
    assert_eq!(judged.patch.is_null(), stays);
    assert_eq!(judged.reports_to_team("D3", "without TLS"), stays);
}
