//! What several sections need of the facts, computed once.

use super::facts::Facts;
use super::installation::{
    Installation, NamespaceMode, ServiceName, installations, labels_of, opt_in_values,
};
use super::label_selector::Labels;
use super::policy_set::Stored;
use crate::core::policy::Policy;
use crate::names::OPT_IN_LABEL;
use k8s_openapi::api::core::v1::Namespace;

/// The facts, with what follows from them at once.
#[derive(Debug)]
pub struct View<'a> {
    /// As they were read.
    pub facts: &'a Facts,
    /// The configurations that register drydock; empty where they could not be read.
    pub installations: Vec<Installation<'a>>,
    /// The namespaces that opted in.
    pub opted_in: Vec<OptedIn<'a>>,
    /// The policies, readable or not.
    pub stored: Vec<Stored>,
    /// The values of the label, each with what it opts in to.
    values: Vec<(String, NamespaceMode)>,
}

/// A namespace whose job pods the API server shows to drydock.
#[derive(Clone, Debug)]
pub struct OptedIn<'a> {
    /// Its name.
    pub name: &'a str,
    /// What becomes of its job pods.
    pub mode: NamespaceMode,
    /// The whole object.
    pub object: &'a Namespace,
}

impl<'a> View<'a> {
    /// Looks at facts.
    #[must_use]
    pub fn of(facts: &'a Facts) -> Self {
        let configurations = facts.configurations.as_deref().unwrap_or_default();
        let installations = installations(configurations);
        let values = opt_in_values(&installations);
        let mut view = Self {
            facts,
            installations,
            opted_in: Vec::new(),
            stored: facts.policies.iter().flatten().map(Stored::read).collect(),
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

    /// Those that the webhooks select; where the webhooks are not known, those with the label.
    fn mode_in(&self, namespace: &Namespace) -> Option<NamespaceMode> {
        if self.installations.is_empty() {
            return self.mode_of_value(label(namespace)?);
        }
        let all = self.installations.iter();
        all.filter_map(|one| one.mode_in(namespace)).min()
    }

    /// Returns the namespaces; none where they could not be read.
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

    /// Returns what a value of the label opts in to.
    pub(super) fn mode_of_value(&self, value: &str) -> Option<NamespaceMode> {
        let mut found = self.values.iter().filter(|(known, _)| known == value);
        found.next().map(|(_, mode)| *mode)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(|(value, _)| value.as_str())
    }

    /// Returns the value by which a namespace opts in to changes.
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

    /// Returns the policies that can be read.
    pub fn policies(&self) -> impl Iterator<Item = &Policy> {
        self.stored
            .iter()
            .filter_map(|one| one.policy.as_ref().ok())
    }

    /// Returns the namespaces that a policy selects, among those that opted in.
    pub fn selected_by(&self, policy: &Policy) -> impl Iterator<Item = &OptedIn<'a>> {
        self.opted_in.iter().filter(|namespace| {
            let labels = labels_of(namespace.object);
            let value = |key: &str| labels.get(key).map(String::as_str);
            policy.namespace_selector.matches(value)
        })
    }
}

/// Returns the value of the label by which a namespace opts in.
pub(super) fn label(namespace: &Namespace) -> Option<&str> {
    let labels = namespace.metadata.labels.as_ref()?;
    labels.get(OPT_IN_LABEL).map(String::as_str)
}
