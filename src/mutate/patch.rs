//! Changes → JSON Patch (RFC 6902).
//!
//! Operations are written as text, straight from the changes: diffing documents costs more than everything else together.
//! A patch that does not apply rejects the pod even under `failurePolicy: Ignore`, so (A3) a list or object that is missing is added whole,
//! `remove` names only what was read, and there is never a `test`.

use super::change::{Action, Change, NewMount, NewSource};
use crate::pod::{ContainerId, Pod};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::value::RawValue;
use std::fmt::Write as _;

/// Returns the patch that makes `changes` and adds `annotations` to a pod that was `original`: a JSON array of operations.
#[must_use]
pub fn patch(
    original: &Pod<'_>,
    changes: &[Change<'_>],
    annotations: &[(&'static str, String)],
) -> String {
    let mut operations = Operations {
        text: String::from("["),
    };
    for change in changes {
        operations.change(&change.action);
    }
    operations.annotations(original, annotations);
    operations.text.push(']');
    operations.text
}

struct Operations {
    text: String,
}

impl Operations {
    fn change(&mut self, action: &Action<'_>) {
        match action {
            Action::DropHostnames { entry, kept, .. } => {
                let kept: Vec<&str> = kept.iter().map(|name| name.as_str()).collect();
                self.value(
                    "replace",
                    &format!("/spec/hostAliases/{entry}/hostnames"),
                    &kept,
                );
            }
            Action::ExtendHostAlias {
                entry,
                hostnames,
                list_missing: true,
                ..
            } => {
                self.value(
                    "add",
                    &format!("/spec/hostAliases/{entry}/hostnames"),
                    hostnames,
                );
            }
            Action::ExtendHostAlias {
                entry, hostnames, ..
            } => {
                for hostname in hostnames {
                    self.value(
                        "add",
                        &format!("/spec/hostAliases/{entry}/hostnames/-"),
                        hostname,
                    );
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
                self.append(
                    "/spec/hostAliases",
                    *list_missing,
                    &HostAlias { ip, hostnames },
                );
            }
            Action::RemoveHostAlias { entry, .. } => {
                self.remove(&format!("/spec/hostAliases/{entry}"))
            }
            Action::SwapVolume {
                index,
                dropped,
                size_limit,
                ..
            } => {
                // Not the whole volume: a field of a newer Kubernetes survives.
                if let Some(field) = dropped {
                    self.remove(&format!("/spec/volumes/{index}/{}", escaped(field)));
                }
                let memory = Memory {
                    medium: "Memory",
                    size_limit,
                };
                self.value("add", &format!("/spec/volumes/{index}/emptyDir"), &memory);
            }
            Action::AddVolume {
                list_missing,
                name,
                source,
            } => self.append("/spec/volumes", *list_missing, &Volume { name, source }),
            Action::PointMount {
                mount,
                was,
                volume,
                dropped,
            } => {
                let path = format!("{}/{}", mounts(mount.container), mount.index);
                if was != volume {
                    self.value("replace", &format!("{path}/name"), volume.as_str());
                }
                for field in dropped {
                    self.remove(&format!("{path}/{field}"));
                }
            }
            Action::RemoveMount { mount, .. } => {
                self.remove(&format!("{}/{}", mounts(mount.container), mount.index))
            }
            Action::AddMount {
                list_missing,
                container,
                mount,
                ..
            } => self.append(&mounts(*container), *list_missing, mount),
            Action::AddNodeSelector {
                object_missing,
                key,
                value,
            } => {
                self.member("/spec/nodeSelector", *object_missing, key, value);
            }
            Action::AddToleration {
                list_missing, json, ..
            } => self.append("/spec/tolerations", *list_missing, json),
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
    fn append<T: Serialize + ?Sized>(&mut self, list: &str, missing: bool, value: &T) {
        if missing {
            self.value("add", list, &[value]);
        } else {
            self.value("add", &format!("{list}/-"), value);
        }
    }

    /// Sets a member of an object, or adds the object whole where there is none.
    fn member(&mut self, object: &str, missing: bool, key: &str, value: &str) {
        if missing {
            self.value("add", object, &Member(key, value));
        } else {
            self.value("add", &format!("{object}/{}", escaped(key)), value);
        }
    }

    fn value<T: Serialize + ?Sized>(&mut self, op: &str, path: &str, value: &T) {
        let (path, value) = (json(path), json(value));
        self.separate();
        write!(
            self.text,
            r#"{{"op":"{op}","path":{path},"value":{value}}}"#
        )
        .expect("a String takes what is written");
    }

    fn remove(&mut self, path: &str) {
        self.separate();
        let path = json(path);
        write!(self.text, r#"{{"op":"remove","path":{path}}}"#)
            .expect("a String takes what is written");
    }

    fn separate(&mut self) {
        if self.text.len() > 1 {
            self.text.push(',');
        }
    }
}

fn json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("texts, numbers and rendered JSON serialise")
}

/// Escapes a key for a JSON Pointer (RFC 6901 §3).
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn mounts(container: ContainerId) -> String {
    format!(
        "/spec/{}/{}/volumeMounts",
        container.list.field(),
        container.index
    )
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
            NewSource::Memory { size_limit } => volume.serialize_entry(
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
        mount.serialize_entry("name", &self.volume)?;
        mount.serialize_entry("mountPath", &self.path)?;
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
