//! Checks a policy against the schema: types, sizes, formats and unknown fields.
//!
//! The API server drops or rejects unknown fields of a custom resource, as the client requests.
//! drydock always rejects them, because a setting with a misspelt name has no effect. The check
//! interprets the schema of the custom resource, and [`FORMATS`] for fields with a format, so this
//! module contains no names of fields in `spec`.

use super::parse::Errors;
use crate::core::crd::constraints::FORMATS;
use crate::core::crd::format::Format;
use crate::core::document::type_name;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::{Map, Value};
use std::sync::LazyLock;

/// The schema of `spec`, from the committed custom resource definition. A test compares it with the
/// derived schema. Deriving it at run time would take three times as long as the rest of the start.
static SPEC: LazyLock<JSONSchemaProps> = LazyLock::new(|| {
    let committed = include_str!("../../../manifests/chart/crds/jobpodpolicies.yaml");
    // Deserializes into a `Value` first: to deserialize YAML directly into the typed object would
    // generate 20 times as much code.
    let definition: Value =
        serde_saphyr::from_str(committed).expect("the file should be valid YAML");
    let definition: CustomResourceDefinition =
        serde_json::from_value(definition).expect("the file should be a CustomResourceDefinition");
    let mut versions = definition.spec.versions.into_iter();
    let schema = versions.next().and_then(|version| version.schema);
    let schema = schema.and_then(|schema| schema.open_api_v3_schema);
    let spec = schema.and_then(|schema| schema.properties?.remove("spec"));
    spec.expect("the schema of a JobPodPolicy should have a spec")
});

/// Checks a policy against the schema. Removes invalid values and adds missing required fields, so
/// that parsing can continue and find other errors; [`overlap`] identifies errors that result from
/// this. A null in a known field counts as an absent field, as in the API.
pub(super) fn check(policy: &mut Value, errors: &mut Errors) {
    let Some(fields) = policy.as_object_mut() else {
        return;
    };
    fields.retain(|name, _| {
        let is_known = ["apiVersion", "kind", "metadata", "spec", "status"].contains(&&**name);
        if !is_known {
            errors.add(
                name,
                "is an unknown field; known fields: apiVersion, kind, metadata, spec",
            );
        }
        is_known
    });
    let spec = fields.entry("spec").or_insert(Value::Null);
    let path = FieldPath {
        path: "spec".to_owned(),
        schema_path: "spec".to_owned(),
    };
    if spec.is_null() {
        errors.add(
            "spec",
            "is missing; `drydock print policy` prints an example",
        );
    } else if path.check(spec, &SPEC, errors) {
        return;
    }
    *spec = placeholder(&SPEC);
}

/// Returns whether two fields are equal or one contains the other, as `spec.hostAliases[0]`
/// contains `spec.hostAliases[0].ip`.
pub(super) fn overlap(one: &str, other: &str) -> bool {
    let rest = one.strip_prefix(other).or(other.strip_prefix(one));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// The path of a value in a policy.
struct FieldPath {
    /// The path for messages, as in `spec.hostAliases[1].ip`.
    path: String,
    /// The path in the schema, as in `spec.hostAliases[].ip`.
    schema_path: String,
}

impl FieldPath {
    fn property(&self, name: &str) -> Self {
        Self {
            path: format!("{}.{name}", self.path),
            schema_path: format!("{}.{name}", self.schema_path),
        }
    }

    fn element(&self, key: impl std::fmt::Display, brackets: &str) -> Self {
        Self {
            path: format!("{}[{key}]", self.path),
            schema_path: format!("{}{brackets}", self.schema_path),
        }
    }

    /// Checks a value. Returns `false` if the caller must remove it.
    fn check(&self, value: &mut Value, schema: &JSONSchemaProps, errors: &mut Errors) -> bool {
        if let Err(problem) = check_type(value, schema) {
            errors.add(&self.path, problem);
            return false;
        }
        errors.extend(&self.path, size_problem(value, schema));
        let format = FORMATS.get(&self.schema_path);
        errors.extend(&self.path, format.and_then(|it| format_problem(value, it)));
        match value {
            Value::Object(fields) => self.check_object(fields, schema, errors),
            Value::Array(items) => {
                if let Some(JSONSchemaPropsOrArray::Schema(schema)) = &schema.items {
                    for (index, item) in items.iter_mut().enumerate() {
                        // Removing the item would change the indices in later messages.
                        if !self.element(index, "[]").check(item, schema, errors) {
                            *item = placeholder(schema);
                        }
                    }
                }
            }
            value => {
                let allowed = schema.enum_.iter().flatten();
                if allowed.clone().count() > 0 && !allowed.clone().any(|it| it.0 == *value) {
                    let names = alternatives(allowed);
                    errors.add(&self.path, format!("is {value}; use {names}"));
                    // If the field has a default, the caller removes the value, so that the
                    // default applies.
                    return schema.default.is_none();
                }
            }
        }
        true
    }

    fn check_object(
        &self,
        fields: &mut Map<String, Value>,
        schema: &JSONSchemaProps,
        errors: &mut Errors,
    ) {
        let property = |name: &str| schema.properties.as_ref().and_then(|all| all.get(name));
        let entries = schema.additional_properties.as_ref();
        fields.retain(|name, value| {
            !(value.is_null() && (entries.is_some() || property(name).is_some()))
        });
        let required = schema.required.iter().flatten();
        for name in required.filter(|name| !fields.contains_key(*name)) {
            errors.add(format!("{}.{name}", self.path), "is missing");
        }
        fields.retain(|name, value| match (property(name), entries) {
            (Some(schema), _) => self.property(name).check(value, schema, errors),
            (None, Some(JSONSchemaPropsOrBool::Schema(schema))) => {
                let format = FORMATS.get(&format!("{}{{key}}", self.schema_path));
                if let Some(Err(problem)) = format.map(|format| format.check(name)) {
                    errors.add(&self.path, format!("has the key \"{name}\", {problem}"));
                }
                self.element(name, "{}").check(value, schema, errors)
            }
            (None, _) => {
                let properties = schema.properties.iter().flatten();
                let known: Vec<&str> = properties.map(|(name, _)| name.as_str()).collect();
                let known = known.join(", ");
                let problem = format!("is an unknown field; known fields: {known}");
                errors.add(format!("{}.{name}", self.path), problem);
                false
            }
        });
        fill_in(fields, schema);
    }
}

/// Returns a value with the type of the schema, to replace a missing or invalid value.
fn placeholder(schema: &JSONSchemaProps) -> Value {
    if let Some(allowed) = schema.enum_.as_deref().and_then(<[_]>::first) {
        return allowed.0.clone();
    }
    match schema.type_.as_deref().unwrap_or("string") {
        "object" => {
            let mut fields = Map::new();
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

/// Adds the required fields that an object lacks.
fn fill_in(fields: &mut Map<String, Value>, schema: &JSONSchemaProps) {
    for name in schema.required.iter().flatten() {
        let property = schema.properties.as_ref().and_then(|all| all.get(name));
        if let (Some(property), false) = (property, fields.contains_key(name)) {
            fields.insert(name.clone(), placeholder(property));
        }
    }
}

fn check_type(value: &Value, schema: &JSONSchemaProps) -> Result<(), String> {
    let is_int_or_string = schema.x_kubernetes_int_or_string == Some(true);
    let is_int32 = schema.format.as_deref() == Some("int32");
    let expected = match schema.type_.as_deref() {
        None if is_int_or_string => "string",
        expected => expected.unwrap_or_default(),
    };
    let fits_i32 = |number: i64| i32::try_from(number).is_ok();
    let (name, fits) = match expected {
        "object" => ("an object", value.is_object()),
        "array" => ("a list", value.is_array()),
        "string" => (
            "a string",
            value.is_string() || (is_int_or_string && value.is_i64()),
        ),
        "boolean" => ("a boolean", value.is_boolean()),
        "integer" if is_int32 => (
            "an integer between -2147483648 and 2147483647",
            value.as_i64().is_some_and(fits_i32),
        ),
        "integer" => ("an integer", value.is_i64() || value.is_u64()),
        "number" => ("a number", value.is_number()),
        _ => return Ok(()),
    };
    if fits {
        return Ok(());
    }
    let is_scalar = !(value.is_object() || value.is_array());
    let found = match type_name(value) {
        name if is_scalar => format!("{value} ({name})"),
        name => name.to_owned(),
    };
    let hint = match &schema.enum_ {
        Some(allowed) => format!("; use {}", alternatives(allowed.iter())),
        None if expected == "string" && is_scalar => "; put it in quotes".to_owned(),
        None => String::new(),
    };
    Err(format!("is {found}, not {name}{hint}"))
}

/// Returns an error if a value is too long, too short, too large or too small.
fn size_problem(value: &Value, schema: &JSONSchemaProps) -> Option<String> {
    let (size, min, max, unit) = match value {
        Value::Array(items) => (items.len(), schema.min_items, schema.max_items, "items"),
        Value::Object(fields) => (fields.len(), None, schema.max_properties, "entries"),
        Value::String(text) => (text.chars().count(), None, schema.max_length, "characters"),
        Value::Number(number) => {
            let number = number.as_f64()?;
            let (min, max) = (schema.minimum?, schema.maximum?);
            return (number < min || number > max)
                .then(|| format!("is {number}, but must be between {min} and {max}"));
        }
        Value::Bool(_) | Value::Null => return None,
    };
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    match (min, max) {
        (_, Some(max)) if size > max => {
            Some(format!("has {size} {unit}, but must have at most {max}"))
        }
        (Some(min), _) if size < min => {
            Some(format!("has {size} {unit}, but must have at least {min}"))
        }
        _ => None,
    }
}

/// Returns an error if a string, or a number in its place, does not match a format. Omits strings
/// that are too long, because [`size_problem`] reports them.
fn format_problem(value: &Value, format: &Format) -> Option<String> {
    match value {
        Value::String(text) if text.chars().count() <= format.max_length => {
            format_error(text, format)
        }
        Value::Number(number) => {
            let problem = format.check(&number.to_string()).err()?;
            Some(format!("is {number}, {problem}"))
        }
        _ => None,
    }
}

/// Returns an error if a string does not match a format. The error is one line, even if the string
/// contains line breaks.
pub(super) fn format_error(text: &str, format: &Format) -> Option<String> {
    let problem = format.check(text).err()?;
    let escape = |char: char| match char.is_control() {
        true => char.escape_default().to_string(),
        false => char.to_string(),
    };
    let text: String = text.chars().map(escape).collect();
    Some(format!("is \"{text}\", {problem}"))
}

/// Joins allowed values, as in `Replace, Relocate, Report or Deny`.
fn alternatives<'a>(allowed: impl Iterator<Item = &'a JSON>) -> String {
    let names = allowed.filter_map(|allowed| allowed.0.as_str());
    let names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
    match names.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => names.concat(),
    }
}
