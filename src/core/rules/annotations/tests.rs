//! Rule A5.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

use crate::testing::{DIND, Setup, judge};
use serde_json::{Value, json};

const ALIAS_A: &str = "{priority: 1, hostAliases: [{ip: 10.0.0.1, hostnames: [a]}]}";
const ALIAS_B: &str = "hostAliases: [{ip: 10.0.0.2, hostnames: [b]}]";
const METADATA: &str = "metadata: {labels: {job.runner.gitlab.com/pod: p}, annotations";

#[test]
fn a5_a_changed_pod_names_its_policies_and_changes() {
    let judged = Setup {
        policies: &[
            ("low@7", ALIAS_B),
            (
                "file",
                "{priority: 2, hostAliases: [{ip: 10.0.0.3, hostnames: [c]}]}",
            ),
            ("high@3", ALIAS_A),
        ],
        pod: "hostAliases: [{ip: 10.0.0.9, hostnames: [c, x]}]",
        ..Setup::default()
    }
    .judge();
    assert_eq!(
        judged.pod["metadata"]["annotations"],
        json!({
            "drydock.dev/policies": "file,high@3,low@7",
            "drydock.dev/changes": "drop-stale-hostname,add-host-alias",
        })
    );
}

#[test]
fn a5_a_policy_that_changes_nothing_is_not_named() {
    let judged = Setup {
        policies: &[("high", ALIAS_A), ("low", ALIAS_B)],
        pod: "hostAliases: [{ip: 10.0.0.1, hostnames: [a]}]",
        ..Setup::default()
    }
    .judge();
    assert_eq!(
        judged.pod["metadata"]["annotations"]["drydock.dev/policies"],
        "low"
    );
}

#[test]
fn a5_an_unchanged_pod_gets_none() {
    let judged = judge(ALIAS_A, "hostAliases: [{ip: 10.0.0.1, hostnames: [a]}]");
    assert_eq!(judged.pod["metadata"]["annotations"], Value::Null);
}

#[test]
fn a5_other_annotations_of_the_pod_stay() {
    let judged = judge(ALIAS_A, &format!("{METADATA}: {{example.com/a: b}}}}"));
    assert_eq!(
        judged.pod["metadata"]["annotations"],
        json!({"example.com/a": "b", "drydock.dev/policies": "test", "drydock.dev/changes": "add-host-alias"})
    );
}

#[test]
fn a5_a_reinvocation_keeps_the_names_of_the_first_call() {
    let judged = Setup {
        policies: &[("high@1", ALIAS_A), ("low@1", ALIAS_B)],
        pod: &format!(
            "hostAliases: [{{ip: 10.0.0.1, hostnames: [a]}}]\n{METADATA}: {{drydock.dev/policies: high@1, drydock.dev/changes: 'add-mount,add-volume'}}}}"
        ),
        ..Setup::default()
    }
    .judge();
    assert_eq!(
        judged.pod["metadata"]["annotations"],
        json!({
            "drydock.dev/policies": "high@1,low@1",
            "drydock.dev/changes": "add-host-alias,add-volume,add-mount",
        })
    );
}

#[test]
fn a5_forged_names_are_removed_from_a_changed_pod() {
    let judged = judge(
        ALIAS_A,
        &format!(
            "{METADATA}: {{drydock.dev/policies: 'mine,TOKEN=s3cr3t', drydock.dev/changes: 's3cr3t,,add-host-alias'}}}}"
        ),
    );
    assert_eq!(
        judged.pod["metadata"]["annotations"],
        json!({"drydock.dev/policies": "test", "drydock.dev/changes": "add-host-alias"})
    );
}

#[test]
fn a5_a_repeated_change_is_named_once() {
    let judged = judge("dind: {volumes: []}", DIND);
    assert_eq!(judged.changes, ["add-volume", "add-mount", "add-mount"]);
    assert_eq!(
        judged.pod["metadata"]["annotations"]["drydock.dev/changes"],
        "add-volume,add-mount"
    );
}
