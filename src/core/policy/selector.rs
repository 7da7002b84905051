//! Evaluates label selectors as the API server does.

/// A label selector. An empty selector matches everything.
#[derive(Clone, Debug, Default)]
pub struct Selector {
    pub(super) requirements: Vec<Requirement>,
}

/// A requirement on one label.
#[derive(Clone, Debug)]
pub(super) struct Requirement {
    key: String,
    /// The values of the requirement. `None` means any value.
    values: Option<Vec<String>>,
    /// If `true`, the label must have one of the values (`In`, `Exists`). If `false`, it must not
    /// have any of them (`NotIn`, `DoesNotExist`).
    must_match: bool,
}

impl Requirement {
    pub(super) fn of(key: &str, values: Option<Vec<String>>, must_match: bool) -> Self {
        Self {
            key: key.to_owned(),
            values,
            must_match,
        }
    }
}

impl Selector {
    /// Returns whether the selector matches an object; `value_of` returns the value of a label.
    pub(crate) fn matches<'v>(&self, value_of: impl Fn(&str) -> Option<&'v str>) -> bool {
        self.requirements.iter().all(|requirement| {
            let is_listed = value_of(&requirement.key).is_some_and(|value| {
                let values = requirement.values.as_ref();
                values.is_none_or(|values| values.iter().any(|listed| listed == value))
            });
            is_listed == requirement.must_match
        })
    }

    /// Returns the keys of the requirements.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        let requirements = self.requirements.iter();
        requirements.map(|requirement| requirement.key.as_str())
    }

    /// Returns the key and values of the first requirement that lists values to match.
    pub(crate) fn listed(&self) -> Option<(&str, &[String])> {
        let mut required = self.requirements.iter().filter(|it| it.must_match);
        required.find_map(|it| Some((it.key.as_str(), it.values.as_deref()?)))
    }
}
