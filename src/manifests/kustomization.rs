//! The files by which kustomize puts an installation together: the base, and components that change it.
//! Source: <https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/>

use super::File;
use super::yaml::{self, Unwritable};
use serde::Serialize;

/// A `kustomization.yaml`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Kustomization {
    api_version: &'static str,
    kind: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resources: Vec<String>,
}

impl Kustomization {
    /// Makes the base of `resources`, files beside it, in the order in which kubectl makes them.
    pub(super) fn base(resources: Vec<String>) -> Self {
        Self {
            api_version: "kustomize.config.k8s.io/v1beta1",
            kind: "Kustomization",
            resources,
        }
    }

    pub(super) fn file(&self, path: &str, why: &str) -> Result<File, Unwritable> {
        yaml::file(path, why, &[yaml::document(self)?])
    }
}
