//! The structural check: a document against the custom resource's own schema, every fault at once.
//!
//! The API server prunes unknown fields of a custom resource or refuses them, as the client asks; drydock refuses them always,
//! because a misspelt field is a rule that silently does not hold.
//! The schema is the one that the API server gets, so this check knows no field by name: it reads types, bounds and enumerations, and
//! of the rules in CEL those that stand for a form.

mod value;

use super::parse::Errors;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::Value;
use std::sync::LazyLock;

/// The schema of a whole `JobPodPolicy`: that of the committed resource, which a test holds to be the derived one. Every server starts
/// with this, and to derive it takes three times as long as all else together.
static SCHEMA: LazyLock<JSONSchemaProps> = LazyLock::new(|| {
    let committed = include_str!("../../../manifests/chart/crds/jobpodpolicies.yaml");
    let definition: CustomResourceDefinition =
        serde_saphyr::from_str(committed).expect("the committed custom resource is YAML");
    let mut versions = definition.spec.versions;
    let version = versions.pop().expect("the custom resource has one version");
    let schema = version
        .schema
        .and_then(|validation| validation.open_api_v3_schema);
    schema.expect("the custom resource has a schema")
});

/// Checks `document` against the schema. What does not fit is taken out, and what must be there is filled in, so that parsing
/// can go on and find what else is wrong; [`concerns`] tells what it then finds only because of that.
/// Nulls of known fields are taken out silently: to the API they are absent fields.
pub(super) fn check(document: &mut Value, errors: &mut Errors) {
    let Some(fields) = document.as_object_mut() else {
        return;
    };
    fields.retain(|name, _| {
        let known = matches!(name.as_str(), "apiVersion" | "kind" | "metadata" | "spec" | "status");
        if !known {
            errors.add(name.clone(), "is not a field of a JobPodPolicy; its fields are apiVersion, kind, metadata and spec");
        }
        known
    });
    let spec = SCHEMA
        .properties
        .as_ref()
        .and_then(|properties| properties.get("spec"));
    let spec = spec.expect("the schema of a JobPodPolicy has a spec");
    match fields.get_mut("spec") {
        None | Some(Value::Null) => {
            errors.add("spec", "is missing; `drydock print policy` shows one");
            fields.insert("spec".to_owned(), stand_in(spec));
        }
        Some(value) => {
            if !fits(value, spec, "spec", errors) {
                *value = stand_in(spec);
            }
        }
    }
}

/// Whether two fields are one, or one of them lies in the other: `spec.hostAliases[0]` and `spec.hostAliases[0].ip`.
pub(super) fn concerns(one: &str, other: &str) -> bool {
    let (outer, inner) = if one.len() < other.len() {
        (one, other)
    } else {
        (other, one)
    };
    inner
        .strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Checks one value; returns whether it fits.
fn fits(value: &mut Value, schema: &JSONSchemaProps, path: &str, errors: &mut Errors) -> bool {
    if let Err(problem) = value::has_type(value, schema) {
        errors.add(path, problem);
        return false;
    }
    value::check_size(value, schema, path, errors);
    match value {
        Value::Object(_) => check_object(value, schema, path, errors),
        Value::Array(items) => {
            if let Some(JSONSchemaPropsOrArray::Schema(item)) = &schema.items {
                for (index, value) in items.iter_mut().enumerate() {
                    // Taking it out would shift the positions in later messages.
                    if !fits(value, item, &format!("{path}[{index}]"), errors) {
                        *value = stand_in(item);
                    }
                }
            }
        }
        value => {
            value::check_forms(value, schema, path, errors);
            return value::is_allowed(value, schema, path, errors);
        }
    }
    true
}

/// Returns a value of the schema's type, in place of one that is missing or does not fit.
fn stand_in(schema: &JSONSchemaProps) -> Value {
    if let Some(allowed) = schema.enum_.as_deref().and_then(<[_]>::first) {
        return allowed.0.clone();
    }
    match schema.type_.as_deref().unwrap_or("string") {
        "object" => {
            let mut fields = serde_json::Map::new();
            fill_in(&mut fields, schema);
            fields.into()
        }
        "array" => Value::Array(Vec::new()),
        "string" => "".into(),
        "boolean" => false.into(),
        "integer" | "number" => 0.into(),
        _ => Value::Null,
    }
}

/// Adds what an object must have and has not.
fn fill_in(fields: &mut serde_json::Map<String, Value>, schema: &JSONSchemaProps) {
    for name in schema.required.iter().flatten() {
        let property = schema.properties.as_ref().and_then(|all| all.get(name));
        if let (Some(property), false) = (property, fields.contains_key(name)) {
            fields.insert(name.clone(), stand_in(property));
        }
    }
}

fn check_object(value: &mut Value, schema: &JSONSchemaProps, path: &str, errors: &mut Errors) {
    let Some(fields) = value.as_object_mut() else {
        return;
    };
    let is_known = |name: &str| {
        let named = schema
            .properties
            .as_ref()
            .is_some_and(|properties| properties.contains_key(name));
        named || schema.additional_properties.is_some()
    };
    fields.retain(|name, value| !(value.is_null() && is_known(name)));
    for name in schema
        .required
        .iter()
        .flatten()
        .filter(|name| !fields.contains_key(name.as_str()))
    {
        errors.add(format!("{path}.{name}"), "is missing");
    }
    let open = schema.x_kubernetes_preserve_unknown_fields == Some(true);
    fields.retain(|name, value| {
        let property = schema
            .properties
            .as_ref()
            .and_then(|properties| properties.get(name));
        match (property, &schema.additional_properties) {
            (Some(property), _) => fits(value, property, &format!("{path}.{name}"), errors),
            (None, Some(JSONSchemaPropsOrBool::Schema(property))) => {
                value::check_key(name, schema, path, errors);
                fits(value, property, &format!("{path}[{name}]"), errors)
            }
            (None, Some(JSONSchemaPropsOrBool::Bool(true))) => true,
            (None, _) if open => true,
            (None, _) => {
                errors.add(
                    format!("{path}.{name}"),
                    format!("is not a known field; known here: {}", known_fields(schema)),
                );
                false
            }
        }
    });
    fill_in(fields, schema);
}

fn known_fields(schema: &JSONSchemaProps) -> String {
    let names: Vec<&str> = schema
        .properties
        .iter()
        .flatten()
        .map(|(name, _)| name.as_str())
        .collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}
