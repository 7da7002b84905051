//! Invalid input: the error names file, document and field, and all other input is processed.

use super::sandbox::{POD, SERVICE, Sandbox, policy};
use rstest::rstest;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

/// Runs `drydock mutate` on an invalid file and a valid one. Returns the errors about the first,
/// and asserts that the second is processed.
#[track_caller]
fn errors_about(content: impl AsRef<[u8]>) -> String {
    let sandbox = Sandbox::new();
    sandbox.write("bad", content);
    let ran = sandbox.run("mutate -f bad -f pod.yaml -p aliases.yaml -o json");
    assert_eq!(ran.code, 2, "{ran}");
    assert_eq!(ran.stdout, sandbox.mutate("pod.yaml", "json"), "{ran}");
    let lines = ran.stderr.lines().map(|line| {
        let message = line.strip_prefix("error: ");
        message.unwrap_or_else(|| panic!("{ran}")).to_owned() + "\n"
    });
    lines.collect()
}

#[rstest]
#[case::empty("", "bad: the file contains no object")]
#[case::comments("# nothing\n---\n", "bad: the file contains no object")]
#[case::list(
    "- a\n",
    "bad: document 1: must be an object with apiVersion and kind, not a list"
)]
#[case::json_list(
    "[{}]",
    "bad: document 1: must be an object with apiVersion and kind, not a list"
)]
#[case::text(
    "hello",
    "bad: document 1: must be an object with apiVersion and kind, not a string"
)]
#[case::number(
    "{}\n---\n42",
    "bad: document 1: kind is missing; use a Pod, a List or an AdmissionReview\nbad: document 2: must be an object with apiVersion and kind, not a number"
)]
#[case::kind_of_wrong_type(
    "kind: 5",
    "bad: document 1: kind is a number, not a string; use a Pod, a List or an AdmissionReview"
)]
#[case::items_of_wrong_type(
    "{kind: List, items: {}}",
    "bad: document 1: items must be a list, not an object"
)]
#[case::item_of_wrong_type(
    "{kind: PodList, items: [7]}",
    "bad: document 1, items[0]: must be an object, not a number"
)]
#[case::item_without_kind(
    "{kind: List, items: [{}]}",
    "bad: document 1, items[0]: kind is missing; use a Pod, a List or an AdmissionReview"
)]
#[case::field_of_wrong_type(
    "{kind: Pod, spec: {containers: [{name: build}, {volumeMounts: [{mountPath: 5}]}]}}",
    "bad: document 1: spec.containers[1].volumeMounts[0].mountPath: invalid type: integer `5`, expected a string"
)]
#[case::field_of_an_item(
    "{kind: PodList, items: [{spec: {volumes: {}}}]}",
    "bad: document 1, items[0]: spec.volumes: invalid type: map, expected a sequence"
)]
#[case::pod_over_a_bound(
    &format!("{{kind: Pod, spec: {{tolerations: [{}]}}}}", "{}, ".repeat(1_025)),
    "bad: document 1: the pod has more than 1024 tolerations (spec.tolerations), the maximum that drydock reads. Reduce the number, or create the pod in a namespace without the label drydock.dev/job-pods"
)]
#[case::review_of_a_pod_over_a_bound(
    &format!("{{kind: AdmissionReview, apiVersion: admission.k8s.io/v1, request: {{uid: u, operation: CREATE, namespace: ci, resource: {{group: '', resource: pods}}, object: {{spec: {{tolerations: [{}]}}}}}}}}", "{}, ".repeat(1_025)),
    "bad: document 1: drydock cannot read the pod: the pod has more than 1024 tolerations (spec.tolerations), the maximum that drydock reads. Reduce the number, or create the pod in a namespace without the label drydock.dev/job-pods"
)]
#[case::review_of_another_version(
    "{kind: AdmissionReview, apiVersion: admission.k8s.io/v1beta1}",
    "bad: document 1: drydock accepts AdmissionReview of admission.k8s.io/v1; the request has kind AdmissionReview and apiVersion admission.k8s.io/v1beta1"
)]
#[case::review_without_request(
    "{kind: AdmissionReview, apiVersion: admission.k8s.io/v1}",
    "bad: document 1: drydock cannot read the request: request is missing"
)]
#[case::review_of_a_wrong_pod(
    "{kind: AdmissionReview, apiVersion: admission.k8s.io/v1, request: {uid: a, operation: CREATE, resource: {group: '', resource: pods}, object: {spec: {containers: 1}}}}",
    "bad: document 1: drydock cannot read the pod: request.object.spec.containers has an unexpected JSON type"
)]
fn an_error_about_an_object_names_document_and_field(#[case] content: &str, #[case] message: &str) {
    assert_eq!(errors_about(content), format!("{message}\n"));
}

#[rstest]
#[case::mapping(
    "kind: Pod\n  bad: 1\n",
    "not valid YAML: mapping values are not allowed in this context at line 2, column 6"
)]
#[case::bracket(
    "kind: Pod\nspec: [\n",
    "not valid YAML: unclosed bracket '[' at line 2, column 7"
)]
#[case::key_twice(
    "kind: Pod\nspec: {}\nkind: Pod\n",
    "not valid YAML: duplicate mapping key: kind not allowed here at line 3, column 1"
)]
#[case::json(
    "{\"kind\": \"Pod\",\n \"spec\": {,}}",
    "not valid JSON: key must be a string at line 2, column 11"
)]
#[case::cut_short(
    "{\"kind\": \"Pod\"",
    "not valid JSON: EOF while parsing an object at line 1, column 14"
)]
fn a_syntax_error_is_one_line_with_its_position(#[case] content: &str, #[case] message: &str) {
    assert_eq!(
        errors_about(content),
        format!("bad: document 1: {message}\n")
    );
}

/// A few YAML aliases can expand to more than fits into memory.
#[test]
fn a_yaml_bomb_is_refused() {
    let mut bomb = "a0: &a0 [1]\n".to_owned();
    for level in 1..30 {
        let below = level - 1;
        bomb += &format!("a{level}: &a{level} [*a{below}, *a{below}, *a{below}]\n");
    }
    let message = errors_about(bomb);
    assert!(
        message.starts_with("bad: document 1: not valid YAML: "),
        "{message}"
    );
}

#[test]
fn valid_documents_beside_an_invalid_one_are_processed() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "some.yaml",
        format!("{SERVICE}---\n{POD}---\nkind: Pod\n  bad: [\n---\n# none\n---\n{SERVICE}"),
    );
    let ran = sandbox.run("mutate -f some.yaml -p aliases.yaml -o patch");
    insta::assert_snapshot!(ran);
}

#[test]
fn a_flow_mapping_beside_an_invalid_document_is_processed() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "some.yaml",
        format!("{SERVICE}---\nkind: [\n---\n{SERVICE}"),
    );
    let ran = sandbox.run("mutate -f some.yaml -p aliases.yaml -o patch");
    assert_eq!((ran.code, ran.stdout.as_str()), (2, "[]\n[]\n"), "{ran}");
    assert!(
        ran.stderr.starts_with(
            "error: some.yaml: document 2: not valid YAML: unclosed bracket '[' at line 3, column 7\n"
        ),
        "{ran}"
    );
}

#[rstest]
#[case::a_value_a_line(
    "{\"kind\":\"A\"}\n{\"kind\":}\n{\"kind\":\"B\"}\n",
    "document 2: not valid JSON: expected value at line 2, column 9"
)]
#[case::printed(
    "{\n  \"kind\": \"A\"\n}\n{\n  \"kind\": tru\n}\n{\n  \"kind\": \"B\"\n}\n",
    "document 2: not valid JSON: expected ident at line 6, column 0"
)]
#[case::on_one_line(
    "{\"kind\":\"A\"} {\"kind\":}\n{\"kind\":\"B\"}\n",
    "document 2: not valid JSON: expected value at line 1, column 22"
)]
fn a_json_value_after_an_invalid_one_is_processed_if_it_begins_a_line(
    #[case] text: &str,
    #[case] message: &str,
) {
    let sandbox = Sandbox::new();
    sandbox.write("some.json", text);
    let ran = sandbox.run("mutate -f some.json -p aliases.yaml -o json");
    assert_eq!(ran.stdout, "{\"kind\":\"A\"}\n{\"kind\":\"B\"}\n", "{ran}");
    assert_eq!(
        (ran.code, ran.stderr),
        (2, format!("error: some.json: {message}\n"))
    );
}

#[test]
fn an_error_names_a_missing_file() {
    let ran = Sandbox::new().run("mutate -f none.yaml -f pod.yaml -p aliases.yaml -o patch");
    assert_eq!(ran.code, 2);
    assert_eq!(ran.stdout.lines().count(), 1, "{ran}");
    assert_eq!(
        ran.stderr,
        "error: none.yaml cannot be read: No such file or directory (os error 2)\n"
    );
}

#[test]
fn an_error_names_a_file_that_is_not_text() {
    assert_eq!(
        errors_about(b"kind: \xff\xfe"),
        "bad is not UTF-8 text: invalid utf-8 sequence of 1 bytes from index 6\n"
    );
}

#[test]
fn a_byte_order_mark_is_ignored() {
    let sandbox = Sandbox::new();
    let printed = sandbox.mutate("pod.yaml", "json");
    let windows = POD.replace('\n', "\r\n");
    sandbox.write("windows.yaml", format!("\u{feff}{windows}"));
    assert_eq!(sandbox.mutate("windows.yaml", "json"), printed);
    sandbox.write("windows.json", format!("\u{feff}{printed}{printed}"));
    assert_eq!(sandbox.mutate("windows.json", "json"), printed.repeat(2));
}

#[test]
fn all_invalid_policies_are_reported_and_no_pod_is_printed() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "bad.yaml",
        policy("one", "priority: high")
            + &policy("two", "hostAliases: [{ip: 10.0.0, hostnames: [a]}]"),
    );
    let ran = sandbox.run("mutate -f pod.yaml -p bad.yaml -p aliases.yaml -p none.yaml");
    insta::assert_snapshot!(ran);
}

#[test]
fn a_policy_file_without_policies_is_an_error() {
    let sandbox = Sandbox::new();
    sandbox.write("none.yaml", "# none\n");
    let ran = sandbox.run("mutate -f pod.yaml -p none.yaml");
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    assert!(
        ran.stderr
            .starts_with("error: none.yaml: document 1: the file contains no policy; "),
        "{ran}"
    );
}

/// `drydock mutate … | head -1`.
#[test]
fn a_closed_stdout_is_not_an_error() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "many.yaml",
        POD.to_owned() + &format!("---\n{POD}").repeat(2_000),
    );
    let mut child = Command::new(assert_cmd::cargo::cargo_bin!("drydock"))
        .args([
            "mutate",
            "-f",
            "many.yaml",
            "-p",
            "aliases.yaml",
            "-o",
            "json",
        ])
        .current_dir(sandbox.folder())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    // Closes the pipe after the first line, before most of the output is written.
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert!(line.starts_with("{\"apiVersion\""));
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    assert_eq!(
        (stderr.as_str(), child.wait().unwrap().code()),
        ("", Some(0))
    );
}

/// `drydock print completions bash | head -1`.
#[test]
fn a_closed_stdout_is_not_an_error_of_print() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = Command::new(assert_cmd::cargo::cargo_bin!("drydock"))
        .args(["print", "completions", "bash"])
        .stdout(writer)
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((stderr.as_str(), output.status.code()), ("", Some(0)));
}

#[test]
fn a_folder_instead_of_a_file_is_an_error() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("pods")).unwrap();
    let ran = sandbox.run("mutate -f pods -p aliases.yaml");
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran}");
    assert_eq!(
        ran.stderr,
        "error: pods is a directory; give its files, such as pods/*.yaml\n"
    );
}

/// A full disk is an error, unlike a closed pipe.
#[test]
fn a_failed_write_to_stdout_is_an_error() {
    let sandbox = Sandbox::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
    let Ok(full) = full else { return };
    let output = Command::new(assert_cmd::cargo::cargo_bin!("drydock"))
        .args(["mutate", "-f", "pod.yaml"])
        .current_dir(sandbox.folder())
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(!output.stderr.is_empty());
}
