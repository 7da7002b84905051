//! Reads the objects in `manifests/`.

use drydock::core::document;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests")
}

/// Returns the objects that `kubectl apply -k manifests/` creates.
pub fn base() -> Vec<Value> {
    let kustomization = &read(&folder().join("kustomization.yaml"))[0];
    let files = texts(&kustomization["resources"]).into_iter();
    files.flat_map(|name| read(&folder().join(name))).collect()
}

/// Returns the kustomization of a component, followed by its objects.
pub fn component(name: &str) -> Vec<Value> {
    let folder = folder().join("components").join(name);
    let kustomization = read(&folder.join("kustomization.yaml"));
    let files: Vec<String> = texts(&kustomization[0]["resources"])
        .into_iter()
        .map(str::to_owned)
        .collect();
    let objects = files.iter().flat_map(|name| read(&folder.join(name)));
    kustomization.iter().cloned().chain(objects).collect()
}

pub fn read(path: &Path) -> Vec<Value> {
    parse(&fs::read_to_string(path).unwrap_or_else(|_| panic!("{} is missing", path.display())))
}

pub fn parse(text: &str) -> Vec<Value> {
    let documents = document::split(text).into_iter();
    documents
        .map(|document| document.content.unwrap())
        .collect()
}

/// Returns the object of a kind and name, of which there must be exactly one.
#[track_caller]
pub fn one<'o>(objects: &'o [Value], kind: &str, name: &str) -> &'o Value {
    let is_it = |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == name;
    let found: Vec<&Value> = objects.iter().filter(is_it).collect();
    assert_eq!(found.len(), 1, "{kind} {name}");
    found[0]
}

pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub fn texts(value: &Value) -> Vec<&str> {
    let texts = list(value).iter();
    texts.map(|text| text.as_str().unwrap()).collect()
}

/// Returns whether `matchLabels` of a selector match the labels.
pub fn selects(match_labels: &Value, labels: &Value) -> bool {
    let wanted = match_labels.as_object().unwrap();
    !wanted.is_empty() && wanted.iter().all(|(key, value)| labels[key] == *value)
}
