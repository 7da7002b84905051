//! Rule R2.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

use crate::testing::{CERTS_ONLY, Judged, judge};
use rstest::rstest;

/// Judges a pod whose `build` and dind containers have these fields; what is told of R2 is all that matters.
#[track_caller]
fn judge_fields(build: &str, docker: &str) -> Judged {
    judge(
        CERTS_ONLY,
        &format!(
            "containers: [{{name: build, {build}}}, {{name: docker, image: 'docker:dind', {docker}}}]"
        ),
    )
}

const PRIVILEGED: &str = "securityContext: {privileged: true}";

#[rstest]
#[case::not_said("")]
#[case::not("securityContext: {privileged: false}")]
#[case::null("securityContext: null")]
fn r2_dind_without_privileges_is_told(#[case] fields: &str) {
    let judged = judge_fields("", fields);
    assert!(judged.tells_author("R2", "\"docker\" is not privileged"));
    assert!(judge_fields("", PRIVILEGED).told("R2").is_empty());
}

#[rstest]
#[case("/var/run/docker.sock")]
#[case("/run/user/1000//docker.sock/")]
fn r2_the_nodes_docker_socket_is_told_also_without_dind(#[case] path: &str) {
    let judged = judge(
        CERTS_ONLY,
        &format!(
            "volumes: [{{name: sock, hostPath: {{path: {path}}}}}]\ncontainers: [{{name: build, volumeMounts: [{{name: sock, mountPath: /var/run/docker.sock}}]}}]"
        ),
    );
    judged.assert_unchanged();
    assert!(judged.tells_author("R2", "\"sock\""));
}

#[rstest]
#[case::another_socket("{name: sock, hostPath: {path: /run/containerd.sock}}")]
#[case::a_directory("{name: sock, hostPath: {path: /var/run/docker}}")]
#[case::not_of_the_node("{name: sock, secret: {secretName: docker.sock}}")]
fn r2_another_volume_is_not_the_docker_socket(#[case] volume: &str) {
    let judged = judge(
        CERTS_ONLY,
        &format!(
            "volumes: [{volume}]\ncontainers: [{{name: build, volumeMounts: [{{name: sock, mountPath: /sock}}]}}]"
        ),
    );
    assert!(judged.told("R2").is_empty());
}

const TLS_OFF: &str = "{name: DOCKER_TLS_CERTDIR}";

#[rstest]
#[case::plain_port_with_tls("tcp://docker:2375", "{name: A}", "2376")]
#[case::plain_port_with_tls_and_slash("tcp://docker:2375/", "{name: A}", "2376")]
#[case::tls_port_without_tls("tcp://localhost:2376", TLS_OFF, "2375")]
fn r2_a_docker_host_that_cannot_match_is_told(
    #[case] host: &str,
    #[case] tls: &str,
    #[case] right: &str,
) {
    let judged = judge_fields(
        &format!("env: [{{name: DOCKER_HOST, value: '{host}'}}]"),
        &format!("env: [{tls}], {PRIVILEGED}"),
    );
    assert!(judged.tells_author("R2", &format!("set DOCKER_HOST to tcp://docker:{right}")));
    assert_eq!(
        judged.pod["spec"]["containers"][0]["env"],
        judged.before["spec"]["containers"][0]["env"]
    );
}

#[rstest]
#[case::tls("tcp://docker:2376", "", "")]
#[case::plain("tcp://docker:2375", TLS_OFF, "")]
#[case::another_port("tcp://docker:1234", "", "")]
#[case::a_socket("unix:///var/run/docker.sock", "", "")]
#[case::ssh("ssh://docker", "", "")]
#[case::the_daemon_says_where("tcp://docker:2375", "", ", args: [--host=tcp://0.0.0.0:2375]")]
#[case::in_a_shell(
    "tcp://docker:2375",
    "",
    ", command: [sh, -c, 'dockerd -H tcp://0.0.0.0:2375']"
)]
fn r2_a_docker_host_that_may_match_is_not(
    #[case] host: &str,
    #[case] tls: &str,
    #[case] docker: &str,
) {
    let judged = judge_fields(
        &format!("env: [{{name: DOCKER_HOST, value: '{host}'}}]"),
        &format!("env: [{tls}], {PRIVILEGED}{docker}"),
    );
    let told = judged.told("R2");
    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn r2_a_docker_host_from_elsewhere_is_not_judged() {
    let judged = judge_fields(
        "env: [{name: DOCKER_HOST, valueFrom: {configMapKeyRef: {name: c, key: tcp://docker:2375}}}]",
        PRIVILEGED,
    );
    assert!(judged.told("R2").is_empty());
}

#[test]
fn r2_without_dind_a_docker_host_is_not_judged() {
    judge(
        CERTS_ONLY,
        "containers: [{name: build, env: [{name: DOCKER_HOST, value: 'tcp://remote:2375'}]}]",
    )
    .assert_unchanged();
    assert!(
        judge(
            CERTS_ONLY,
            "containers: [{name: build, env: [{name: DOCKER_HOST, value: 'tcp://remote:2375'}]}]"
        )
        .told("R2")
        .is_empty()
    );
}
