//! The way around in a schema, and what is put into it.

use crate::core::crd::cel::{self, Subject};
use crate::core::crd::form::Form;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool, ValidationRule,
};

/// Returns the schema at a path below another: `hostnames[]` are the items of a list, `matchLabels{}` the values of a map.
pub(super) fn at<'s>(schema: &'s mut JSONSchemaProps, path: &str) -> &'s mut JSONSchemaProps {
    let spaced = path.replace("[]", ".[]").replace("{}", ".{}");
    spaced
        .split('.')
        .filter(|step| !step.is_empty())
        .fold(schema, |schema, step| {
            below(schema, step).expect("a test derives the schema, so that each path is there")
        })
}

fn below<'s>(schema: &'s mut JSONSchemaProps, step: &str) -> Option<&'s mut JSONSchemaProps> {
    match step {
        "[]" => match schema.items.as_mut()? {
            JSONSchemaPropsOrArray::Schema(items) => Some(items),
            JSONSchemaPropsOrArray::Schemas(_) => None,
        },
        "{}" => match schema.additional_properties.as_mut()? {
            JSONSchemaPropsOrBool::Schema(values) => Some(values),
            JSONSchemaPropsOrBool::Bool(_) => None,
        },
        name => schema.properties.as_mut()?.get_mut(name),
    }
}

/// Calls `change` with a schema and all that are in it.
pub(super) fn each(schema: &mut JSONSchemaProps, change: &mut impl FnMut(&mut JSONSchemaProps)) {
    change(schema);
    for property in schema.properties.iter_mut().flatten() {
        each(property.1, change);
    }
    for step in ["[]", "{}"] {
        if let Some(inner) = below(schema, step) {
            each(inner, change);
        }
    }
}

/// A line of a doc comment ends where the source is wide enough, and `kubectl explain` wraps by itself: only sentences, paragraphs and
/// points of a list begin lines.
pub(super) fn join_lines(description: &mut Option<String>) {
    let Some(text) = description else {
        return;
    };
    let mut joined = String::new();
    for (index, line) in text.split('\n').enumerate() {
        let begins = joined.ends_with(['.', '\n'])
            || line.is_empty()
            || line.starts_with([' ', '\t', '-', '`', '<']);
        if index > 0 {
            joined.push(if begins { '\n' } else { ' ' });
        }
        joined.push_str(line);
    }
    *text = joined;
}

/// A list has at most so many items.
pub(super) fn bound_items(list: &mut JSONSchemaProps, most: i64) {
    list.max_items = Some(most);
}

/// A string is one of these.
pub(super) fn one_of(string: &mut JSONSchemaProps, allowed: &[&str]) {
    string.enum_ = Some(allowed.iter().map(|value| JSON((*value).into())).collect());
}

/// An object has these fields.
pub(super) fn require(object: &mut JSONSchemaProps, fields: &[&str]) {
    let required = object.required.get_or_insert_default();
    required.extend(fields.iter().map(|field| (*field).to_owned()));
}

/// A string has a form.
pub(super) fn text(string: &mut JSONSchemaProps, form: &Form) {
    bound_length(string, form);
    push(string, cel::rule(form, Subject::Text));
}

/// A quantity, which may be a number from `least`, has a form. By a pattern: up to Kubernetes 1.30 CEL takes a string that might be a number
/// for one of any length, whatever the schema says, and the rule for too dear.
pub(super) fn quantity(quantity: &mut JSONSchemaProps, form: &Form, least: f64) {
    bound_length(quantity, form);
    quantity.pattern = cel::pattern(form).map(ToOwned::to_owned);
    quantity.minimum = Some(least);
}

/// The keys of a map have a form.
pub(super) fn keys(map: &mut JSONSchemaProps, form: &Form) {
    push(map, cel::rule(form, Subject::Keys));
}

fn bound_length(string: &mut JSONSchemaProps, form: &Form) {
    string.max_length = i64::try_from(form.longest).ok();
}

/// What is said where a rule does not hold, in words that follow the field.
#[derive(Clone, Copy)]
pub(super) enum Said<'a> {
    /// These words.
    Always(&'a str),
    /// What an expression gives.
    By(&'a str),
    /// What an expression gives, or these words where that would be too dear.
    Mostly(&'a str, &'a str),
}

/// Adds a rule. `field` is the one to blame, as in `.hostnames`; empty for the value itself.
pub(super) fn refuse(schema: &mut JSONSchemaProps, unless: &str, field: &str, said: Said<'_>) {
    let (message, expression) = match said {
        Said::Always(words) => (Some(words), None),
        Said::By(expression) => (None, Some(expression)),
        Said::Mostly(words, expression) => (Some(words), Some(expression)),
    };
    push(
        schema,
        ValidationRule {
            rule: unless.to_owned(),
            message: message.map(ToOwned::to_owned),
            message_expression: expression.map(ToOwned::to_owned),
            field_path: Some(field.to_owned()).filter(|field| !field.is_empty()),
            // With the reason that is the default, the API server would show the whole object or list as the invalid value.
            reason: Some("FieldValueForbidden".to_owned()),
            ..ValidationRule::default()
        },
    );
}

fn push(schema: &mut JSONSchemaProps, rule: ValidationRule) {
    schema
        .x_kubernetes_validations
        .get_or_insert_default()
        .push(rule);
}
