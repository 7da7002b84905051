//! Policies with one mistake: the error names file, document, policy, field and value, and what to
//! write instead.

use super::sandbox::{Sandbox, policy};
use super::table::{accepted, policy as object, refused};
use rstest::rstest;

const SUBDOMAIN: &str = "not an RFC 1123 subdomain: lower-case letters, digits, '-' and '.', each part beginning and ending with a letter or digit, at most 253 characters";
const LABEL_VALUE: &str = "not a label value: at most 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit";

/// Each policy of the table has one mistake (rules H6 and M6, and the schema). It is one error, and
/// the other policy of the file is valid.
#[test]
fn a_policy_with_one_mistake_has_one_error() {
    let table = refused();
    let sandbox = Sandbox::new();
    for (number, entry) in table.iter().enumerate() {
        let wrong = format!("---\n{}\n", object("ci", &entry.spec));
        sandbox.write(&format!("{number}.yaml"), policy("first", "") + &wrong);
    }
    for (number, entry) in table.iter().enumerate() {
        let ran = sandbox.run(&format!("check {number}.yaml"));
        let message = format!(
            "error: {number}.yaml: document 2 (JobPodPolicy \"ci\"): {}\n",
            entry.error
        );
        assert_eq!((ran.code, &ran.stdout), (1, &message), "{ran}");
        assert_eq!(ran.stderr, "1 policy is valid, 1 error\n", "{ran}");
    }
}

#[test]
fn a_policy_without_a_mistake_has_no_error() {
    let sandbox = Sandbox::new();
    for spec in accepted() {
        sandbox.write("policy.yaml", object("ci", &spec).to_string());
        let ran = sandbox.run("check policy.yaml");
        assert_eq!(
            (ran.code, ran.stderr.as_str()),
            (0, "1 policy is valid, 0 errors\n"),
            "{ran}"
        );
    }
}

/// An error is one line, even if a value contains a line break.
#[test]
fn an_error_about_a_value_with_a_line_break_is_one_line() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "policy.yaml",
        policy("ci", r#"dind: {images: ["a@\nerror: b"]}"#),
    );
    let ran = sandbox.run("check policy.yaml");
    assert_eq!(ran.stdout.lines().count(), 1, "{ran}");
    assert!(
        ran.stdout
            .contains(r#"is "a@\nerror: b", but must not contain a digest"#),
        "{ran}"
    );
}

#[rstest]
#[case::version(
    "{apiVersion: drydock.dev/v1, kind: JobPodPolicy, metadata: {name: a}, spec: {}}",
    " (JobPodPolicy \"a\"): apiVersion is \"drydock.dev/v1\", but this version of drydock supports only drydock.dev/v1alpha1"
)]
#[case::no_name(
    "{apiVersion: drydock.dev/v1alpha1, kind: JobPodPolicy, metadata: {}, spec: {}}",
    ": metadata.name is missing"
)]
#[case::no_metadata(
    "{apiVersion: drydock.dev/v1alpha1, kind: JobPodPolicy, spec: {}}",
    ": metadata.name is missing"
)]
#[case::name("{apiVersion: drydock.dev/v1alpha1, kind: JobPodPolicy, metadata: {name: A}, spec: {}}", &format!(" (JobPodPolicy \"A\"): metadata.name is \"A\", {SUBDOMAIN}"))]
#[case::name_of_wrong_type(
    "{apiVersion: drydock.dev/v1alpha1, kind: JobPodPolicy, metadata: {name: 5}, spec: {}}",
    ": metadata.name cannot be read: invalid type: integer `5`, expected a string"
)]
#[case::unknown_metadata(
    "{apiVersion: drydock.dev/v1alpha1, kind: JobPodPolicy, metadata: {name: a, label: {a: b}}, spec: {}}",
    " (JobPodPolicy \"a\"): metadata.label is an unknown field; the known fields include name, labels and annotations"
)]
#[case::label(
    "{apiVersion: drydock.dev/v1alpha1, kind: JobPodPolicy, metadata: {name: a, labels: {a: b/c}, annotations: {d: e/f}}, spec: {}}",
    &format!(" (JobPodPolicy \"a\"): metadata.labels[a] is \"b/c\", {LABEL_VALUE}")
)]
#[case::annotation(
    "{apiVersion: drydock.dev/v1alpha1, kind: JobPodPolicy, metadata: {name: a, annotations: {a b: c}}, spec: {}}",
    " (JobPodPolicy \"a\"): metadata.annotations has the key \"a b\", not a label key: an optional DNS prefix and '/', then at most 63 letters, digits, '-', '_' and '.'"
)]
#[case::no_spec(
    "{apiVersion: drydock.dev/v1alpha1, kind: JobPodPolicy, metadata: {name: a}}",
    " (JobPodPolicy \"a\"): spec is missing; `drydock print policy` prints an example"
)]
#[case::field(
    "{apiVersion: drydock.dev/v1alpha1, kind: JobPodPolicy, metadata: {name: a}, spec: {}, hostAliases: []}",
    " (JobPodPolicy \"a\"): hostAliases is an unknown field; known fields: apiVersion, kind, metadata, spec"
)]
#[case::kind(
    "{apiVersion: v1, kind: ConfigMap}",
    ": kind is \"ConfigMap\", but must be JobPodPolicy or a List of JobPodPolicy objects"
)]
#[case::no_kind(
    "{spec: {}}",
    ": kind is missing; set apiVersion: drydock.dev/v1alpha1 and kind: JobPodPolicy"
)]
#[case::text("hello", ": must be an object with apiVersion and kind, not a string")]
#[case::items("{kind: List, items: 5}", ": items must be a list, not a number")]
fn an_object_that_is_not_a_policy_is_an_error(#[case] object: &str, #[case] expected: &str) {
    let sandbox = Sandbox::new();
    sandbox.write("policy.yaml", object);
    let ran = sandbox.run("check policy.yaml");
    assert_eq!(
        (ran.code, ran.stdout),
        (1, format!("error: policy.yaml: document 1{expected}\n"))
    );
}
