//! The policies of one text: those that are right, and every error of those that are not.

use super::parse::{self, Errors, FieldError};
use super::{Policy, Recorded, schema};
use crate::core::crd::{self, form};
use crate::core::document::{self, type_name};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What a text of policies holds. One bad policy does not hide the good ones beside it (F3).
#[derive(Debug, Default)]
pub struct PolicyFile {
    /// The policies that are right, in the text's order.
    pub policies: Vec<Policy>,
    /// Where each of them stands: its name and its place, as in a [`PolicyError`].
    pub places: BTreeMap<String, String>,
    /// What is wrong with the others.
    pub errors: Vec<PolicyError>,
    /// Names of policies in the text that are not right, where they have one.
    pub refused: BTreeSet<String>,
    /// Whether some document could not even be read, so that policies may be missing whose names are not known.
    pub unreadable: bool,
}

impl PolicyFile {
    /// A file of which nothing can be read.
    #[must_use]
    pub fn unreadable(file: &str, problem: String) -> Self {
        let error = PolicyError {
            file: file.to_owned(),
            place: "the file".to_owned(),
            policy: None,
            problem,
        };
        Self {
            errors: vec![error],
            unreadable: true,
            ..Self::default()
        }
    }

    /// Returns the policies to use when a file that was right has changed: those that are right now, and the last good version
    /// of those that are not any more (F3). Where a document cannot even be read, whatever is missing may be in it, and stays.
    #[must_use]
    pub fn or_last_good(self, last: &[Policy]) -> Vec<Policy> {
        let Self {
            mut policies,
            refused,
            unreadable,
            ..
        } = self;
        for old in last {
            let is_here = policies.iter().any(|policy| policy.name == old.name);
            if !is_here && (unreadable || refused.contains(&old.name)) {
                policies.push(old.clone());
            }
        }
        policies
    }
}

/// Something wrong in a text of policies, with its place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PolicyError {
    /// The file, or what stands for it.
    pub file: String,
    /// The document and, in a list, the item: `document 2, items[3]`.
    pub place: String,
    /// The policy's name, where it has one.
    pub policy: Option<String>,
    /// Field and problem, or why the document cannot be read.
    pub problem: String,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.place)?;
        if let Some(policy) = &self.policy {
            write!(f, " (JobPodPolicy \"{policy}\")")?;
        }
        write!(f, ": {}", self.problem)
    }
}

/// Reads the policies of a text; `file` is what the errors call it.
/// Takes `JobPodPolicy` objects and lists of them; an empty list is a set that changes nothing, a text without any object is an error.
#[must_use]
pub fn read(file: &str, text: &str) -> PolicyFile {
    let mut reader = Reader {
        file,
        result: PolicyFile::default(),
    };
    let documents = document::split(text);
    if documents.is_empty() {
        reader.error("document 1", None, "the file holds no policy; `drydock print policy` shows one, and an empty List is a set that changes nothing");
    }
    for document in documents {
        let place = format!("document {}", document.number);
        match document.content {
            Ok(object) => reader.object(object, &place),
            Err(error) => {
                reader.result.unreadable = true;
                reader.error(&place, None, error.to_string());
            }
        }
    }
    reader.result
}

struct Reader<'a> {
    file: &'a str,
    result: PolicyFile,
}

impl Reader<'_> {
    fn object(&mut self, object: Value, place: &str) {
        let kind = object
            .get("kind")
            .and_then(Value::as_str)
            .unwrap_or_default();
        match kind {
            "List" | "JobPodPolicyList" => self.list(object, place),
            crd::KIND => self.policy(object, place),
            "" => self.error(
                place,
                None,
                "kind is missing; write apiVersion: drydock.dev/v1alpha1 and kind: JobPodPolicy",
            ),
            other => {
                let problem = format!("kind is \"{other}\", not JobPodPolicy or a List of them");
                self.error(place, None, problem);
            }
        }
    }

    fn list(&mut self, mut list: Value, place: &str) {
        match list.get_mut("items").map(Value::take) {
            None | Some(Value::Null) => {}
            Some(Value::Array(items)) => {
                for (index, item) in items.into_iter().enumerate() {
                    let place = format!("{place}, items[{index}]");
                    if item.is_object() {
                        self.object(item, &place);
                    } else {
                        self.error(
                            &place,
                            None,
                            format!("it is {}, not an object", type_name(&item)),
                        );
                    }
                }
            }
            Some(other) => self.error(
                place,
                None,
                format!("items is {}, not a list", type_name(&other)),
            ),
        }
    }

    fn policy(&mut self, object: Value, place: &str) {
        let name = object
            .pointer("/metadata/name")
            .and_then(Value::as_str)
            .map(ToOwned::to_owned);
        let unknown = unknown_metadata(&object);
        match read_object(object) {
            Ok(policy) if unknown.is_empty() => {
                if let Some(earlier) = self.result.places.get(&policy.name) {
                    let problem = format!(
                        "metadata.name is \"{}\", the name of the policy in {earlier} too; names must differ",
                        policy.name
                    );
                    self.error(place, name, problem);
                } else {
                    self.result
                        .places
                        .insert(policy.name.clone(), place.to_owned());
                    self.result.policies.push(policy);
                }
            }
            read => {
                self.result.refused.extend(name.clone());
                for error in unknown.into_iter().chain(read.err().unwrap_or_default()) {
                    self.error(place, name.clone(), error.to_string());
                }
            }
        }
    }

    fn error(&mut self, place: &str, policy: Option<String>, problem: impl Into<String>) {
        self.result.errors.push(PolicyError {
            file: self.file.to_owned(),
            place: place.to_owned(),
            policy,
            problem: problem.into(),
        });
    }
}

/// Reads one `JobPodPolicy` object, as it may be written.
///
/// # Errors
/// With everything that is wrong with it; there is at least one error then.
pub fn read_object(object: Value) -> Result<Policy, Vec<FieldError>> {
    read_with(object, None)
}

/// Reads one `JobPodPolicy` object that the API server has. It may have been written when less was asked for: with `from.ingress` it
/// may name neither hostnames nor `hostnameSuffixes`. Of such an entry exactly those hostnames are taken that were `recorded`, so that
/// an upgrade takes no hostname away from job pods, and the owner of the Ingress adds none (F5, H7).
///
/// # Errors
/// With everything else that is wrong with it; there is at least one error then.
pub fn read_stored(object: Value, recorded: &Recorded) -> Result<Policy, Vec<FieldError>> {
    read_with(object, Some(recorded))
}

fn read_with(mut object: Value, recorded: Option<&Recorded>) -> Result<Policy, Vec<FieldError>> {
    let mut errors = Errors::default();
    let version = object
        .get("apiVersion")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if version != crd::API_VERSION {
        errors.add(
            "apiVersion",
            format!("is \"{version}\"; this drydock reads {}", crd::API_VERSION),
        );
    }
    schema::check(&mut object, &mut errors);
    check_metadata(&mut object, &mut errors);
    let mut found = Errors::default();
    let policy = match serde_path_to_error::deserialize::<_, crd::JobPodPolicy>(object) {
        Ok(resource) => Some(parse::policy(&resource, recorded, &mut found)),
        Err(error) => {
            found.add(
                error.path().to_string(),
                format!("cannot be read: {}", error.inner()),
            );
            None
        }
    };
    errors.add_others(found);
    match policy {
        Some(policy) if errors.0.is_empty() => Ok(policy),
        _ => Err(errors.0),
    }
}

/// Object metadata, which the schema of a custom resource does not describe. What cannot be read is taken out, except for the name.
fn check_metadata(object: &mut Value, errors: &mut Errors) {
    let Some(fields) = object.as_object_mut() else {
        return;
    };
    let metadata = match fields.remove("metadata") {
        None | Some(Value::Null) => Value::Object(serde_json::Map::new()),
        Some(metadata) => metadata,
    };
    let name = metadata.get("name").filter(|name| name.is_string());
    let readable = serde_path_to_error::deserialize::<_, ObjectMeta>(&metadata);
    let kept = match (readable, name) {
        (Ok(_), _) => metadata,
        (Err(error), name) => {
            let path = match error.path().to_string().as_str() {
                "." => "metadata".to_owned(),
                path => format!("metadata.{path}"),
            };
            errors.add(path, format!("cannot be read: {}", error.inner()));
            serde_json::json!({"name": name})
        }
    };
    check_labels(&kept, errors);
    fields.insert("metadata".to_owned(), kept);
}

/// What kubectl refuses of the metadata of a file. An object of the API server may have fields of a newer Kubernetes.
fn unknown_metadata(object: &Value) -> Vec<FieldError> {
    let metadata = object.get("metadata").and_then(Value::as_object);
    let mut errors = Errors::default();
    for (name, _) in metadata.into_iter().flatten() {
        if !METADATA.contains(&name.as_str()) {
            errors.add(
                format!("metadata.{name}"),
                "is not a known field; name, labels and annotations are",
            );
        }
    }
    errors.0
}

/// <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/>
const METADATA: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// What the API server asks of the metadata that people write.
fn check_labels(metadata: &Value, errors: &mut Errors) {
    let map = |value: &Value| value.as_object().cloned().unwrap_or_default();
    for (name, value) in map(metadata) {
        let path = format!("metadata.{name}");
        if !matches!(name.as_str(), "labels" | "annotations") {
            continue;
        }
        for (key, value) in map(&value) {
            if let Err(problem) = form::LABEL_KEY.check(&key) {
                errors.add(path.as_str(), format!("has the key \"{key}\", {problem}"));
            }
            if let ("labels", Some(text)) = (name.as_str(), value.as_str()) {
                errors.check(&format!("{path}[{key}]"), text, &form::LABEL_VALUE);
            }
        }
    }
}

impl Errors {
    /// Takes in what parsing found, but for what it found only because the schema's errors were taken out.
    fn add_others(&mut self, found: Self) {
        let known: Vec<String> = self.0.iter().map(|error| error.field.clone()).collect();
        let others = found.0.into_iter().filter(|error| {
            !known
                .iter()
                .any(|field| schema::concerns(field, &error.field))
        });
        self.0.extend(others);
    }
}

#[cfg(test)]
mod tests;
