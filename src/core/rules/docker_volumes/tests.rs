//! Rules V1 to V7.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

use crate::testing::{DIND, Judged, Setup, judge};
use rstest::rstest;
use serde_json::{Value, json};

/// Judges a pod by a policy with these volumes. The pods have TLS off and need no certificates.
#[track_caller]
fn judge_volumes(volumes: &str, pod: &str) -> Judged {
    judge(&format!("dind: {{volumes: [{volumes}]}}"), pod)
}

/// Returns the spec of a pod whose dind container has these fields.
fn dind(fields: &str) -> String {
    format!(
        "containers: [{{name: build}}, {{name: helper}}, {{name: docker, image: 'docker:dind', env: [{{name: DOCKER_TLS_CERTDIR}}], {fields}}}]"
    )
}

/// Returns the spec of a pod whose dind containers `one` and `two` have these fields.
fn two_dinds(one: &str, two: &str) -> String {
    let dind = "image: 'docker:dind', env: [{name: DOCKER_TLS_CERTDIR}]";
    format!(
        "volumes: [{{name: mine, emptyDir: {{}}}}, {{name: claim, persistentVolumeClaim: {{claimName: cache}}}}]
containers: [{{name: build}}, {{name: one, {dind}, {one}}}, {{name: two, {dind}, {two}}}]"
    )
}

const STORAGE: &str = "{name: storage, mountPath: /var/lib/docker, emptyDir: {}}";
const CLAIM: &str =
    "{name: cache, mountPath: /var/lib/docker, persistentVolumeClaim: {claimName: cache}}";
const MODULES: &str = "{name: modules, mountPath: /lib/modules, readOnly: true, hostPath: {path: /lib/modules, type: DirectoryOrCreate}}";
const PRIVILEGED: &str = "securityContext: {privileged: true}";

fn mounted(volume: &str) -> Value {
    json!([{"name": volume, "mountPath": "/var/lib/docker"}])
}

#[test]
fn v1_a_volume_is_mounted_in_the_dind_container_only() {
    let judged = judge_volumes(STORAGE, &dind(""));
    assert_eq!(judged.mounts("docker"), &mounted("storage"));
    assert_eq!(judged.mounts("build"), &Value::Null);
    assert_eq!(
        judged.volumes(),
        &json!([{"name": "storage", "emptyDir": {}}])
    );
}

#[test]
fn v1_the_defaults_are_storage_and_the_nodes_modules() {
    let judged = judge("dind: {}", &dind(PRIVILEGED));
    assert_eq!(
        judged.mounts("docker"),
        &json!([
            {"name": "dind-storage", "mountPath": "/var/lib/docker"},
            {"name": "dind-modules", "mountPath": "/lib/modules", "readOnly": true},
        ])
    );
}

#[test]
fn v1_a_pod_without_dind_gets_none() {
    judge_volumes(&format!("{STORAGE}, {MODULES}"), "").assert_unchanged();
}

#[test]
fn v1_containers_all_means_containers_and_native_sidecars() {
    let pod = format!(
        "{}\ninitContainers: [{{name: init}}, {{name: sidecar, restartPolicy: Always}}]",
        dind("")
    );
    let judged = judge_volumes(
        "{name: cache, mountPath: /cache, containers: All, emptyDir: {}}",
        &pod,
    );
    let cache = json!([{"name": "cache", "mountPath": "/cache"}]);
    for container in ["build", "helper", "docker", "sidecar"] {
        assert_eq!(judged.mounts(container), &cache, "{container}");
    }
    assert_eq!(judged.mounts("init"), &Value::Null);
}

#[rstest]
#[case::empty_dir("emptyDir: {sizeLimit: 10Gi}")]
#[case::claim("persistentVolumeClaim: {claimName: cache}")]
#[case::ephemeral(
    "ephemeral: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}}"
)]
#[case::config_map("configMap: {name: daemon}")]
#[case::secret("secret: {secretName: daemon}")]
#[case::csi("csi: {driver: ephemeral.example.com}")]
#[case::nfs("nfs: {server: nas, path: /cache}")]
#[case::host_path("hostPath: {path: /cache}")]
fn v1_every_kind_of_source_is_copied_unchanged(#[case] source: &str) {
    let judged = judge_volumes(
        &format!("{{name: v, mountPath: /cache, {source}}}"),
        &dind(PRIVILEGED),
    );
    let expected: Value = serde_saphyr::from_str(&format!("{{name: v, {source}}}")).expect("YAML");
    assert_eq!(judged.volumes()[0], expected);
}

#[rstest]
#[case("/var/lib/docker")]
#[case("/var/lib/docker/")]
#[case("/var//lib/./docker")]
#[case("/var/lib/x/../docker")]
#[case("var/lib/docker")]
fn v2_an_existing_mount_at_the_path_stays(#[case] path: &str) {
    let pod = format!(
        "volumes: [{{name: mine}}]\n{}",
        dind(&format!(
            "volumeMounts: [{{name: mine, mountPath: {path}}}]"
        ))
    );
    judge_volumes(STORAGE, &pod).assert_unchanged();
}

#[rstest]
#[case::above("/var/lib")]
#[case::below("/var/lib/docker/overlay2")]
fn v2_a_mount_above_or_below_does_not_count(#[case] path: &str) {
    let pod = format!(
        "volumes: [{{name: mine}}]\n{}",
        dind(&format!(
            "volumeMounts: [{{name: mine, mountPath: {path}}}]"
        ))
    );
    let judged = judge_volumes(STORAGE, &pod);
    assert_eq!(judged.mounts("docker")[1], mounted("storage")[0]);
}

#[test]
fn v3_each_of_two_daemons_gets_a_data_volume() {
    let judged = judge_volumes(STORAGE, &two_dinds("", ""));
    assert_eq!(judged.mounts("one"), &mounted("storage"));
    assert_eq!(judged.mounts("two"), &mounted("storage-2"));
    assert_eq!(
        judged.volumes()[2],
        json!({"name": "storage", "emptyDir": {}})
    );
    assert_eq!(
        judged.volumes()[3],
        json!({"name": "storage-2", "emptyDir": {}})
    );
}

#[rstest]
#[case::claim(CLAIM)]
#[case::node("{name: cache, mountPath: /var/lib/docker, hostPath: {path: /cache}}")]
#[case::nfs("{name: cache, mountPath: /var/lib/docker, nfs: {server: nas, path: /cache}}")]
fn v3_a_volume_with_one_directory_is_mounted_for_the_first_daemon_only(#[case] volume: &str) {
    let judged = judge_volumes(volume, &two_dinds(PRIVILEGED, PRIVILEGED));
    assert_eq!(judged.mounts("one"), &mounted("cache"));
    assert_eq!(judged.mounts("two"), &Value::Null);
    assert!(judged.reports_to_author("V3", "\"two\""));
}

#[test]
fn v3_a_claim_that_one_daemon_already_uses_is_not_mounted_for_another() {
    let mine = "volumeMounts: [{name: claim, mountPath: /var/lib/docker}]";
    for pod in [two_dinds(mine, ""), two_dinds("", mine)] {
        let judged = judge_volumes(CLAIM, &pod);
        judged.assert_unchanged();
        assert!(judged.findings_of("V3")[0].contains("data directory"));
    }
}

#[test]
fn v3_other_volumes_may_be_shared() {
    let judged = judge_volumes(
        "{name: cache, mountPath: /cache, persistentVolumeClaim: {claimName: c}}",
        &two_dinds("", ""),
    );
    let cache = json!([{"name": "cache", "mountPath": "/cache"}]);
    assert_eq!(judged.mounts("one"), &cache);
    assert_eq!(judged.mounts("two"), &cache);
}

#[test]
fn v3_a_data_volume_for_all_is_still_not_shared_by_two_daemons() {
    let volume = "{name: storage, mountPath: /var/lib/docker, containers: All, emptyDir: {}}";
    let judged = judge_volumes(volume, &two_dinds("", ""));
    assert_ne!(judged.mounts("one"), judged.mounts("two"));
    assert_eq!(judged.mounts("build")[0]["mountPath"], "/var/lib/docker");
}

#[test]
fn v3_rootless_and_rootful_daemons_do_not_share_either() {
    let judged = judge_volumes(
        STORAGE,
        "containers: [{name: build}, {name: one, image: docker:dind, env: [{name: DOCKER_TLS_CERTDIR}]}, {name: two, image: docker:dind-rootless, env: [{name: DOCKER_TLS_CERTDIR}]}]",
    );
    assert_eq!(judged.mounts("one"), &mounted("storage"));
    assert_eq!(
        judged.mounts("two"),
        &json!([{"name": "storage-2", "mountPath": "/home/rootless/.local/share/docker"}])
    );
}

#[test]
fn v3_a_data_volume_that_the_pod_shares_stays_and_is_reported() {
    let mine = "volumeMounts: [{name: mine, mountPath: /var/lib/docker}]";
    let judged = judge_volumes(STORAGE, &two_dinds(mine, mine));
    judged.assert_unchanged();
    assert!(judged.reports_to_author("V3", "\"one\" and \"two\" share volume \"mine\""));
}

#[rstest]
#[case::a_volume("volumes: [{name: storage}, {name: storage-2}]")]
#[case::a_mount_of_no_volume(
    "initContainers: [{name: init, volumeMounts: [{name: storage, mountPath: /a}, {name: storage-2, mountPath: /b}]}]"
)]
#[case::a_device_of_no_volume(
    "initContainers: [{name: init, volumeDevices: [{name: storage, devicePath: /dev/a}, {name: storage-2, devicePath: /dev/b}]}]"
)]
fn v4_a_name_of_the_pod_is_not_reused(#[case] pod: &str) {
    let judged = judge_volumes(STORAGE, &format!("{pod}\n{}", dind("")));
    assert_eq!(judged.mounts("docker"), &mounted("storage-3"));
}

#[test]
fn v4_a_long_name_is_truncated_before_the_number() {
    let long = "v".repeat(63);
    let judged = judge_volumes(
        &format!("{{name: {long}, mountPath: /v, emptyDir: {{}}}}"),
        &format!("volumes: [{{name: {long}}}]\n{}", dind("")),
    );
    let expected = format!("{}-2", "v".repeat(61));
    assert_eq!(judged.mounts("docker")[0]["name"], json!(expected));
}

#[rstest]
#[case::not_said("")]
#[case::null("securityContext: {privileged: null}")]
#[case::not("securityContext: {privileged: false}")]
fn v5_a_host_path_is_not_mounted_in_an_unprivileged_container(#[case] fields: &str) {
    let judged = judge_volumes(MODULES, &dind(fields));
    judged.assert_unchanged();
    assert!(judged.reports_to_team("V5", "\"modules\""));
    let privileged = judge_volumes(MODULES, &dind(PRIVILEGED));
    assert_eq!(
        privileged.mounts("docker"),
        &json!([{"name": "modules", "mountPath": "/lib/modules", "readOnly": true}])
    );
}

#[test]
fn v5_containers_all_means_only_privileged_containers_for_a_host_path() {
    let volume = "{name: dev, mountPath: /dev/kvm, containers: All, hostPath: {path: /dev/kvm}}";
    let judged = judge_volumes(volume, &dind(PRIVILEGED));
    assert_eq!(judged.mounts("docker")[0]["name"], "dev");
    assert_eq!(judged.mounts("build"), &Value::Null);
    assert!(judged.reports_to_team("V5", "\"build\""));
}

#[rstest]
#[case("docker:dind-rootless")]
#[case("registry.mylab.com:5000/mirror/docker:28-dind-rootless@sha256:0123")]
fn v6_rootless_dind_has_another_data_directory(#[case] image: &str) {
    let pod = format!(
        "containers: [{{name: build}}, {{name: docker, image: '{image}', env: [{{name: DOCKER_TLS_CERTDIR}}]}}]"
    );
    let judged = judge_volumes(
        &format!("{STORAGE}, {{name: cache, mountPath: /cache, emptyDir: {{}}}}"),
        &pod,
    );
    assert_eq!(
        judged.mounts("docker"),
        &json!([
            {"name": "storage", "mountPath": "/home/rootless/.local/share/docker"},
            {"name": "cache", "mountPath": "/cache"},
        ])
    );
}

#[test]
fn v6_an_existing_data_mount_of_rootless_dind_stays() {
    judge_volumes(
        STORAGE,
        "volumes: [{name: mine}]\ncontainers: [{name: build}, {name: docker, image: docker:dind-rootless, env: [{name: DOCKER_TLS_CERTDIR}], volumeMounts: [{name: mine, mountPath: /home/rootless/.local/share/docker/}]}]",
    )
    .assert_unchanged();
}

#[test]
fn m3_volumes_of_several_policies_are_folded_by_path() {
    let judged = Setup {
        policies: &[
            ("a", "{priority: 1, dind: {volumes: [{name: a, mountPath: /var/lib/docker, emptyDir: {}}]}}"),
            ("b", "dind: {volumes: [{name: b, mountPath: /var/lib/docker, emptyDir: {medium: Memory}}, {name: c, mountPath: /c, emptyDir: {}}]}"),
        ],
        pod: DIND,
        ..Setup::default()
    }
    .judge();
    assert_eq!(
        judged.mounts("docker"),
        &json!([
            {"name": "drydock-docker-certs", "mountPath": "/certs/client"},
            {"name": "a", "mountPath": "/var/lib/docker"},
            {"name": "c", "mountPath": "/c"},
        ])
    );
}

#[rstest]
#[case::below("mountPath: /cache/client/deep, emptyDir: {}")]
#[case::a_read_only_parent("mountPath: /cache, readOnly: true, emptyDir: {}")]
#[case::a_parent_that_cannot_be_written("mountPath: /cache, secret: {secretName: s}")]
fn m6_a_volume_that_would_hide_a_certificate_directory_is_not_mounted(#[case] volume: &str) {
    let pod = "containers: [{name: build}, {name: docker, image: docker:dind, env: [{name: DOCKER_TLS_CERTDIR, value: /cache}]}]";
    let judged = judge_volumes(&format!("{{name: cache, {volume}}}"), pod);
    assert_eq!(
        judged.mounts("docker"),
        &json!([{"name": "drydock-docker-certs", "mountPath": "/cache/client"}])
    );
    assert!(judged.reports_to_team("M6", "/cache/client"));
}

#[rstest]
#[case::of_dind("{name: build}", "resources: {limits: {ephemeral-storage: 1Gi}}")]
#[case::of_another("{name: build, resources: {limits: {ephemeral-storage: 1}}}", "")]
fn v7_a_pod_with_a_storage_limit_gets_no_empty_dir_for_images(
    #[case] build: &str,
    #[case] docker: &str,
) {
    for image in ["docker:28-dind", "docker:28-dind-rootless"] {
        let pod = format!(
            "containers: [{build}, {{name: docker, image: '{image}', env: [{{name: DOCKER_TLS_CERTDIR}}], {docker}}}]"
        );
        let judged = judge_volumes(STORAGE, &pod);
        judged.assert_unchanged();
        assert!(judged.reports_to_team("V7", "\"storage\""));
        // A claim is not local storage, and the other path does not contain image layers.
        let elsewhere = "{name: scratch, mountPath: /scratch, emptyDir: {}}";
        let judged = judge_volumes(&format!("{CLAIM}, {elsewhere}"), &pod);
        assert_eq!(judged.mounts("docker").as_array().map(Vec::len), Some(2));
    }
}

#[rstest]
#[case::requests("resources: {requests: {ephemeral-storage: 1Gi}}")]
#[case::another_limit("resources: {limits: {cpu: 1, memory: 1Gi}}")]
#[case::null("resources: {limits: {ephemeral-storage: null}}")]
fn v7_other_requests_and_limits_make_no_difference(#[case] docker: &str) {
    let judged = judge_volumes(STORAGE, &dind(docker));
    assert_eq!(judged.mounts("docker"), &mounted("storage"));
}
