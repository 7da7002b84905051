//! Hand-written pods with the expected answers of the model.

use super::other_files;
use super::works;
use crate::pod_model::Answer::{self, No, Open, Yes};
use rstest::rstest;
use serde_json::Value;

fn read(yaml: &str) -> Value {
    serde_saphyr::from_str(yaml).unwrap()
}

/// Returns the pod of a public report (`tests/fixtures/field`).
fn field(name: &str) -> Value {
    let root = env!("CARGO_MANIFEST_DIR");
    let path = format!("{root}/tests/fixtures/field/{name}/pod.yaml");
    read(&std::fs::read_to_string(path).unwrap())
}

/// Returns a pod whose client uses TLS with certificates from `/certs/client`. `build` and `docker`
/// are the mounts of these containers.
fn pod(build: &str, docker: &str, volumes: &str) -> Value {
    read(&format!(
        "
spec:
  hostAliases: [{{ip: 127.0.0.1, hostnames: [docker]}}]
  containers:
  - name: build
    env:
    - {{name: DOCKER_HOST, value: 'tcp://docker:2376'}}
    - {{name: DOCKER_TLS_VERIFY, value: '1'}}
    - {{name: DOCKER_CERT_PATH, value: /certs/client}}
    volumeMounts: [{build}]
  - {{name: helper}}
  - name: docker
    image: docker:28-dind
    securityContext: {{privileged: true}}
    volumeMounts: [{docker}]
  volumes: [{volumes}]
"
    ))
}

const CLIENT: &str = "{name: certs, mountPath: /certs/client}";
const PARENT: &str = "{name: certs, mountPath: /certs}";
const DISK: &str = "{name: certs, emptyDir: {}}";
const SECRET: &str = "{name: certs, secret: {secretName: s}}";

/// An emptyDir, and a Secret that is mounted at the parent directory.
const BOTH: &str = "{name: certs, emptyDir: {}}, {name: ca, secret: {secretName: ca}}";

#[rstest]
#[case::one_empty_dir(CLIENT, CLIENT, DISK, Yes)]
#[case::above(PARENT, PARENT, DISK, Yes)]
#[case::above_and_read_only_in_build(
    "{name: certs, mountPath: /certs, readOnly: true}",
    PARENT,
    DISK,
    Yes
)]
#[case::read_only_in_dind(
    CLIENT,
    "{name: certs, mountPath: /certs/client, readOnly: true}",
    DISK,
    No
)]
#[case::one_has_it(CLIENT, "", DISK, No)]
#[case::a_secret(CLIENT, CLIENT, SECRET, No)]
#[case::a_secret_above(PARENT, PARENT, SECRET, No)]
#[case::spelled_otherwise("{name: certs, mountPath: certs//client/}", CLIENT, DISK, Yes)]
#[case::one_sub_path(
    "{name: certs, mountPath: /certs/client, subPath: a}",
    "{name: certs, mountPath: /certs/client, subPath: a}",
    DISK,
    Yes
)]
#[case::other_sub_paths(
    CLIENT,
    "{name: certs, mountPath: /certs/client, subPath: a}",
    DISK,
    No
)]
#[case::sub_path_of_the_parent(
    "{name: certs, mountPath: /certs/client, subPath: client}",
    PARENT,
    DISK,
    Yes
)]
#[case::a_file_below(
    CLIENT,
    "{name: certs, mountPath: /certs/client}, {name: ca, mountPath: /certs/client/ca.pem, subPath: ca.pem}",
    BOTH,
    No
)]
#[case::below_a_secret_in_build(
    "{name: ca, mountPath: /certs}, {name: certs, mountPath: /certs/client}",
    CLIENT,
    BOTH,
    Yes
)]
#[case::below_a_secret_in_dind(
    CLIENT,
    "{name: ca, mountPath: /certs}, {name: certs, mountPath: /certs/client}",
    BOTH,
    No
)]
#[case::an_empty_dir_for_the_server(CLIENT, "{name: certs, mountPath: /certs/server}", DISK, No)]
#[case::below_what_is_read_only(
    "{name: certs, mountPath: /certs, readOnly: true}, {name: other, mountPath: /certs/client}",
    "{name: other, mountPath: /certs/client}",
    "{name: certs, emptyDir: {}}, {name: other, emptyDir: {}}",
    No
)]
#[case::own_pki(
    "{name: ca, mountPath: /certs/client}",
    "{name: ca, mountPath: /certs/server}",
    BOTH,
    Yes
)]
#[case::read_only_data(
    CLIENT,
    "{name: certs, mountPath: /certs/client}, {name: ca, mountPath: /var/lib/docker}",
    BOTH,
    No
)]
fn mounts_decide(
    #[case] build: &str,
    #[case] docker: &str,
    #[case] volumes: &str,
    #[case] expected: Answer,
) {
    assert_eq!(works(&pod(build, docker, volumes)), expected);
}

/// Public reports whose pods work, or fail, without changes.
#[rstest]
#[case("03-dockerd-direct-own-tls", Yes)]
#[case("05-env-u-docker-host", No)]
#[case("07-client-reads-root-docker", Yes)]
#[case("08-certdir-on-builds", Yes)]
// Without DOCKER_TLS_VERIFY, the client does not use TLS; its host is another machine.
#[case("09-proxy-image-no-alias", Yes)]
#[case("10-pinned-18.09", Yes)]
#[case("11-ephemeral-storage-limits", No)]
#[case("12-own-etc-hosts", No)]
#[case("16-dind-image-other-name", Open)]
#[case("23-rootless-tls-off", No)]
#[case("24-emptydir-at-certs-server", No)]
#[case("26-remote-daemon-global-dind", Yes)]
#[case("30-secret-at-certs-read-by-build", No)]
#[case("32-no-docker-host", No)]
fn pods_of_public_reports_work_or_fail_as_reported(#[case] name: &str, #[case] expected: Answer) {
    let mut pod = field(name);
    // The runner writes a hostAliases entry for a service with the alias docker.
    if name.starts_with("10") {
        pod["spec"]["hostAliases"] =
            serde_json::json!([{"ip": "127.0.0.1", "hostnames": ["docker"]}]);
    }
    assert_eq!(works(&pod), expected);
}

/// In these reports, the job's script configures the client. With the client configured by
/// variables and a manual repair, the pod works.
#[rstest]
#[case::swapped(
    "05-env-u-docker-host",
    "/spec/volumes/0",
    "{name: ca, emptyDir: {medium: Memory}}"
)]
#[case::shared(
    "24-emptydir-at-certs-server",
    "/spec/containers/0/volumeMounts",
    "[{name: certs, mountPath: /certs/client, subPath: c}]"
)]
fn a_manual_repair_makes_the_pod_work(#[case] name: &str, #[case] at: &str, #[case] value: &str) {
    let mut pod = field(name);
    pod["spec"]["hostAliases"] = serde_json::json!([{"ip": "127.0.0.1", "hostnames": ["docker"]}]);
    pod["spec"]["containers"][0]["env"] = read(
        "[{name: DOCKER_HOST, value: 'tcp://docker:2376'}, {name: DOCKER_TLS_VERIFY, value: '1'},
        {name: DOCKER_CERT_PATH, value: /certs/client}]",
    );
    assert_eq!(works(&pod), No);
    *pod.pointer_mut(at).unwrap() = read(value);
    if name.starts_with("24") {
        let dind = read(
            "[{name: certs, mountPath: /certs/server, subPath: s}, {name: certs, mountPath: /certs/client, subPath: c}]",
        );
        pod["spec"]["containers"][2]["volumeMounts"] = dind;
    }
    assert_eq!(works(&pod), Yes);
}

/// Wrong repairs that an earlier version of drydock made of working pods.
#[rstest]
#[case::secret_emptied(
    "03-dockerd-direct-own-tls",
    "/spec/volumes/1",
    "{name: client, emptyDir: {medium: Memory}}"
)]
#[case::dind_moved(
    "07-client-reads-root-docker",
    "/spec/containers/2/volumeMounts/0",
    "{name: other, mountPath: /certs/client}"
)]
#[case::farm_emptied(
    "26-remote-daemon-global-dind",
    "/spec/volumes/0",
    "{name: farm, emptyDir: {medium: Memory}}"
)]
fn a_wrong_repair_is_detected(#[case] name: &str, #[case] at: &str, #[case] value: &str) {
    let mut pod = field(name);
    if name.starts_with("26") {
        let verify = serde_json::json!({"name": "DOCKER_TLS_VERIFY", "value": "1"});
        pod["spec"]["containers"][0]["env"]
            .as_array_mut()
            .unwrap()
            .push(verify);
    }
    assert_eq!(works(&pod), Yes);
    *pod.pointer_mut(at).unwrap() = read(value);
    let other = serde_json::json!({"name": "other", "emptyDir": {}});
    pod["spec"]["volumes"].as_array_mut().unwrap().push(other);
    assert_eq!(works(&pod), No);
}

/// Image layers in an emptyDir count against a storage limit. Rootless dind 20.10 cannot write to
/// its home directory if the container runtime created it as root for a mount.
#[rstest]
#[case::counted(
    "11-ephemeral-storage-limits",
    "[{name: x, mountPath: /var/lib/docker}]",
    Open
)]
#[case::parents_are_roots(
    "23-rootless-tls-off",
    "[{name: x, mountPath: /home/rootless/.config/docker/certs.d/r}]",
    No
)]
#[case::home_first(
    "23-rootless-tls-off",
    "[{name: x, mountPath: /home/rootless/.config/docker}, {name: y, mountPath: /home/rootless/.config/docker/certs.d/r}]",
    Yes
)]
fn a_mount_can_break_a_working_pod(
    #[case] name: &str,
    #[case] mounts: &str,
    #[case] expected: Answer,
) {
    let mut pod = field(name);
    let off = |host: &str| {
        read(&format!(
            "[{{name: DOCKER_HOST, value: 'tcp://{host}:2375'}}, {{name: DOCKER_TLS_CERTDIR}}]"
        ))
    };
    pod["spec"]["containers"][0]["env"] = off("localhost");
    pod["spec"]["containers"][2]["env"] = off("localhost");
    assert_eq!(works(&pod), Yes, "the pod does not work without the mount");
    pod["spec"]["containers"][2]["volumeMounts"] = read(mounts);
    pod["spec"]["volumes"] = read("[{name: x, emptyDir: {}}, {name: y, configMap: {name: y}}]");
    assert_eq!(works(&pod), expected);
}

#[test]
fn other_files_of_a_secret_above_the_directory_stay_readable() {
    let before = field("30-secret-at-certs-read-by-build");
    let kept = other_files::files(&before);
    let [ca] = &kept[..] else { panic!("{kept:?}") };
    assert_eq!(
        (ca.container, ca.file.as_str()),
        (("containers", 0), "/certs/some-key.crt")
    );
    assert!(other_files::is_readable(&before, &before, ca));
    let mut after = before.clone();
    after["spec"]["containers"][0]["volumeMounts"] =
        read("[{name: new, mountPath: /certs/client}]");
    assert!(!other_files::is_readable(&before, &after, ca));
    after["spec"]["containers"][0]["volumeMounts"] =
        read("[{name: ca, mountPath: /certs}, {name: new, mountPath: /certs/client}]");
    assert!(other_files::is_readable(&before, &after, ca));
    after["spec"]["volumes"][0] = read("{name: ca, emptyDir: {}}");
    assert!(!other_files::is_readable(&before, &after, ca));
}
