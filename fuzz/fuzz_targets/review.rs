//! Reviews any request body. The result is a response or an error, the patch applies to the pod,
//! and the changed pod needs no further patch.
#![cfg_attr(fuzzing, no_main)]

#[cfg(not(fuzzing))]
mod replay;

use drydock::core::admission::{Context, review};
use drydock::core::policy::{self, AddressesBySource, Mode, PolicySet};
use serde_json::Value;
use std::sync::LazyLock;

static POLICIES: LazyLock<PolicySet> = LazyLock::new(|| {
    let sample = include_str!("../corpus/policy/sample.yaml");
    PolicySet::new(
        policy::read("sample.yaml", sample).policies,
        &AddressesBySource::new(),
    )
});

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|body: &[u8]| target(body));

#[cfg(not(fuzzing))]
fn main() -> std::process::ExitCode {
    replay::main(target)
}

fn target(body: &[u8]) {
    let context = Context {
        policies: &POLICIES,
        mode: Mode::Enforce,
        namespace_labels: None,
        own_namespace: "drydock",
    };
    let (Ok(answer), Ok(mut value)) =
        (review(body, context), serde_json::from_slice::<Value>(body))
    else {
        return;
    };
    // serde_json may write the same review with other bytes; the response must be the same.
    assert_eq!(
        review(value.to_string().as_bytes(), context).unwrap().body,
        answer.body
    );
    let pod = &mut value["request"]["object"];
    if let Some(patch) = answer
        .patch
        .filter(|_| pod["spec"].is_object() && pod["metadata"].is_object())
    {
        json_patch::patch(
            pod,
            &serde_json::from_str::<json_patch::Patch>(&patch).unwrap(),
        )
        .unwrap();
        assert_eq!(
            review(value.to_string().as_bytes(), context).unwrap().patch,
            None
        );
    }
}
