//! `drydock mutate`: inputs and output formats.

use super::sandbox::{OTHER_POD, Output, POD, SERVICE, Sandbox, json_lines, policy};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Returns an AdmissionReview with only the fields that drydock reads.
fn review(operation: &str, pod: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "0f-1",
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "ci",
            "operation": operation,
            "object": pod,
        },
    })
}

fn pod_as_json(sandbox: &Sandbox) -> Value {
    let ran = sandbox.run("mutate -f pod.yaml -p none.yaml -o json");
    ran.json()[0].clone()
}

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("none.yaml", "{kind: List, items: []}");
    sandbox
}

fn kinds(ran: &Output) -> Vec<Value> {
    ran.json()
        .iter()
        .map(|object| object["kind"].clone())
        .collect()
}

#[test]
fn a_pod_is_printed_as_yaml_by_default() {
    let ran = sandbox()
        .run("mutate -f pod.yaml -p aliases.yaml")
        .succeeded();
    insta::assert_snapshot!(ran);
}

#[test]
fn a_pod_is_printed_as_one_line_of_json() {
    let ran = sandbox()
        .run("mutate -f pod.yaml -p aliases.yaml -o json")
        .succeeded();
    insta::assert_snapshot!(ran);
}

#[test]
fn a_patch_is_one_line() {
    let ran = sandbox()
        .run("mutate -f pod.yaml -p aliases.yaml -o patch")
        .succeeded();
    insta::assert_snapshot!(ran);
}

#[test]
fn a_diff_is_unified() {
    let ran = sandbox()
        .run("mutate -f pod.yaml -p aliases.yaml -o diff")
        .succeeded();
    insta::assert_snapshot!(ran);
}

#[test]
fn an_explanation_names_rules_policy_and_changes() {
    let ran = sandbox()
        .run("mutate -f pod.yaml -p aliases.yaml -o explain")
        .succeeded();
    insta::assert_snapshot!(ran);
}

#[test]
fn the_patch_applied_to_the_pod_gives_the_printed_pod() {
    let sandbox = sandbox();
    let mut pod = pod_as_json(&sandbox);
    let text = sandbox.mutate("pod.yaml", "patch");
    let patch: json_patch::Patch = serde_json::from_str(&text).unwrap();
    json_patch::patch(&mut pod, &patch).unwrap();
    assert_eq!(json_lines(&sandbox.mutate("pod.yaml", "json")), [pod]);
}

#[test]
fn a_pod_without_changes_has_an_empty_patch_and_no_diff() {
    let sandbox = sandbox();
    sandbox.write("right.json", sandbox.mutate("pod.yaml", "json"));
    assert_eq!(sandbox.mutate("right.json", "patch"), "[]\n");
    assert_eq!(sandbox.mutate("right.json", "diff"), "");
    assert_eq!(
        sandbox.mutate("right.json", "json"),
        sandbox.mutate("pod.yaml", "json")
    );
}

#[test]
fn the_objects_of_a_list_are_printed_one_by_one() {
    let sandbox = sandbox();
    let pod = pod_as_json(&sandbox);
    let inner = json!({"kind": "List", "items": [pod]});
    let list =
        json!({"apiVersion": "v1", "kind": "List", "items": [pod, {"kind": "Service"}, inner]});
    sandbox.write("list.json", list.to_string());
    let ran = sandbox
        .run("mutate -f list.json -p aliases.yaml -o json")
        .succeeded();
    assert_eq!(kinds(&ran), ["Pod", "Service", "Pod"]);
    let repaired = json_lines(&sandbox.mutate("pod.yaml", "json"));
    assert_eq!([&ran.json()[0], &ran.json()[2]], [&repaired[0]; 2]);
    let patches = sandbox.run("mutate -f list.json -p aliases.yaml -o patch");
    assert_eq!(
        patches.stderr,
        "patch 1: list.json: document 1, items[0]: pod ci/runner-1\n\
         patch 2: list.json: document 1, items[1]: Service\n\
         patch 3: list.json: document 1, items[2], items[0]: pod ci/runner-1\n"
    );
    let patches = patches.json();
    assert_eq!(patches[0], patches[2]);
    assert_eq!(patches[1], json!([]));
    assert_eq!(
        sandbox
            .mutate("list.json", "yaml")
            .matches("\n---\n")
            .count(),
        2
    );
}

#[test]
fn items_of_a_pod_list_need_no_kind() {
    let sandbox = sandbox();
    let mut pod = pod_as_json(&sandbox);
    pod.as_object_mut()
        .unwrap()
        .retain(|field, _| field != "kind" && field != "apiVersion");
    sandbox.write(
        "pods.json",
        json!({"apiVersion": "v1", "kind": "PodList", "items": [pod]}).to_string(),
    );
    let printed = json_lines(&sandbox.mutate("pods.json", "json"));
    assert_eq!(
        printed[0]["spec"]["hostAliases"],
        json!([{"ip": "10.0.0.232", "hostnames": ["gitlab.mylab.com"]}])
    );
    assert_eq!(printed[0].get("kind"), None);
    assert_eq!(
        sandbox.mutate("pods.json", "patch"),
        sandbox.mutate("pod.yaml", "patch")
    );
}

#[test]
fn a_list_without_items_prints_nothing() {
    let sandbox = sandbox();
    for list in [
        "{kind: List}",
        "{kind: List, items: []}",
        "{kind: PodList, items: null}",
    ] {
        sandbox.write("list.yaml", list);
        assert_eq!(sandbox.mutate("list.yaml", "yaml"), "", "{list}");
    }
}

#[test]
fn a_review_is_printed_as_the_response_of_the_server() {
    let sandbox = sandbox();
    sandbox.write(
        "review.json",
        review("CREATE", &pod_as_json(&sandbox)).to_string(),
    );
    let answer = json_lines(&sandbox.mutate("review.json", "json")).remove(0);
    let fields: Vec<&String> = answer.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["apiVersion", "kind", "response"]);
    assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(answer["response"]["uid"], "0f-1");
    assert_eq!(answer["response"]["allowed"], true);
    assert_eq!(answer["response"]["patchType"], "JSONPatch");
    let patch = STANDARD
        .decode(answer["response"]["patch"].as_str().unwrap())
        .unwrap();
    assert_eq!(
        String::from_utf8(patch).unwrap() + "\n",
        sandbox.mutate("review.json", "patch")
    );
    assert_eq!(
        sandbox.mutate("review.json", "patch"),
        sandbox.mutate("pod.yaml", "patch")
    );
    let yaml: Value = serde_saphyr::from_str(&sandbox.mutate("review.json", "yaml")).unwrap();
    assert_eq!(yaml, answer);
}

#[test]
fn diff_and_explanation_of_a_review_are_those_of_its_pod() {
    let sandbox = sandbox();
    sandbox.write(
        "review.json",
        review("CREATE", &pod_as_json(&sandbox)).to_string(),
    );
    for output in ["diff", "explain"] {
        let (of_review, of_pod) = (
            sandbox.mutate("review.json", output),
            sandbox.mutate("pod.yaml", output),
        );
        assert_eq!(of_review, of_pod);
        assert!(!of_pod.is_empty());
    }
}

#[test]
fn a_review_that_creates_no_pod_is_allowed_unchanged() {
    let sandbox = sandbox();
    sandbox.write("review.json", review("DELETE", &Value::Null).to_string());
    let answer = json_lines(&sandbox.mutate("review.json", "json")).remove(0);
    assert_eq!(answer["response"]["allowed"], true);
    assert_eq!(answer["response"].get("patch"), None);
    assert_eq!(sandbox.mutate("review.json", "patch"), "[]\n");
    let explanation = sandbox.mutate("review.json", "explain");
    assert!(
        explanation.contains("skipped, because the request does not create a pod"),
        "{explanation}"
    );
}

#[test]
fn objects_of_other_kinds_are_printed_unchanged() {
    let sandbox = sandbox();
    let text = r#"{"kind":"ConfigMap","data":{"z":"1","a":"on"},"spec":{"hostAliases":5}}"#;
    sandbox.write("other.json", text);
    assert_eq!(sandbox.mutate("other.json", "json"), format!("{text}\n"));
    assert_eq!(sandbox.mutate("other.json", "patch"), "[]\n");
    assert_eq!(sandbox.mutate("other.json", "diff"), "");
    assert_eq!(
        sandbox.mutate("other.json", "explain"),
        "ConfigMap: not a pod, unchanged\n"
    );
    let yaml: Value = serde_saphyr::from_str(&sandbox.mutate("other.json", "yaml")).unwrap();
    assert_eq!(yaml.to_string(), text);
}

#[test]
fn a_pod_that_is_not_a_job_pod_is_unchanged_and_explain_says_why() {
    let sandbox = sandbox();
    sandbox.write("web.yaml", OTHER_POD);
    assert_eq!(sandbox.mutate("web.yaml", "patch"), "[]\n");
    let explanation = sandbox.mutate("web.yaml", "explain");
    assert!(
        explanation.starts_with("pod web: skipped, because it is not a GitLab Runner job pod"),
        "{explanation}"
    );
}

#[test]
fn the_documents_of_a_yaml_file_are_processed_one_by_one() {
    let sandbox = sandbox();
    sandbox.write(
        "all.yaml",
        format!("# first\n---\n{POD}---\n# nothing here\n---\n{SERVICE}--- # again\n{POD}...\n"),
    );
    let ran = sandbox
        .run("mutate -f all.yaml -p aliases.yaml -o json")
        .succeeded();
    assert_eq!(kinds(&ran), ["Pod", "Service", "Pod"]);
    let yaml = sandbox.mutate("all.yaml", "yaml");
    sandbox.write("again.yaml", &yaml);
    assert_eq!(sandbox.mutate("again.yaml", "json"), ran.stdout);
    assert_eq!(
        sandbox
            .mutate("all.yaml", "explain")
            .matches("\n\n")
            .count(),
        1
    );
}

#[test]
fn a_line_of_dashes_in_a_block_scalar_separates_no_documents() {
    let sandbox = sandbox();
    sandbox.write(
        "script.yaml",
        "kind: ConfigMap\ndata:\n  a: |\n    one\n    ---\n    two\n  b: --- not a marker\n",
    );
    let printed = json_lines(&sandbox.mutate("script.yaml", "json"));
    assert_eq!(
        printed,
        [json!({"kind": "ConfigMap", "data": {"a": "one\n---\ntwo\n", "b": "--- not a marker"}})]
    );
}

#[test]
fn the_json_values_of_a_file_are_processed_one_by_one() {
    let sandbox = sandbox();
    let pod = pod_as_json(&sandbox);
    let pretty = serde_json::to_string_pretty(&pod).unwrap();
    for text in [
        format!("{pod}{pod}"),
        format!("{pod}\n{pod}\n"),
        format!("{pretty}\n{pretty}"),
        format!("{pod}\n---\n{pod}\n"),
    ] {
        sandbox.write("pods.json", &text);
        let printed = sandbox.mutate("pods.json", "json");
        assert_eq!(
            printed,
            sandbox.mutate("pod.yaml", "json").repeat(2),
            "{text}"
        );
    }
}

#[test]
fn printed_json_and_yaml_can_be_parsed_again() {
    let sandbox = sandbox();
    sandbox.write("all.yaml", format!("{POD}---\n{SERVICE}---\n{POD}"));
    for output in ["json", "yaml"] {
        sandbox.write("again", sandbox.mutate("all.yaml", output));
        assert_eq!(
            sandbox.mutate("again", output),
            sandbox.mutate("all.yaml", output)
        );
    }
}

#[test]
fn files_are_processed_in_the_given_order() {
    let sandbox = sandbox();
    sandbox.write("service.yaml", SERVICE);
    let ran = sandbox
        .run("mutate -f service.yaml -f pod.yaml -f service.yaml -p aliases.yaml -o json")
        .succeeded();
    assert_eq!(kinds(&ran), ["Service", "Pod", "Service"]);
}

#[test]
fn policies_of_several_files_are_all_in_force() {
    let sandbox = sandbox();
    let spec = "hostAliases: [{ip: 10.0.0.7, hostnames: [minio.mylab.com]}]";
    sandbox.write("minio.yaml", policy("minio", spec));
    let ran = sandbox
        .run("mutate -f pod.yaml -p aliases.yaml -p minio.yaml -o json")
        .succeeded();
    let annotation = &ran.json()[0]["metadata"]["annotations"]["drydock.dev/policies"];
    assert_eq!(annotation, "aliases,minio");
}

#[test]
fn without_a_policy_the_sample_policy_is_used() {
    let sandbox = sandbox();
    let sample = sandbox.run("print policy").succeeded().stdout;
    sandbox.write("sample.yaml", sample);
    let without = sandbox.run("mutate -f dind.yaml -o json");
    assert_eq!(
        without.stderr,
        "note: the built-in sample policy and its addresses are used; `drydock print policy` prints this policy; use --policy for your own policies\n"
    );
    let with = sandbox
        .run("mutate -f dind.yaml -p sample.yaml -o json")
        .succeeded();
    assert_eq!(without.stdout, with.stdout);
    assert_eq!(
        without.json()[0]["metadata"]["annotations"]["drydock.dev/policies"],
        "gitlab"
    );
}

#[test]
fn stdin_is_a_dash() {
    let sandbox = sandbox();
    let pods = sandbox
        .run_with("mutate -f - -p aliases.yaml -o json", POD)
        .succeeded();
    assert_eq!(pods.stdout, sandbox.mutate("pod.yaml", "json"));
    let policies = policy("aliases", super::sandbox::ALIASES);
    let policies = sandbox
        .run_with("mutate -f pod.yaml -p - -o json", &policies)
        .succeeded();
    assert_eq!(policies.stdout, pods.stdout);
}

#[test]
fn stdin_is_read_once() {
    let sandbox = sandbox();
    for args in ["-f - -f -", "-f - -p -", "-f pod.yaml -p - -p -"] {
        let ran = sandbox.run_with(&format!("mutate {args}"), POD);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran}");
        assert_eq!(
            ran.stderr,
            "error: - (stdin) is given twice, but it can be read only once\n"
        );
    }
}
