//! Typed values to YAML files: a comment that says where the file comes from and why it is as it is, then its documents.

use super::File;
use serde::Serialize;

/// A value that YAML cannot hold.
#[derive(Debug, thiserror::Error)]
#[error("an object of the installation cannot be written as YAML")]
pub struct Unwritable(#[from] serde_saphyr::ser::Error);

/// Writes one object.
pub(super) fn document(object: &impl Serialize) -> Result<String, Unwritable> {
    Ok(serde_saphyr::to_string(object)?)
}

/// Writes a file of one or several documents; `why` goes above them as a comment.
pub(super) fn file(path: &str, why: &str, documents: &[String]) -> Result<File, Unwritable> {
    let mut text =
        "# Printed by `drydock print manifests`; change src/manifests/, not this file.\n"
            .to_owned();
    for line in why.lines() {
        text.push_str("# ");
        text.push_str(line.trim());
        text.push('\n');
    }
    text.push_str(&documents.join("---\n"));
    Ok(File::new(path, text))
}
