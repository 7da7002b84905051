//! Snapshots of the patch and explanation for each fixture with the built-in sample policy.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use assert_cmd::cargo::cargo_bin_cmd;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Runs `drydock mutate` on an object and returns its output.
fn mutate(object: &str, output: &str) -> String {
    let mut command = cargo_bin_cmd!("drydock");
    let command = command
        .args(["mutate", "-f", "-", "-o", output])
        .write_stdin(object);
    let stdout = command.assert().success().get_output().stdout.clone();
    String::from_utf8(stdout).unwrap()
}

#[test]
fn patch_and_explanation_of_each_fixture_match_the_snapshot() {
    insta::glob!("fixtures/**/*.json", |path| {
        let text = std::fs::read_to_string(path).unwrap();
        let patch: Vec<Value> = serde_json::from_str(&mutate(&text, "patch")).unwrap();
        let patch: Vec<String> = patch.iter().map(ToString::to_string).collect();
        let explanation = mutate(&text, "explain");
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!("mutate", format!("{explanation}\n{}", patch.join("\n")));
        });
    });
}

#[test]
fn the_patched_pod_is_the_printed_pod_and_needs_no_second_patch() {
    insta::glob!("fixtures/**/*.json", |path| {
        let text = std::fs::read_to_string(path).unwrap();
        let input: Value = serde_json::from_str(&text).unwrap();
        let patch = mutate(&text, "patch");
        let printed: Value = serde_json::from_str(&mutate(&text, "json")).unwrap();
        let is_review = input["kind"] == "AdmissionReview";
        let mut pod = if is_review {
            input["request"]["object"].clone()
        } else {
            input
        };
        let operations: json_patch::Patch = serde_json::from_str(&patch).unwrap();
        json_patch::patch(&mut pod, &operations).unwrap();
        if is_review {
            // The fixture is an AdmissionReview, so the output is a response with or without a
            // patch.
            let response = &printed["response"];
            assert_eq!(response["allowed"], true);
            match response["patch"].as_str() {
                Some(encoded) => assert_eq!(
                    STANDARD.decode(encoded).unwrap(),
                    patch.trim_end().as_bytes()
                ),
                None => assert_eq!(patch, "[]\n"),
            }
        } else {
            assert_eq!(printed, pod);
        }
        assert_eq!(mutate(&pod.to_string(), "patch"), "[]\n");
    });
}
