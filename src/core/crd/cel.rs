//! A [`Form`] in a schema: as a rule in CEL or as a pattern, and which form such a rule or pattern stands for.

use super::form::{self, Fault, Form};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::ValidationRule;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// What of a value must have a form.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Subject {
    /// A string.
    Text,
    /// Every key of a map.
    Keys,
}

/// Returns the rule that refuses a value without the form. It says what `drydock check` says.
pub(super) fn rule(form: &Form, subject: Subject) -> ValidationRule {
    let text = match subject {
        Subject::Text => "self",
        Subject::Keys => "key",
    };
    let holds = conjunction(form, text);
    let words = format!(r#""\", " + {}"#, chosen_words(form.faults, text));
    let (rule, said) = match subject {
        Subject::Text => (holds, format!(r#""is \"" + {text} + {words}"#)),
        Subject::Keys => (
            format!("self.all(key, {holds})"),
            format!(r#"self.map(key, !({holds}), "has the key \"" + key + {words})[0]"#),
        ),
    };
    ValidationRule {
        rule,
        message_expression: Some(said),
        // The API server takes it where the value has a line break.
        message: Some(first_words(form).to_owned()),
        ..ValidationRule::default()
    }
}

/// The rules of all forms.
static RULES: LazyLock<BTreeMap<Text, (&'static Form, Subject)>> = LazyLock::new(|| {
    const SUBJECTS: [Subject; 2] = [Subject::Text, Subject::Keys];
    let all = form::ALL
        .iter()
        .flat_map(|form| SUBJECTS.map(|subject| (*form, subject)));
    all.map(|(form, subject)| (text(rule(form, subject)), (form, subject)))
        .collect()
});

/// Returns the form that a rule stands for, and for what; `None` for a rule that was written by hand.
#[must_use]
pub fn form_of(rule: &ValidationRule) -> Option<(&'static Form, Subject)> {
    RULES.get(&text(rule.clone())).copied()
}

/// Returns a form as a pattern, for what CEL cannot see into; `None` where more than one thing can be wrong.
pub(super) fn pattern(form: &Form) -> Option<&'static str> {
    match form.faults {
        [fault] if fault.wanted => Some(fault.pattern),
        _ => None,
    }
}

/// Returns the form that a pattern of the schema stands for.
#[must_use]
pub fn form_of_pattern(text: &str) -> Option<&'static Form> {
    form::ALL
        .iter()
        .copied()
        .find(|form| pattern(form) == Some(text))
}

/// A rule and what it says: two forms may differ in their words only.
type Text = (String, Option<String>);

fn text(rule: ValidationRule) -> Text {
    (rule.rule, rule.message_expression)
}

/// A string as CEL writes it, which JSON does alike.
fn literal(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn first_words(form: &Form) -> &'static str {
    form.faults.first().map_or("", |fault| fault.words)
}

fn conjunction(form: &Form, text: &str) -> String {
    let conditions: Vec<String> = form
        .faults
        .iter()
        .map(|fault| condition(fault, text))
        .collect();
    conditions.join(" && ")
}

fn condition(fault: &Fault, text: &str) -> String {
    let not = if fault.wanted { "" } else { "!" };
    format!("{not}{text}.matches(r'{}')", fault.pattern)
}

/// The words of the first fault that a text has, as an expression.
fn chosen_words(faults: &[Fault], text: &str) -> String {
    match faults {
        [] => literal(""),
        [last] => literal(last.words),
        [first, others @ ..] => format!(
            "({} ? {} : {})",
            condition(first, text),
            chosen_words(others, text),
            literal(first.words)
        ),
    }
}
