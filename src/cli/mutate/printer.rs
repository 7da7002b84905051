//! Prints the output of `drydock mutate`.

use super::Output;
use crate::core::quote::quote;
use anyhow::Context as _;
use serde_json::Value;
use std::io::Write;

/// The maximum length of an object's name in Kubernetes.
const MAX_NAME: usize = 253;

/// Prints objects in the selected format.
pub(super) struct Printer<'o> {
    pub(super) out: &'o mut dyn Write,
    pub(super) output: Output,
    /// The number of documents that were printed.
    pub(super) documents: usize,
}

impl Printer<'_> {
    /// Prints a changed object, its patch or the difference, depending on the format.
    pub(super) fn object(
        &mut self,
        before: &Value,
        after: &Value,
        patch: &str,
    ) -> anyhow::Result<()> {
        let text = match self.output {
            Output::Json => format!("{after}\n"),
            Output::Patch => format!("{patch}\n"),
            Output::Yaml => return self.document("---\n", &yaml(after)?),
            Output::Diff => return self.diff(before, after, ("", "")),
            Output::Explain => {
                let kind = before
                    .get("kind")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                format!("{}: not a pod, unchanged\n", quote(kind))
            }
        };
        Ok(self.out.write_all(text.as_bytes())?)
    }

    /// Prints a unified diff of a pod. Its header lines contain the name of the pod and `states`.
    pub(super) fn diff(
        &mut self,
        before: &Value,
        after: &Value,
        states: (&str, &str),
    ) -> anyhow::Result<()> {
        let names = ["/metadata/name", "/metadata/generateName"];
        let name = names.iter().find_map(|pointer| before.pointer(pointer));
        let name = name.and_then(Value::as_str).unwrap_or("object");
        let name = quote(name).at_most(MAX_NAME);
        let heading = |state: &str| match state {
            "" => name.to_string(),
            state => format!("{name} ({state})"),
        };
        let (before, after) = (yaml(before)?, yaml(after)?);
        if before == after {
            return Ok(());
        }
        let mut options = diffy::DiffOptions::new();
        options
            .set_original_filename(heading(states.0))
            .set_modified_filename(heading(states.1));
        let diff = options.create_patch(&before, &after);
        Ok(write!(self.out, "{diff}")?)
    }

    /// Prints a document. Prints the separator before each document but the first.
    pub(super) fn document(&mut self, separator: &str, text: &str) -> anyhow::Result<()> {
        let separator = if self.documents > 0 { separator } else { "" };
        self.documents += 1;
        Ok(write!(self.out, "{separator}{text}")?)
    }
}

/// Returns the namespace and name of a pod for messages.
pub(super) fn pod_title(namespace: &str, name: &str) -> String {
    let name = quote(name).at_most(MAX_NAME);
    if namespace.is_empty() {
        format!("pod {name}")
    } else {
        format!("pod {}/{name}", quote(namespace))
    }
}

fn yaml(value: &Value) -> anyhow::Result<String> {
    serde_saphyr::to_string(value).context("the object cannot be written as YAML")
}
