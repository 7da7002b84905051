//! Tests of rule F3 for policy files.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

use super::read;
use crate::testing::policy_text;

const BAD: &str = "hostAliases: [{ip: nowhere, hostnames: [a]}]";

fn names(file: &super::PolicyFile) -> Vec<&str> {
    file.policies
        .iter()
        .map(|policy| policy.name.as_str())
        .collect()
}

#[test]
fn f3_a_bad_policy_does_not_hide_good_ones() {
    let text = [
        policy_text("one", "{}"),
        policy_text("bad", BAD),
        "a: [".to_owned(),
        "just text".to_owned(),
        "{apiVersion: v1, kind: Secret}".to_owned(),
        policy_text("two", "{}"),
    ]
    .join("\n---\n");
    let file = read("policies.yaml", &format!("---\n{text}"));
    assert_eq!(names(&file), ["one", "two"]);
    assert_eq!(file.errors.len(), 4);
    assert!(file.refused.contains("bad"));
    assert!(file.unreadable);
}

#[test]
fn f3_an_item_of_a_list_does_not_hide_the_others() {
    let list = format!(
        r#"{{"apiVersion": "v1", "kind": "List", "items": [{}, {}, null, {}]}}"#,
        policy_text("one", "{}"),
        policy_text("bad", BAD),
        policy_text("two", "{}")
    );
    let file = read("policies.yaml", &list);
    assert_eq!(names(&file), ["one", "two"]);
    let errors: Vec<String> = file.errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        errors,
        [
            "policies.yaml: document 1, items[1] (JobPodPolicy \"bad\"): spec.hostAliases[0].ip is \"nowhere\", not an IP address; write it as in 10.0.0.232 or fd00::232, without port or zone",
            "policies.yaml: document 1, items[2]: must be an object, not null",
        ]
    );
}

#[test]
fn f3_of_two_policies_with_the_same_name_the_first_is_used() {
    let text = [
        policy_text("one", "priority: 1"),
        policy_text("one", "priority: 2"),
    ]
    .join("\n---\n");
    let file = read("policies.yaml", &format!("---\n{text}"));
    assert_eq!(file.policies.len(), 1);
    assert_eq!(file.policies[0].priority, 1);
    assert!(file.errors[0].to_string().contains("names must be unique"));
}
