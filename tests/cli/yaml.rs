//! The output of `-o yaml` parses as the same object in YAML 1.2 and in YAML 1.1, which kubectl
//! uses.

use super::sandbox::{Sandbox, json_lines};
use rstest::rstest;
use serde_json::{Value, json};

/// Prints an object with a string as YAML, asserts that it parses as the same object, and returns
/// the line of the string.
#[track_caller]
fn round_trip(text: &str) -> String {
    let sandbox = Sandbox::new();
    let object = json!({"kind": "Other", "data": {"key": text, text: "value", "list": [text, {text: [text]}]}, "tail": "end"});
    sandbox.write("object.json", object.to_string());
    let yaml = sandbox.mutate("object.json", "yaml");
    sandbox.write("object.yaml", &yaml);
    assert_eq!(
        json_lines(&sandbox.mutate("object.yaml", "json")),
        [object],
        "{yaml}"
    );
    yaml
}

/// Without quotes, these strings have another type in YAML 1.1, which kubectl uses.
#[rstest]
fn a_string_that_would_have_another_type_is_quoted(
    #[values(
        "on",
        "Off",
        "yes",
        "NO",
        "y",
        "N",
        "true",
        "False",
        "null",
        "~",
        "Null",
        "0123",
        "0o17",
        "0x1f",
        "0b11",
        "1_000",
        "1.10",
        "1e3",
        ".5",
        "1.",
        "+1",
        "-1",
        ".inf",
        "-.INF",
        ".nan",
        "12:30:45",
        "190:20:30",
        "2024-01-01",
        "2001-12-14t21:59:43Z",
        "=",
        "<<",
        "",
        "- x",
        "-",
        "?",
        ":",
        "a: b",
        "a #b",
        "#a",
        "!tag",
        "&a",
        "*a",
        "%a",
        "@a",
        "`a",
        "{a}",
        "[a]",
        "|",
        ">",
        "---",
        "...",
        "'a'",
        "\"a\"",
        " a",
        "a ",
        "\t",
        "a\tb",
        "a:"
    )]
    text: &str,
) {
    let yaml = round_trip(text);
    let value = yaml
        .lines()
        .find_map(|line| line.strip_prefix("  key: "))
        .unwrap();
    assert!(value.starts_with(['"', '\'']) && value.len() > 1, "{value}");
}

#[rstest]
#[case::script("set -e\nif true; then\n  echo \"x: #y\"\nfi\n")]
#[case::no_newline_at_the_end("one\ntwo")]
#[case::newlines_at_the_end("one\n\n\n")]
#[case::newlines_in_front("\n\none")]
#[case::only_a_newline("\n")]
#[case::spaces_and_a_newline("  \n")]
#[case::indented_first_line("    one\n  two\nthree\n")]
#[case::trailing_spaces("one  \ntwo \n  \n")]
#[case::tabs("\tone\n\t\ttwo\n")]
#[case::windows("one\r\ntwo\r\n")]
#[case::document_marker("one\n---\n...\ntwo\n")]
#[case::comment_lines("# one\n#two\n")]
#[case::unicode("ünïcödé 😀 \u{2028} \u{85} \u{feff}")]
#[case::control("\0\u{1}\u{1b}[0m\u{7f}")]
#[case::certificate("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")]
fn a_string_of_several_lines_is_unchanged(#[case] text: &str) {
    round_trip(text);
}

#[rstest]
#[case::words(&"some words ".repeat(60))]
#[case::one_word(&"x".repeat(600))]
#[case::wide_gaps(&"one   two     three  ".repeat(20))]
#[case::lines_of_words(&"some words that go on for longer than a line of a terminal would \n  and on, with an indent, and on and on and on and on\n".repeat(5))]
#[case::words_and_colons(&"key: value, # no comment ".repeat(20))]
fn a_long_string_is_unchanged(#[case] text: &str) {
    round_trip(text);
    round_trip(text.trim_end());
}

#[test]
fn numbers_nulls_and_empty_values_are_unchanged() {
    let sandbox = Sandbox::new();
    let object = json!({
        "kind": "Other", "integer": -7, "largest": u64::MAX, "smallest": i64::MIN, "float": 1.5, "large": 1e30, "small": 1e-7,
        "null": null, "true": true, "empty": {}, "none": [], "nested": [[1, [2, []]], [{}], [{"a": [{"b": 1, "c": null}]}]],
    });
    sandbox.write("object.json", object.to_string());
    sandbox.write("object.yaml", sandbox.mutate("object.json", "yaml"));
    assert_eq!(json_lines(&sandbox.mutate("object.yaml", "json")), [object]);
}

#[test]
fn fields_keep_their_order() {
    let sandbox = Sandbox::new();
    let text = r#"{"kind":"Other","z":1,"a":2,"m":{"y":1,"b":2}}"#;
    sandbox.write("object.json", text);
    sandbox.write("object.yaml", sandbox.mutate("object.json", "yaml"));
    assert_eq!(sandbox.mutate("object.yaml", "json"), format!("{text}\n"));
}

/// The YAML and the JSON output for a real pod are the same object.
#[test]
fn a_real_pod_is_unchanged() {
    let sandbox = Sandbox::new();
    let fixture = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/reviews/runner/19.3.0-secret-certs.json"
    );
    let review: Value = serde_json::from_str(&std::fs::read_to_string(fixture).unwrap()).unwrap();
    sandbox.write("pod.json", review["request"]["object"].to_string());
    let yaml = sandbox.mutate("pod.json", "yaml");
    assert!(yaml.lines().count() > 1_000);
    let read: Value = serde_saphyr::from_str(&yaml).unwrap();
    assert_eq!(json_lines(&sandbox.mutate("pod.json", "json")), [read]);
}
