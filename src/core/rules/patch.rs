//! Renders changes as a JSON Patch (RFC 6902).
//!
//! Each change is written as operations, because a comparison of two documents would take longer
//! than all rules together. If a patch cannot be applied, the API server refuses the pod, even with
//! `failurePolicy: Ignore`. So (rule A3) a missing list or object is added as a whole, `remove`
//! names only existing fields, and `test` is not used.

use super::change::{Action, Change};
use crate::core::pod::Pod;
use crate::core::policy::VolumeSource;
use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::io::Write as _;
use std::net::IpAddr;

/// Maximum size of a patch, in bytes. Kubernetes cannot store an object of this size, because the
/// default limit of etcd is 1.5 MiB.
const MAX_BYTES: usize = 2 << 20;

/// The patch exceeds its size limit. A small review can cause a large patch, because one string of
/// the pod can be repeated in an operation for each mount.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "the JSON Patch for the pod has more than {MAX_BYTES} bytes, the maximum that drydock writes. \
     Reduce the number of containers and mounts, or create the pod in a namespace without the \
     label drydock.dev/job-pods"
)]
pub struct PatchTooLarge;

/// Returns the JSON Patch that makes `changes` and adds `annotations`. Of `original`, only the
/// annotations are read.
///
/// # Errors
/// Returns an error if the patch exceeds its size limit.
pub(crate) fn patch(
    original: &Pod<'_>,
    changes: &[Change<'_>],
    annotations: &[(&'static str, String)],
) -> Result<String, PatchTooLarge> {
    // Most operations are shorter than 192 bytes.
    let usual = 192 * (changes.len() + annotations.len());
    let mut patch = PatchWriter(Vec::with_capacity(usual.min(MAX_BYTES)));
    patch.0.push(b'[');
    for change in changes {
        patch.change(change);
        // Checked after each change, because the patch can be many times larger than the review.
        patch.check()?;
    }
    let mut is_missing = original.metadata.annotations.is_none();
    for (key, value) in annotations {
        patch.member("/metadata/annotations", is_missing, key, value);
        is_missing = false;
    }
    patch.0.push(b']');
    patch.check()?;
    Ok(String::from_utf8(patch.0).expect("JSON should be UTF-8"))
}

/// Writes operations to a buffer.
struct PatchWriter(Vec<u8>);

const HOST_ALIASES: &str = "/spec/hostAliases";
const VOLUMES: &str = "/spec/volumes";

impl PatchWriter {
    fn check(&self) -> Result<(), PatchTooLarge> {
        if self.0.len() > MAX_BYTES {
            return Err(PatchTooLarge);
        }
        Ok(())
    }

    fn change(&mut self, change: &Change<'_>) {
        let is_missing = change.is_list_missing;
        let hostnames_of = |entry: &usize| format!("{HOST_ALIASES}/{entry}/hostnames");
        match &change.action {
            Action::DropHostnames(entry, _, _, kept) => {
                if let Some(kept) = kept {
                    self.write("replace", hostnames_of(entry), kept);
                }
            }
            Action::ExtendHostAlias(entry, _, hostnames) if is_missing => {
                self.write("add", hostnames_of(entry), hostnames);
            }
            Action::ExtendHostAlias(entry, _, hostnames) => {
                for hostname in hostnames {
                    self.append(hostnames_of(entry), false, hostname);
                }
            }
            Action::AddHostAlias(ip, hostnames) => {
                let ip = *ip;
                self.append(HOST_ALIASES, is_missing, &HostAlias { ip, hostnames });
            }
            Action::RemoveHostAlias(entry, ..) => {
                self.remove(format_args!("{HOST_ALIASES}/{entry}"));
            }
            Action::SwapVolume(index, _, was, _, certs) => {
                // Only the source changes, so that fields of newer Kubernetes versions stay.
                if &**was != "emptyDir" {
                    self.remove(format_args!("{VOLUMES}/{index}/{}", pointer(was)));
                }
                let path = format_args!("{VOLUMES}/{index}/emptyDir");
                self.write("add", path, &certs.volume.json);
            }
            Action::AddVolume(name, source, ..) => {
                self.append(VOLUMES, is_missing, &NewVolume { name, source });
            }
            Action::PointMount(mount, was, volume, dropped, sub_path) => {
                let (container, index) = (mount.container, mount.index);
                let path = format!("/spec/{container}/volumeMounts/{index}");
                if was != volume {
                    self.write("replace", format_args!("{path}/name"), volume);
                }
                for field in dropped {
                    self.remove(format_args!("{path}/{field}"));
                }
                if !sub_path.is_empty() {
                    self.write("add", format_args!("{path}/subPath"), sub_path);
                }
            }
            Action::RemoveMount(mount, ..) => {
                let (container, index) = (mount.container, mount.index);
                self.remove(format_args!("/spec/{container}/volumeMounts/{index}"));
            }
            Action::AddMount(container, _, mount, ..) => {
                let list = format_args!("/spec/{container}/volumeMounts");
                self.append(list, is_missing, mount);
            }
            Action::AddNodeSelector(key, value) => {
                self.member("/spec/nodeSelector", is_missing, key, value);
            }
            Action::AddToleration(toleration) => {
                self.append("/spec/tolerations", is_missing, toleration);
            }
        }
    }

    /// Appends to a list, or adds the whole list if it is missing.
    fn append(&mut self, list: impl fmt::Display, is_missing: bool, value: &impl Serialize) {
        if is_missing {
            self.write("add", list, &[value]);
        } else {
            self.write("add", format_args!("{list}/-"), value);
        }
    }

    /// Sets a member of an object, or adds the whole object if it is missing.
    fn member(&mut self, object: &str, is_missing: bool, key: &str, value: &str) {
        if is_missing {
            self.write("add", object, &BTreeMap::from([(key, value)]));
        } else {
            self.write("add", format_args!("{object}/{}", pointer(key)), &value);
        }
    }

    fn write(&mut self, op: &str, path: impl fmt::Display, value: &impl Serialize) {
        self.begin(op, path);
        self.0.extend_from_slice(br#","value":"#);
        serde_json::to_writer(&mut self.0, value).expect("strings and numbers should serialise");
        self.0.push(b'}');
    }

    fn remove(&mut self, path: impl fmt::Display) {
        self.begin("remove", path);
        self.0.push(b'}');
    }

    fn begin(&mut self, op: &str, path: impl fmt::Display) {
        let comma = if self.0.len() > 1 { "," } else { "" };
        write!(self.0, r#"{comma}{{"op":"{op}","path":"{path}""#)
            .expect("writing to a Vec should succeed");
    }
}

/// An entry of `hostAliases` to add.
#[derive(Serialize)]
struct HostAlias<'a> {
    ip: IpAddr,
    hostnames: &'a [&'a str],
}

/// A volume to add.
struct NewVolume<'a> {
    name: &'a str,
    source: &'a VolumeSource,
}

impl Serialize for NewVolume<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut volume = serializer.serialize_map(Some(2))?;
        volume.serialize_entry("name", self.name)?;
        volume.serialize_entry(self.source.field, &self.source.json)?;
        volume.end()
    }
}

/// Escapes a key for a JSON Pointer (RFC 6901 §3) in a JSON string.
fn pointer(key: &str) -> String {
    let key = key.replace('~', "~0").replace('/', "~1");
    let quoted = serde_json::Value::from(key).to_string();
    let inner = quoted.get(1..quoted.len() - 1);
    inner.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
