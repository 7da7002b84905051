//! Label selectors, as the API server evaluates them.

use super::parse::Errors;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// A label selector, parsed. The empty one matches everything.
#[derive(Clone, Debug, Default)]
pub struct Selector {
    requirements: Vec<Requirement>,
}

#[derive(Clone, Debug)]
struct Requirement {
    key: String,
    operator: Operator,
}

#[derive(Clone, Debug)]
enum Operator {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    DoesNotExist,
}

impl Selector {
    /// Whether the labels that `value_of` looks up match.
    pub fn matches<'v>(&self, value_of: impl Fn(&str) -> Option<&'v str>) -> bool {
        self.requirements.iter().all(|requirement| {
            let value = value_of(&requirement.key);
            match &requirement.operator {
                Operator::In(values) => {
                    value.is_some_and(|value| values.iter().any(|v| v == value))
                }
                Operator::NotIn(values) => {
                    value.is_none_or(|value| values.iter().all(|v| v != value))
                }
                Operator::Exists => value.is_some(),
                Operator::DoesNotExist => value.is_none(),
            }
        })
    }

    /// Returns the label keys that it asks for.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.requirements
            .iter()
            .map(|requirement| requirement.key.as_str())
    }

    /// Returns a label that must have one of some values, and the values, where it asks for one.
    #[must_use]
    pub fn listed(&self) -> Option<(&str, &[String])> {
        self.requirements
            .iter()
            .find_map(|requirement| match &requirement.operator {
                Operator::In(values) => Some((requirement.key.as_str(), values.as_slice())),
                _ => None,
            })
    }

    /// Parses a selector that the schema takes; what is wrong goes to `errors`, under `path`.
    pub(super) fn parse(selector: Option<&LabelSelector>, path: &str, errors: &mut Errors) -> Self {
        let mut requirements = Vec::new();
        let Some(selector) = selector else {
            return Self::default();
        };
        for (key, value) in selector.match_labels.iter().flatten() {
            requirements.push(Requirement {
                key: key.clone(),
                operator: Operator::In(vec![value.clone()]),
            });
        }
        for (index, expression) in selector.match_expressions.iter().flatten().enumerate() {
            let path = format!("{path}.matchExpressions[{index}]");
            let values = expression.values.clone().unwrap_or_default();
            let operator = match (expression.operator.as_str(), values.is_empty()) {
                ("In", false) => Operator::In(values),
                ("NotIn", false) => Operator::NotIn(values),
                ("Exists", true) => Operator::Exists,
                ("DoesNotExist", true) => Operator::DoesNotExist,
                ("In" | "NotIn", true) => {
                    errors.add(
                        format!("{path}.values"),
                        format!(
                            "is empty, but {} needs at least one value",
                            expression.operator
                        ),
                    );
                    continue;
                }
                ("Exists" | "DoesNotExist", false) => {
                    errors.add(
                        format!("{path}.values"),
                        format!("must be left out with {}", expression.operator),
                    );
                    continue;
                }
                // The schema names the operators that there are.
                _ => continue,
            };
            requirements.push(Requirement {
                key: expression.key.clone(),
                operator,
            });
        }
        Self { requirements }
    }
}
