//! The Pod Security level that a namespace enforces, by its label. A default of the API server's
//! configuration is not known.

use k8s_openapi::api::core::v1::Namespace;

const LABEL: &str = "pod-security.kubernetes.io/enforce";

/// Returns the level that the namespace's label asks for.
pub(super) fn enforced(namespace: &Namespace) -> Option<&str> {
    let labels = namespace.metadata.labels.as_ref()?;
    labels.get(LABEL).map(String::as_str)
}

/// Whether privileged pods are refused there, as those with a Docker daemon.
pub(super) fn refuses_privileged(namespace: &Namespace) -> bool {
    matches!(enforced(namespace), Some("baseline" | "restricted"))
}
