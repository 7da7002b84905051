//! Computes patches with the same effect as drydock's, but with other operations.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// Returns responses with their names; the first has drydock's own patch.
pub(crate) fn of(review: &str, answer: &str) -> Vec<(&'static str, String)> {
    let review: Value = serde_json::from_str(review).unwrap();
    let answer: Value = serde_json::from_str(answer).unwrap();
    let before = &review["request"]["object"];
    let patch = STANDARD.decode(answer["response"]["patch"].as_str().unwrap());
    let patch: Value = serde_json::from_slice(&patch.unwrap()).unwrap();
    let mut after = before.clone();
    json_patch::patch(
        &mut after,
        &serde_json::from_value::<json_patch::Patch>(patch.clone()).unwrap(),
    )
    .unwrap();
    let shapes = [
        ("drydock's", patch),
        (
            "one operation for each changed field of spec",
            fields(before, &after),
        ),
        (
            "one operation for each changed container",
            containers(before, &after),
        ),
        ("one operation for all of spec", whole(&after)),
        ("only hostAliases", host_aliases(&after)),
        ("none", json!([])),
    ];
    shapes
        .into_iter()
        .map(|(name, patch)| (name, with_patch(&answer, &patch)))
        .collect()
}

fn with_patch(answer: &Value, patch: &Value) -> String {
    let mut answer = answer.clone();
    let response = answer["response"].as_object_mut().unwrap();
    if patch.as_array().unwrap().is_empty() {
        response.remove("patch");
        response.remove("patchType");
    } else {
        response["patch"] = STANDARD.encode(patch.to_string()).into();
    }
    // The baseline replaces the first `uid` in the text, which is `response.uid`.
    answer.to_string()
}

fn whole(after: &Value) -> Value {
    json!([
        {"op": "replace", "path": "/spec", "value": after["spec"]},
        {"op": "add", "path": "/metadata/annotations", "value": after["metadata"]["annotations"]},
    ])
}

fn host_aliases(after: &Value) -> Value {
    json!([{"op": "add", "path": "/spec/hostAliases", "value": after["spec"]["hostAliases"]}])
}

/// Returns an `add` operation, which also replaces, for each field that differs.
fn changed(path: &str, before: &Value, after: &Value) -> Vec<Value> {
    let none = Map::new();
    let old = before.as_object().unwrap_or(&none);
    let new = after.as_object().unwrap().iter();
    new.filter(|(key, value)| old.get(*key) != Some(value))
        .map(|(key, value)| json!({"op": "add", "path": format!("{path}/{key}"), "value": value}))
        .collect()
}

fn fields(before: &Value, after: &Value) -> Value {
    let mut operations = changed("/spec", &before["spec"], &after["spec"]);
    operations.extend(changed(
        "/metadata",
        &before["metadata"],
        &after["metadata"],
    ));
    operations.into()
}

fn containers(before: &Value, after: &Value) -> Value {
    let Value::Array(mut operations) = fields(before, after) else {
        panic!("the operations are not a list");
    };
    for list in ["containers", "initContainers"] {
        let path = format!("/spec/{list}");
        operations.retain(|operation| operation["path"] != path);
        let (Some(old), Some(new)) = (
            before["spec"][list].as_array(),
            after["spec"][list].as_array(),
        ) else {
            continue;
        };
        for (index, (old, new)) in old.iter().zip(new).enumerate() {
            if old != new {
                let path = format!("{path}/{index}");
                operations.push(json!({"op": "replace", "path": path, "value": new}));
            }
        }
    }
    operations.into()
}
