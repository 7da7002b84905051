//! Rule S1.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

use crate::testing::{CERTS_ONLY, DIND, Judged, judge};
use rstest::rstest;
use serde_json::{Value, json};

/// Judges a pod with dind by a policy that has only `dind.scheduling`.
#[track_caller]
fn judge_scheduling(scheduling: &str, pod: &str) -> Judged {
    let policy = format!("dind: {{volumes: [], scheduling: {{{scheduling}}}}}");
    judge(&policy, &format!("{pod}\n{DIND}"))
}

#[rstest]
#[case::absent("")]
#[case::null("nodeSelector: null")]
#[case::empty("nodeSelector: {}")]
fn s1_a_node_selector_is_added_if_the_pod_lacks_the_key(#[case] pod: &str) {
    let judged = judge_scheduling("nodeSelector: {node.mylab.com/role: ci, zone: a}", pod);
    assert_eq!(
        judged.pod["spec"]["nodeSelector"],
        json!({"node.mylab.com/role": "ci", "zone": "a"})
    );
}

#[test]
fn s1_other_node_selectors_stay() {
    let judged = judge_scheduling("nodeSelector: {role: ci}", "nodeSelector: {zone: b}");
    assert_eq!(
        judged.pod["spec"]["nodeSelector"],
        json!({"zone": "b", "role": "ci"})
    );
}

#[rstest]
#[case("gpu")]
#[case("''")]
fn s1_a_different_value_stays_and_is_reported(#[case] value: &str) {
    let pod = format!("nodeSelector: {{role: {value}}}");
    let judged = judge_scheduling("nodeSelector: {role: ci}", &pod);
    assert_eq!(
        judged.pod["spec"]["nodeSelector"],
        judged.before["spec"]["nodeSelector"]
    );
    assert!(judged.reports_to_team("S1", "role"));
}

#[test]
fn s1_an_equal_node_selector_is_not_added_again() {
    let judged = judge_scheduling("nodeSelector: {role: ci}", "nodeSelector: {role: ci}");
    assert!(
        !judged.reports_to_team("S1", ""),
        "nothing is reported to the team"
    );
    assert!(judged.findings_of("S1").concat().contains("already"));
    assert!(!judged.changes.contains(&"add-node-selector"));
}

#[rstest]
#[case::absent("")]
#[case::null("tolerations: null")]
#[case::empty("tolerations: []")]
fn s1_a_toleration_is_appended(#[case] pod: &str) {
    let judged = judge_scheduling(
        "tolerations: [{key: dind, operator: Exists, effect: NoSchedule}]",
        pod,
    );
    assert_eq!(
        judged.pod["spec"]["tolerations"],
        json!([{"key": "dind", "operator": "Exists", "effect": "NoSchedule"}])
    );
}

#[rstest]
#[case::the_same("{key: a, operator: Equal, value: b, effect: NoExecute, tolerationSeconds: 5}")]
#[case::the_default_operator("{key: a, value: b, effect: NoExecute, tolerationSeconds: 5}")]
#[case::an_empty_operator(
    "{key: a, operator: '', value: b, effect: NoExecute, tolerationSeconds: 5}"
)]
fn s1_an_equal_toleration_is_not_added_again(#[case] theirs: &str) {
    for ours in [
        "{key: a, value: b, effect: NoExecute, tolerationSeconds: 5}",
        "{key: a, operator: Equal, value: b, effect: NoExecute, tolerationSeconds: 5}",
    ] {
        let judged = judge_scheduling(
            &format!("tolerations: [{ours}]"),
            &format!("tolerations: [{theirs}]"),
        );
        assert!(!judged.changes.contains(&"add-toleration"));
    }
}

#[rstest]
#[case::key("{key: b, value: b, effect: NoExecute}")]
#[case::value("{key: a, value: c, effect: NoExecute}")]
#[case::operator("{key: a, operator: Exists, effect: NoExecute}")]
#[case::effect("{key: a, value: b}")]
#[case::seconds("{key: a, value: b, effect: NoExecute, tolerationSeconds: 5}")]
fn s1_a_different_toleration_does_not_count(#[case] theirs: &str) {
    let judged = judge_scheduling(
        "tolerations: [{key: a, value: b, effect: NoExecute}]",
        &format!("tolerations: [{theirs}]"),
    );
    assert_eq!(
        judged.pod["spec"]["tolerations"][1],
        json!({"key": "a", "value": "b", "effect": "NoExecute"})
    );
}

#[test]
fn s1_a_pod_without_dind_is_unchanged() {
    let policy = "dind: {volumes: [], scheduling: {nodeSelector: {role: ci}, tolerations: [{operator: Exists}]}}";
    judge(policy, "").assert_unchanged();
}

#[test]
fn s1_without_scheduling_no_node_selector_is_added() {
    let judged = judge(CERTS_ONLY, DIND);
    assert_eq!(judged.pod["spec"]["nodeSelector"], Value::Null);
}
