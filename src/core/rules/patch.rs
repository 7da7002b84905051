//! Changes → JSON Patch (RFC 6902).
//!
//! Operations are written as text, straight from the changes: diffing documents costs more than everything else together.
//! A patch that does not apply rejects the pod even under `failurePolicy: Ignore`, so (A3) a list or object that is missing is added whole,
//! `remove` names only what was read, and there is never a `test`.

use super::change::{Action, Change, NewMount, NewSource};
use crate::core::pod::{ContainerId, Pod};
use At::{Fields, Index, Key, Last, Mounts};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The largest patch, bytes. Kubernetes stores no object of that size: etcd takes 1.5 MiB by default.
const MOST_BYTES: usize = 2 << 20;

/// The patch would be larger than the largest that is written. One text of a pod may go into an operation for each of its
/// mounts, so a small review can ask for a large patch.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "the changes of the pod take more than {MOST_BYTES} bytes as a JSON Patch; drydock writes at most {MOST_BYTES}. Give the pod fewer containers and mounts, or create it in a namespace without the label drydock.dev/job-pods"
)]
pub struct PatchTooLarge;

/// Returns the patch that makes `changes` and adds `annotations` to a pod that was `original`: a JSON array of operations.
///
/// # Errors
/// Where it would be larger than the largest patch.
pub fn patch(
    original: &Pod<'_>,
    changes: &[Change<'_>],
    annotations: &[(&'static str, String)],
) -> Result<String, PatchTooLarge> {
    // Most operations are shorter.
    let usual = 192 * (changes.len() + annotations.len());
    let mut operations = Operations(Vec::with_capacity(usual.min(MOST_BYTES)));
    operations.0.push(b'[');
    for change in changes {
        operations.change(&change.action);
        // Not at the end: until then it could grow to many times the size of the review.
        operations.check()?;
    }
    operations.annotations(original, annotations);
    operations.0.push(b']');
    operations.check()?;
    Ok(String::from_utf8(operations.0).expect("JSON of texts is text"))
}

/// The operations so far, as JSON.
struct Operations(Vec<u8>);

/// A part of a JSON Pointer.
#[derive(Clone, Copy)]
enum At<'a> {
    /// Fields that are written here.
    Fields(&'static str),
    /// The mounts of a container.
    Mounts(ContainerId),
    /// A position in a list.
    Index(usize),
    /// Behind the last of a list.
    Last,
    /// A key of the pod or a policy.
    Key(&'a str),
}

const HOST_ALIASES: At<'static> = Fields("/spec/hostAliases");
const HOSTNAMES: At<'static> = Fields("/hostnames");
const VOLUMES: At<'static> = Fields("/spec/volumes");

impl Operations {
    fn check(&self) -> Result<(), PatchTooLarge> {
        if self.0.len() > MOST_BYTES {
            Err(PatchTooLarge)
        } else {
            Ok(())
        }
    }

    fn change(&mut self, action: &Action<'_>) {
        match action {
            Action::DropHostnames { entry, kept, .. } => {
                if let Some(kept) = kept {
                    let kept: Vec<&str> = kept.iter().map(|name| name.as_str()).collect();
                    self.replace(&[HOST_ALIASES, Index(*entry), HOSTNAMES], &kept);
                }
            }
            Action::ExtendHostAlias {
                entry,
                hostnames,
                list_missing: true,
                ..
            } => self.add(&[HOST_ALIASES, Index(*entry), HOSTNAMES], hostnames),
            Action::ExtendHostAlias {
                entry, hostnames, ..
            } => {
                for hostname in hostnames {
                    self.add(&[HOST_ALIASES, Index(*entry), HOSTNAMES, Last], hostname);
                }
            }
            Action::AddHostAlias {
                list_missing,
                ip,
                hostnames,
            } => {
                #[derive(Serialize)]
                struct HostAlias<'a> {
                    ip: &'a std::net::IpAddr,
                    hostnames: &'a [&'a str],
                }
                self.append(HOST_ALIASES, *list_missing, &HostAlias { ip, hostnames });
            }
            Action::RemoveHostAlias { entry, .. } => self.remove(&[HOST_ALIASES, Index(*entry)]),
            Action::SwapVolume {
                index,
                dropped,
                size_limit,
                ..
            } => {
                // Not the whole volume: a field of a newer Kubernetes survives.
                if let Some(field) = dropped {
                    self.remove(&[VOLUMES, Index(*index), Key(field)]);
                }
                let memory = Memory {
                    medium: "Memory",
                    size_limit,
                };
                self.add(&[VOLUMES, Index(*index), Fields("/emptyDir")], &memory);
            }
            Action::AddVolume {
                list_missing,
                name,
                source,
            } => self.append(VOLUMES, *list_missing, &Volume { name, source }),
            Action::PointMount {
                mount,
                was,
                volume,
                dropped,
                sub_path,
            } => {
                let (list, index) = (Mounts(mount.container), Index(mount.index));
                if was != volume {
                    self.replace(&[list, index, Fields("/name")], volume.as_str());
                }
                for field in dropped {
                    self.remove(&[list, index, Key(field)]);
                }
                if let Some(sub_path) = sub_path {
                    self.add(&[list, index, Fields("/subPath")], sub_path.as_str());
                }
            }
            Action::RemoveMount { mount, .. } => {
                self.remove(&[Mounts(mount.container), Index(mount.index)]);
            }
            Action::AddMount {
                list_missing,
                container,
                mount,
                ..
            } => self.append(Mounts(*container), *list_missing, mount),
            Action::AddNodeSelector {
                object_missing,
                key,
                value,
            } => self.member("/spec/nodeSelector", *object_missing, key, value),
            Action::AddToleration {
                list_missing, json, ..
            } => self.append(Fields("/spec/tolerations"), *list_missing, json),
        }
    }

    fn annotations(&mut self, original: &Pod<'_>, annotations: &[(&'static str, String)]) {
        let mut missing = original.metadata.annotations.is_none();
        for (key, value) in annotations {
            self.member("/metadata/annotations", missing, key, value);
            missing = false;
        }
    }

    /// Appends to a list, or adds the list whole where there is none.
    fn append<T: Serialize + ?Sized>(&mut self, list: At<'_>, missing: bool, value: &T) {
        self.begin("add", &[list]);
        if missing {
            self.value(&[value]);
        } else {
            self.at(Last);
            self.value(value);
        }
    }

    /// Sets a member of an object, or adds the object whole where there is none.
    fn member(&mut self, object: &'static str, missing: bool, key: &str, value: &str) {
        if missing {
            self.add(&[Fields(object)], &Member(key, value));
        } else {
            self.add(&[Fields(object), Key(key)], value);
        }
    }

    fn add<T: Serialize + ?Sized>(&mut self, path: &[At<'_>], value: &T) {
        self.begin("add", path);
        self.value(value);
    }

    fn replace<T: Serialize + ?Sized>(&mut self, path: &[At<'_>], value: &T) {
        self.begin("replace", path);
        self.value(value);
    }

    fn remove(&mut self, path: &[At<'_>]) {
        self.begin("remove", path);
        self.text("\"}");
    }

    fn begin(&mut self, op: &str, path: &[At<'_>]) {
        if self.0.len() > 1 {
            self.text(",");
        }
        for part in ["{\"op\":\"", op, "\",\"path\":\""] {
            self.text(part);
        }
        for part in path {
            self.at(*part);
        }
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) {
        self.text("\",\"value\":");
        self.json(value);
        self.text("}");
    }

    fn at(&mut self, part: At<'_>) {
        match part {
            Fields(fields) => self.text(fields),
            Mounts(ContainerId { list, index }) => {
                self.text("/spec/");
                self.text(list.field());
                self.at(Index(index));
                self.text("/volumeMounts");
            }
            Index(index) => {
                self.text("/");
                self.json(&index);
            }
            Last => self.text("/-"),
            Key(key) => {
                self.text("/");
                let quote = self.0.len();
                self.json(&escaped(key));
                self.0.pop();
                self.0.remove(quote);
            }
        }
    }

    fn json<T: Serialize + ?Sized>(&mut self, value: &T) {
        serde_json::to_writer(&mut self.0, value)
            .expect("texts, numbers and rendered JSON serialise");
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

/// A volume that is added or takes another's place.
struct Volume<'a> {
    name: &'a str,
    source: &'a NewSource<'a>,
}

impl Serialize for Volume<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut volume = serializer.serialize_map(Some(2))?;
        volume.serialize_entry("name", self.name)?;
        let field = self.source.field();
        match self.source {
            NewSource::Memory { size_limit } | NewSource::RootlessConfig { size_limit } => volume
                .serialize_entry(
                field,
                &Memory {
                    medium: "Memory",
                    size_limit,
                },
            )?,
            NewSource::Policy(source) => {
                volume.serialize_entry::<_, RawValue>(field, &source.json)?
            }
            NewSource::RegistryCa(ca) => volume.serialize_entry(
                field,
                &CaSource {
                    name: &ca.config_map,
                    items: [CaItem {
                        key: &ca.key,
                        path: "ca.crt",
                    }],
                    optional: true,
                },
            )?,
        }
        volume.end()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Memory<'a> {
    medium: &'a str,
    size_limit: &'a str,
}

#[derive(Serialize)]
struct CaSource<'a> {
    name: &'a str,
    items: [CaItem<'a>; 1],
    optional: bool,
}

#[derive(Serialize)]
struct CaItem<'a> {
    key: &'a str,
    path: &'a str,
}

impl Serialize for NewMount<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut mount = serializer.serialize_map(None)?;
        mount.serialize_entry("name", self.volume.as_str())?;
        mount.serialize_entry("mountPath", self.path.as_str())?;
        if self.read_only {
            mount.serialize_entry("readOnly", &true)?;
        }
        if let Some(sub_path) = &self.sub_path {
            mount.serialize_entry("subPath", sub_path.as_str())?;
        }
        if let Some(sub_path) = &self.sub_path_expr {
            mount.serialize_entry("subPathExpr", sub_path.as_str())?;
        }
        mount.end()
    }
}

/// An object with one member.
struct Member<'a>(&'a str, &'a str);

impl Serialize for Member<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(1))?;
        object.serialize_entry(self.0, self.1)?;
        object.end()
    }
}

#[cfg(test)]
mod tests;
