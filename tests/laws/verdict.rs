//! The verdict on a pod, and the pod with its patch applied.

use drydock::core::pod::Pod;
use drydock::core::policy::set::Namespace;
use drydock::core::policy::{Mode, PolicySet};
use drydock::core::verdict::{self, Scope, Verdict};
use serde_json::Value;

/// The namespace `ci`.
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

/// Judges a pod and passes the verdict on.
#[track_caller]
pub(crate) fn judge<T>(
    pod: &Value,
    policies: &PolicySet,
    mode: Mode,
    read: impl FnOnce(&Verdict<'_>) -> T,
) -> T {
    let text = pod.to_string();
    let pod = Pod::from_json(&text).expect("the pod can be read");
    read(&verdict::judge(pod, policies, scope(mode)).expect("the patch is small"))
}

/// Applies a patch as the API server does (RFC 6902).
pub(crate) fn patched(pod: &Value, patch: Option<&str>) -> Value {
    let mut output = pod.clone();
    if let Some(patch) = patch {
        let patch: json_patch::Patch = serde_json::from_str(patch).expect("RFC 6902");
        json_patch::patch(&mut output, &patch).expect("A3: the patch applies");
    }
    output
}
