//! What the schema says about one value: its type, its bounds, its form.

use super::super::parse::Errors;
use crate::core::crd::{self, Subject};
use crate::core::document::type_name;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSON, JSONSchemaProps};
use serde_json::Value;

/// Checks the type; says what the value is instead.
pub(super) fn has_type(value: &Value, schema: &JSONSchemaProps) -> Result<(), String> {
    let int_or_string = schema.x_kubernetes_int_or_string == Some(true);
    let expected = match schema.type_.as_deref() {
        None if int_or_string => "string",
        expected => expected.unwrap_or_default(),
    };
    let is_of_type = match expected {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string() || (int_or_string && value.is_i64()),
        "boolean" => value.is_boolean(),
        "integer" => is_integer(value, schema),
        "number" => value.is_number(),
        _ => true,
    };
    if is_of_type {
        Ok(())
    } else {
        Err(wrong_type(value, expected, schema))
    }
}

fn is_integer(value: &Value, schema: &JSONSchemaProps) -> bool {
    match schema.format.as_deref() {
        Some("int32") => value
            .as_i64()
            .is_some_and(|number| i32::try_from(number).is_ok()),
        _ => value.is_i64() || value.is_u64(),
    }
}

/// Checks that it is neither too long nor too large.
pub(super) fn check_size(value: &Value, schema: &JSONSchemaProps, path: &str, errors: &mut Errors) {
    let (size, least, most, unit) = match value {
        Value::Array(items) => (items.len(), schema.min_items, schema.max_items, "items"),
        Value::Object(fields) => (fields.len(), None, schema.max_properties, "entries"),
        Value::String(text) => (text.chars().count(), None, schema.max_length, "characters"),
        Value::Number(number) => {
            check_range(number.as_f64(), schema, path, errors);
            return;
        }
        Value::Bool(_) | Value::Null => return,
    };
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    if let Some(most) = most.filter(|most| size > *most) {
        errors.add(
            path,
            format!("has {size} {unit}, but at most {most} are allowed"),
        );
    }
    if let Some(least) = least.filter(|least| size < *least) {
        errors.add(
            path,
            format!("has {size} {unit}, but needs {least} or more"),
        );
    }
}

fn check_range(number: Option<f64>, schema: &JSONSchemaProps, path: &str, errors: &mut Errors) {
    let (Some(number), Some(least), Some(most)) = (number, schema.minimum, schema.maximum) else {
        return;
    };
    if number < least || number > most {
        errors.add(path, format!("is {number}, not between {least} and {most}"));
    }
}

/// Checks the form of a text that is not too long, or of a number that stands for one.
pub(super) fn check_forms(
    value: &Value,
    schema: &JSONSchemaProps,
    path: &str,
    errors: &mut Errors,
) {
    let by_pattern = schema.pattern.as_deref().and_then(crd::form_of_pattern);
    let rules = schema.x_kubernetes_validations.iter().flatten();
    let by_rules = rules.filter_map(|rule| match crd::form_of(rule) {
        Some((form, Subject::Text)) => Some(form),
        _ => None,
    });
    for form in by_rules.chain(by_pattern) {
        match value {
            Value::String(text) if text.chars().count() <= form.longest => {
                errors.check(path, text, form);
            }
            Value::Number(number) => {
                if let Err(problem) = form.check(&number.to_string()) {
                    errors.add(path, format!("is {number}, {problem}"));
                }
            }
            _ => {}
        }
    }
}

/// Checks the form of a key of a map.
pub(super) fn check_key(key: &str, schema: &JSONSchemaProps, path: &str, errors: &mut Errors) {
    for rule in schema.x_kubernetes_validations.iter().flatten() {
        let Some((form, Subject::Keys)) = crd::form_of(rule) else {
            continue;
        };
        if let Err(problem) = form.check(key) {
            errors.add(path, format!("has the key \"{key}\", {problem}"));
        }
    }
}

/// Checks the value against an enumeration; returns whether the value can stay. Only a field of one of drydock's own enumerations cannot,
/// and each of them has a default.
pub(super) fn is_allowed(
    value: &Value,
    schema: &JSONSchemaProps,
    path: &str,
    errors: &mut Errors,
) -> bool {
    let Some(allowed) = &schema.enum_ else {
        return true;
    };
    let fits = allowed.iter().any(|allowed| allowed.0 == *value);
    if !fits {
        errors.add(path, format!("is {value}; use {}", alternatives(allowed)));
    }
    fits || schema.default.is_none()
}

/// As in `Replace, Relocate, Report or Deny`.
fn alternatives(allowed: &[JSON]) -> String {
    let names: Vec<&str> = allowed
        .iter()
        .filter_map(|allowed| allowed.0.as_str())
        .filter(|name| !name.is_empty())
        .collect();
    match names.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => names.concat(),
    }
}

fn wrong_type(value: &Value, expected: &str, schema: &JSONSchemaProps) -> String {
    let article = if matches!(expected, "object" | "array" | "integer") {
        "an"
    } else {
        "a"
    };
    let expected = match (expected, schema.format.as_deref()) {
        ("array", _) => "list".to_owned(),
        ("integer", Some("int32")) => "integer between -2147483648 and 2147483647".to_owned(),
        (expected, _) => expected.to_owned(),
    };
    let article = if expected == "list" { "a" } else { article };
    let found = match value {
        Value::Object(_) | Value::Array(_) => type_name(value).to_owned(),
        scalar => format!("{scalar} ({})", type_name(scalar)),
    };
    let hint = match &schema.enum_ {
        Some(allowed) => format!("; use {}", alternatives(allowed)),
        None if expected == "string" && !(value.is_object() || value.is_array()) => {
            "; put it in quotes".to_owned()
        }
        None => String::new(),
    };
    format!("is {found}, not {article} {expected}{hint}")
}
