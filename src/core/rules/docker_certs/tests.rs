//! Rules D2 and D3, and rule D8 without Relocate.

use crate::core::verdict::Outcome;
use crate::testing::{CERTS_ONLY, DIND, Setup, dind_pod, judge};
use rstest::rstest;
use serde_json::{Value, json};

const SECRET: &str = "{name: ca, secret: {secretName: ca}}";
const MEMORY: &str = "{name: certs, emptyDir: {medium: Memory}}";
const AT: &str = "{name: ca, mountPath: /certs/client, readOnly: true}";

/// Returns a pod whose dind container has this environment, without mounts.
fn dind_with(env: &str) -> String {
    format!("containers: [{{name: build}}, {{name: docker, image: docker:dind, {env}}}]")
}

/// Returns a pod whose dind container has this environment, with a Secret at `/certs/client`.
fn dind_with_secret(env: &str) -> String {
    format!(
        "volumes: [{SECRET}]\ncontainers: [{{name: build, volumeMounts: [{AT}]}}, {{name: docker, image: docker:dind, volumeMounts: [{AT}], {env}}}]"
    )
}

fn new_mount(path: &str) -> Value {
    json!([{"name": "drydock-docker-certs", "mountPath": path}])
}

#[rstest]
#[case::not_set("env: []", "/certs/client")]
#[case::null("env: null", "/certs/client")]
#[case::from_a_config_map(
    "envFrom: [{configMapRef: {name: DOCKER_TLS_CERTDIR}}]",
    "/certs/client"
)]
#[case::set("env: [{name: DOCKER_TLS_CERTDIR, value: /tls}]", "/tls/client")]
#[case::not_clean("env: [{name: DOCKER_TLS_CERTDIR, value: /a/..//tls/}]", "/tls/client")]
#[case::the_root("env: [{name: DOCKER_TLS_CERTDIR, value: /}]", "/client")]
#[case::the_last_counts(
    "env: [{name: DOCKER_TLS_CERTDIR}, {name: DOCKER_TLS_CERTDIR, value: /one}, {name: DOCKER_TLS_CERTDIR, value: /two}]",
    "/two/client"
)]
fn d2_the_variable_of_dind_determines_the_directory(#[case] env: &str, #[case] directory: &str) {
    let judged = judge(CERTS_ONLY, &dind_with(env));
    assert_eq!(judged.mounts("docker"), &new_mount(directory));
    assert_eq!(judged.mounts("build"), &new_mount(directory));
}

#[rstest]
#[case::empty("env: [{name: DOCKER_TLS_CERTDIR, value: ''}]")]
#[case::without_value("env: [{name: DOCKER_TLS_CERTDIR}]")]
#[case::null("env: [{name: DOCKER_TLS_CERTDIR, value: null, valueFrom: null}]")]
#[case::the_last_is_empty(
    "env: [{name: DOCKER_TLS_CERTDIR, value: /certs}, {name: DOCKER_TLS_CERTDIR}]"
)]
fn d2_without_tls_the_directory_is_unchanged(#[case] env: &str) {
    judge(CERTS_ONLY, &dind_with_secret(env)).assert_unchanged();
    let denying = "dind: {volumes: [], clientCerts: {onConflict: Deny}}";
    judge(denying, &dind_with_secret(env)).assert_unchanged();
}

#[rstest]
#[case::an_empty_value_beside_it(
    "env: [{name: DOCKER_TLS_CERTDIR, value: '', valueFrom: {fieldRef: {fieldPath: metadata.name}}}]"
)]
#[case::from_a_field(
    "env: [{name: DOCKER_TLS_CERTDIR, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]"
)]
#[case::a_reference(
    "env: [{name: BASE, value: /tls}, {name: DOCKER_TLS_CERTDIR, value: $(BASE)/certs}]"
)]
#[case::relative("env: [{name: DOCKER_TLS_CERTDIR, value: certs}]")]
fn d2_an_unknown_directory_is_unchanged_and_reported(#[case] env: &str) {
    let judged = judge(CERTS_ONLY, &dind_with_secret(env));
    judged.assert_unchanged();
    assert!(judged.reports_to_author("D2", "\"docker\""));
}

#[test]
fn d2_the_variable_of_another_container_is_ignored() {
    let judged = judge(
        CERTS_ONLY,
        "containers: [{name: build, env: [{name: DOCKER_TLS_CERTDIR, value: ''}]}, {name: docker, image: docker:dind}]",
    );
    assert_eq!(judged.mounts("docker"), &new_mount("/certs/client"));
}

#[test]
fn d2_each_of_several_directories_is_repaired() {
    let judged = judge(
        CERTS_ONLY,
        "containers: [{name: build}, {name: one, image: docker:dind}, {name: two, image: docker:dind, env: [{name: DOCKER_TLS_CERTDIR, value: /two}]}]",
    );
    let (one, two) = (
        json!({"name": "drydock-docker-certs", "mountPath": "/certs/client"}),
        json!({"name": "drydock-docker-certs-2", "mountPath": "/two/client"}),
    );
    assert_eq!(judged.mounts("build"), &json!([one, two]));
    assert_eq!(judged.mounts("one"), &json!([one]));
    assert_eq!(judged.mounts("two"), &json!([two]));
}

#[test]
fn d2_two_dinds_with_one_directory_are_reported() {
    let judged = judge(
        CERTS_ONLY,
        "containers: [{name: build}, {name: one, image: docker:dind}, {name: two, image: docker:dind, env: [{name: DOCKER_TLS_CERTDIR, value: /certs/}]}]",
    );
    assert!(judged.reports_to_author("D2", "\"one\" and \"two\""));
    assert_eq!(judged.mounts("one"), judged.mounts("two"));
    assert_eq!(judged.volumes().as_array().map(Vec::len), Some(1));
}

#[rstest]
#[case::absent(DIND)]
#[case::null(
    "volumes: null\ncontainers: [{name: build, volumeMounts: null}, {name: helper}, {name: docker, image: docker:28-dind, volumeMounts: null}]"
)]
#[case::empty(
    "volumes: []\ncontainers: [{name: build, volumeMounts: []}, {name: helper}, {name: docker, image: docker:28-dind, volumeMounts: []}]"
)]
fn d3_dind_and_build_always_have_the_directory(#[case] pod: &str) {
    let judged = judge(CERTS_ONLY, pod);
    assert_eq!(
        judged.volumes(),
        &json!([{"name": "drydock-docker-certs", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}])
    );
    assert_eq!(judged.mounts("build"), &new_mount("/certs/client"));
    assert_eq!(judged.mounts("docker"), &new_mount("/certs/client"));
    assert_eq!(judged.mounts("helper"), &Value::Null);
}

#[test]
fn d3_a_correct_directory_is_unchanged() {
    let mount = "{name: certs, mountPath: /certs/client, mountPropagation: None, subPath: ''}";
    judge(CERTS_ONLY, &dind_pod(MEMORY, mount, mount)).assert_unchanged();
}

#[test]
fn d3_every_container_with_a_mount_there_shares_the_volume() {
    let below = "{name: pem, mountPath: /certs/client/ca.pem, subPath: ca.pem}";
    let pod = format!(
        "volumes: [{SECRET}, {{name: pem, configMap: {{name: pem}}}}]
initContainers: [{{name: init-permissions, volumeMounts: [{AT}]}}, {{name: sidecar, restartPolicy: Always, volumeMounts: [{below}]}}]
containers:
- {{name: build, volumeMounts: [{AT}]}}
- {{name: helper, volumeMounts: [{below}]}}
- {{name: docker, image: 'docker:dind', volumeMounts: [{AT}]}}
- {{name: postgres, volumeMounts: [{AT}, {below}]}}
- {{name: redis}}"
    );
    let judged = judge(CERTS_ONLY, &pod);
    let shared = json!([{"name": "ca", "mountPath": "/certs/client"}]);
    for container in [
        "build",
        "helper",
        "docker",
        "postgres",
        "init-permissions",
        "sidecar",
    ] {
        assert_eq!(judged.mounts(container), &shared, "{container}");
    }
    assert_eq!(judged.mounts("redis"), &Value::Null);
    assert_eq!(
        judged.volumes()[0],
        json!({"name": "ca", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}})
    );
}

#[test]
fn d3_dind_as_a_native_sidecar_shares_the_volume_with_build() {
    let judged = judge(
        CERTS_ONLY,
        "initContainers: [{name: dind, image: docker:dind, restartPolicy: Always}]",
    );
    assert_eq!(judged.mounts("dind"), &new_mount("/certs/client"));
    assert_eq!(judged.mounts("build"), &new_mount("/certs/client"));
}

#[rstest]
#[case::in_build_only("{name: certs, mountPath: /certs/client}", "")]
#[case::in_dind_only("", "{name: certs, mountPath: /certs/client}")]
fn d3_a_memory_volume_of_one_container_is_mounted_in_the_other(
    #[case] build: &str,
    #[case] docker: &str,
) {
    let judged = judge(CERTS_ONLY, &dind_pod(MEMORY, build, docker));
    let shared = json!([{"name": "certs", "mountPath": "/certs/client"}]);
    assert_eq!(judged.mounts("build"), &shared);
    assert_eq!(judged.mounts("docker"), &shared);
    assert_eq!(judged.changes, ["add-mount"]);
}

#[test]
fn d8_replace_is_the_default_and_reports_the_displaced_volume() {
    let judged = judge(CERTS_ONLY, &dind_pod(SECRET, AT, AT));
    assert_eq!(judged.outcome, Outcome::Mutated);
    assert!(judged.reports_to_author(
        "D7",
        "secret volume \"ca\" is no longer mounted at /certs/client"
    ));
}

#[test]
fn d8_report_leaves_the_directory_unchanged_and_reports_the_conflict() {
    let policy = "{hostAliases: [{ip: 10.0.0.1, hostnames: [a]}], dind: {volumes: [], clientCerts: {onConflict: Report}}}";
    let judged = judge(policy, &dind_pod(SECRET, AT, AT));
    assert_eq!(judged.changes, ["add-host-alias"]);
    assert!(judged.reports_to_author(
        "D8",
        "container \"build\" mounts secret volume \"ca\" at /certs/client"
    ));
}

#[test]
fn d8_report_for_one_directory_does_not_prevent_the_repair_of_another() {
    let judged = judge(
        "dind: {volumes: [], clientCerts: {onConflict: Report}}",
        &format!(
            "volumes: [{SECRET}]\ncontainers: [{{name: build}}, {{name: one, image: docker:dind, volumeMounts: [{AT}]}}, {{name: two, image: docker:dind, env: [{{name: DOCKER_TLS_CERTDIR, value: /two}}]}}]"
        ),
    );
    assert_eq!(judged.mounts("build"), &new_mount("/two/client"));
    assert_eq!(judged.mounts("two"), &new_mount("/two/client"));
    assert!(judged.reports_to_author("D8", "/certs/client"));
}

#[test]
fn d8_deny_refuses_with_container_volume_path_and_fix() {
    let policy =
        "{hostAliases: [{ip: 10.0.0.1, hostnames: [a]}], dind: {clientCerts: {onConflict: Deny}}}";
    let judged = judge(policy, &dind_pod(SECRET, AT, AT));
    assert_eq!(judged.outcome, Outcome::Denied);
    assert_eq!(judged.pod, judged.before);
    let message = judged.findings_of("D8").join("\n");
    for part in [
        "container \"build\"",
        "secret volume \"ca\"",
        "at /certs/client",
        "config.toml",
        "registryCAs",
    ] {
        assert!(message.contains(part), "{part} in {message}");
    }
}

#[rstest]
#[case::report("Report")]
#[case::deny("Deny")]
fn d8_without_a_conflict_nothing_is_reported_or_denied(#[case] on_conflict: &str) {
    let policy = format!("dind: {{volumes: [], clientCerts: {{onConflict: {on_conflict}}}}}");
    let judged = judge(
        &policy,
        &dind_pod(MEMORY, "{name: certs, mountPath: /certs/client}", ""),
    );
    assert_eq!(judged.changes, ["add-mount"]);
    assert_eq!(judge(&policy, DIND).outcome, Outcome::Mutated);
    judge(
        &policy,
        &dind_pod(
            MEMORY,
            "{name: certs, mountPath: /certs}",
            "{name: certs, mountPath: /certs}",
        ),
    )
    .assert_unchanged();
}

#[test]
fn d8_the_first_policy_with_dind_decides_about_conflicts() {
    let judged = Setup {
        policies: &[
            (
                "a",
                "{priority: 1, dind: {volumes: [], clientCerts: {onConflict: Report}}}",
            ),
            ("b", "dind: {volumes: [], clientCerts: {onConflict: Deny}}"),
        ],
        pod: &dind_pod(SECRET, AT, AT),
        ..Setup::default()
    }
    .judge();
    judged.assert_unchanged();
}

/// dind writes no certificates, so a Secret at the directory may contain the team's own
/// certificates.
#[rstest]
#[case::command("command: [dockerd, --tlsverify]")]
#[case::arguments(
    "args: [dockerd, '--host=tcp://0.0.0.0:2376', --tlsverify, --tlscacert=/tls/ca.crt]"
)]
#[case::of_the_entrypoint("command: [dockerd-entrypoint.sh], args: [dockerd, --tlsverify]")]
#[case::in_a_script("command: [sh, -c, 'sleep 1; exec dockerd --tlsverify']")]
fn d2_without_the_entrypoint_the_directory_is_unchanged(#[case] words: &str) {
    let judged = judge(CERTS_ONLY, &dind_with_secret(words));
    judged.assert_unchanged();
    assert!(judged.reports_to_team("D2", "starts dockerd directly"));
}

#[rstest]
#[case::by_env("command: [env, -u, DOCKER_TLS_CERTDIR], args: [dockerd-entrypoint.sh]")]
#[case::by_an_empty_environment("command: [env, -i, PATH=/usr/local/bin, dockerd-entrypoint.sh]")]
#[case::by_an_assignment("command: [/usr/bin/env, DOCKER_TLS_CERTDIR=, dockerd-entrypoint.sh]")]
fn d2_the_command_may_turn_tls_off(#[case] words: &str) {
    judge(CERTS_ONLY, &dind_with_secret(words)).assert_unchanged();
}

#[test]
fn d2_a_directory_that_a_script_sets_is_unknown() {
    let words = "command: [sh, -c, 'export DOCKER_TLS_CERTDIR=/x; dockerd-entrypoint.sh']";
    let judged = judge(CERTS_ONLY, &dind_with_secret(words));
    judged.assert_unchanged();
    assert!(judged.reports_to_author("D2", "is unknown"));
}

/// The client may call either daemon, so the certificates stay.
#[test]
fn d2_a_directory_shared_with_a_directly_started_daemon_is_unchanged() {
    let pod = |volumes: &str, mounts: &str| {
        format!(
            "volumes: [{volumes}]
containers: [{{name: build, volumeMounts: [{mounts}]}}, {{name: one, image: docker:dind, args: [dockerd, --tlsverify]}}, {{name: two, image: docker:dind}}]"
        )
    };
    let judged = judge(CERTS_ONLY, &pod(SECRET, AT));
    judged.assert_unchanged();
    assert!(judged.reports_to_team("D2", "starts dockerd directly"));
    let judged = judge(CERTS_ONLY, &pod("", ""));
    assert_eq!(judged.mounts("two"), &new_mount("/certs/client"));
}

/// The mount conflicts with both directories, and is reported once.
#[test]
fn a4_an_invalid_mount_is_reported_once() {
    let judged = judge(
        CERTS_ONLY,
        "volumes: [{name: s, hostPath: {path: /s}}]
containers: [{name: build, volumeMounts: [{name: gone, mountPath: /certs, readOnly: true}]}, {name: one, image: docker:dind, env: [{name: DOCKER_TLS_CERTDIR, value: /certs/one}]}, {name: two, image: docker:dind, env: [{name: DOCKER_TLS_CERTDIR, value: /certs/two}]}]",
    );
    let reported = judged.findings.iter().filter(|(rule, ..)| *rule == "A4");
    assert_eq!(reported.count(), 1, "{:?}", judged.findings);
}
