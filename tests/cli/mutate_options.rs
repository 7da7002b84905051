//! `drydock mutate`: refusals, exit codes, and flags for what only a cluster knows, such as
//! namespace labels and addresses.

use super::sandbox::{Output, POD, Sandbox, policy};
use rstest::rstest;
use serde_json::{Value, json};

const LIVE: &str = "hostAliases: [{from: {ingress: {namespace: cicd, name: gitlab}}, hostnames: [gitlab.mylab.com]}]";
const LABELLED: &str = "namespaceSelector: {matchLabels: {team: a}}, hostAliases: [{ip: 10.0.0.232, hostnames: [gitlab.mylab.com]}]";

/// Runs `drydock mutate` on a pod whose only hostAliases entry is 10.0.0.216, and returns the new
/// hostAliases.
#[track_caller]
fn aliases(spec: &str, flags: &str) -> Value {
    let sandbox = Sandbox::new();
    sandbox.write("policy.yaml", policy("one", spec));
    let ran = sandbox.run(&format!(
        "mutate -f pod.yaml -p policy.yaml -o json {flags}"
    ));
    assert_eq!(ran.code, 0, "{ran}");
    ran.json()[0]["spec"]["hostAliases"].clone()
}

fn alias(ip: &str) -> Value {
    json!({"ip": ip, "hostnames": ["gitlab.mylab.com"]})
}

#[test]
fn a_refused_pod_is_printed_unchanged_and_stderr_has_the_reason() {
    let sandbox = Sandbox::new();
    sandbox.write("none.yaml", "{kind: List, items: []}");
    let ran = sandbox.run("mutate -f dind.yaml -p deny.yaml -o json");
    let as_it_came = sandbox
        .run("mutate -f dind.yaml -p none.yaml -o json")
        .succeeded();
    assert_eq!((ran.code, &ran.stdout), (1, &as_it_came.stdout), "{ran}");
    insta::assert_snapshot!(sandbox.run("mutate -f dind.yaml -p deny.yaml -o patch"));
}

#[test]
fn a_refused_pod_has_no_diff_and_an_explanation() {
    let sandbox = Sandbox::new();
    let diff = sandbox.run("mutate -f dind.yaml -p deny.yaml -o diff");
    assert_eq!((diff.code, diff.stdout.as_str()), (1, ""), "{diff}");
    let explained = sandbox.run("mutate -f dind.yaml -p deny.yaml -o explain");
    assert_eq!(explained.code, 1);
    assert!(
        explained.stdout.starts_with("pod ci/runner-2: denied\n"),
        "{explained}"
    );
    assert!(
        explained
            .stdout
            .contains("ask the platform team to remove that volume")
            && explained.stdout.contains(" (D8)\n"),
        "{explained}"
    );
}

#[test]
fn a_refused_pod_without_namespace_is_named_without_namespace() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "pod.yaml",
        super::sandbox::DIND_POD.replace("  namespace: ci\n", ""),
    );
    let ran = sandbox.run("mutate -f pod.yaml -p deny.yaml -o patch");
    assert!(
        ran.stderr
            .starts_with("pod runner-2 is refused: container \"build\""),
        "{ran}"
    );
}

fn refused_review(output: &str) -> Output {
    let sandbox = Sandbox::new();
    sandbox.write("none.yaml", "{kind: List, items: []}");
    let pod = sandbox
        .run("mutate -f dind.yaml -p none.yaml -o json")
        .json()
        .remove(0);
    let review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {"uid": "u", "operation": "CREATE", "namespace": "ci", "resource": {"group": "", "resource": "pods"}, "object": pod},
    });
    sandbox.write("review.json", review.to_string());
    sandbox.run(&format!("mutate -f review.json -p deny.yaml -o {output}"))
}

#[test]
fn the_response_to_a_refused_review_has_the_message() {
    let ran = refused_review("json");
    assert_eq!(ran.code, 1);
    let response = &ran.json()[0]["response"];
    assert_eq!(response["allowed"], false);
    assert_eq!(response["status"]["code"], 403);
    let message = response["status"]["message"].as_str().unwrap();
    for named in [
        "container \"build\"",
        "volume \"ca\"",
        "/certs/client",
        "JobPodPolicy \"strict\"",
        "config.toml",
    ] {
        assert!(message.contains(named), "{named} in {message}");
    }
}

#[rstest]
#[case("yaml")]
#[case("patch")]
#[case("diff")]
#[case("explain")]
fn stderr_has_the_reason_for_a_refused_review_with_every_output(#[case] output: &str) {
    let ran = refused_review(output);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.starts_with(
            "pod ci/runner-2 is refused: container \"build\" mounts secret volume \"ca\""
        ),
        "{ran}"
    );
}

#[rstest]
#[case::good_then_refused("pod.yaml dind.yaml", 1, 2)]
#[case::refused_then_good("dind.yaml pod.yaml", 1, 2)]
#[case::refused_then_broken("dind.yaml broken.yaml", 2, 1)]
#[case::broken_then_refused("broken.yaml dind.yaml", 2, 1)]
#[case::good("pod.yaml pod.yaml", 0, 2)]
fn the_worst_of_several_inputs_is_the_exit_code(
    #[case] files: &str,
    #[case] code: i32,
    #[case] answers: usize,
) {
    let sandbox = Sandbox::new();
    sandbox.write("broken.yaml", "kind: [\n");
    let files: String = files.split(' ').map(|file| format!(" -f {file}")).collect();
    let ran = sandbox.run(&format!("mutate -p deny.yaml -o patch{files}"));
    assert_eq!(
        (ran.code, ran.stdout.lines().count()),
        (code, answers),
        "{ran}"
    );
}

#[test]
fn audit_mode_changes_nothing_and_reports_all_changes() {
    let sandbox = Sandbox::new();
    assert_eq!(
        sandbox
            .run("mutate -f pod.yaml -p aliases.yaml --mode audit -o patch")
            .succeeded()
            .stdout,
        "[]\n"
    );
    let sample = sandbox.run("print policy").succeeded().stdout;
    sandbox.write("sample.yaml", sample);
    insta::assert_snapshot!(
        sandbox
            .run("mutate -f dind.yaml -p sample.yaml --mode audit -o explain")
            .succeeded()
    );
}

#[test]
fn audit_mode_refuses_nothing() {
    let sandbox = Sandbox::new();
    let ran = sandbox
        .run("mutate -f dind.yaml -p deny.yaml --mode audit -o explain")
        .succeeded();
    assert!(
        ran.stdout
            .contains("audited (the namespace is in audit mode); the pod would have been refused"),
        "{ran}"
    );
}

#[test]
fn an_audit_policy_changes_nothing_and_reports_all_changes() {
    let spec = format!("mode: Audit, {}", super::sandbox::ALIASES);
    assert_eq!(aliases(&spec, ""), json!([alias("10.0.0.216")]));
    let sandbox = Sandbox::new();
    sandbox.write("audit.yaml", policy("quiet", &spec));
    let ran = sandbox
        .run("mutate -f pod.yaml -p audit.yaml -o explain")
        .succeeded();
    assert!(
        ran.stdout.contains("    would remove the hostAliases"),
        "{ran}"
    );
}

#[rstest]
#[case::matching("--namespace-labels team=a", "10.0.0.232")]
#[case::among_others("--namespace-labels env=ci,team=a,empty=", "10.0.0.232")]
#[case::another("--namespace-labels team=b", "10.0.0.216")]
#[case::none_known("", "10.0.0.216")]
fn a_namespace_selector_matches_the_given_labels(#[case] flags: &str, #[case] ip: &str) {
    assert_eq!(aliases(LABELLED, flags), json!([alias(ip)]));
}

#[test]
fn without_labels_a_namespace_is_selected_by_its_name() {
    let selector = "namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ci}}";
    assert_eq!(
        aliases(&format!("{selector}, {}", super::sandbox::ALIASES), ""),
        json!([alias("10.0.0.232")])
    );
}

#[test]
fn explain_names_the_flag_for_unknown_labels() {
    let sandbox = Sandbox::new();
    sandbox.write("policy.yaml", policy("picky", LABELLED));
    let ran = sandbox
        .run("mutate -f pod.yaml -p policy.yaml -o explain")
        .succeeded();
    assert!(
        ran.stdout.contains("policy \"picky\" does not match"),
        "{ran}"
    );
    assert!(
        ran.stdout.contains("set them with --namespace-labels"),
        "{ran}"
    );
}

#[rstest]
#[case::one("--address ingress/cicd/gitlab=10.1.1.1", json!([alias("10.1.1.1")]))]
#[case::of_one_family_the_first("--address ingress/cicd/gitlab=10.1.1.2 --address ingress/cicd/gitlab=10.1.1.1", json!([alias("10.1.1.2")]))]
#[case::of_both_families("--address ingress/cicd/gitlab=fd00::1 --address ingress/cicd/gitlab=10.1.1.1", json!([alias("fd00::1"), alias("10.1.1.1")]))]
#[case::none("", json!([alias("10.0.0.216")]))]
fn a_live_source_has_the_given_address(#[case] flags: &str, #[case] expected: Value) {
    assert_eq!(aliases(LIVE, flags), expected);
}

#[test]
fn a_live_source_without_address_gets_a_note() {
    let sandbox = Sandbox::new();
    sandbox.write("live.yaml", policy("live", LIVE));
    let ran = sandbox.run("mutate -f pod.yaml -p live.yaml -o explain");
    assert!(
        ran.stdout.contains(
            "  ingress/cicd/gitlab has no address, so the hostAliases entries of gitlab.mylab.com are unchanged (H7)\n"
        ),
        "{ran}"
    );
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (
            0,
            "note: the address of ingress/cicd/gitlab in policy \"live\" is unknown without a cluster; set --address ingress/cicd/gitlab=ADDRESS\n"
        )
    );
}

#[test]
fn an_address_that_no_policy_uses_gets_a_note() {
    let sandbox = Sandbox::new();
    sandbox.write("live.yaml", policy("live", LIVE));
    let ran = sandbox
        .run("mutate -f pod.yaml -p live.yaml -o patch --address ingress/cicd/gitlap=10.1.1.1");
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "[]\n"));
    assert_eq!(
        ran.stderr,
        "note: --address ingress/cicd/gitlap: no policy uses this address\n\
         note: the address of ingress/cicd/gitlab in policy \"live\" is unknown without a cluster; set --address ingress/cicd/gitlab=ADDRESS\n"
    );
}

#[rstest]
#[case::no_address(
    "--address ingress/cicd/gitlab",
    "\"ingress/cicd/gitlab\" is not of the form KIND/NAMESPACE/NAME=ADDRESS"
)]
#[case::no_namespace(
    "--address ingress/gitlab=10.1.1.1",
    "\"ingress/gitlab\" must have the form KIND/NAMESPACE/NAME, as in ingress/cicd/gitlab-registry"
)]
#[case::empty_name(
    "--address ingress/cicd/=10.1.1.1",
    "\"ingress/cicd/\" must have a namespace and a name"
)]
#[case::kind(
    "--address pod/cicd/gitlab=10.1.1.1",
    "\"pod\" is not supported; use ingress, service or gateway"
)]
#[case::address(
    "--address service/cicd/gitlab=10.1.1",
    "\"10.1.1\" is not an IP address"
)]
#[case::port(
    "--address service/cicd/gitlab=10.1.1.1:80",
    "\"10.1.1.1:80\" is not an IP address"
)]
#[case::hostname_of_a_service(
    "--address service/cicd/gitlab=10.1.1.1,gitlab.mylab.com",
    "\"gitlab.mylab.com\" is a hostname, but only the address of an Ingress can have hostnames; list the hostnames of service/cicd/gitlab in the policy"
)]
#[case::hostname(
    "--address ingress/cicd/gitlab=10.1.1.1,git_lab",
    "\"git_lab\" is not an RFC 1123 subdomain"
)]
#[case::second_address(
    "--address ingress/cicd/gitlab=10.1.1.1,10.1.1",
    "\"10.1.1\" is not an IP address"
)]
#[case::loopback(
    "--address gateway/cicd/gitlab=127.0.0.1",
    "\"127.0.0.1\" is a loopback address"
)]
#[case::unspecified(
    "--address gateway/cicd/gitlab=::",
    "\"::\" is the unspecified address"
)]
#[case::label("--namespace-labels team", "\"team\" is not of the form KEY=VALUE")]
#[case::label_key("--namespace-labels =a", "\"\" is not a label key")]
#[case::label_value("--namespace-labels team=a/b", "\"a/b\" is not a label value")]
#[case::mode("--mode off", "[possible values: enforce, audit]")]
#[case::output("-o table", "[possible values: yaml, json, patch, diff, explain]")]
fn an_invalid_flag_is_refused_with_its_value(#[case] flags: &str, #[case] message: &str) {
    let ran = Sandbox::new().run(&format!("mutate -f pod.yaml -p aliases.yaml {flags}"));
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran}");
    assert!(ran.stderr.contains(message), "{ran}");
}

#[test]
fn an_empty_list_of_policies_changes_nothing() {
    let sandbox = Sandbox::new();
    sandbox.write("none.yaml", "apiVersion: v1\nkind: List\nitems: []\n");
    let ran = sandbox
        .run("mutate -f dind.yaml -p none.yaml -o patch")
        .succeeded();
    assert_eq!(ran.stdout, "[]\n");
    let ran = sandbox
        .run("mutate -f pod.yaml -p none.yaml -o yaml")
        .succeeded();
    let printed: Value = serde_saphyr::from_str(&ran.stdout).unwrap();
    assert_eq!(printed, serde_saphyr::from_str::<Value>(POD).unwrap());
}

#[test]
fn a_name_in_two_policy_files_is_an_error_that_names_both() {
    let sandbox = Sandbox::new();
    sandbox.write("more.yaml", policy("other", "") + &policy("aliases", ""));
    let ran = sandbox.run("mutate -f pod.yaml -p aliases.yaml -p more.yaml");
    insta::assert_snapshot!(ran);
}
