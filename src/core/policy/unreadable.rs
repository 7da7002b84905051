//! Policies that the API server has accepted and that this version cannot read (rule F3).
//!
//! drydock does not ignore an unreadable policy: the review of a pod that it may match is an error,
//! so that the `failurePolicy` of the webhook applies to the pod (F1).

use super::parse::{self, Errors};
use super::selector::Selector;
use super::set::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::Deserialize as _;
use serde_json::Value;

/// The operators of label selectors that this version supports.
const OPERATORS: [&str; 4] = ["In", "NotIn", "Exists", "DoesNotExist"];

/// An accepted policy that this version cannot read.
#[derive(Clone, Debug)]
pub struct UnreadablePolicy {
    /// `metadata.name`.
    pub name: String,
    /// The reason why this version cannot read the policy.
    pub problem: String,
    pod_selector: Selector,
    namespace_selector: Selector,
}

impl UnreadablePolicy {
    /// Parses the selectors of a spec. A selector that cannot be parsed matches everything. Returns
    /// `None` for an Audit policy, because an Audit policy changes no pod.
    pub fn new(name: &str, spec: &Value, problem: String) -> Option<Self> {
        let selector = |field: &str| {
            let selector = LabelSelector::deserialize(spec.get(field)?).ok()?;
            let mut expressions = selector.match_expressions.iter().flatten();
            let is_known = expressions.all(|it| OPERATORS.contains(&it.operator.as_str()));
            let mut errors = Errors::default();
            let selector = parse::selector(&selector, field, &mut errors);
            (is_known && errors.0.is_empty()).then_some(selector)
        };
        let is_audit = spec.get("mode").is_some_and(|mode| mode == "Audit");
        (!is_audit).then(|| Self {
            name: name.to_owned(),
            problem,
            pod_selector: selector("podSelector").unwrap_or_default(),
            namespace_selector: selector("namespaceSelector").unwrap_or_default(),
        })
    }

    /// Returns whether the policy may match a pod. A namespace whose labels are unknown counts as
    /// selected.
    pub(super) fn may_match<'l>(
        &self,
        label: impl Fn(&str) -> Option<&'l str>,
        namespace: Namespace<'_>,
    ) -> bool {
        let selector = &self.namespace_selector;
        let is_selected = selector.matches(|key| namespace.label(key));
        (namespace.labels.is_none() || is_selected) && self.pod_selector.matches(label)
    }

    pub(super) fn needs_namespace_labels(&self) -> bool {
        self.namespace_selector.keys().next().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::UnreadablePolicy;
    use crate::core::policy::set::{Labels, Namespace};
    use serde_json::{Value, json};

    fn matches(spec: &Value, labels: Option<&Labels>) -> Option<bool> {
        let policy = UnreadablePolicy::new("a", spec, String::new())?;
        let name = "ci";
        let label = |key: &str| (key == "team").then_some("mobile");
        Some(policy.may_match(label, Namespace { name, labels }))
    }

    #[test]
    fn f3_readable_selectors_limit_the_pods_that_a_policy_may_match() {
        let of = |team: &str| json!({"matchLabels": {"team": team}});
        let none = Labels::new();
        assert_eq!(matches(&json!({"future": 1}), None), Some(true));
        assert_eq!(
            matches(&json!({"podSelector": of("mobile")}), None),
            Some(true)
        );
        assert_eq!(
            matches(&json!({"podSelector": of("web")}), None),
            Some(false)
        );
        assert_eq!(matches(&json!({"podSelector": "web"}), None), Some(true));
        let operator = json!({"matchExpressions": [{"key": "team", "operator": "Like"}]});
        assert_eq!(matches(&json!({"podSelector": operator}), None), Some(true));
        let namespaces = json!({"namespaceSelector": of("web")});
        assert_eq!(matches(&namespaces, None), Some(true), "unknown labels");
        assert_eq!(matches(&namespaces, Some(&none)), Some(false));
        assert_eq!(matches(&json!({"mode": "Audit"}), None), None);
    }
}
