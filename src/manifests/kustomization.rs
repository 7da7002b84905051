//! The files by which kustomize puts an installation together: the base, and components that change it.
//! Source: <https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/>

use super::File;
use super::yaml::{self, Unwritable};
use serde::Serialize;
use serde_json::Value;

/// A `kustomization.yaml`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Kustomization {
    api_version: &'static str,
    kind: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resources: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    patches: Vec<Patch>,
}

/// A change of one object of the base, written into the file.
#[derive(Debug, Serialize)]
struct Patch {
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Target>,
    /// A strategic merge, which names its object itself; with a target, a JSON Patch (RFC 6902).
    patch: String,
}

#[derive(Debug, Serialize)]
struct Target {
    kind: &'static str,
    name: &'static str,
}

impl Kustomization {
    /// Makes the base of `resources`, files beside it, in the order in which kubectl makes them.
    pub(super) fn base(resources: Vec<String>) -> Self {
        Self {
            api_version: "kustomize.config.k8s.io/v1beta1",
            kind: "Kustomization",
            resources,
            patches: Vec::new(),
        }
    }

    /// Makes a component that changes nothing yet.
    pub(super) fn component() -> Self {
        Self {
            api_version: "kustomize.config.k8s.io/v1alpha1",
            kind: "Component",
            resources: Vec::new(),
            patches: Vec::new(),
        }
    }

    /// Adds objects.
    pub(super) fn with(mut self, resource: &File) -> Self {
        let name = resource.path.rsplit('/').next().unwrap_or_default();
        self.resources.push(name.to_owned());
        self
    }

    /// Lays `object`, which names its kind and itself, over the object of the base: what it says replaces what was said.
    pub(super) fn merge(mut self, object: &Value) -> Result<Self, Unwritable> {
        self.patches.push(Patch {
            target: None,
            patch: yaml::document(object)?,
        });
        Ok(self)
    }

    /// Changes an object by the operations of a JSON Patch, for what a merge cannot say of a list.
    pub(super) fn operate(
        mut self,
        kind: &'static str,
        name: &'static str,
        operations: &Value,
    ) -> Result<Self, Unwritable> {
        self.patches.push(Patch {
            target: Some(Target { kind, name }),
            patch: yaml::document(operations)?,
        });
        Ok(self)
    }

    pub(super) fn file(&self, path: &str, why: &str) -> Result<File, Unwritable> {
        yaml::file(path, why, &[yaml::document(self)?])
    }
}
