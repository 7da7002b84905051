//! The request bodies to measure: AdmissionReviews as an API server sends them, from 6 kB to 1 MB.

use serde_json::{Value, json};

/// Number of variables to add to a container, so that the body has 1 MB.
const HUGE: usize = 3_470;

/// Reads a review of `tests/fixtures/reviews`.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!(
        "{}/tests/fixtures/reviews/{name}.json",
        env!("CARGO_MANIFEST_DIR")
    ))
    .unwrap()
}

/// Returns a body of 1 MB: the full body with more variables in two of its containers, and their
/// entries in `managedFields`.
pub(crate) fn huge() -> Vec<u8> {
    let mut review: Value = serde_json::from_slice(&fixture("full")).unwrap();
    let pod = &mut review["request"]["object"];
    for container in [0, 2] {
        let env = pod["spec"]["containers"][container]["env"]
            .as_array_mut()
            .unwrap();
        let known = env.clone();
        env.extend(known.into_iter().cycle().take(HUGE).enumerate().map(
            |(number, mut variable)| {
                variable["name"] = json!(format!("VARIABLE_NUMBER_{number}"));
                variable
            },
        ));
    }
    let containers = &mut pod["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:containers"];
    for container in containers.as_object_mut().unwrap().values_mut() {
        if let Some(env) = container.get_mut("f:env").and_then(Value::as_object_mut) {
            env.extend((0..HUGE).map(|number| {
                let key = format!("k:{{\"name\":\"VARIABLE_NUMBER_{number}\"}}");
                (key, json!({".": {}, "f:name": {}, "f:value": {}}))
            }));
        }
    }
    review.to_string().into_bytes()
}
