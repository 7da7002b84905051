//! Rule F7: names of namespaces and pods, parsed where a request is read.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

use super::{answer, displacing, request, try_answer};
use crate::core::admission::namespace;
use crate::core::policy::Mode;
use crate::testing::CERTS_ONLY;
use rstest::rstest;
use serde_json::json;

#[rstest]
#[case::a_prefix_is_not_a_name("runner-", None)]
#[case::a_path_is_not_a_name("foo/eviction?x=", None)]
#[case::request_and_pod_name_two("runner-1", Some("victim"))]
fn f7_there_is_no_event_for_a_pod_without_a_valid_name(
    #[case] name: &str,
    #[case] of_pod: Option<&str>,
) {
    let mut request = displacing(name, false);
    if let Some(of_pod) = of_pod {
        request["request"]["object"]["metadata"]["name"] = json!(of_pod);
    }
    let (answer, _) = answer(CERTS_ONLY, Mode::Enforce, &request);
    assert_eq!(answer.record.author_findings, None);
}

#[rstest]
#[case::a_path("victim/pods/foo/eviction?x=", "invalid-field")]
#[case::a_path_upwards("..", "invalid-field")]
#[case::a_line_break("ci\nwarn: all is lost \u{1b}[2J", "invalid-field")]
#[case::none("", "missing-field")]
fn f7_an_invalid_namespace_is_an_error(#[case] namespace: &str, #[case] reason: &str) {
    let mut request = displacing("runner-1", false);
    request["request"]["namespace"] = json!(namespace);
    let error = try_answer(CERTS_ONLY, Mode::Enforce, request.to_string().as_bytes())
        .expect_err("there should be no answer");
    assert_eq!(error.name(), reason);
    let message = error.to_string();
    assert!(!message.contains(char::is_control), "{message:?}");
    assert!(message.contains("namespace"), "{message}");
}

#[test]
fn f7_an_error_truncates_a_long_value() {
    let mut request = displacing("runner-1", false);
    for field in ["namespace", "uid"] {
        let before = request["request"][field].take();
        request["request"][field] = json!("x".repeat(1_000_000));
        let error = try_answer(CERTS_ONLY, Mode::Enforce, request.to_string().as_bytes())
            .expect_err("there should be no answer");
        assert_eq!(error.name(), "invalid-field");
        assert!(error.to_string().len() < 500, "{error}");
        request["request"][field] = before;
    }
}

/// The path of a field with a wrong type contains keys of the pod.
#[test]
fn f7_an_error_shows_no_control_character_of_a_key() {
    let mut request = displacing("runner-1", false);
    request["request"]["object"]["metadata"]["labels"] = json!({"a\n\u{1b}[2Jb": 1});
    let error = try_answer(CERTS_ONLY, Mode::Enforce, request.to_string().as_bytes())
        .expect_err("there should be no answer");
    assert_eq!(error.name(), "wrong-type");
    assert!(!error.to_string().contains(char::is_control), "{error:?}");
}

#[test]
fn f7_only_the_namespace_of_the_request_counts_for_events() {
    let mut request = displacing("runner-1", false);
    request["request"]["object"]["metadata"]["namespace"] = json!("victim");
    let (answer, _) = answer(CERTS_ONLY, Mode::Enforce, &request);
    let reported = answer.record.author_findings.expect("something to report");
    assert_eq!(reported.namespace.as_str(), "ci");
}

#[test]
fn the_namespace_of_a_review_is_read_without_its_pod() {
    let body = request(&json!({"spec": "not a pod"})).to_string();
    let read = namespace(body.as_bytes());
    assert_eq!(read.as_deref(), Some("ci"));
    assert_eq!(namespace(b"[]"), None);
}
