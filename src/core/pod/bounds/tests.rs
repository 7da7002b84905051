//! Rule F6.

#![allow(clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]

use super::{Dimension, OverBound};
use crate::core::pod::{Pod, PodError};
use rstest::rstest;
use serde_json::{Value, json};

/// Creates a pod that has this count in one dimension and is small otherwise.
fn pod_with(dimension: Dimension, count: usize) -> Value {
    let list = |element: Value| Value::Array(vec![element; count]);
    let object = || -> Value {
        let members = (0..count).map(|number| (format!("k{number}"), json!("")));
        Value::Object(members.collect())
    };
    let container = |field: &str, value: Value| json!({"spec": {"containers": [{(field): value}]}});
    match dimension {
        Dimension::Containers => json!({"spec": {"containers": list(json!({}))}}),
        Dimension::Mounts => container("volumeMounts", list(json!({}))),
        Dimension::Devices => container("volumeDevices", list(json!({}))),
        Dimension::Words => container("args", list(json!(""))),
        Dimension::Variables => container("env", list(json!({"name":"A","value":""}))),
        Dimension::Volumes => json!({"spec": {"volumes": list(json!({}))}}),
        Dimension::Items => json!({"spec": {"volumes": [{"secret": {"items": list(json!({}))}}]}}),
        Dimension::HostAliases => json!({"spec": {"hostAliases": list(json!({}))}}),
        Dimension::Hostnames => json!({"spec": {"hostAliases": [{"hostnames": list(json!(""))}]}}),
        Dimension::Tolerations => json!({"spec": {"tolerations": list(json!({}))}}),
        Dimension::NodeSelector => json!({"spec": {"nodeSelector": object()}}),
        Dimension::Labels => json!({"metadata": {"labels": object()}}),
        Dimension::Annotations => json!({"metadata": {"annotations": object()}}),
        Dimension::Owners => json!({"metadata": {"ownerReferences": list(json!({}))}}),
        Dimension::NameBytes => json!({"spec": {"containers": [{"name": "x".repeat(count)}]}}),
        Dimension::PathBytes => {
            container("volumeMounts", json!([{"mountPath": "x".repeat(count)}]))
        }
    }
}

fn read(pod: &Value) -> Option<OverBound> {
    match Pod::from_json(&pod.to_string()) {
        Ok(_) => None,
        Err(PodError::OverBound(bound)) => Some(bound),
        Err(PodError::FieldType { path, problem }) => panic!("{path}: {problem}"),
    }
}

#[test]
fn f6_a_pod_is_read_up_to_each_limit() {
    for dimension in Dimension::ALL.iter().copied() {
        let (most, what, place) = dimension.limit();
        assert_eq!(read(&pod_with(dimension, most)), None, "{most} {what}");
        let over = read(&pod_with(dimension, most + 1));
        assert_eq!(over, Some(OverBound(dimension)), "{} {what}", most + 1);
        let message = OverBound(dimension).to_string();
        assert!(message.contains(&format!("more than {most} {what} ({place})")));
    }
}

/// The limits apply to the sum over two lists or two elements.
#[rstest]
#[case(Dimension::Containers, |count| json!({"spec": {"containers": vec![json!({}); count], "initContainers": vec![json!({}); count]}}))]
#[case(Dimension::Mounts, |count| { let one = json!({"volumeMounts": vec![json!({}); count]}); json!({"spec": {"containers": [one], "initContainers": [one]}}) })]
#[case(Dimension::Mounts, |count| { let one = json!({"volumeMounts": vec![json!({}); count]}); json!({"spec": {"containers": [one, one]}}) })]
#[case(Dimension::Devices, |count| { let one = json!({"volumeDevices": vec![json!({}); count]}); json!({"spec": {"containers": [one], "initContainers": [one]}}) })]
#[case(Dimension::Words, |count| json!({"spec": {"containers": [{"command": vec!["sh"; count], "args": vec!["-c"; count]}]}}))]
#[case(Dimension::Items, |count| { let one = json!({"secret": {"items": vec![json!({}); count]}}); json!({"spec": {"volumes": [one, one]}}) })]
#[case(Dimension::Items, |count| json!({"spec": {"volumes": [{"projected": {"sources": [{"secret": {"items": vec![json!({}); count]}}, {"configMap": {"items": vec![json!({}); count]}}]}}]}}))]
#[case(Dimension::Hostnames, |count| { let one = json!({"hostnames": vec!["a"; count]}); json!({"spec": {"hostAliases": [one, one]}}) })]
fn f6_limits_apply_to_the_sum_over_lists(
    #[case] dimension: Dimension,
    #[case] pod: fn(usize) -> Value,
) {
    let half = dimension.limit().0 / 2;
    assert_eq!(read(&pod(half - 1)), None);
    assert_eq!(read(&pod(half + 1)), Some(OverBound(dimension)));
}

/// Three bytes of JSON can take a hundred bytes of memory, so no element over the limit may be
/// created.
#[test]
fn f6_reading_stops_at_the_first_element_over_the_limit() {
    let most = Dimension::Tolerations.limit().0;
    let text = format!(r#"{{"spec":{{"tolerations":[{}"#, "{},".repeat(most + 1));
    // The text ends after the limit. Reading further would fail as invalid JSON.
    let error = Pod::from_json(&text).expect_err("the pod should exceed the limit");
    assert!(matches!(
        error,
        PodError::OverBound(OverBound(Dimension::Tolerations))
    ));
}

/// The items of all projected sources of a volume are counted together while they are read.
#[test]
fn f6_reading_stops_at_the_first_projected_item_over_the_limit() {
    let most = Dimension::Items.limit().0;
    let source = format!(
        r#"{{"secret":{{"items":[{}{{}}]}}}},"#,
        "{},".repeat(most / 2)
    );
    let sources = source.repeat(3);
    // This text ends early too: the volume is not read to its end.
    let text = format!(r#"{{"spec":{{"volumes":[{{"projected":{{"sources":[{sources}"#);
    let error = Pod::from_json(&text).expect_err("the pod should exceed the limit");
    assert!(matches!(
        error,
        PodError::OverBound(OverBound(Dimension::Items))
    ));
}

#[test]
fn f6_the_documentation_has_the_same_table() {
    let documented = include_str!("../../../../docs/limits.md");
    for dimension in Dimension::ALL.iter().copied() {
        let (most, what, place) = dimension.limit();
        let row = format!("| {what} | {place} | {most} |");
        assert!(documented.contains(&row), "docs/limits.md lacks: {row}");
    }
}
