//! `drydock mutate`: what goes in, and how it comes out.

use super::desk::{Desk, OTHER_POD, POD, Ran, SERVICE, json_lines, policy};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// A review of [`POD`], as far as it is read.
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

fn pod_as_json(desk: &Desk) -> Value {
    let ran = desk.run("mutate -f pod.yaml -p none.yaml -o json");
    ran.json()[0].clone()
}

fn desk() -> Desk {
    let desk = Desk::new();
    desk.write("none.yaml", "{kind: List, items: []}");
    desk
}

fn kinds(ran: &Ran) -> Vec<Value> {
    ran.json()
        .iter()
        .map(|object| object["kind"].clone())
        .collect()
}

#[test]
fn a_pod_comes_out_as_yaml_unless_asked_otherwise() {
    let ran = desk().run("mutate -f pod.yaml -p aliases.yaml").went_well();
    insta::assert_snapshot!(ran);
}

#[test]
fn a_pod_comes_out_as_one_line_of_json() {
    let ran = desk()
        .run("mutate -f pod.yaml -p aliases.yaml -o json")
        .went_well();
    insta::assert_snapshot!(ran);
}

#[test]
fn a_patch_is_one_line() {
    let ran = desk()
        .run("mutate -f pod.yaml -p aliases.yaml -o patch")
        .went_well();
    insta::assert_snapshot!(ran);
}

#[test]
fn a_diff_is_a_unified_one() {
    let ran = desk()
        .run("mutate -f pod.yaml -p aliases.yaml -o diff")
        .went_well();
    insta::assert_snapshot!(ran);
}

#[test]
fn an_explanation_names_rules_policy_and_what_was_done() {
    let ran = desk()
        .run("mutate -f pod.yaml -p aliases.yaml -o explain")
        .went_well();
    insta::assert_snapshot!(ran);
}

#[test]
fn the_patch_makes_the_printed_pod_of_the_given_one() {
    let desk = desk();
    let mut pod = pod_as_json(&desk);
    let text = desk.mutate("pod.yaml", "patch");
    let patch: json_patch::Patch = serde_json::from_str(&text).unwrap();
    json_patch::patch(&mut pod, &patch).unwrap();
    assert_eq!(json_lines(&desk.mutate("pod.yaml", "json")), [pod]);
}

#[test]
fn a_pod_that_needs_nothing_gives_an_empty_patch_and_no_diff() {
    let desk = desk();
    desk.write("right.json", desk.mutate("pod.yaml", "json"));
    assert_eq!(desk.mutate("right.json", "patch"), "[]\n");
    assert_eq!(desk.mutate("right.json", "diff"), "");
    assert_eq!(
        desk.mutate("right.json", "json"),
        desk.mutate("pod.yaml", "json")
    );
}

#[test]
fn a_list_comes_out_object_by_object() {
    let desk = desk();
    let pod = pod_as_json(&desk);
    let inner = json!({"kind": "List", "items": [pod]});
    let list =
        json!({"apiVersion": "v1", "kind": "List", "items": [pod, {"kind": "Service"}, inner]});
    desk.write("list.json", list.to_string());
    let ran = desk
        .run("mutate -f list.json -p aliases.yaml -o json")
        .went_well();
    assert_eq!(kinds(&ran), ["Pod", "Service", "Pod"]);
    let repaired = json_lines(&desk.mutate("pod.yaml", "json"));
    assert_eq!([&ran.json()[0], &ran.json()[2]], [&repaired[0]; 2]);
    let patches = desk.run("mutate -f list.json -p aliases.yaml -o patch");
    assert_eq!(
        patches.talk,
        "patch 1: list.json: document 1, items[0]: pod ci/runner-1\n\
         patch 2: list.json: document 1, items[1]: Service\n\
         patch 3: list.json: document 1, items[2], items[0]: pod ci/runner-1\n"
    );
    let patches = patches.json();
    assert_eq!(patches[0], patches[2]);
    assert_eq!(patches[1], json!([]));
    assert_eq!(
        desk.mutate("list.json", "yaml").matches("\n---\n").count(),
        2
    );
}

#[test]
fn items_of_a_pod_list_need_no_kind_and_get_none() {
    let desk = desk();
    let mut pod = pod_as_json(&desk);
    pod.as_object_mut()
        .unwrap()
        .retain(|field, _| field != "kind" && field != "apiVersion");
    desk.write(
        "pods.json",
        json!({"apiVersion": "v1", "kind": "PodList", "items": [pod]}).to_string(),
    );
    let printed = json_lines(&desk.mutate("pods.json", "json"));
    assert_eq!(
        printed[0]["spec"]["hostAliases"],
        json!([{"ip": "10.0.0.232", "hostnames": ["gitlab.mylab.com"]}])
    );
    assert_eq!(printed[0].get("kind"), None);
    assert_eq!(
        desk.mutate("pods.json", "patch"),
        desk.mutate("pod.yaml", "patch")
    );
}

#[test]
fn a_list_without_items_answers_nothing() {
    let desk = desk();
    for list in [
        "{kind: List}",
        "{kind: List, items: []}",
        "{kind: PodList, items: null}",
    ] {
        desk.write("list.yaml", list);
        assert_eq!(desk.mutate("list.yaml", "yaml"), "", "{list}");
    }
}

#[test]
fn a_review_comes_out_as_the_server_would_answer_it() {
    let desk = desk();
    desk.write(
        "review.json",
        review("CREATE", &pod_as_json(&desk)).to_string(),
    );
    let answer = json_lines(&desk.mutate("review.json", "json")).remove(0);
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
        desk.mutate("review.json", "patch")
    );
    assert_eq!(
        desk.mutate("review.json", "patch"),
        desk.mutate("pod.yaml", "patch")
    );
    let yaml: Value = serde_saphyr::from_str(&desk.mutate("review.json", "yaml")).unwrap();
    assert_eq!(yaml, answer);
}

#[test]
fn a_review_is_shown_to_people_as_its_pod() {
    let desk = desk();
    desk.write(
        "review.json",
        review("CREATE", &pod_as_json(&desk)).to_string(),
    );
    for output in ["diff", "explain"] {
        let (of_review, of_pod) = (
            desk.mutate("review.json", output),
            desk.mutate("pod.yaml", output),
        );
        assert_eq!(of_review, of_pod);
        assert!(!of_pod.is_empty());
    }
}

#[test]
fn a_review_that_creates_no_pod_is_allowed_as_it_is() {
    let desk = desk();
    desk.write("review.json", review("DELETE", &Value::Null).to_string());
    let answer = json_lines(&desk.mutate("review.json", "json")).remove(0);
    assert_eq!(answer["response"]["allowed"], true);
    assert_eq!(answer["response"].get("patch"), None);
    assert_eq!(desk.mutate("review.json", "patch"), "[]\n");
    let explanation = desk.mutate("review.json", "explain");
    assert!(
        explanation.contains("skipped, the request does not create a pod"),
        "{explanation}"
    );
}

#[test]
fn other_kinds_pass_through_unchanged() {
    let desk = desk();
    let text = r#"{"kind":"ConfigMap","data":{"z":"1","a":"on"},"spec":{"hostAliases":5}}"#;
    desk.write("other.json", text);
    assert_eq!(desk.mutate("other.json", "json"), format!("{text}\n"));
    assert_eq!(desk.mutate("other.json", "patch"), "[]\n");
    assert_eq!(desk.mutate("other.json", "diff"), "");
    assert_eq!(
        desk.mutate("other.json", "explain"),
        "ConfigMap: not a pod, passed on unchanged\n"
    );
    let yaml: Value = serde_saphyr::from_str(&desk.mutate("other.json", "yaml")).unwrap();
    assert_eq!(yaml.to_string(), text);
}

#[test]
fn a_pod_of_nobodys_job_passes_through_and_explain_says_why() {
    let desk = desk();
    desk.write("web.yaml", OTHER_POD);
    assert_eq!(desk.mutate("web.yaml", "patch"), "[]\n");
    let explanation = desk.mutate("web.yaml", "explain");
    assert!(
        explanation.starts_with("pod web: skipped, it is not a GitLab Runner job pod"),
        "{explanation}"
    );
}

#[test]
fn documents_of_a_yaml_file_are_answered_one_by_one() {
    let desk = desk();
    desk.write(
        "all.yaml",
        format!("# first\n---\n{POD}---\n# nothing here\n---\n{SERVICE}--- # again\n{POD}...\n"),
    );
    let ran = desk
        .run("mutate -f all.yaml -p aliases.yaml -o json")
        .went_well();
    assert_eq!(kinds(&ran), ["Pod", "Service", "Pod"]);
    let yaml = desk.mutate("all.yaml", "yaml");
    desk.write("again.yaml", &yaml);
    assert_eq!(desk.mutate("again.yaml", "json"), ran.out);
    assert_eq!(
        desk.mutate("all.yaml", "explain").matches("\n\n").count(),
        1
    );
}

#[test]
fn a_line_of_dashes_inside_a_text_parts_nothing() {
    let desk = desk();
    desk.write(
        "script.yaml",
        "kind: ConfigMap\ndata:\n  a: |\n    one\n    ---\n    two\n  b: --- not a marker\n",
    );
    let printed = json_lines(&desk.mutate("script.yaml", "json"));
    assert_eq!(
        printed,
        [json!({"kind": "ConfigMap", "data": {"a": "one\n---\ntwo\n", "b": "--- not a marker"}})]
    );
}

#[test]
fn json_values_of_a_file_are_answered_one_by_one() {
    let desk = desk();
    let pod = pod_as_json(&desk);
    let pretty = serde_json::to_string_pretty(&pod).unwrap();
    for text in [
        format!("{pod}{pod}"),
        format!("{pod}\n{pod}\n"),
        format!("{pretty}\n{pretty}"),
        format!("{pod}\n---\n{pod}\n"),
    ] {
        desk.write("pods.json", &text);
        let printed = desk.mutate("pods.json", "json");
        assert_eq!(printed, desk.mutate("pod.yaml", "json").repeat(2), "{text}");
    }
}

#[test]
fn what_is_printed_as_json_or_yaml_can_be_read_again() {
    let desk = desk();
    desk.write("all.yaml", format!("{POD}---\n{SERVICE}---\n{POD}"));
    for output in ["json", "yaml"] {
        desk.write("again", desk.mutate("all.yaml", output));
        assert_eq!(
            desk.mutate("again", output),
            desk.mutate("all.yaml", output)
        );
    }
}

#[test]
fn files_are_answered_in_the_order_given() {
    let desk = desk();
    desk.write("service.yaml", SERVICE);
    let ran = desk
        .run("mutate -f service.yaml -f pod.yaml -f service.yaml -p aliases.yaml -o json")
        .went_well();
    assert_eq!(kinds(&ran), ["Service", "Pod", "Service"]);
}

#[test]
fn policies_of_several_files_hold_together() {
    let desk = desk();
    let spec = "hostAliases: [{ip: 10.0.0.7, hostnames: [minio.mylab.com]}]";
    desk.write("minio.yaml", policy("minio", spec));
    let ran = desk
        .run("mutate -f pod.yaml -p aliases.yaml -p minio.yaml -o json")
        .went_well();
    let annotation = &ran.json()[0]["metadata"]["annotations"]["drydock.dev/policies"];
    assert_eq!(annotation, "aliases,minio");
}

#[test]
fn without_a_policy_the_sample_policy_holds() {
    let desk = desk();
    let sample = desk.run("print policy").went_well().out;
    desk.write("sample.yaml", sample);
    let without = desk.run("mutate -f dind.yaml -o json");
    assert_eq!(
        without.talk,
        "note: the sample policy is used, with its own addresses; give yours by --policy, or see it by `drydock print policy`\n"
    );
    let with = desk
        .run("mutate -f dind.yaml -p sample.yaml -o json")
        .went_well();
    assert_eq!(without.out, with.out);
    assert_eq!(
        without.json()[0]["metadata"]["annotations"]["drydock.dev/policies"],
        "gitlab"
    );
}

#[test]
fn stdin_is_a_dash() {
    let desk = desk();
    let pods = desk
        .run_with("mutate -f - -p aliases.yaml -o json", POD)
        .went_well();
    assert_eq!(pods.out, desk.mutate("pod.yaml", "json"));
    let policies = policy("aliases", super::desk::ALIASES);
    let policies = desk
        .run_with("mutate -f pod.yaml -p - -o json", &policies)
        .went_well();
    assert_eq!(policies.out, pods.out);
}

#[test]
fn stdin_is_read_once() {
    let desk = desk();
    for args in ["-f - -f -", "-f - -p -", "-f pod.yaml -p - -p -"] {
        let ran = desk.run_with(&format!("mutate {args}"), POD);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{ran}");
        assert_eq!(
            ran.talk,
            "error: - (stdin) is named twice; it can be read once\n"
        );
    }
}
