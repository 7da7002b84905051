//! Rule R2.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

use crate::testing::{CERTS_ONLY, Judged, judge};
use rstest::rstest;

/// Judges a pod whose `build` and dind containers have these fields.
#[track_caller]
fn judge_fields(build: &str, docker: &str) -> Judged {
    judge(
        CERTS_ONLY,
        &format!(
            "hostAliases: [{{ip: 127.0.0.1, hostnames: [docker, my-dind]}}]
containers: [{{name: build, {build}}}, {{name: docker, image: 'docker:28-dind', {docker}}}]"
        ),
    )
}

const HOST: &str = "env: [{name: DOCKER_HOST, value: 'tcp://docker:2376'}]";
const PRIVILEGED: &str = "securityContext: {privileged: true}";

#[rstest]
#[case::not_said("")]
#[case::not("securityContext: {privileged: false}")]
#[case::null("securityContext: null")]
fn r2_dind_without_privileges_is_reported(#[case] fields: &str) {
    let judged = judge_fields(HOST, fields);
    assert!(judged.reports_to_author("R2", "\"docker\" is not privileged"));
    assert!(judge_fields(HOST, PRIVILEGED).findings_of("R2").is_empty());
}

#[rstest]
#[case("/var/run/docker.sock")]
#[case("/run/user/1000//docker.sock/")]
fn r2_the_nodes_docker_socket_is_reported_also_without_dind(#[case] path: &str) {
    let judged = judge(
        CERTS_ONLY,
        &format!(
            "volumes: [{{name: sock, hostPath: {{path: {path}}}}}]\ncontainers: [{{name: build, volumeMounts: [{{name: sock, mountPath: /var/run/docker.sock}}]}}]"
        ),
    );
    judged.assert_unchanged();
    assert!(judged.reports_to_author("R2", "\"sock\""));
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
    assert!(judged.findings_of("R2").is_empty());
}

const TLS_OFF: &str = "{name: DOCKER_TLS_CERTDIR}";

#[rstest]
#[case::plain_port_with_tls("tcp://docker:2375", "{name: A}", "docker:2376")]
#[case::plain_port_with_tls_and_slash("tcp://docker:2375/", "{name: A}", "docker:2376")]
#[case::tls_port_without_tls("tcp://localhost:2376", TLS_OFF, "localhost:2375")]
#[case::of_another_alias("tcp://my-dind:2375", "{name: A}", "my-dind:2376")]
fn r2_a_docker_host_that_cannot_match_is_reported(
    #[case] host: &str,
    #[case] tls: &str,
    #[case] right: &str,
) {
    let judged = judge_fields(
        &format!("env: [{{name: DOCKER_HOST, value: '{host}'}}]"),
        &format!("env: [{tls}], {PRIVILEGED}"),
    );
    assert!(judged.reports_to_author("R2", &format!("set DOCKER_HOST to tcp://{right}")));
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
#[case::the_daemon_configures_a_listener(
    "tcp://docker:2375",
    "",
    ", args: [--host=tcp://0.0.0.0:2375]"
)]
#[case::in_a_shell(
    "tcp://docker:2375",
    "",
    ", command: [sh, -c, 'dockerd -H tcp://0.0.0.0:2375']"
)]
fn r2_a_docker_host_that_may_match_is_not_reported(
    #[case] host: &str,
    #[case] tls: &str,
    #[case] docker: &str,
) {
    let judged = judge_fields(
        &format!("env: [{{name: DOCKER_HOST, value: '{host}'}}]"),
        &format!("env: [{tls}], {PRIVILEGED}{docker}"),
    );
    let reported = judged.findings_of("R2");
    assert!(reported.is_empty(), "{reported:?}");
}

#[test]
fn r2_an_unknown_docker_host_is_not_checked() {
    let judged = judge_fields(
        "env: [{name: DOCKER_HOST, valueFrom: {configMapKeyRef: {name: c, key: tcp://docker:2375}}}]",
        PRIVILEGED,
    );
    assert!(judged.findings_of("R2").is_empty());
}

#[test]
fn r2_without_dind_a_docker_host_is_not_checked() {
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
        .findings_of("R2")
        .is_empty()
    );
}

#[rstest]
#[case::no_version("image: docker:dind", "", None)]
#[case::a_listed_image("image: corp/ci-dind:28", "", None)]
#[case::the_variable(
    "image: docker:dind",
    "{name: DOCKER_TLS_CERTDIR, value: /certs}",
    Some("2376")
)]
#[case::the_version("image: docker:19.03-dind", "", Some("2376"))]
#[case::the_newest_of_its_line("image: docker:19-dind", "", Some("2376"))]
fn r2_an_assumed_default_is_reported_to_the_team_only(
    #[case] image: &str,
    #[case] variable: &str,
    #[case] right: Option<&str>,
) {
    let judged = judge(
        "dind: {volumes: [], images: ['corp/ci-dind:*']}",
        &format!(
            "hostAliases: [{{ip: 127.0.0.1, hostnames: [docker]}}]
containers: [{{name: build, env: [{{name: DOCKER_HOST, value: 'tcp://docker:2375'}}]}}, {{name: docker, {image}, env: [{variable}], {PRIVILEGED}}}]"
        ),
    );
    match right {
        Some(right) => assert!(judged.reports_to_author("R2", right)),
        None => assert!(judged.reports_to_team("R2", "listens by default with TLS")),
    }
}

#[rstest]
#[case::before_19_03("docker:18.09.7-dind", "2376", "2375")]
#[case::before_18_09("docker:17.12-dind", "2376", "2375")]
fn r2_an_old_version_listens_without_tls(
    #[case] image: &str,
    #[case] named: &str,
    #[case] right: &str,
) {
    let pod = |port: &str| {
        format!(
            "hostAliases: [{{ip: 127.0.0.1, hostnames: [docker]}}]
containers: [{{name: build, env: [{{name: DOCKER_HOST, value: 'tcp://docker:{port}'}}]}}, {{name: docker, image: '{image}', {PRIVILEGED}}}]"
        )
    };
    assert!(judge(CERTS_ONLY, &pod(named)).reports_to_author("R2", right));
    let judged = judge(CERTS_ONLY, &pod(right));
    assert!(judged.findings_of("R2").is_empty());
    judged.assert_unchanged();
}

#[rstest]
#[case::docker("tcp://docker:2376", "`alias: docker`")]
#[case::another_name("tcp://s3cr3t:2376", "`alias`")]
fn r2_a_docker_host_that_is_no_alias_is_reported(#[case] host: &str, #[case] advice: &str) {
    let judged = judge(
        CERTS_ONLY,
        &format!(
            "hostAliases: [{{ip: 127.0.0.1, hostnames: [harbor-proxy-docker]}}, {{ip: 10.0.0.1, hostnames: [docker]}}]
containers: [{{name: build, env: [{{name: DOCKER_HOST, value: '{host}'}}]}}, {{name: svc-0, image: 'docker:28-dind', {PRIVILEGED}}}]"
        ),
    );
    assert!(judged.reports_to_author("R2", advice));
    assert!(!judged.findings_of("R2").concat().contains("s3cr3t"));
}

/// A pod without aliases may resolve names in a way that drydock cannot see, so only the platform
/// team is informed.
#[test]
fn r2_a_docker_host_in_a_pod_without_aliases_is_reported_to_the_team() {
    let judged = judge(
        CERTS_ONLY,
        &format!(
            "containers: [{{name: build, {HOST}}}, {{name: docker, image: 'docker:28-dind', {PRIVILEGED}}}]"
        ),
    );
    assert!(judged.reports_to_team("R2", "`alias: docker`"));
}

#[rstest]
#[case::none("", true)]
#[case::empty("env: [{name: DOCKER_HOST}]", true)]
#[case::its_socket("volumeMounts: [{name: run, mountPath: /var/run}]", false)]
#[case::the_socket_itself("volumeMounts: [{name: run, mountPath: /run/docker.sock}]", false)]
fn r2_a_client_without_docker_host_is_reported_to_the_team(
    #[case] build: &str,
    #[case] reported: bool,
) {
    let judged = judge_fields(build, PRIVILEGED);
    assert_eq!(judged.reports_to_team("R2", "has no DOCKER_HOST"), reported);
    assert_eq!(judged.findings_of("R2").len(), usize::from(reported));
}

#[rstest]
#[case("sysbox-runc", false)]
#[case("kata-qemu", false)]
#[case("nvidia", true)]
fn r2_a_runtime_that_is_made_for_dind_needs_no_privileges(
    #[case] runtime: &str,
    #[case] reported: bool,
) {
    let judged = judge(
        CERTS_ONLY,
        &format!(
            "runtimeClassName: {runtime}
hostAliases: [{{ip: 127.0.0.1, hostnames: [docker]}}]
containers: [{{name: build, {HOST}}}, {{name: docker, image: docker:28-dind}}]"
        ),
    );
    assert_eq!(judged.findings_of("R2").len(), usize::from(reported));
}

const OWN_HOSTS: &str = "volumeMounts: [{name: hosts, mountPath: /etc//hosts}]";

#[test]
fn r2_a_volume_at_etc_hosts_is_reported_if_a_hostname_is_needed() {
    let pod = format!(
        "volumes: [{{name: hosts, hostPath: {{path: /etc/hosts}}}}]
containers: [{{name: build, {OWN_HOSTS}}}, {{name: helper}}, {{name: db, {OWN_HOSTS}}}]"
    );
    let judged = judge("hostAliases: [{ip: 10.0.0.1, hostnames: [a]}]", &pod);
    assert!(judged.reports_to_author("R2", "at /etc/hosts in \"build\" and \"db\""));
    assert!(judge(CERTS_ONLY, &pod).findings_of("R2").is_empty());
}

#[rstest]
#[case::an_alias("tcp://docker:2376", true)]
#[case::loopback("tcp://127.0.0.1:2376", false)]
fn r2_a_volume_at_etc_hosts_hides_the_alias_of_dind(#[case] host: &str, #[case] reported: bool) {
    let judged = judge_fields(
        &format!("env: [{{name: DOCKER_HOST, value: '{host}'}}], {OWN_HOSTS}"),
        PRIVILEGED,
    );
    assert_eq!(judged.findings_of("R2").len(), usize::from(reported));
}
