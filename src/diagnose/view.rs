//! Derives values from the facts: installations, opted-in namespaces and policies. Several sections
//! use these values.

use super::facts::Facts;
use super::installation::{
    Installation, NamespaceMode, ServiceReference, installations, labels_of, opt_in_values,
};
use super::label_selector::Labels;
use super::policy_set::StoredPolicy;
use crate::core::policy::Policy;
use crate::names::OPT_IN_LABEL;
use k8s_openapi::api::core::v1::Namespace;

/// The facts, and values derived from them that several sections use.
#[derive(Debug)]
pub struct View<'a> {
    /// The facts.
    pub facts: &'a Facts,
    /// The configurations that contain webhooks of drydock. Empty if they could not be read.
    pub installations: Vec<Installation<'a>>,
    /// The namespaces that have opted in.
    pub opted_in: Vec<OptedInNamespace<'a>>,
    /// All policies, including invalid ones.
    pub stored: Vec<StoredPolicy>,
    /// The values of the opt-in label, each with its mode.
    opt_in_values: Vec<(String, NamespaceMode)>,
}

/// A namespace that has opted in: a webhook of drydock selects it.
#[derive(Clone, Debug)]
pub struct OptedInNamespace<'a> {
    /// The name of the namespace.
    pub name: &'a str,
    /// Whether drydock changes or only audits the job pods in the namespace.
    pub mode: NamespaceMode,
    /// The Namespace object.
    pub object: &'a Namespace,
}

impl<'a> View<'a> {
    /// Derives the values from the facts.
    #[must_use]
    pub fn of(facts: &'a Facts) -> Self {
        let configurations = facts.webhook_configurations.as_deref().unwrap_or_default();
        let installations = installations(configurations);
        let opt_in_values = opt_in_values(&installations);
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
            opt_in_values,
        };
        let alive = view.namespaces().iter();
        let alive = alive.filter(|one| one.metadata.deletion_timestamp.is_none());
        view.opted_in = alive
            .filter_map(|object| {
                let name = object.metadata.name.as_deref()?;
                let mode = view.mode_in(object)?;
                Some(OptedInNamespace { name, mode, object })
            })
            .collect();
        view
    }

    /// Returns the mode of a namespace by the selectors of the webhooks. If the webhooks are
    /// unknown, the opt-in label determines the mode.
    fn mode_in(&self, namespace: &Namespace) -> Option<NamespaceMode> {
        if self.installations.is_empty() {
            return self.mode_of_label_value(opt_in_label(namespace)?);
        }
        let all = self.installations.iter();
        all.filter_map(|one| one.mode_in(namespace)).min()
    }

    /// Returns the namespaces. Empty if they could not be read.
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

    pub(super) fn opted_in(&self, name: &str) -> Option<&OptedInNamespace<'a>> {
        self.opted_in.iter().find(|one| one.name == name)
    }

    /// Returns the mode for a value of the opt-in label.
    pub(super) fn mode_of_label_value(&self, value: &str) -> Option<NamespaceMode> {
        let mut found = self
            .opt_in_values
            .iter()
            .filter(|(known, _)| known == value);
        found.next().map(|(_, mode)| *mode)
    }

    pub(super) fn opt_in_values(&self) -> impl Iterator<Item = &str> {
        self.opt_in_values.iter().map(|(value, _)| value.as_str())
    }

    /// Returns the value of the opt-in label for enforce mode.
    pub(super) fn enforce_value(&self) -> &str {
        let mut all = self.opt_in_values.iter();
        let own = all.find(|(_, mode)| *mode == NamespaceMode::Enforce);
        own.map_or(NamespaceMode::Enforce.name(), |(value, _)| value)
    }

    /// Returns the Service that the API server calls.
    #[must_use]
    pub fn service(&self) -> Option<ServiceReference> {
        self.installations.first()?.service()
    }

    /// Returns the valid policies.
    pub fn policies(&self) -> impl Iterator<Item = &Policy> {
        self.stored
            .iter()
            .filter_map(|one| one.policy.as_ref().ok())
    }

    /// Returns the namespaces that have opted in and that the policy selects.
    pub fn selected_by(&self, policy: &Policy) -> impl Iterator<Item = &OptedInNamespace<'a>> {
        self.opted_in.iter().filter(|namespace| {
            let labels = labels_of(namespace.object);
            let value = |key: &str| labels.get(key).map(String::as_str);
            policy.namespace_selector.matches(value)
        })
    }
}

/// Returns the value of the opt-in label of a namespace.
pub(super) fn opt_in_label(namespace: &Namespace) -> Option<&str> {
    let labels = namespace.metadata.labels.as_ref()?;
    labels.get(OPT_IN_LABEL).map(String::as_str)
}
