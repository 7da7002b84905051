//! `drydock test`: cases that pass, cases that fail, and invalid files.

use super::sandbox::{DENY, DIND_POD, OTHER_POD, POD, Sandbox, policy};
use rstest::rstest;

/// Creates a test file with one case; `pod` and `expect` are YAML in one line.
fn sandbox(pod: &str, expect: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("aliases.yaml", policy("aliases", super::sandbox::ALIASES));
    sandbox.write("deny.yaml", policy("deny", DENY));
    sandbox.write("job.yaml", POD);
    sandbox.write("dind.yaml", DIND_POD);
    sandbox.write("other.yaml", OTHER_POD);
    let test = format!(
        "policies: [aliases.yaml, deny.yaml]\ncases:\n- name: the case\n  pod: {pod}\n  expect: {expect}\n"
    );
    sandbox.write("drydock-test.yaml", &test);
    sandbox
}

#[rstest]
#[case::changes("job.yaml", "{changes: [remove-host-alias, add-host-alias]}")]
#[case::refused("dind.yaml", "{refused: /certs/client}")]
#[case::skipped("other.yaml", "{skipped: not-a-job-pod, unchanged: true}")]
#[case::inline(
    "{kind: Pod, metadata: {name: a}, spec: {containers: []}}",
    "{unchanged: true}"
)]
#[case::no_message("job.yaml", "{messagesDoNotContain: [certificate]}")]
fn a_case_that_is_as_expected_passes(#[case] pod: &str, #[case] expect: &str) {
    let ran = sandbox(pod, expect)
        .run("test drydock-test.yaml")
        .succeeded();
    assert!(ran.stdout.contains("✔ the case\n"), "{ran}");
    assert!(ran.stdout.ends_with("1 passed, 0 failed\n"), "{ran}");
}

#[rstest]
#[case::changes("job.yaml", "{changes: [add-volume]}", "expected changes: add-volume")]
#[case::unchanged(
    "job.yaml",
    "{unchanged: true}",
    "expected no changes, found changes: "
)]
#[case::refused("job.yaml", "{refused: x}", "expected a refusal, found mutated")]
#[case::other_refusal(
    "dind.yaml",
    "{refused: no such words}",
    "expected a refusal with \"no such words\""
)]
#[case::skipped(
    "job.yaml",
    "{skipped: not-a-job-pod}",
    "expected skipped (not-a-job-pod), found mutated"
)]
#[case::no_such_message(
    "job.yaml",
    "{messagesContain: [no such words]}",
    "expected a message that contains \"no such words\""
)]
#[case::pod("job.yaml", "{pod: job.yaml}", "+    ip: \"10.0.0.232\"")]
fn a_case_that_is_not_as_expected_fails_with_the_reason(
    #[case] pod: &str,
    #[case] expect: &str,
    #[case] why: &str,
) {
    let ran = sandbox(pod, expect).run("test drydock-test.yaml");
    assert_eq!(ran.code, 1, "{ran}");
    assert!(ran.stdout.contains("× the case\n"), "{ran}");
    assert!(ran.stdout.contains(why), "{ran}");
    assert!(ran.stdout.contains("    $ drydock mutate -f "), "{ran}");
    assert!(ran.stdout.ends_with("0 passed, 1 failed\n"), "{ran}");
}

/// A case can expect the pod that `drydock mutate -o yaml` prints, with or without drydock's
/// annotations.
#[test]
fn a_case_can_expect_the_pod_that_mutate_prints() {
    let sandbox = sandbox("job.yaml", "{pod: wanted.yaml}");
    let wanted = sandbox
        .run("mutate -f job.yaml -p aliases.yaml -p deny.yaml")
        .succeeded()
        .stdout;
    sandbox.write("wanted.yaml", &wanted);
    sandbox.run("test drydock-test.yaml").succeeded();
    let without: Vec<&str> = wanted
        .lines()
        .filter(|line| !line.contains("drydock.dev/"))
        .collect();
    let without = without.join("\n").replace("  annotations:\n", "");
    sandbox.write("wanted.yaml", &without);
    sandbox.run("test drydock-test.yaml").succeeded();
}

#[rstest]
#[case::no_case("policies: []\ncases: []\n", "cases is empty")]
#[case::nothing_expected("cases: [{name: a, pod: job.yaml, expect: {}}]\n", "expect is empty")]
#[case::unknown_field(
    "cases: [{name: a, pod: job.yaml, expects: {}}]\n",
    "unknown field `expects`"
)]
#[case::unknown_change(
    "cases: [{name: a, pod: job.yaml, expect: {changes: [swap]}}]\n",
    "unknown change \"swap\"; use "
)]
#[case::no_policies(
    "cases: [{name: a, pod: job.yaml, expect: {unchanged: true}}]\n",
    "there are no policies"
)]
#[case::no_pod(
    "policies: [deny.yaml]\ncases: [{name: a, pod: gone.yaml, expect: {unchanged: true}}]\n",
    "gone.yaml cannot be read"
)]
#[case::bad_policy(
    "policies: [job.yaml]\ncases: [{name: a, pod: job.yaml, expect: {unchanged: true}}]\n",
    "job.yaml"
)]
#[case::bad_address(
    "policies: [deny.yaml]\ncases: [{name: a, pod: job.yaml, addresses: [x], expect: {unchanged: true}}]\n",
    "addresses: "
)]
fn an_invalid_test_file_is_an_error_that_names_the_problem(
    #[case] file: &str,
    #[case] message: &str,
) {
    let sandbox = sandbox("job.yaml", "{unchanged: true}");
    sandbox.write("drydock-test.yaml", file);
    let ran = sandbox.run("test drydock-test.yaml");
    assert_eq!(ran.code, 2, "{ran}");
    assert!(
        ran.stderr.contains(message) && ran.stderr.contains("drydock-test.yaml"),
        "{ran}"
    );
}

#[test]
fn a_folder_stands_for_its_files_and_results_are_printed_as_junit() {
    let sandbox = sandbox("job.yaml", "{unchanged: true}");
    let ran = sandbox.run("test . -o junit");
    assert_eq!(ran.code, 1, "{ran}");
    assert!(ran.stdout.contains(r#"tests="1" failures="1""#), "{ran}");
    assert!(ran.stdout.contains(r#"name="the case"><failure"#), "{ran}");
    std::fs::create_dir(sandbox.path("empty")).unwrap();
    let ran = sandbox.run("test empty");
    assert_eq!(ran.code, 2, "{ran}");
    assert!(
        ran.stderr
            .contains("no drydock-test.yaml in this directory"),
        "{ran}"
    );
}

#[test]
fn pods_from_public_reports_pass() {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/field");
    let ran = Sandbox::new().run(&format!("test {fixtures}")).succeeded();
    assert!(ran.stdout.ends_with("14 passed, 0 failed\n"), "{ran}");
}
