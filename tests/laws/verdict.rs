//! Judges pods, and applies patches to them.

use drydock::core::pod::Pod;
use drydock::core::policy::set::Namespace;
use drydock::core::policy::{Mode, PolicySet};
use drydock::core::verdict::{self, Scope, Verdict};
use serde_json::Value;

/// Returns the scope of the namespace `ci`.
pub(crate) fn scope(mode: Mode) -> Scope<'static> {
    Scope {
        namespace: Namespace {
            name: "ci",
            labels: None,
        },
        mode,
        own_namespace: "drydock",
    }
}

/// Calls `read` with the verdict on a pod.
#[track_caller]
pub(crate) fn judge<T>(
    pod: &Value,
    policies: &PolicySet,
    mode: Mode,
    read: impl FnOnce(&Verdict<'_>) -> T,
) -> T {
    let text = pod.to_string();
    let pod = Pod::from_json(&text).expect("drydock cannot read the pod");
    read(&verdict::judge(pod, policies, scope(mode)).expect("the patch is too large"))
}

/// Applies a JSON Patch (RFC 6902) to a pod.
pub(crate) fn patched(pod: &Value, patch: Option<&str>) -> Value {
    let mut output = pod.clone();
    if let Some(patch) = patch {
        let patch: json_patch::Patch = serde_json::from_str(patch).expect("not a JSON Patch");
        json_patch::patch(&mut output, &patch).expect("the patch does not apply (A3)");
    }
    output
}
