//! Any body is answered, or refused with a named error; what is patched needs no other patch.
#![no_main]

use drydock::admission::{Context, NamespaceLabels, review};
use drydock::policy::{self, LiveAddresses, Mode, PolicySet};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use std::sync::LazyLock;

static POLICIES: LazyLock<PolicySet> = LazyLock::new(|| {
    let sample = include_str!("../corpus/policy/sample.yaml");
    PolicySet::new(
        policy::read("sample.yaml", sample).policies,
        &LiveAddresses::new(),
    )
});

fuzz_target!(|body: &[u8]| {
    let context = Context {
        policies: &POLICIES,
        mode: Mode::Enforce,
        namespace_labels: NamespaceLabels::Unknown,
        own_namespace: "drydock",
    };
    let (Ok(answer), Ok(mut value)) =
        (review(body, context), serde_json::from_slice::<Value>(body))
    else {
        return;
    };
    // What serde_json's own document says is the same review.
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
});
