//! `drydock mutate`: refused pods are not printed, `-o diff` shows the changes of audits, and notes
//! report flags and objects that have no effect.

use super::sandbox::{ALIASES, DIND_POD, POD, Sandbox, policy};
use rstest::rstest;
use serde_json::json;

const PAGES: &str = "hostAliases: [{from: {ingress: {namespace: cicd, name: pages, hostnameSuffixes: [pages.mylab.com]}}}]";

#[test]
fn a_refused_pod_is_not_printed() {
    let sandbox = Sandbox::new();
    sandbox.write("pods.yaml", format!("{DIND_POD}---\n{POD}"));
    let ran = sandbox.run("mutate -f pods.yaml -p deny.yaml");
    assert_eq!(ran.code, 1, "{ran}");
    assert!(
        ran.stderr.starts_with("pod ci/runner-2 is refused: "),
        "{ran}"
    );
    assert!(
        ran.stdout.contains("runner-1") && !ran.stdout.contains("runner-2"),
        "{ran}"
    );
    assert!(!ran.stdout.contains("---"), "more than one document: {ran}");
}

#[test]
fn an_address_flag_can_have_hostnames_of_an_ingress() {
    let sandbox = Sandbox::new();
    sandbox.write("live.yaml", policy("live", PAGES));
    let ran = sandbox.run("mutate -f pod.yaml -p live.yaml -o json --address ingress/cicd/pages=10.0.0.240,fd00::240,docs.pages.mylab.com,pages.mylab.com").succeeded();
    let hostnames = json!(["docs.pages.mylab.com", "pages.mylab.com"]);
    assert_eq!(
        ran.json()[0]["spec"]["hostAliases"],
        json!([
            {"ip": "10.0.0.216", "hostnames": ["gitlab.mylab.com"]},
            {"ip": "10.0.0.240", "hostnames": hostnames},
            {"ip": "fd00::240", "hostnames": hostnames},
        ])
    );
}

#[rstest]
#[case::no_hostname(
    "--address ingress/cicd/pages=10.0.0.240",
    "note: policy \"live\" takes hostnames from the rules of ingress/cicd/pages; set --address ingress/cicd/pages=ADDRESS,HOSTNAME\n"
)]
#[case::nothing(
    "",
    "note: the address of ingress/cicd/pages in policy \"live\" is unknown without a cluster; set --address ingress/cicd/pages=ADDRESS,HOSTNAME\n"
)]
#[case::another_domain(
    "--address ingress/cicd/pages=10.0.0.240,github.com",
    "note: --address ingress/cicd/pages: hostname github.com is ignored, because it has none of the hostnameSuffixes of policy \"live\"\n"
)]
fn an_address_without_effect_gets_a_note(#[case] flags: &str, #[case] message: &str) {
    let sandbox = Sandbox::new();
    sandbox.write("live.yaml", policy("live", PAGES));
    let ran = sandbox.run(&format!("mutate -f pod.yaml -p live.yaml -o patch {flags}"));
    assert_eq!(
        (ran.code, ran.stdout.as_str(), ran.stderr.as_str()),
        (0, "[]\n", message)
    );
}

#[test]
fn one_address_of_a_service_is_used_for_both_kinds() {
    let spec = "hostAliases: [{from: {service: {namespace: a, name: b, address: ClusterIP}}, hostnames: [x.y]}]";
    let sandbox = Sandbox::new();
    sandbox.write("live.yaml", policy("live", spec));
    sandbox
        .run("mutate -f pod.yaml -p live.yaml -o patch --address service/a/b=10.0.0.1")
        .succeeded();
}

#[rstest]
#[case::deployment("Deployment", "drydock changes only pods that GitLab Runner creates")]
#[case::job("Job", "drydock changes only pods that GitLab Runner creates")]
#[case::lower_case("pod", "write the kind as Pod")]
#[case::list("podlist", "write the kind as PodList")]
#[case::policy("JobPodPolicy", "pass policies with --policy")]
fn an_object_that_users_expect_to_change_gets_a_note(#[case] kind: &str, #[case] message: &str) {
    let sandbox = Sandbox::new();
    sandbox.write(
        "object.yaml",
        format!("{{kind: {kind}, metadata: {{name: a}}}}"),
    );
    let ran = sandbox.run("mutate -f object.yaml -p aliases.yaml -o patch");
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "[]\n"), "{ran}");
    let note = format!("note: object.yaml: document 1: {kind} is unchanged; {message}");
    assert!(ran.stderr.starts_with(&note), "{ran}");
}

#[test]
fn a_diff_shows_what_audit_would_change() {
    let sandbox = Sandbox::new();
    let of_namespace = sandbox
        .run("mutate -f pod.yaml -p aliases.yaml --mode audit -o diff")
        .succeeded();
    let enforced = sandbox.mutate("pod.yaml", "diff");
    assert_eq!(
        of_namespace.stdout,
        enforced.replace("(repaired)", "(audit: not done)")
    );
    let quiet = "mode: Audit, hostAliases: [{ip: 10.0.0.5, hostnames: [minio.mylab.com]}]";
    sandbox.write("quiet.yaml", policy("quiet", quiet));
    let of_policy = sandbox
        .run("mutate -f pod.yaml -p aliases.yaml -p quiet.yaml -o diff")
        .succeeded();
    insta::assert_snapshot!(of_policy);
}

#[test]
fn a_diff_reports_what_audit_would_refuse() {
    let ran = Sandbox::new().run("mutate -f dind.yaml -p deny.yaml --mode audit -o diff");
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{ran}");
    assert!(
        ran.stderr
            .starts_with("pod ci/runner-2 would be refused: container \"build\""),
        "{ran}"
    );
}

#[rstest]
#[case::changed("pod.yaml", "", 1)]
#[case::audited("pod.yaml", "--mode audit", 1)]
#[case::unchanged("right.yaml", "", 0)]
#[case::other("other.yaml", "", 0)]
fn the_exit_code_says_whether_a_pod_is_changed_if_asked(
    #[case] file: &str,
    #[case] flags: &str,
    #[case] code: i32,
) {
    let sandbox = Sandbox::new();
    sandbox.write("right.yaml", sandbox.mutate("pod.yaml", "yaml"));
    sandbox.write("other.yaml", super::sandbox::SERVICE);
    for output in ["yaml", "diff", "explain"] {
        let args = format!("mutate -f {file} -p aliases.yaml {flags} -o {output}");
        assert_eq!(
            sandbox.run(&format!("{args} --exit-code")).code,
            code,
            "{output}"
        );
        assert_eq!(sandbox.run(&args).code, 0, "{output}");
    }
}

/// With a terminal or `COLUMNS`, lines are wrapped to its width. Piped output is not wrapped.
#[test]
fn an_explanation_fits_the_terminal() {
    let sandbox = Sandbox::new();
    let explain = |columns: Option<&str>| {
        let mut command = assert_cmd::cargo::cargo_bin_cmd!("drydock");
        command
            .args("mutate -f dind.yaml -o explain".split(' '))
            .current_dir(sandbox.folder())
            .env_remove("COLUMNS")
            .envs(columns.map(|columns| ("COLUMNS", columns)));
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let (piped, narrow) = (explain(None), explain(Some("80")));
    assert!(piped.lines().any(|line| line.len() > 80), "{piped}");
    assert!(narrow.lines().all(|line| line.len() <= 80), "{narrow}");
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(words(&piped), words(&narrow));
}

#[test]
fn an_explanation_has_a_block_for_each_policy() {
    let sandbox = Sandbox::new();
    let quiet = "mode: Audit, priority: 5, dind: {scheduling: {nodeSelector: {role: ci}}}";
    sandbox.write("quiet.yaml", policy("quiet", quiet));
    sandbox.write("idle.yaml", policy("idle", ""));
    sandbox.write(
        "far.yaml",
        policy(
            "far",
            &format!("podSelector: {{matchLabels: {{a: b}}}}, {ALIASES}"),
        ),
    );
    let ran = sandbox
        .run(
            "mutate -f dind.yaml -p aliases.yaml -p quiet.yaml -p idle.yaml -p far.yaml -o explain",
        )
        .succeeded();
    insta::assert_snapshot!(ran);
}
