//! Parses policy files. Returns the valid policies, and all errors of the invalid ones.

use super::parse::{self, Errors, FieldError};
use super::{Policy, RecordedHostnames, schema};
use crate::core::crd::{self, format};
use crate::core::document::{self, type_name};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The content of a policy file. An invalid policy does not hide the valid ones beside it (F3).
#[derive(Debug, Default)]
pub struct PolicyFile {
    /// The valid policies, in the order of the file.
    pub policies: Vec<Policy>,
    /// The place of each valid policy in the file, by policy name; see [`PolicyError::place`].
    pub(crate) places: BTreeMap<String, String>,
    /// The errors of the invalid policies.
    pub errors: Vec<PolicyError>,
    /// Fields of valid policies that the API server ignores.
    pub(crate) ignored: Vec<PolicyError>,
    /// The names of the invalid policies.
    pub(crate) refused: BTreeSet<String>,
    /// Whether a document cannot be parsed. Such a document may contain policies with any name.
    pub(crate) unreadable: bool,
}

impl PolicyFile {
    /// Returns the result for a file that cannot be read.
    pub(crate) fn unreadable(file: &str, problem: String) -> Self {
        let mut reader = Reader::new(file);
        reader.error("the file", None, problem);
        reader.result.unreadable = true;
        reader.result
    }

    /// Returns the policies to use after a file has changed: the valid policies, and the last good
    /// version of the invalid ones (F3). If a document is unreadable, keeps the last good version
    /// of missing policies as well, because the document may contain them.
    pub(crate) fn or_last_good(mut self, last: &[Policy]) -> Vec<Policy> {
        for old in last {
            let is_valid = self.policies.iter().any(|policy| policy.name == old.name);
            if !is_valid && (self.unreadable || self.refused.contains(&old.name)) {
                self.policies.push(old.clone());
            }
        }
        self.policies
    }
}

/// An error in a policy file, with its place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PolicyError {
    /// The name of the file, or `stdin`.
    pub(crate) file: String,
    /// The document and, in a list, the item, as in `document 2, items[3]`.
    pub(crate) place: String,
    /// The name of the policy, if it has one.
    pub(crate) policy: Option<String>,
    /// The field and its problem, or the reason why the document cannot be read.
    pub(crate) problem: String,
    /// Whether the document contains something other than a policy, such as another kind of object.
    pub(crate) is_of_another_kind: bool,
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

/// Parses a text with `JobPodPolicy` objects and lists of them; `file` is the file name in errors.
/// An empty list is valid, but a text without an object is an error.
pub fn read(file: &str, text: &str) -> PolicyFile {
    let mut reader = Reader::new(file);
    if is_config_toml(text) {
        reader.runner_config("the file");
        return reader.result;
    }
    let documents = document::split(text);
    if documents.is_empty() {
        reader.error("document 1", None, "the file contains no policy; `drydock print policy` prints an example. Use an empty List to request no changes");
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

/// Returns whether `text` is the `config.toml` of GitLab Runner. A YAML parser would reject such a
/// file, or read it as one string.
fn is_config_toml(text: &str) -> bool {
    text.lines().any(|line| line.trim_end() == "[[runners]]")
}

/// Returns whether an object is a ConfigMap with a `config.toml`, or contains values for GitLab
/// Runner's Helm chart, directly or as a subchart.
fn is_runner_config(object: &Value) -> bool {
    const CHART: [&str; 3] = ["gitlabUrl", "runnerToken", "runnerRegistrationToken"];
    let in_chart = |values: &Value| {
        CHART.iter().any(|key| values.get(key).is_some())
            || values.pointer("/runners/config").is_some()
    };
    let is_config = |(_, text): (&String, &Value)| text.as_str().is_some_and(is_config_toml);
    match object.get("kind") {
        Some(_) => fields(object.get("data")).any(is_config),
        None => in_chart(object) || object.get("gitlab-runner").is_some_and(in_chart),
    }
}

struct Reader<'a> {
    file: &'a str,
    result: PolicyFile,
}

impl<'a> Reader<'a> {
    fn new(file: &'a str) -> Self {
        let result = PolicyFile::default();
        Self { file, result }
    }

    fn object(&mut self, mut object: Value, place: &str) {
        if is_runner_config(&object) {
            return self.runner_config(place);
        }
        let problem = match text(&object, "/kind").unwrap_or_default() {
            crd::KIND => return self.policy(object, place),
            "List" | "JobPodPolicyList" => {
                match object.get_mut("items").map(Value::take).unwrap_or_default() {
                    Value::Null => return,
                    Value::Array(items) => return self.items(items, place),
                    other => format!("items must be a list, not {}", type_name(&other)),
                }
            }
            "" => {
                let problem =
                    "kind is missing; set apiVersion: drydock.dev/v1alpha1 and kind: JobPodPolicy";
                if text(&object, "/apiVersion") == Some(crd::API_VERSION) {
                    return self.error(place, None, problem);
                }
                return self.another_kind(place, problem.to_owned());
            }
            other => {
                let problem = format!(
                    "kind is \"{other}\", but must be JobPodPolicy or a List of JobPodPolicy objects"
                );
                return self.another_kind(place, problem);
            }
        };
        self.error(place, None, problem);
    }

    fn items(&mut self, items: Vec<Value>, place: &str) {
        for (index, item) in items.into_iter().enumerate() {
            let place = format!("{place}, items[{index}]");
            if item.is_object() {
                self.object(item, &place);
            } else {
                let problem = format!("must be an object, not {}", type_name(&item));
                self.error(&place, None, problem);
            }
        }
    }

    fn policy(&mut self, object: Value, place: &str) {
        let name = text(&object, "/metadata/name").map(ToOwned::to_owned);
        let namespace = text(&object, "/metadata/namespace").map(ToOwned::to_owned);
        let unknown = unknown_metadata(object.get("metadata"));
        match read_object(object) {
            Ok(policy) if unknown.is_empty() => {
                if let Some(earlier) = self.result.places.get(&policy.name) {
                    let problem = format!(
                        "metadata.name duplicates the name \"{}\" of the policy in {earlier}; names must be unique",
                        policy.name
                    );
                    self.error(place, name, problem);
                } else {
                    self.result.ignored.extend(namespace.map(|namespace| self.problem(
                        place,
                        name,
                        format!("metadata.namespace is \"{namespace}\", but is ignored, because a JobPodPolicy is cluster-scoped; select namespaces with spec.namespaceSelector"),
                    )));
                    let places = &mut self.result.places;
                    places.insert(policy.name.clone(), place.to_owned());
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
        let error = self.problem(place, policy, problem);
        self.result.errors.push(error);
    }

    fn runner_config(&mut self, place: &str) {
        let file = if self.file == "stdin" { "-" } else { self.file };
        let problem =
            format!("this is a configuration of GitLab Runner; run `drydock import {file}`");
        self.another_kind(place, problem);
    }

    fn another_kind(&mut self, place: &str, problem: String) {
        self.result.errors.push(PolicyError {
            is_of_another_kind: true,
            ..self.problem(place, None, problem)
        });
    }

    fn problem(
        &self,
        place: &str,
        policy: Option<String>,
        problem: impl Into<String>,
    ) -> PolicyError {
        PolicyError {
            file: self.file.to_owned(),
            place: place.to_owned(),
            policy,
            problem: problem.into(),
            is_of_another_kind: false,
        }
    }
}

/// Parses a `JobPodPolicy` object that is not stored in the API server.
///
/// # Errors
/// Returns all errors of an invalid policy, at least one.
pub fn read_object(object: Value) -> Result<Policy, Vec<FieldError>> {
    read_with(object, None)
}

/// Parses a `JobPodPolicy` object from the API server. An older version of drydock accepted entries
/// with `from.ingress` and neither hostnames nor `hostnameSuffixes`. Such an entry gets exactly the
/// `recorded` hostnames: an upgrade removes no hostname from job pods, and a user who can edit the
/// Ingress cannot add one (F5, H7).
///
/// # Errors
/// Returns all errors of a policy that is invalid for another reason, at least one.
pub fn read_stored(object: Value, recorded: &RecordedHostnames) -> Result<Policy, Vec<FieldError>> {
    read_with(object, Some(recorded))
}

fn read_with(
    mut object: Value,
    recorded: Option<&RecordedHostnames>,
) -> Result<Policy, Vec<FieldError>> {
    let mut errors = Errors::default();
    let version = text(&object, "/apiVersion").unwrap_or_default();
    if version != crd::API_VERSION {
        let problem = format!(
            "is \"{version}\", but this version of drydock supports only {}",
            crd::API_VERSION
        );
        errors.add("apiVersion", problem);
    }
    schema::check(&mut object, &mut errors);
    check_metadata(&mut object, &mut errors);
    let mut found = Errors::default();
    let policy = match serde_path_to_error::deserialize::<_, crd::JobPodPolicy>(object) {
        Ok(resource) => Some(parse::policy(&resource, recorded, &mut found)),
        Err(error) => {
            let problem = format!("cannot be read: {}", error.inner());
            found.add(error.path().to_string(), problem);
            None
        }
    };
    // Omits errors that result from the values that the schema check removed.
    let known: Vec<String> = errors.0.iter().map(|error| error.field.clone()).collect();
    let follows = |error: &FieldError| known.iter().any(|it| schema::overlap(it, &error.field));
    found.0.retain(|error| !follows(error));
    errors.0.append(&mut found.0);
    match policy {
        Some(policy) if errors.0.is_empty() => Ok(policy),
        _ => Err(errors.0),
    }
}

/// Checks the object metadata, which the schema of a custom resource does not describe. Removes
/// metadata that cannot be read, but keeps the name.
fn check_metadata(object: &mut Value, errors: &mut Errors) {
    let Some(object) = object.as_object_mut() else {
        return;
    };
    let metadata = object.entry("metadata").or_insert(Value::Null);
    if metadata.is_null() {
        *metadata = json!({});
    }
    if let Err(error) = serde_path_to_error::deserialize::<_, ObjectMeta>(&*metadata) {
        let path = match error.path().to_string().as_str() {
            "." => "metadata".to_owned(),
            path => format!("metadata.{path}"),
        };
        errors.add(path, format!("cannot be read: {}", error.inner()));
        let name = metadata.get("name").filter(|name| name.is_string());
        *metadata = json!({"name": name});
    }
    for name in ["labels", "annotations"] {
        let path = format!("metadata.{name}");
        for (key, value) in fields(metadata.get(name)) {
            if let Err(problem) = format::LABEL_KEY.check(key) {
                errors.add(&path, format!("has the key \"{key}\", {problem}"));
            }
            if let ("labels", Some(text)) = (name, value.as_str()) {
                errors.check(&format!("{path}[{key}]"), text, &format::LABEL_VALUE);
            }
        }
    }
}

/// Returns an error for each unknown metadata field of a policy in a file; kubectl rejects such
/// fields too. Stored objects are not checked, because a newer Kubernetes may have added fields.
fn unknown_metadata(metadata: Option<&Value>) -> Vec<FieldError> {
    let known = metadata.and_then(|metadata| ObjectMeta::deserialize(metadata).ok());
    let known = known.and_then(|metadata| serde_json::to_value(metadata).ok());
    let mut errors = Errors::default();
    for (name, value) in fields(metadata) {
        let is_known = known.as_ref().is_none_or(|known| known.get(name).is_some());
        if !is_known && !value.is_null() {
            errors.add(
                format!("metadata.{name}"),
                "is an unknown field; the known fields include name, labels and annotations",
            );
        }
    }
    errors.0
}

fn text<'v>(object: &'v Value, pointer: &str) -> Option<&'v str> {
    object.pointer(pointer)?.as_str()
}

fn fields(object: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    object.and_then(Value::as_object).into_iter().flatten()
}

#[cfg(test)]
mod tests;
