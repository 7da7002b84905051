//! Which webhooks are drydock's: known by their names, so that namespace and Service may have any.

use super::label_selector::{Labels, selects};
use crate::names::OPT_IN_LABEL;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, MutatingWebhookConfiguration};
use k8s_openapi::api::core::v1::Namespace;

/// How the names of drydock's webhooks end.
pub const WEBHOOK_SUFFIX: &str = "job-pods.drydock.dev";

/// A configuration that registers drydock.
#[derive(Clone, Debug)]
pub struct Installation<'a> {
    /// The configuration's name.
    pub configuration: &'a str,
    /// The whole configuration.
    pub object: &'a MutatingWebhookConfiguration,
    /// Those of its webhooks that are drydock's; at least one.
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

/// What becomes of the pods of a namespace.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum NamespaceMode {
    /// They are changed.
    Enforce,
    /// They are only looked at.
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

/// Returns what a webhook is for: drydock's path for audits says so.
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

/// Returns the value of the label by which namespaces opt in to a webhook, where it selects by that
/// label.
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

/// Returns the beginning of the names of the namespaces that a webhook is called for, where it asks
/// for one.
#[must_use]
pub fn prefix(webhook: &MutatingWebhook) -> Option<&str> {
    const BEFORE: &str = "request.namespace.startsWith('";
    let mut conditions = webhook.match_conditions.iter().flatten();
    conditions.find_map(|condition| {
        let (_, rest) = condition.expression.split_once(BEFORE)?;
        rest.split('\'').next()
    })
}

/// Returns the values of the label, each with what it opts in to; those that ship where the
/// webhooks are not known.
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
    /// Returns the command that prints drydock's log; its Deployment is named like its Service.
    pub(super) fn logs(&self) -> String {
        format!(
            "kubectl -n {} logs deployment/{}",
            self.namespace, self.name
        )
    }
}

impl Installation<'_> {
    /// Returns its configuration as `kubectl` names it.
    pub(super) fn title(&self) -> String {
        format!("mutatingwebhookconfiguration/{}", self.configuration)
    }

    /// Returns a command that shows more: drydock's log, or the configuration of a URL.
    pub(super) fn logs(&self) -> String {
        let service = self.service();
        service.map_or_else(
            || format!("kubectl get {} -o yaml", self.title()),
            |service| service.logs(),
        )
    }

    /// Returns the first `caBundle` that is not empty.
    #[must_use]
    pub fn bundle(&self) -> Option<String> {
        let webhooks = self.webhooks.iter();
        let mut bundles = webhooks.map(|webhook| super::installed::bundle(webhook));
        bundles.find(|bundle| !bundle.trim().is_empty())
    }

    /// Returns the Service that it names; nothing where it names a URL.
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

    /// Returns what becomes of the pods of a namespace; nothing where no webhook selects it.
    #[must_use]
    pub fn mode_in(&self, namespace: &Namespace) -> Option<NamespaceMode> {
        let labels = labels_of(namespace);
        let name = namespace.metadata.name.as_deref().unwrap_or_default();
        let selecting = self.webhooks.iter().filter(|webhook| {
            selects(webhook.namespace_selector.as_ref(), &labels)
                && prefix(webhook).is_none_or(|prefix| name.starts_with(prefix))
        });
        selecting.map(|webhook| mode_of(webhook)).min()
    }
}

/// Returns the labels of a namespace, with the one that every API server adds.
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
    /// Returns the value of the label that namespaces opt in by.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Enforce => crate::names::ENFORCE,
            Self::Audit => crate::names::AUDIT,
        }
    }
}
