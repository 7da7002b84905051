//! Changes → JSON Patch (RFC 6902).
//!
//! The operations are written as text: comparing two documents would cost more than all the rules.
//! A patch that does not apply refuses the pod even with `failurePolicy: Ignore`. So (rule A3) a
//! missing list or object is added whole, `remove` names only what the pod has, and there is no
//! `test`.

use super::change::{Action, Change, NewSource};
use crate::core::pod::{ContainerId, Pod};
use Part::{End, Fields, Index, Key, Mounts};
use serde::Serialize;
use std::borrow::Cow;

/// The largest patch, bytes. Kubernetes stores no object of that size: etcd's limit is 1.5 MiB by
/// default.
const MAX_BYTES: usize = 2 << 20;

/// The patch exceeds its size limit. One text of a pod may be part of an operation for each of its
/// mounts, so a small review can lead to a large patch.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "the changes of the pod take more than {MAX_BYTES} bytes as a JSON Patch; drydock writes at \
     most {MAX_BYTES}. Give the pod fewer containers and mounts, or create it in a namespace \
     without the label drydock.dev/job-pods"
)]
pub struct PatchTooLarge;

/// Returns the JSON array of the operations that make `changes` and add `annotations` to a pod that
/// was `original`.
///
/// # Errors
/// If the patch exceeds its size limit.
pub(crate) fn patch(
    original: &Pod<'_>,
    changes: &[Change<'_>],
    annotations: &[(&'static str, String)],
) -> Result<String, PatchTooLarge> {
    // Most operations are shorter.
    let usual = 192 * (changes.len() + annotations.len());
    let mut patch = PatchWriter(Vec::with_capacity(usual.min(MAX_BYTES)));
    patch.text("[");
    for change in changes {
        patch.change(change);
        // After each change: until the end it could grow to many times the size of the review.
        patch.check()?;
    }
    let mut is_missing = original.metadata.annotations.is_none();
    for (key, value) in annotations {
        patch.member("/metadata/annotations", is_missing, key, value);
        is_missing = false;
    }
    patch.text("]");
    patch.check()?;
    Ok(String::from_utf8(patch.0).expect("JSON is UTF-8"))
}

/// Writes operations to a buffer.
struct PatchWriter(Vec<u8>);

/// A part of a JSON Pointer.
#[derive(Clone, Copy)]
enum Part<'a> {
    Fields(&'static str),
    Mounts(ContainerId),
    Index(usize),
    /// The position after the last element of a list.
    End,
    /// A key that may need escapes.
    Key(&'a str),
}

const HOST_ALIASES: Part<'static> = Fields("/spec/hostAliases");
const HOSTNAMES: Part<'static> = Fields("/hostnames");
const VOLUMES: Part<'static> = Fields("/spec/volumes");

impl PatchWriter {
    fn check(&self) -> Result<(), PatchTooLarge> {
        if self.0.len() > MAX_BYTES {
            return Err(PatchTooLarge);
        }
        Ok(())
    }

    fn change(&mut self, change: &Change<'_>) {
        let is_missing = change.is_list_missing;
        match &change.action {
            Action::DropHostnames(entry, _, _, kept) => {
                if let Some(kept) = kept {
                    self.write("replace", &[HOST_ALIASES, Index(*entry), HOSTNAMES], kept);
                }
            }
            Action::ExtendHostAlias(entry, _, hostnames) if is_missing => {
                self.write("add", &[HOST_ALIASES, Index(*entry), HOSTNAMES], hostnames);
            }
            Action::ExtendHostAlias(entry, _, hostnames) => {
                for hostname in hostnames {
                    self.write(
                        "add",
                        &[HOST_ALIASES, Index(*entry), HOSTNAMES, End],
                        hostname,
                    );
                }
            }
            Action::AddHostAlias(ip, hostnames) => {
                self.begin_append(HOST_ALIASES, is_missing);
                self.text("{\"ip\":");
                self.json(ip);
                self.text(",\"hostnames\":");
                self.json(hostnames);
                self.text("}");
                self.end_append(is_missing);
            }
            Action::RemoveHostAlias(entry, ..) => self.remove(&[HOST_ALIASES, Index(*entry)]),
            Action::SwapVolume(index, _, _, removed_source, _, size_limit) => {
                // The volume itself stays: a field of a newer Kubernetes survives.
                if let Some(field) = removed_source {
                    self.remove(&[VOLUMES, Index(*index), Key(field)]);
                }
                self.begin_value("add", &[VOLUMES, Index(*index), Fields("/emptyDir")]);
                self.memory(size_limit);
                self.text("}");
            }
            Action::AddVolume(name, source) => {
                self.begin_append(VOLUMES, is_missing);
                self.volume(name, source);
                self.end_append(is_missing);
            }
            Action::PointMount(mount, was, volume, dropped, sub_path) => {
                let (list, index) = (Mounts(mount.container), Index(mount.index));
                if was != volume {
                    self.write("replace", &[list, index, Fields("/name")], volume);
                }
                for field in dropped {
                    self.remove(&[list, index, Key(field)]);
                }
                if !sub_path.is_empty() {
                    self.write("add", &[list, index, Fields("/subPath")], sub_path);
                }
            }
            Action::RemoveMount(mount, ..) => {
                self.remove(&[Mounts(mount.container), Index(mount.index)]);
            }
            Action::AddMount(container, _, mount, ..) => {
                self.append(Mounts(*container), is_missing, mount);
            }
            Action::AddNodeSelector(key, value) => {
                self.member("/spec/nodeSelector", is_missing, key, value);
            }
            Action::AddToleration(_, json) => {
                self.append(Fields("/spec/tolerations"), is_missing, json);
            }
        }
    }

    /// Appends to a list, or adds the whole list if it is missing.
    fn append<T: Serialize + ?Sized>(&mut self, list: Part<'_>, is_missing: bool, value: &T) {
        self.begin_append(list, is_missing);
        self.json(value);
        self.end_append(is_missing);
    }

    fn begin_append(&mut self, list: Part<'_>, is_missing: bool) {
        if is_missing {
            self.begin_value("add", &[list]);
            self.text("[");
        } else {
            self.begin_value("add", &[list, End]);
        }
    }

    fn end_append(&mut self, is_missing: bool) {
        self.text(if is_missing { "]}" } else { "}" });
    }

    /// Sets a member of an object, or adds the whole object if it is missing.
    fn member(&mut self, object: &'static str, is_missing: bool, key: &str, value: &str) {
        if is_missing {
            self.begin_value("add", &[Fields(object)]);
            self.text("{");
            self.json(key);
            self.text(":");
            self.json(value);
            self.text("}}");
        } else {
            self.write("add", &[Fields(object), Key(key)], value);
        }
    }

    fn write<T: Serialize + ?Sized>(&mut self, op: &str, path: &[Part<'_>], value: &T) {
        self.begin_value(op, path);
        self.json(value);
        self.text("}");
    }

    fn remove(&mut self, path: &[Part<'_>]) {
        self.begin("remove", path);
        self.text("}");
    }

    fn begin_value(&mut self, op: &str, path: &[Part<'_>]) {
        self.begin(op, path);
        self.text(",\"value\":");
    }

    fn begin(&mut self, op: &str, path: &[Part<'_>]) {
        if self.0.len() > 1 {
            self.text(",");
        }
        for text in ["{\"op\":\"", op, "\",\"path\":\""] {
            self.text(text);
        }
        for part in path {
            self.part(*part);
        }
        self.text("\"");
    }

    fn part(&mut self, part: Part<'_>) {
        match part {
            Fields(fields) => self.text(fields),
            Mounts(ContainerId { list, index }) => {
                self.text("/spec/");
                self.text(list.field());
                self.part(Index(index));
                self.text("/volumeMounts");
            }
            Index(index) => {
                self.text("/");
                self.json(&index);
            }
            End => self.text("/-"),
            Key(key) => {
                self.text("/");
                let quote = self.0.len();
                self.json(&escaped(key));
                self.0.pop();
                self.0.remove(quote);
            }
        }
    }

    fn volume(&mut self, name: &str, source: &NewSource<'_>) {
        self.text("{\"name\":");
        self.json(name);
        for text in [",\"", source.field(), "\":"] {
            self.text(text);
        }
        match source {
            NewSource::Memory { size_limit, .. } => self.memory(size_limit),
            NewSource::Policy(source) => self.text(source.json.get()),
            NewSource::RegistryCa(ca) => {
                self.text("{\"name\":");
                self.json(&ca.config_map);
                self.text(",\"items\":[{\"key\":");
                self.json(&ca.key);
                self.text(",\"path\":\"ca.crt\"}],\"optional\":true}");
            }
        }
        self.text("}");
    }

    /// Writes the source of a memory-backed emptyDir.
    fn memory(&mut self, size_limit: &str) {
        self.text("{\"medium\":\"Memory\",\"sizeLimit\":");
        self.json(size_limit);
        self.text("}");
    }

    fn json<T: Serialize + ?Sized>(&mut self, value: &T) {
        let written = serde_json::to_writer(&mut self.0, value);
        written.expect("texts, numbers and rendered JSON serialise");
    }

    fn text(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }
}

/// Escapes a key for a JSON Pointer (RFC 6901 §3).
fn escaped(key: &str) -> Cow<'_, str> {
    if key.contains(['~', '/']) {
        Cow::Owned(key.replace('~', "~0").replace('/', "~1"))
    } else {
        Cow::Borrowed(key)
    }
}

#[cfg(test)]
mod tests;
