//! Finds the webhooks of drydock by the names of the webhooks, because the names of the namespace,
//! the Service and the MutatingWebhookConfiguration may differ between installations.

use super::label_selector::{Labels, selects};
use crate::names::OPT_IN_LABEL;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, MutatingWebhookConfiguration};
use k8s_openapi::api::core::v1::Namespace;

/// The suffix of the names of drydock's webhooks.
pub const WEBHOOK_SUFFIX: &str = "job-pods.drydock.dev";

/// A MutatingWebhookConfiguration that contains webhooks of drydock.
#[derive(Clone, Debug)]
pub struct Installation<'a> {
    /// The name of the configuration.
    pub configuration_name: &'a str,
    /// The configuration.
    pub configuration: &'a MutatingWebhookConfiguration,
    /// The webhooks of drydock in the configuration. There is at least one.
    pub webhooks: Vec<&'a MutatingWebhook>,
}

/// The Service that the API server calls.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServiceReference {
    /// The namespace of the Service.
    pub namespace: String,
    /// The name of the Service.
    pub name: String,
    /// The port of the Service.
    pub port: i32,
}

/// The mode of a namespace that has opted in.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum NamespaceMode {
    /// drydock changes job pods.
    Enforce,
    /// drydock only reports what it would change.
    Audit,
}

/// Returns the configurations that contain webhooks of drydock, sorted by name.
#[must_use]
pub fn installations(configurations: &[MutatingWebhookConfiguration]) -> Vec<Installation<'_>> {
    let mut found: Vec<_> = configurations.iter().filter_map(installation).collect();
    found.sort_by_key(|installation| installation.configuration_name);
    found
}

fn installation(configuration: &MutatingWebhookConfiguration) -> Option<Installation<'_>> {
    let all = configuration.webhooks.iter().flatten();
    let webhooks: Vec<_> = all
        .filter(|webhook| is_drydock_webhook(&webhook.name))
        .collect();
    (!webhooks.is_empty()).then_some(Installation {
        configuration_name: configuration.metadata.name.as_deref().unwrap_or_default(),
        configuration,
        webhooks,
    })
}

/// Returns whether a webhook with this name is a webhook of drydock.
#[must_use]
pub fn is_drydock_webhook(webhook: &str) -> bool {
    let rest = webhook.strip_suffix(WEBHOOK_SUFFIX);
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Returns the mode of a webhook. The URL path of the webhook determines the mode.
#[must_use]
pub fn mode_of(webhook: &MutatingWebhook) -> NamespaceMode {
    let how = &webhook.client_config;
    let of_service = how
        .service
        .as_ref()
        .and_then(|service| service.path.as_deref());
    let path = of_service.or(how.url.as_deref()).unwrap_or_default();
    if path.ends_with("/audit") {
        NamespaceMode::Audit
    } else {
        NamespaceMode::Enforce
    }
}

/// Returns the value of the opt-in label that the `namespaceSelector` of a webhook requires; `None`
/// if the selector does not require the label.
#[must_use]
pub fn opt_in_value(webhook: &MutatingWebhook) -> Option<&str> {
    let selector = webhook.namespace_selector.as_ref()?;
    let mut labels = selector.match_labels.iter().flatten();
    if let Some((_, value)) = labels.find(|(key, _)| *key == OPT_IN_LABEL) {
        return Some(value);
    }
    let mut expressions = selector.match_expressions.iter().flatten();
    let listed = expressions.find(|one| one.key == OPT_IN_LABEL && one.operator == "In")?;
    listed.values.as_ref()?.first().map(String::as_str)
}

/// Returns the prefix that the `matchConditions` of a webhook require in the names of namespaces;
/// `None` if they require no prefix.
#[must_use]
pub fn namespace_prefix(webhook: &MutatingWebhook) -> Option<&str> {
    const BEFORE: &str = "request.namespace.startsWith('";
    let mut conditions = webhook.match_conditions.iter().flatten();
    conditions.find_map(|condition| {
        let (_, rest) = condition.expression.split_once(BEFORE)?;
        rest.split('\'').next()
    })
}

/// Returns the values of the opt-in label that the webhooks select, each with its mode. If no
/// webhook selects a value, returns the default values.
#[must_use]
pub fn opt_in_values(installations: &[Installation<'_>]) -> Vec<(String, NamespaceMode)> {
    let webhooks = installations.iter().flat_map(|one| &one.webhooks);
    let values = webhooks.filter_map(|webhook| {
        opt_in_value(webhook).map(|value| (value.to_owned(), mode_of(webhook)))
    });
    let values: Vec<_> = values.collect();
    if values.is_empty() {
        let defaults = [NamespaceMode::Enforce, NamespaceMode::Audit];
        return defaults.map(|mode| (mode.name().to_owned(), mode)).into();
    }
    values
}

impl ServiceReference {
    /// Returns the command that prints drydock's log. Assumes that the Deployment has the same name
    /// as the Service.
    pub(super) fn logs_command(&self) -> String {
        format!(
            "kubectl -n {} logs deployment/{}",
            self.namespace, self.name
        )
    }
}

impl Installation<'_> {
    /// Returns the name of the configuration for `kubectl`: `mutatingwebhookconfiguration/NAME`.
    pub(super) fn title(&self) -> String {
        format!("mutatingwebhookconfiguration/{}", self.configuration_name)
    }

    /// Returns the command that prints drydock's log. If the webhooks have a URL, returns the
    /// command that prints the configuration.
    pub(super) fn logs_command(&self) -> String {
        let service = self.service();
        service.map_or_else(
            || format!("kubectl get {} -o yaml", self.title()),
            |service| service.logs_command(),
        )
    }

    /// Returns the first `caBundle` that is not empty.
    #[must_use]
    pub fn ca_bundle(&self) -> Option<String> {
        let webhooks = self.webhooks.iter();
        let mut bundles = webhooks.map(|webhook| super::installed::ca_bundle(webhook));
        bundles.find(|bundle| !bundle.trim().is_empty())
    }

    /// Returns the Service of the webhooks; `None` if they have a URL.
    #[must_use]
    pub fn service(&self) -> Option<ServiceReference> {
        let mut services = self
            .webhooks
            .iter()
            .filter_map(|webhook| webhook.client_config.service.as_ref());
        services.next().map(|service| ServiceReference {
            namespace: service.namespace.clone(),
            name: service.name.clone(),
            port: service.port.unwrap_or(443),
        })
    }

    /// Returns the mode of a namespace; `None` if no webhook selects it.
    #[must_use]
    pub fn mode_in(&self, namespace: &Namespace) -> Option<NamespaceMode> {
        let labels = labels_of(namespace);
        let name = namespace.metadata.name.as_deref().unwrap_or_default();
        let selecting = self.webhooks.iter().filter(|webhook| {
            selects(webhook.namespace_selector.as_ref(), &labels)
                && namespace_prefix(webhook).is_none_or(|prefix| name.starts_with(prefix))
        });
        selecting.map(|webhook| mode_of(webhook)).min()
    }
}

/// Returns the labels of a namespace, including `kubernetes.io/metadata.name`, which the API server
/// sets.
#[must_use]
pub fn labels_of(namespace: &Namespace) -> Labels {
    let mut labels = namespace.metadata.labels.clone().unwrap_or_default();
    if let Some(name) = &namespace.metadata.name {
        labels
            .entry("kubernetes.io/metadata.name".to_owned())
            .or_insert_with(|| name.clone());
    }
    labels
}

impl NamespaceMode {
    /// Returns the default value of the opt-in label for this mode.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Enforce => crate::names::ENFORCE,
            Self::Audit => crate::names::AUDIT,
        }
    }
}
