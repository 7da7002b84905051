//! Reads the Pod Security level from the label of a namespace. The default level in the
//! configuration of the API server cannot be read, so the level of a namespace without the label is
//! unknown.

use k8s_openapi::api::core::v1::Namespace;

const LABEL: &str = "pod-security.kubernetes.io/enforce";

/// Returns the value of the label `pod-security.kubernetes.io/enforce`.
pub(super) fn enforced_level(namespace: &Namespace) -> Option<&str> {
    let labels = namespace.metadata.labels.as_ref()?;
    labels.get(LABEL).map(String::as_str)
}

/// Returns whether the level of a namespace forbids privileged pods, such as pods with dind.
pub(super) fn forbids_privileged(namespace: &Namespace) -> bool {
    matches!(enforced_level(namespace), Some("baseline" | "restricted"))
}
