//! The committed objects, as plain values.

use drydock::core::document;
use drydock::manifests::{self, File};
use serde_json::Value;

/// The objects that `kubectl apply -k manifests/` makes.
pub fn base() -> Vec<Value> {
    parse(&manifests::stream().unwrap())
}

/// The objects and kustomizations of a component.
pub fn component(name: &str) -> Vec<Value> {
    let folder = format!("components/{name}/");
    let files: Vec<File> = manifests::files()
        .unwrap()
        .into_iter()
        .filter(|file| file.path.starts_with(&folder))
        .collect();
    assert!(!files.is_empty(), "there is no component {name}");
    files.iter().flat_map(|file| parse(&file.text)).collect()
}

pub fn parse(text: &str) -> Vec<Value> {
    let documents = document::split(text).into_iter();
    documents
        .map(|document| document.content.unwrap())
        .collect()
}

/// The one object of a kind and name.
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

/// Whether every label of a selector's `matchLabels` is among the labels.
pub fn selects(match_labels: &Value, labels: &Value) -> bool {
    let wanted = match_labels.as_object().unwrap();
    !wanted.is_empty() && wanted.iter().all(|(key, value)| labels[key] == *value)
}
