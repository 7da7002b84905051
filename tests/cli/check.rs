//! `drydock check`: errors and the places they name, hints and notes about valid policies, exit
//! codes.

use super::sandbox::{Sandbox, policy};
use std::fs;
use std::path::Path;

#[test]
fn a_valid_policy_has_no_findings() {
    let ran = Sandbox::new().run("check aliases.yaml deny.yaml");
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{ran}");
    assert_eq!(ran.stderr, "2 policies are valid, 0 errors\n");
}

/// The policies in the documentation must be valid, because users copy them.
#[test]
fn the_policies_in_the_documentation_are_valid() {
    let sandbox = Sandbox::new();
    for document in ["README.md", "docs/policy.md"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
        let text = fs::read_to_string(path).unwrap();
        let mut policies = 0;
        for block in text.split("```yaml\n").skip(1) {
            sandbox.write("policy.yaml", block.split("```").next().unwrap());
            let ran = sandbox.run("check policy.yaml");
            assert_eq!(ran.code, 0, "{document}: {ran}");
            policies += 1;
        }
        assert_eq!(policies, 1, "{document}");
    }
}

/// The file has wrong types, unknown fields, missing fields and wrong values. Each mistake is
/// reported once.
#[test]
fn all_errors_of_a_file_are_reported_at_once() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "bad.yaml",
        "\
apiVersion: drydock.dev/v1alpha1
kind: JobPodPolicy
metadata: {name: one}
spec:
  prority: 5
  mode: enforce
  hostAliases:
  - {ip: 10.0.0, hostnames: [a.b]}
  - {ip: 5, hostnames: [A.b, 7]}
  dind:
    clientCerts: {sizeLimit: 5}
    volumes:
    - {name: a, emptydir: {}}
    - {mountPath: /certs, emptyDir: {}}
    registryCAs: [{host: r.x, configMap: {name: a}}]
---
apiVersion: drydock.dev/v1
kind: JobPodPolicy
metadata: {labels: {a: 5}}
spec: {priority: high}
---
kind: ConfigMap
---
apiVersion: drydock.dev/v1alpha1
kind: JobPodPolicy
---
foo: [
",
    );
    insta::assert_snapshot!(sandbox.run("check bad.yaml"));
}

#[test]
fn valid_policies_beside_an_invalid_one_are_counted() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "some.yaml",
        policy("good", "") + &policy("bad", "priority: high") + &policy("fine", ""),
    );
    let ran = sandbox.run("check some.yaml");
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (1, "2 policies are valid, 1 error\n"),
        "{ran}"
    );
    assert!(
        ran.stdout.starts_with(
            "error: some.yaml: document 2 (JobPodPolicy \"bad\"): spec.priority is \"high\""
        ),
        "{ran}"
    );
    assert_eq!(ran.stdout.lines().count(), 1);
}

#[test]
fn an_error_names_the_position_of_a_list_item() {
    let sandbox = Sandbox::new();
    let item = |name, spec| {
        format!(
            "{{apiVersion: drydock.dev/v1alpha1, kind: JobPodPolicy, metadata: {{name: {name}}}, spec: {{{spec}}}}}"
        )
    };
    let list = format!(
        "kind: JobPodPolicyList\nitems: [{}, {}, 7]\n",
        item("good", ""),
        item("bad", "mode: On")
    );
    sandbox.write("list.yaml", format!("{}---\n{list}", policy("first", "")));
    insta::assert_snapshot!(sandbox.run("check list.yaml"));
}

#[test]
fn a_duplicate_name_is_reported_with_both_places() {
    let sandbox = Sandbox::new();
    sandbox.write("a.yaml", policy("one", "") + &policy("one", ""));
    sandbox.write("b.yaml", policy("two", "") + &policy("one", ""));
    insta::assert_snapshot!(sandbox.run("check a.yaml b.yaml"));
}

/// Without a cluster, the pods that a policy matches are unknown, so the note is about pods that
/// both policies match (rule M4).
#[test]
fn overridden_fields_are_reported_as_notes() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "high.yaml",
        policy(
            "high",
            "priority: 10, hostAliases: [{ip: 10.0.0.1, hostnames: [a.b, c.d]}], dind: {}",
        ),
    );
    sandbox.write("low.yaml", policy("low", "hostAliases: [{ip: 10.0.0.2, hostnames: [a.b]}], dind: {clientCerts: {onConflict: Report}, scheduling: {nodeSelector: {a: b}}}"));
    insta::assert_snapshot!(sandbox.run("check low.yaml high.yaml"));
}

#[test]
fn hints_are_reported_and_do_not_fail() {
    let sandbox = Sandbox::new();
    let volume = "{name: cgroup, mountPath: /sys/fs/cgroup, hostPath: {path: /sys/fs/cgroup/}}";
    sandbox.write(
        "policy.yaml",
        policy(
            "old",
            &format!("dind: {{clientCerts: {{sizeLimit: 4Ki}}, volumes: [{volume}]}}"),
        ),
    );
    insta::assert_snapshot!(sandbox.run("check policy.yaml"));
}

#[test]
fn a_size_limit_of_32_kib_or_more_gets_no_hint() {
    let sandbox = Sandbox::new();
    for (limit, hints) in [
        ("32Ki", 0),
        ("31Ki", 1),
        ("32768", 0),
        ("0.5Mi", 0),
        ("20k", 1),
    ] {
        sandbox.write(
            "policy.yaml",
            policy(
                "one",
                &format!("dind: {{clientCerts: {{sizeLimit: \"{limit}\"}}}}"),
            ),
        );
        let ran = sandbox.run("check policy.yaml");
        assert_eq!(
            (ran.code, ran.stdout.matches("hint: ").count()),
            (0, hints),
            "{limit}: {ran}"
        );
    }
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_and_the_others_are_checked() {
    let sandbox = Sandbox::new();
    sandbox.write("bad.yaml", policy("bad", "priority: high"));
    sandbox.write("binary.yaml", b"\xff");
    let ran = sandbox.run("check none.yaml bad.yaml binary.yaml aliases.yaml");
    assert_eq!(ran.code, 2, "{ran}");
    assert_eq!(ran.stdout.lines().count(), 1, "{ran}");
    assert!(
        ran.stderr.contains("error: none.yaml cannot be read"),
        "{ran}"
    );
    assert!(
        ran.stderr.contains("binary.yaml is not UTF-8 text"),
        "{ran}"
    );
    assert!(
        ran.stderr
            .ends_with("\n1 policy is valid, 1 error, 2 files cannot be read\n"),
        "{ran}"
    );
}

#[test]
fn policies_are_read_from_stdin() {
    let ran = Sandbox::new().run_with("check -", &policy("one", "mode: 5"));
    assert_eq!(ran.code, 1);
    assert!(
        ran.stdout.starts_with(
            "error: stdin: document 1 (JobPodPolicy \"one\"): spec.mode is 5 (a number)"
        ),
        "{ran}"
    );
    let twice = Sandbox::new().run_with("check - -", "");
    assert_eq!((twice.code, twice.stdout.as_str()), (2, ""));
}

#[test]
fn an_empty_list_is_valid_and_an_empty_file_is_not() {
    let sandbox = Sandbox::new();
    sandbox.write("list.yaml", "{kind: List, items: []}");
    sandbox.write("empty.yaml", "---\n# nothing\n");
    assert_eq!(sandbox.run("check list.yaml").code, 0);
    let empty = sandbox.run("check empty.yaml");
    assert_eq!(empty.code, 1);
    assert!(
        empty
            .stdout
            .contains("the file contains no policy; `drydock print policy` prints an example"),
        "{empty}"
    );
}
