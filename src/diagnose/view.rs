//! Facts and conclusions that several sections use.

use super::facts::Facts;
use super::installation::{
    Installation, NamespaceMode, ServiceName, installations, labels_of, opt_in_values,
};
use super::label_selector::Labels;
use super::policy_set::StoredPolicy;
use crate::core::policy::Policy;
use crate::names::OPT_IN_LABEL;
use k8s_openapi::api::core::v1::Namespace;

/// The facts, and the conclusions that several sections use.
#[derive(Debug)]
pub struct View<'a> {
    /// The facts.
    pub facts: &'a Facts,
    /// The configurations that register drydock; empty if they could not be read.
    pub installations: Vec<Installation<'a>>,
    /// The namespaces that opted in.
    pub opted_in: Vec<OptedIn<'a>>,
    /// The policies, including those that cannot be parsed.
    pub stored: Vec<StoredPolicy>,
    /// The values of the opt-in label, and the mode of each.
    values: Vec<(String, NamespaceMode)>,
}

/// A namespace that a webhook of drydock selects.
#[derive(Clone, Debug)]
pub struct OptedIn<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether its job pods are changed or only audited.
    pub mode: NamespaceMode,
    /// The object.
    pub object: &'a Namespace,
}

impl<'a> View<'a> {
    /// Computes the conclusions.
    #[must_use]
    pub fn of(facts: &'a Facts) -> Self {
        let configurations = facts.configurations.as_deref().unwrap_or_default();
        let installations = installations(configurations);
        let values = opt_in_values(&installations);
        let mut view = Self {
            facts,
            installations,
            opted_in: Vec::new(),
            stored: facts
                .policies
                .iter()
                .flatten()
                .map(StoredPolicy::read)
                .collect(),
            values,
        };
        let alive = view.namespaces().iter();
        let alive = alive.filter(|one| one.metadata.deletion_timestamp.is_none());
        view.opted_in = alive
            .filter_map(|object| {
                let name = object.metadata.name.as_deref()?;
                let mode = view.mode_in(object)?;
                Some(OptedIn { name, mode, object })
            })
            .collect();
        view
    }

    /// By the selectors of the webhooks; by the label if the webhooks are unknown.
    fn mode_in(&self, namespace: &Namespace) -> Option<NamespaceMode> {
        if self.installations.is_empty() {
            return self.mode_of_value(label(namespace)?);
        }
        let all = self.installations.iter();
        all.filter_map(|one| one.mode_in(namespace)).min()
    }

    /// Returns the namespaces; none if they could not be read.
    #[must_use]
    pub fn namespaces(&self) -> &'a [Namespace] {
        self.facts.namespaces.as_deref().unwrap_or_default()
    }

    pub(super) fn namespace(&self, name: &str) -> Option<&'a Namespace> {
        let mut all = self.namespaces().iter();
        all.find(|one| one.metadata.name.as_deref() == Some(name))
    }

    pub(super) fn labels_of(&self, namespace: &str) -> Option<Labels> {
        self.namespace(namespace).map(labels_of)
    }

    pub(super) fn opted_in(&self, name: &str) -> Option<&OptedIn<'a>> {
        self.opted_in.iter().find(|one| one.name == name)
    }

    /// Returns the mode of a value of the opt-in label.
    pub(super) fn mode_of_value(&self, value: &str) -> Option<NamespaceMode> {
        let mut found = self.values.iter().filter(|(known, _)| known == value);
        found.next().map(|(_, mode)| *mode)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(|(value, _)| value.as_str())
    }

    /// Returns the value of the opt-in label for enforce.
    pub(super) fn enforce(&self) -> &str {
        let mut all = self.values.iter();
        let own = all.find(|(_, mode)| *mode == NamespaceMode::Enforce);
        own.map_or(NamespaceMode::Enforce.name(), |(value, _)| value)
    }

    /// Returns the Service that the API server calls.
    #[must_use]
    pub fn service(&self) -> Option<ServiceName> {
        self.installations.first()?.service()
    }

    /// Returns the policies that can be parsed.
    pub fn policies(&self) -> impl Iterator<Item = &Policy> {
        self.stored
            .iter()
            .filter_map(|one| one.policy.as_ref().ok())
    }

    /// Returns the namespaces that opted in and that a policy selects.
    pub fn selected_by(&self, policy: &Policy) -> impl Iterator<Item = &OptedIn<'a>> {
        self.opted_in.iter().filter(|namespace| {
            let labels = labels_of(namespace.object);
            let value = |key: &str| labels.get(key).map(String::as_str);
            policy.namespace_selector.matches(value)
        })
    }
}

/// Returns the value of the opt-in label of a namespace.
pub(super) fn label(namespace: &Namespace) -> Option<&str> {
    let labels = namespace.metadata.labels.as_ref()?;
    labels.get(OPT_IN_LABEL).map(String::as_str)
}
