//! Rules A1 to A3. Every test that judges a pod also checks that the patch applies, that it has no
//! `test` operation, and that the rest of the pod is unchanged.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

use crate::testing::{Judged, judge};
use rstest::rstest;
use serde_json::json;

/// A policy that adds to every list and object that rules can change.
const EVERYTHING: &str = "{
    hostAliases: [{ip: 10.0.0.232, hostnames: [gitlab.mylab.com]}],
    dind: {
        volumes: [{name: storage, mountPath: /var/lib/docker, emptyDir: {}}],
        registryCAs: [{host: 'registry:5000', configMap: {name: ca, key: k}}],
        scheduling: {nodeSelector: {example.com/role: ci, zone: a}, tolerations: [{operator: Exists}]}}}";

#[rstest]
#[case::absent("", "")]
#[case::null(
    "hostAliases: null\nvolumes: null\nnodeSelector: null\ntolerations: null\nmetadata: {annotations: null, labels: {job.runner.gitlab.com/pod: p}}",
    "volumeMounts: null, env: null, securityContext: null"
)]
#[case::empty(
    "hostAliases: []\nvolumes: []\nnodeSelector: {}\ntolerations: []\nmetadata: {annotations: {}, labels: {job.runner.gitlab.com/pod: p}}",
    "volumeMounts: [], env: []"
)]
fn a3_a_missing_list_is_added_as_a_whole(#[case] lists: &str, #[case] container: &str) {
    let pod = format!(
        "{lists}\ninitContainers: null\ncontainers: [{{name: build, {container}}}, {{name: docker, image: docker:dind, {container}}}]"
    );
    let judged = judge(EVERYTHING, &pod);
    assert_eq!(
        judged.pod["spec"]["nodeSelector"],
        json!({"example.com/role": "ci", "zone": "a"})
    );
    assert_eq!(
        judged.pod["spec"]["tolerations"],
        json!([{"operator": "Exists"}])
    );
    assert_eq!(judged.host_aliases().as_array().map(Vec::len), Some(1));
    assert_eq!(judged.volumes().as_array().map(Vec::len), Some(3));
    assert_eq!(judged.mounts("docker").as_array().map(Vec::len), Some(3));
    assert_eq!(judged.mounts("build").as_array().map(Vec::len), Some(1));
}

#[rstest]
#[case::null("containers: null")]
#[case::empty("containers: []")]
fn a3_a_pod_without_containers_gets_the_other_changes(#[case] pod: &str) {
    assert_eq!(judge(EVERYTHING, pod).changes, ["add-host-alias"]);
}

#[test]
fn a3_only_existing_fields_are_removed() {
    let mount =
        "{name: ca, mountPath: /certs/client, readOnly: null, subPath: '', subPathExpr: null}";
    let judged = judge(
        "dind: {volumes: []}",
        &format!(
            "volumes: [{{name: ca, secret: {{}}, emptyDir: null}}]\ncontainers: [{{name: build, volumeMounts: [{mount}]}}, {{name: docker, image: docker:dind, volumeMounts: [{mount}]}}]"
        ),
    );
    assert_eq!(removed(&judged), ["/spec/volumes/0/secret"]);
}

fn removed(judged: &Judged) -> Vec<&str> {
    let operations = judged.patch.as_array().into_iter().flatten();
    operations
        .filter(|operation| operation["op"] == "remove")
        .filter_map(|operation| operation["path"].as_str())
        .filter(|path| !path.contains("volumeMounts"))
        .collect()
}

#[test]
fn a1_fields_of_newer_kubernetes_versions_stay() {
    let judged = judge(
        EVERYTHING,
        "newer: {a: [1]}
hostAliases: [{ip: 10.0.0.1, newer: 1, hostnames: [gitlab.mylab.com, nexus]}]
volumes: [{name: ca, newer: {a: 1}, secret: {secretName: ca, newer: 1}}]
tolerations: [{newer: 1}]
containers: [{name: build, newer: 1, volumeMounts: [{name: ca, mountPath: /certs/client, newer: 1}]}, {name: docker, image: docker:dind, newer: [null], volumeMounts: [{name: ca, mountPath: /certs/client, newer: 1}]}]",
    );
    assert_eq!(judged.host_aliases()[0]["newer"], 1);
    assert_eq!(judged.volumes()[0]["newer"], json!({"a": 1}));
    assert_eq!(judged.pod["spec"]["tolerations"][0], json!({"newer": 1}));
    assert_eq!(judged.mounts("docker")[0]["newer"], 1);
}

#[test]
fn a1_each_change_has_a_name_a_sentence_and_operations() {
    let judged = judge(
        EVERYTHING,
        "containers: [{name: build}, {name: docker, image: docker:dind}]",
    );
    assert_eq!(judged.changes.len(), judged.sentences.len());
    for (rule, sentence) in &judged.sentences {
        assert!(
            sentence.contains(' ') && !sentence.ends_with('.'),
            "{rule} {sentence}"
        );
    }
    let annotations = 1 + 1;
    assert_eq!(
        judged.patch.as_array().map(Vec::len),
        Some(judged.changes.len() + annotations)
    );
}

#[test]
fn a3_special_characters_are_escaped() {
    let judged = judge(
        "hostAliases: [{ip: 10.0.0.1, hostnames: [a]}]",
        r#"hostAliases: [{ip: 10.0.0.2, hostnames: [a, "quote\"d", "back\\slash", "tab\t", "é"]}]"#,
    );
    assert_eq!(
        judged.host_aliases()[0]["hostnames"],
        json!(["quote\"d", "back\\slash", "tab\t", "é"])
    );
}

#[test]
fn a3_special_characters_in_the_name_of_a_source_are_escaped() {
    let mount = "volumeMounts: [{name: ca, mountPath: /certs/client}]";
    let judged = judge(
        "dind: {volumes: []}",
        &format!(
            "volumes: [{{name: ca, 'corp/so~urce\"': {{a: 1}}}}]\ncontainers: [{{name: build, {mount}}}, {{name: docker, image: docker:dind, {mount}}}]"
        ),
    );
    assert_eq!(
        judged.volumes(),
        &json!([{"name": "ca", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}])
    );
}

#[test]
fn a2_a_changed_pod_needs_no_change() {
    let changed = judge(
        EVERYTHING,
        "containers: [{name: build}, {name: docker, image: docker:dind}]",
    );
    let mut spec = changed.pod["spec"].clone();
    spec["metadata"] = changed.pod["metadata"].clone();
    judge(EVERYTHING, &spec.to_string()).assert_unchanged();
}
