//! Tests of rules D1, D2 and V6.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

use super::*;
use crate::testing::{self, CERTS_ONLY, judge};
use rstest::rstest;

/// Returns the names of the dind containers and of the undecided containers of a pod.
#[track_caller]
fn found(images: &[&str], spec: &str) -> (Vec<String>, Vec<String>) {
    let text = testing::pod(spec).to_string();
    let pod = Pod::from_json(&text).expect("the pod should be readable");
    let globs: Vec<Glob> = images.iter().map(|image| Glob::new(image)).collect();
    let found = DindContainers::of(&pod, &globs.iter().collect::<Vec<_>>());
    let name = |id| {
        pod.container(id)
            .map(|known| known.name.to_string())
            .unwrap_or_default()
    };
    (
        found.dinds.iter().map(|dind| name(dind.id)).collect(),
        found
            .undecided
            .iter()
            .map(|(name, ..)| name.to_string())
            .collect(),
    )
}

#[test]
fn d1_dind_is_a_service_or_a_native_sidecar() {
    let (dinds, undecided) = found(
        &[],
        "containers: [{name: build, image: docker:dind}, {name: helper, image: docker:dind}, {name: svc-0, image: docker:dind}, {name: docker, image: docker:dind}]
initContainers: [{name: init, image: docker:dind}, {name: sidecar, image: docker:dind, restartPolicy: Always}]",
    );
    assert_eq!(dinds, ["svc-0", "docker", "sidecar"]);
    assert!(undecided.is_empty());
}

#[rstest]
#[case::by_name("corp/ci-dind:1", "corp/ci-dind:1", true)]
#[case::any_tag("corp/ci-dind:*", "corp/ci-dind:2024-01", true)]
#[case::any_prefix("*/ci-dind:*", "registry.mylab.com:5000/a/b/ci-dind:1", true)]
#[case::without_its_digest("corp/ci-dind:1", "corp/ci-dind:1@sha256:0123", true)]
#[case::a_digest_alone("docker", "docker@sha256:0123", true)]
#[case::old_dind("docker:2*", "docker:20.10.24", true)]
#[case::the_whole_reference("ci-dind:1", "corp/ci-dind:1", false)]
#[case::no_tag("corp/ci-dind:*", "corp/ci-dind", false)]
#[case::in_the_middle("corp/*-dind:*-lts", "corp/ci-dind:1-lts", true)]
#[case::not_twice_the_same_text("a*a", "a", false)]
#[case::everything("*", "", true)]
fn d1_an_image_that_the_policy_lists_is_dind(
    #[case] glob: &str,
    #[case] image: &str,
    #[case] expected: bool,
) {
    let spec = format!("containers: [{{name: svc-0, image: '{image}', command: [sleep]}}]");
    let (dinds, _) = found(&[glob], &spec);
    assert_eq!(dinds.len() == 1, expected);
}

#[test]
fn d1_a_listed_image_is_dind_with_any_command_except_in_build_and_helper() {
    let listed = judge(
        "dind: {volumes: [], images: [corp/ci:*]}",
        "containers: [{name: build, image: corp/ci:1}, {name: helper, image: corp/ci:1}, {name: svc-0, image: corp/ci:1, command: [sleep, inf]}]",
    );
    assert_eq!(listed.mounts("svc-0")[0]["mountPath"], "/certs/client");
    assert!(listed.mounts("helper").is_null());
    judge(
        "dind: {volumes: [], images: [corp/ci:*]}",
        "containers: [{name: build, image: corp/ci:1}, {name: helper, image: corp/ci:1}]",
    )
    .assert_unchanged();
}

#[rstest]
#[case("docker:20.10.24")]
#[case("docker@sha256:0123")]
#[case("docker:28-cli")]
fn d1_an_undecided_image_is_reported_and_unchanged(#[case] image: &str) {
    let judged = judge(
        CERTS_ONLY,
        &format!("containers: [{{name: build}}, {{name: svc-0, image: '{image}'}}]"),
    );
    judged.assert_unchanged();
    assert!(judged.reports_to_team("D1", image));
}

#[test]
fn d1_a_pod_without_dind_keeps_its_secret_for_a_remote_daemon() {
    judge(
        CERTS_ONLY,
        "volumes: [{name: ca, secret: {secretName: ca}}]\ncontainers: [{name: build, image: docker:28-cli, volumeMounts: [{name: ca, mountPath: /certs/client, readOnly: true}]}, {name: helper}, {name: docker, image: docker:dind, command: [sleep, inf]}]",
    )
    .assert_unchanged();
}

#[rstest]
#[case::null("command: null, args: null")]
#[case::empty("command: [], args: []")]
#[case::empty_command_with_flags("command: [], args: [--mtu=1450]")]
fn d1_without_a_command_the_entrypoint_of_the_image_runs(#[case] words: &str) {
    let spec = format!("containers: [{{name: svc-0, image: 'docker:dind', {words}}}]");
    assert_eq!(found(&[], &spec).0, ["svc-0"]);
}

/// The second value of a case is whether the entrypoint generates certificates with this command.
#[rstest]
#[case(&["dockerd-entrypoint.sh"], true)]
#[case(&["dockerd-entrypoint.sh", "--mtu=1400"], true)]
#[case(&["dockerd-entrypoint.sh", "dockerd"], false)]
#[case(&["dockerd"], false)]
#[case(&["dockerd-rootless.sh"], false)]
#[case(&["tini", "--", "dockerd-entrypoint.sh"], true)]
#[case(&["tini", "--", "dockerd-entrypoint.sh", "dockerd", "--tls"], false)]
#[case(&["sh", "-c", "dockerd-entrypoint.sh"], true)]
#[case(&["sh", "-c", "dockerd-entrypoint.sh --mtu=1400 & wait"], true)]
#[case(&["sh", "-c", "dockerd-entrypoint.sh 2>&1 | tee /log"], true)]
#[case(&["sh", "-c", "dockerd-entrypoint.sh >/log"], true)]
#[case(&["sh", "-c", "dockerd-entrypoint.sh $ARGS"], true)]
#[case(&["sh", "-c", "update-ca-certificates && exec '/usr/local/bin/dockerd-entrypoint.sh'"], true)]
#[case(&["sh", "-c", "dockerd-entrypoint.sh\nsleep 1"], true)]
#[case(&["sh", "-c", "exec dockerd-entrypoint.sh dockerd --tlsverify"], false)]
#[case(&["sh", "-c", "exec dockerd --tlsverify"], false)]
fn d2_only_the_entrypoint_generates_certificates(
    #[case] command: &[&str],
    #[case] generates: bool,
) {
    let command: Vec<Text<'_>> = command.iter().map(|word| Text::from(*word)).collect();
    let container = Container {
        command: Some(command),
        ..Container::default()
    };
    let start = start::parse(&container).expect("the container should run a daemon");
    assert_eq!(start.bypasses_entrypoint, !generates);
}

#[rstest]
#[case("docker:18.06.3-dind", Some("/certs"), DaemonTls::OffByVersion)]
#[case("docker:18.09-dind", None, DaemonTls::OffByVersion)]
#[case("docker:18.09.7-dind", Some("/certs"), DaemonTls::Generated("/certs".to_owned()))]
#[case("docker:18-dind", None, DaemonTls::OffByVersion)]
#[case("docker:19-dind", None, DaemonTls::Generated("/certs".to_owned()))]
#[case("docker:19.03.0-dind", None, DaemonTls::Generated("/certs".to_owned()))]
#[case("docker:dind", None, DaemonTls::Generated("/certs".to_owned()))]
#[case("docker:28-dind", Some(""), DaemonTls::Off)]
fn d2_without_the_variable_the_version_decides(
    #[case] image: &str,
    #[case] certdir: Option<&str>,
    #[case] expected: DaemonTls,
) {
    let certdir = certdir.map(|value| format!("{{name: DOCKER_TLS_CERTDIR, value: '{value}'}}"));
    let text = testing::pod(&format!(
        "containers: [{{name: svc-0, image: '{image}', env: [{}]}}]",
        certdir.unwrap_or_default()
    ))
    .to_string();
    let pod = Pod::from_json(&text).expect("the pod should be readable");
    assert_eq!(DindContainers::of(&pod, &[]).dinds[0].tls, expected);
}

#[rstest]
#[case("acme/docker-buildbox:latest-dind-aws", "", true)]
#[case("custom:20.10-dind", "", true)]
#[case("corp/ci-dind:1", "", true)]
#[case("cruizba/ubuntu-dind@sha256:0123", "", true)]
#[case("docker:28-dind", ", command: [/wrapper.sh]", true)]
#[case("dind.corp.example/postgres:16", "", false)]
#[case("postgres:16", "", false)]
fn d1_an_image_with_dind_in_its_name_or_tag_is_undecided(
    #[case] image: &str,
    #[case] command: &str,
    #[case] undecided: bool,
) {
    let judged = judge(
        CERTS_ONLY,
        &format!("containers: [{{name: build}}, {{name: svc-0, image: '{image}'{command}}}]"),
    );
    judged.assert_unchanged();
    let line = format!(
        "dind.images: [\"{}\"]",
        image.split('@').next().unwrap_or_default()
    );
    assert_eq!(judged.reports_to_team("D1", &line), undecided);
    let says_none = judged
        .findings
        .iter()
        .any(|(_, text, _)| text.contains("no container runs"));
    assert_eq!(says_none, !undecided);
}

#[rstest]
#[case("docker:dind", false)]
#[case("docker:dind-rootless", true)]
#[case("registry.mylab.com:5000/docker:28.5-dind-rootless@sha256:0123", true)]
#[case("docker:rootless-dind", false)]
fn v6_rootless_dind_is_recognised_by_its_tag(#[case] image: &str, #[case] rootless: bool) {
    assert_eq!(Image::parse(image).is_rootless(), rootless);
}

#[rstest]
#[case("docker:dind", Kind::Dind)]
#[case("docker:28.5-dind", Kind::Dind)]
#[case("docker:19.03.13-dind", Kind::Dind)]
#[case("docker:29.7.2-dind-alpine3.24", Kind::Dind)]
#[case("docker:dind-rootless", Kind::Dind)]
#[case("docker:stable-dind", Kind::Dind)]
#[case("docker", Kind::Dind)]
#[case("docker:latest", Kind::Dind)]
#[case("docker:23", Kind::Dind)]
#[case("docker:28", Kind::Dind)]
#[case("docker:29.7.2", Kind::Dind)]
#[case("docker:29.7.2-alpine3.24", Kind::Dind)]
#[case("docker:24-git", Kind::Dind)]
#[case("docker:29-rc", Kind::Dind)]
#[case("docker:29.0.0-rc.1", Kind::Dind)]
#[case("docker:29.0.0-rc.1-cli", Kind::Undecided)]
#[case("registry.mylab.com:5000/mirror/library/docker:28-dind", Kind::Dind)]
#[case("registry.mylab.com:5000/docker", Kind::Dind)]
#[case("docker:28-dind@sha256:0123", Kind::Dind)]
#[case("docker@sha256:0123", Kind::Undecided)]
#[case("docker:28-cli", Kind::Undecided)]
#[case("docker:cli", Kind::Undecided)]
#[case("docker:22.06", Kind::Undecided)]
#[case("docker:22", Kind::Undecided)]
#[case("docker:stable", Kind::Undecided)]
#[case("docker:edge-git", Kind::Undecided)]
#[case("docker:20.10.24", Kind::Undecided)]
#[case("docker:29-windowsservercore", Kind::Undecided)]
#[case("docker:28dind", Kind::Undecided)]
#[case("docker-cli:28-dind", Kind::Other)]
#[case("mydocker:dind", Kind::Other)]
#[case("corp/ci-dind:1", Kind::Other)]
#[case("docker/compose:2", Kind::Other)]
#[case("", Kind::Other)]
fn d1_images(#[case] reference: &str, #[case] expected: Kind) {
    assert_eq!(Image::parse(reference).kind(), expected);
}

#[rstest]
#[case(&[], &[], true)]
#[case(&[], &["--mtu=1450"], true)]
#[case(&[], &["dockerd", "--debug"], true)]
#[case(&[], &["sh", "-c", "dockerd-entrypoint.sh --mtu=1450"], true)]
#[case(&[], &["sh", "-c", "sleep 1"], false)]
#[case(&[], &["docker", "version"], false)]
#[case(&["dockerd-entrypoint.sh"], &["--debug"], true)]
#[case(&["/usr/local/bin/dockerd-rootless.sh"], &[], true)]
#[case(&["/bin/sh"], &["-c", "exec dockerd"], true)]
#[case(&["tini", "--", "dockerd"], &[], true)]
#[case(&["sh"], &[], false)]
#[case(&["env", "-u", "DOCKER_HOST"], &["dockerd-entrypoint.sh"], true)]
#[case(&["env", "-i", "A=dockerd", "/usr/local/bin/dockerd-entrypoint.sh"], &[], true)]
#[case(&["env", "A=dockerd", "sleep"], &[], false)]
#[case(&["env"], &["tini", "--", "dockerd-entrypoint.sh"], true)]
#[case(&["env"], &[], false)]
#[case(&["sleep", "dockerd"], &[], false)]
#[case(&["docker"], &["--dockerd"], false)]
fn d1_commands(#[case] command: &[&str], #[case] args: &[&str], #[case] expected: bool) {
    let list = |words: &[&'static str]| {
        words
            .iter()
            .map(|word| Text::from(*word))
            .collect::<Vec<_>>()
    };
    let leak = |words: &[&str]| {
        words
            .iter()
            .map(|word| &*String::from(*word).leak())
            .collect::<Vec<&'static str>>()
    };
    let container = Container {
        command: Some(list(&leak(command))),
        args: Some(list(&leak(args))),
        ..Container::default()
    };
    assert_eq!(start::parse(&container).is_some(), expected);
}
