//! The namespace that drydock runs in, under the strictest Pod Security level.

use super::yaml::{self, Unwritable};
use super::{File, metadata};
use crate::names::NAMESPACE;
use k8s_openapi::api::core::v1::Namespace;

pub(super) fn file() -> Result<File, Unwritable> {
    let mut metadata = metadata(NAMESPACE);
    let labels = metadata.labels.get_or_insert_default();
    for mode in ["enforce", "audit", "warn"] {
        labels.insert(
            format!("pod-security.kubernetes.io/{mode}"),
            "restricted".to_owned(),
        );
    }
    let namespace = Namespace {
        metadata,
        ..Namespace::default()
    };
    yaml::file(
        "namespace.yaml",
        "drydock needs no privilege on its node, so none is allowed here.",
        &[yaml::document(&namespace)?],
    )
}
