//! Tests of rules P2 and P3.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

use super::{JobPodMark, NotJobPod, is_unique_name, recognise};
use crate::core::pod::Pod;
use crate::testing;
use rstest::rstest;
use serde_json::Value;

const NAME: &str = "runner-xyt3kd1a-project-42-concurrent-0";
/// A label value with the maximum length of 63 characters.
const LONG: &str = "runner-abcdefghijklmnopqrstuvwxyz-project-1234567890-concurrent";

#[track_caller]
fn recognised(pod: &Value) -> Result<JobPodMark, NotJobPod> {
    recognise(&Pod::from_json(&pod.to_string()).expect("the pod should be readable"))
}

#[rstest]
#[case::v13_12("generateName: NAME, labels: {pod: NAME}", "", JobPodMark::Shape)]
#[case::v14_with_init(
    "generateName: NAME, labels: {pod: NAME}",
    "initContainers: [{name: init-permissions}]",
    JobPodMark::Shape
)]
#[case::v15_8_with_a_name("name: NAME-0x7wq9aa, labels: {pod: NAME}", "", JobPodMark::Shape)]
#[case::generated_already(
    "name: NAMEx7wq9, generateName: NAME, labels: {pod: NAME}",
    "",
    JobPodMark::Shape
)]
#[case::v15_9(
    "generateName: NAME, labels: {pod: NAME}, annotations: {job.runner.gitlab.com/id: '1', project.runner.gitlab.com/id: '42'}",
    "",
    JobPodMark::Annotations
)]
#[case::v16_2_with_a_name(
    "name: NAME-0x7wq9aa, labels: {pod: NAME}, annotations: {job.runner.gitlab.com/id: '1', project.runner.gitlab.com/id: '42'}",
    "",
    JobPodMark::Annotations
)]
#[case::v17_9(
    "name: NAME-0x7wq9aa, labels: {pod: NAME, job.runner.gitlab.com/pod: NAME}, annotations: {job.runner.gitlab.com/id: '1', project.runner.gitlab.com/id: '42'}",
    "",
    JobPodMark::Label
)]
#[case::v17_9_with_its_own_label_only(
    "labels: {job.runner.gitlab.com/pod: ''}",
    "",
    JobPodMark::Label
)]
#[case::v19_2_concrete(
    "name: NAME-0x7wq9aa, labels: {pod: NAME, job.runner.gitlab.com/pod: NAME}",
    "initContainers: [{name: init-steps-bootstrap}]\ncontainers: [{name: build}]",
    JobPodMark::Label
)]
#[case::bootstrap_instead_of_a_helper(
    "generateName: NAME, labels: {pod: NAME}",
    "initContainers: [{name: init-steps-bootstrap}]\ncontainers: [{name: build}, {name: docker}]",
    JobPodMark::Shape
)]
fn p2_job_pods_of_every_generation_are_recognised(
    #[case] metadata: &str,
    #[case] spec: &str,
    #[case] expected: JobPodMark,
) {
    let pod = format!("restartPolicy: Never\nmetadata: {{{metadata}}}\n{spec}");
    let pod = testing::pod(&pod.replace("NAME", NAME));
    assert_eq!(recognised(&pod), Ok(expected));
}

#[test]
fn p2_an_old_pod_may_be_named_after_the_first_54_characters() {
    assert_eq!(LONG.len(), 63);
    let named = |name: &str| {
        recognised(&testing::pod(&format!(
            "restartPolicy: Never\nmetadata: {{name: {name}, labels: {{pod: {LONG}}}}}"
        )))
    };
    assert_eq!(
        named(&format!("{}-0x7wq9aa", &LONG[..54])),
        Ok(JobPodMark::Shape)
    );
    assert_eq!(
        named(&format!("{}-0x7wq9aa", &LONG[..53])),
        Err(NotJobPod::NotRecognised)
    );
    assert_eq!(named(&LONG[..54]), Err(NotJobPod::NotRecognised));
}

#[rstest]
#[case::restart_policy("/spec/restartPolicy", "Always")]
#[case::first_container("/spec/containers/0/name", "main")]
#[case::second_container("/spec/containers/1/name", "svc-0")]
#[case::label("/metadata/labels/pod", "runner-x")]
#[case::label_of_nothing("/metadata/labels/pod", "")]
#[case::generate_name("/metadata/generateName", "runner-xyt3kd1a-project-42-")]
fn p2_an_old_pod_is_recognised_only_by_its_whole_shape(#[case] pointer: &str, #[case] value: &str) {
    let mut pod = testing::pod(&format!(
        "restartPolicy: Never\nmetadata: {{generateName: {NAME}, labels: {{pod: {NAME}}}}}"
    ));
    assert_eq!(recognised(&pod), Ok(JobPodMark::Shape));
    *pod.pointer_mut(pointer)
        .expect("the pod should have the field") = value.into();
    assert_eq!(recognised(&pod), Err(NotJobPod::NotRecognised));
}

#[rstest]
#[case::one_annotation("annotations: {job.runner.gitlab.com/id: '1'}")]
#[case::the_other("annotations: {project.runner.gitlab.com/id: '1'}")]
#[case::labels_instead(
    "labels: {job.runner.gitlab.com/id: '1', project.runner.gitlab.com/id: '1'}"
)]
#[case::another_label_of_the_runner("labels: {manager.runner.gitlab.com/id-short: x}")]
#[case::the_label_as_an_annotation("annotations: {job.runner.gitlab.com/pod: x}")]
#[case::nothing("labels: null")]
fn p3_a_pod_without_a_mark_is_not_a_job_pod(#[case] metadata: &str) {
    let pod = testing::pod(
        &format!("metadata: {{labels: {{}}, {metadata}}}").replace("labels: {}, labels", "labels"),
    );
    assert_eq!(recognised(&pod), Err(NotJobPod::NotRecognised));
}

#[rstest]
#[case::pause_pod(
    "labels: {runner.gitlab.com/pause-pod: 'true', SIGN}",
    "",
    NotJobPod::PausePod
)]
#[case::pause_pod_whatever_the_value(
    "labels: {runner.gitlab.com/pause-pod: 'false', SIGN}",
    "",
    NotJobPod::PausePod
)]
#[case::pause_pod_without_value(
    "labels: {runner.gitlab.com/pause-pod: null, SIGN}",
    "",
    NotJobPod::PausePod
)]
#[case::controlled(
    "labels: {SIGN}, ownerReferences: [{kind: ConfigMap}, {kind: ReplicaSet, controller: true}]",
    "",
    NotJobPod::Controlled
)]
#[case::mirror(
    "labels: {SIGN}, annotations: {kubernetes.io/config.mirror: x}",
    "",
    NotJobPod::MirrorPod
)]
#[case::windows_by_os("labels: {SIGN}", "os: {name: windows}", NotJobPod::Windows)]
#[case::windows_by_selector(
    "labels: {SIGN}",
    "nodeSelector: {kubernetes.io/os: windows}",
    NotJobPod::Windows
)]
fn p3_some_pods_with_a_mark_are_not_job_pods(
    #[case] metadata: &str,
    #[case] spec: &str,
    #[case] expected: NotJobPod,
) {
    let metadata = metadata.replace("SIGN", "job.runner.gitlab.com/pod: x");
    let pod = testing::pod(&format!("metadata: {{{metadata}}}\n{spec}"));
    assert_eq!(recognised(&pod), Err(expected));
}

#[rstest]
#[case::an_owner_that_does_not_control(
    "ownerReferences: [{kind: Job, controller: false}, {kind: Job}]",
    ""
)]
#[case::null_owners("ownerReferences: null, annotations: null", "")]
#[case::linux(
    "annotations: {}",
    "os: {name: linux}\nnodeSelector: {kubernetes.io/os: linux}"
)]
fn p3_similar_job_pods_are_recognised(#[case] metadata: &str, #[case] spec: &str) {
    let pod = testing::pod(&format!(
        "metadata: {{labels: {{job.runner.gitlab.com/pod: x}}, {metadata}}}\n{spec}"
    ));
    assert_eq!(recognised(&pod), Ok(JobPodMark::Label));
}

#[rstest]
#[case("runner-xyt3kd1a-project-42-concurrent-0", true)]
#[case("runner-xyt3kd1a-project-42", true)]
#[case("runner-a-project-1-project-2-concurrent-3", true)]
#[case("runner-a-project-project-1", true)]
#[case(
    "runner-abcdefghijklmnopqrstuvwxyz-project-1234567890-concurrent-",
    true
)]
#[case(
    "runner-abcdefghijklmnopqrstuvwxyz-abcdef-project-1234567890-conc",
    true
)]
#[case("runner-xyt3kd1a-project-42-concurrent-", false)]
#[case("runner-xyt3kd1a-project-42-conc", false)]
#[case("runner--project-42-concurrent-0", false)]
#[case("runner-project-42-concurrent-0", false)]
#[case("runner-xyt3kd1a-project--concurrent-0", false)]
#[case("my-runner-xyt3kd1a-project-42-concurrent-0", false)]
#[case("runner-xyt3kd1a-project-42-concurrent-0x", false)]
fn p2_the_label_of_old_runners(#[case] label: &str, #[case] expected: bool) {
    assert_eq!(
        is_unique_name(label),
        expected,
        "{label} ({} characters)",
        label.len()
    );
}
