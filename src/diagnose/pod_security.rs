//! The Pod Security level that the label of a namespace enforces. The default in the API server's
//! configuration cannot be read.

use k8s_openapi::api::core::v1::Namespace;

const LABEL: &str = "pod-security.kubernetes.io/enforce";

/// Returns the level in the label of a namespace.
pub(super) fn enforced(namespace: &Namespace) -> Option<&str> {
    let labels = namespace.metadata.labels.as_ref()?;
    labels.get(LABEL).map(String::as_str)
}

/// Whether the level rejects privileged pods, such as those with dind.
pub(super) fn refuses_privileged(namespace: &Namespace) -> bool {
    matches!(enforced(namespace), Some("baseline" | "restricted"))
}
