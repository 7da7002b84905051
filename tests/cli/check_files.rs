//! `drydock check`: folders, JSON output, files without policies, and hostnames that a job resolves
//! itself, such as `localhost`.

use super::sandbox::{Sandbox, policy};
use rstest::rstest;
use serde_json::{Value, json};

fn folder() -> Sandbox {
    let sandbox = Sandbox::new();
    std::fs::create_dir_all(sandbox.path("all/deep")).unwrap();
    sandbox.write("all/b.yml", policy("good", ""));
    sandbox.write("all/a.json", "{\"kind\": \"ConfigMap\"}");
    sandbox.write(
        "all/c.yaml",
        "kind: Namespace\n".to_owned() + &policy("bad", "mode: On"),
    );
    sandbox.write("all/README.md", "no policy");
    sandbox.write("all/deep/d.yaml", policy("deep", ""));
    sandbox
}

#[test]
fn a_folder_stands_for_its_manifests_and_other_kinds_are_ignored() {
    let sandbox = folder();
    for args in ["check all", "check -f all"] {
        let ran = sandbox.run(args);
        assert_eq!(
            ran.stderr,
            "1 policy is valid, 1 error, 2 objects of other kinds were ignored\n"
        );
        assert!(
            ran.stdout
                .starts_with("error: all/c.yaml: document 2 (JobPodPolicy \"bad\"): spec.mode"),
            "{ran}"
        );
        assert_eq!((ran.code, ran.stdout.lines().count()), (1, 1), "{ran}");
    }
    let ran = sandbox.run("check -R all");
    assert!(
        ran.stderr.starts_with("2 policies are valid, 1 error"),
        "{ran}"
    );
}

#[test]
fn a_file_without_policies_is_an_error() {
    let ran = folder().run("check all/a.json -f all/b.yml");
    assert_eq!(ran.code, 1, "{ran}");
    assert!(
        ran.stdout
            .contains("kind is \"ConfigMap\", but must be JobPodPolicy"),
        "{ran}"
    );
}

#[test]
fn a_folder_without_manifests_is_an_error_that_names_the_flag() {
    let sandbox = folder();
    std::fs::create_dir(sandbox.path("above")).unwrap();
    let ran = sandbox.run("check above");
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (
            2,
            "error: above: no .yaml, .yml or .json file in this directory; give a file, or use -R to also read subdirectories\n"
        )
    );
}

#[test]
fn json_output_has_findings_and_summary() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "policy.yaml",
        policy("one", "priority: high")
            + &policy("two", "hostAliases: [{ip: 10.0.0.1, hostnames: [docker]}]"),
    );
    let ran = sandbox.run("check policy.yaml gone.yaml -o json");
    assert_eq!((ran.code, ran.stderr.as_str()), (2, ""), "{ran}");
    let whole: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(
        whole["summary"],
        json!({"valid": 1, "errors": 1, "warnings": 0, "unreadable_files": 1, "objects_of_other_kinds": 0})
    );
    let findings = whole["findings"].as_array().unwrap();
    let severities: Vec<&Value> = findings
        .iter()
        .map(|finding| &finding["severity"])
        .collect();
    assert_eq!(severities, ["error", "error", "hint"]);
    assert_eq!(findings[0]["file"], "gone.yaml");
    let error = &findings[1];
    assert_eq!(
        [&error["file"], &error["place"], &error["policy"]],
        ["policy.yaml", "document 1", "one"]
    );
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .starts_with("spec.priority is \"high\"")
    );
    let ran = sandbox.run("check aliases.yaml -o json").succeeded();
    let whole: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(whole["findings"], json!([]));
}

#[rstest]
#[case::config_toml("concurrent = 4\n[[runners]]\n  name = \"a\"\n")]
#[case::of_runners_alone("[[runners]]\nname = \"a\"\n[runners.kubernetes]\n")]
#[case::values("gitlabUrl: https://gitlab.mylab.com\nrunners: {privileged: true}\n")]
#[case::values_with_toml("runners:\n  config: |\n    [[runners]]\n")]
#[case::subchart("gitlab-runner:\n  runnerToken: a\n")]
#[case::config_map(
    "kind: ConfigMap\napiVersion: v1\ndata:\n  config.template.toml: |\n    [[runners]]\n      name = \"a\"\n"
)]
fn the_configuration_of_a_runner_gets_a_hint_to_use_import(#[case] content: &str) {
    let sandbox = Sandbox::new();
    sandbox.write("runner", content);
    let message = "this is a configuration of GitLab Runner; run `drydock import runner`\n";
    let ran = sandbox.run("check runner");
    assert_eq!(ran.code, 1, "{ran}");
    assert!(
        ran.stdout.starts_with("error: runner: ") && ran.stdout.ends_with(message),
        "{ran}"
    );
    assert_eq!(ran.stdout.lines().count(), 1, "{ran}");
    let ran = sandbox.run("mutate -f pod.yaml -p runner");
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran}");
    assert!(ran.stderr.contains(message), "{ran}");
    let ran = sandbox.run_with("check -", content);
    assert!(ran.stdout.contains("run `drydock import -`"), "{ran}");
}

#[rstest]
#[case::localhost("localhost", Some("error"))]
#[case::below_it("a.localhost", Some("error"))]
#[case::of_the_kubelet("ip6-loopback", Some("error"))]
#[case::docker("docker", Some("hint"))]
#[case::a_service("postgres", Some("hint"))]
#[case::whole("localhost.mylab.com", None)]
fn a_hostname_that_a_job_resolves_itself_is_reported(
    #[case] hostname: &str,
    #[case] severity: Option<&str>,
) {
    let sandbox = Sandbox::new();
    let spec = format!("hostAliases: [{{ip: 10.0.0.1, hostnames: [x.y, {hostname}]}}]");
    sandbox.write("policy.yaml", policy("one", &spec));
    let ran = sandbox.run("check policy.yaml");
    assert_eq!(ran.code, i32::from(severity == Some("error")), "{ran}");
    let message = severity.map(|severity| {
        let is = match severity {
            "error" => format!(" is \"{hostname}\","),
            _ => format!(": {hostname} "),
        };
        format!("{severity}: policy.yaml: document 1 (JobPodPolicy \"one\"): spec.hostAliases[0].hostnames[1]{is}")
    });
    match message {
        Some(message) => assert!(ran.stdout.starts_with(&message), "{ran}"),
        None => assert_eq!(ran.stdout, "", "{ran}"),
    }
}

#[test]
fn a_namespace_of_a_policy_is_reported() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "policy.yaml",
        policy("one", "").replace("{name: one}", "{name: one, namespace: ci}"),
    );
    let ran = sandbox.run("check policy.yaml");
    assert_eq!(
        ran.stdout,
        "warning: policy.yaml: document 1 (JobPodPolicy \"one\"): metadata.namespace is \"ci\", but is ignored, because a JobPodPolicy is cluster-scoped; select namespaces with spec.namespaceSelector\n"
    );
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (1, "1 policy is valid, 0 errors, 1 warning\n")
    );
}
