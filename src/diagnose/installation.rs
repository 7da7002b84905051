//! The webhooks of drydock. Their names identify them, so that an installation can choose the names
//! of its namespace and Service.

use super::label_selector::{Labels, selects};
use crate::names::OPT_IN_LABEL;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, MutatingWebhookConfiguration};
use k8s_openapi::api::core::v1::Namespace;

/// The suffix of the names of drydock's webhooks.
pub const WEBHOOK_SUFFIX: &str = "job-pods.drydock.dev";

/// A configuration that registers drydock.
#[derive(Clone, Debug)]
pub struct Installation<'a> {
    /// The name of the configuration.
    pub configuration: &'a str,
    /// The configuration.
    pub object: &'a MutatingWebhookConfiguration,
    /// Its webhooks that are drydock's; at least one.
    pub webhooks: Vec<&'a MutatingWebhook>,
}

/// The Service that the API server calls.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServiceName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its port.
    pub port: i32,
}

/// The mode of a namespace that opted in.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum NamespaceMode {
    /// Job pods are changed.
    Enforce,
    /// drydock only reports what it would change.
    Audit,
}

/// Returns the configurations that register drydock, by name.
#[must_use]
pub fn installations(configurations: &[MutatingWebhookConfiguration]) -> Vec<Installation<'_>> {
    let mut found: Vec<_> = configurations.iter().filter_map(installation).collect();
    found.sort_by_key(|installation| installation.configuration);
    found
}

fn installation(object: &MutatingWebhookConfiguration) -> Option<Installation<'_>> {
    let all = object.webhooks.iter().flatten();
    let webhooks: Vec<_> = all.filter(|webhook| is_drydocks(&webhook.name)).collect();
    (!webhooks.is_empty()).then_some(Installation {
        configuration: object.metadata.name.as_deref().unwrap_or_default(),
        object,
        webhooks,
    })
}

/// Whether a webhook of this name is drydock's.
#[must_use]
pub fn is_drydocks(webhook: &str) -> bool {
    let rest = webhook.strip_suffix(WEBHOOK_SUFFIX);
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Returns the mode of a webhook, by the path that it calls.
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

/// Returns the value of the opt-in label that a webhook selects, if it selects by that label.
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

/// Returns the prefix of the names of the namespaces that a webhook selects, if it selects by name.
#[must_use]
pub fn namespace_prefix(webhook: &MutatingWebhook) -> Option<&str> {
    const BEFORE: &str = "request.namespace.startsWith('";
    let mut conditions = webhook.match_conditions.iter().flatten();
    conditions.find_map(|condition| {
        let (_, rest) = condition.expression.split_once(BEFORE)?;
        rest.split('\'').next()
    })
}

/// Returns the values of the opt-in label and the mode of each; those that ship if the webhooks are
/// unknown.
#[must_use]
pub fn opt_in_values(installations: &[Installation<'_>]) -> Vec<(String, NamespaceMode)> {
    let webhooks = installations.iter().flat_map(|one| &one.webhooks);
    let values = webhooks.filter_map(|webhook| {
        opt_in_value(webhook).map(|value| (value.to_owned(), mode_of(webhook)))
    });
    let values: Vec<_> = values.collect();
    if values.is_empty() {
        let shipped = [NamespaceMode::Enforce, NamespaceMode::Audit];
        return shipped.map(|mode| (mode.name().to_owned(), mode)).into();
    }
    values
}

impl ServiceName {
    /// Returns the command that prints drydock's log. The Deployment has the name of the Service.
    pub(super) fn logs(&self) -> String {
        format!(
            "kubectl -n {} logs deployment/{}",
            self.namespace, self.name
        )
    }
}

impl Installation<'_> {
    /// Returns the name of its configuration for `kubectl`.
    pub(super) fn title(&self) -> String {
        format!("mutatingwebhookconfiguration/{}", self.configuration)
    }

    /// Returns the command that prints drydock's log or, for a URL, the configuration.
    pub(super) fn logs(&self) -> String {
        let service = self.service();
        service.map_or_else(
            || format!("kubectl get {} -o yaml", self.title()),
            |service| service.logs(),
        )
    }

    /// Returns its first `caBundle` that is not empty.
    #[must_use]
    pub fn bundle(&self) -> Option<String> {
        let webhooks = self.webhooks.iter();
        let mut bundles = webhooks.map(|webhook| super::installed::bundle(webhook));
        bundles.find(|bundle| !bundle.trim().is_empty())
    }

    /// Returns the Service of its webhooks; `None` if they have a URL.
    #[must_use]
    pub fn service(&self) -> Option<ServiceName> {
        let mut services = self
            .webhooks
            .iter()
            .filter_map(|webhook| webhook.client_config.service.as_ref());
        services.next().map(|service| ServiceName {
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

/// Returns the labels of a namespace, with the name label that the API server adds.
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
    /// Returns the default value of the opt-in label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Enforce => crate::names::ENFORCE,
            Self::Audit => crate::names::AUDIT,
        }
    }
}
