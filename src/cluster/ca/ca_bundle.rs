//! Reads the `caBundle` of drydock's webhooks, and records for how long it has contained each
//! authority.

use crate::cluster::distinct;
use crate::names::{FIELD_MANAGER, WEBHOOKS};
use crate::pki::authority::CaCertificate;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// The webhooks of drydock in a MutatingWebhookConfiguration, each with its `caBundle`.
#[derive(Clone, Debug, Default)]
pub(super) struct WebhookBundles {
    /// The name of the configuration.
    name: Option<String>,
    resource_version: Option<String>,
    /// The name and the `caBundle` of each webhook.
    webhooks: Vec<(String, Vec<u8>)>,
    /// The field managers of a `caBundle`, except drydock.
    other_writers: BTreeSet<String>,
}

impl WebhookBundles {
    pub(super) fn of(configuration: Option<&MutatingWebhookConfiguration>) -> Self {
        let Some(configuration) = configuration else {
            return Self::default();
        };
        let webhooks = configuration.webhooks.iter().flatten();
        let own = webhooks.filter(|it| WEBHOOKS.contains(&it.name.as_str()));
        let own = own.map(|webhook| {
            let bundle = webhook.client_config.ca_bundle.clone();
            (webhook.name.clone(), bundle.unwrap_or_default().0)
        });
        Self {
            name: configuration.metadata.name.clone(),
            resource_version: configuration.metadata.resource_version.clone(),
            webhooks: own.collect(),
            other_writers: other_writers(configuration),
        }
    }

    /// Returns the quoted names of up to three other field managers, or "another client" if there
    /// is none.
    pub(super) fn other_writers(&self) -> String {
        let names = self.other_writers.iter().take(3);
        let names: Vec<String> = names.map(|name| format!("{name:?}")).collect();
        match names.is_empty() {
            true => "another client".to_owned(),
            false => names.join(", "),
        }
    }

    /// Returns whether the configuration contains no webhook of drydock.
    pub(super) fn is_empty(&self) -> bool {
        self.webhooks.is_empty()
    }

    /// Returns whether the `caBundle` of any webhook differs from `bundle`.
    pub(super) fn differs_from(&self, bundle: &str) -> bool {
        let mut webhooks = self.webhooks.iter();
        webhooks.any(|(_, own)| own != bundle.as_bytes())
    }

    /// Returns the authorities that any webhook trusts.
    pub(super) fn trusted_by_any(&self) -> Vec<CaCertificate> {
        distinct(self.trusted_by_each().flatten())
    }

    /// Returns the authorities that all webhooks trust.
    fn trusted_by_all(&self) -> Vec<CaCertificate> {
        let common = self.trusted_by_each().reduce(|mut common, other| {
            common.retain(|certificate| other.contains(certificate));
            common
        });
        common.unwrap_or_default()
    }

    fn trusted_by_each(&self) -> impl Iterator<Item = Vec<CaCertificate>> {
        let bundles = self.webhooks.iter().map(|(_, bundle)| bundle);
        bundles.map(|bundle| CaCertificate::all_from_pem(&String::from_utf8_lossy(bundle)).0)
    }

    /// Returns the server-side apply patch that sets the `caBundle` of drydock's webhooks.
    ///
    /// The patch contains every webhook that was read, because a server-side apply gives up the
    /// fields that it omits. It contains no other webhook, because the API server would add that
    /// one. Its resourceVersion makes it fail if the configuration has changed since it was read.
    pub(super) fn patch(&self, bundle: &str) -> Value {
        let bundle = STANDARD.encode(bundle);
        let webhooks = self.webhooks.iter();
        let webhooks: Vec<Value> = webhooks
            .map(|(name, _)| json!({"name": name, "clientConfig": {"caBundle": bundle}}))
            .collect();
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": self.name, "resourceVersion": self.resource_version},
            "webhooks": webhooks,
        })
    }
}

fn other_writers(configuration: &MutatingWebhookConfiguration) -> BTreeSet<String> {
    let entries = configuration.metadata.managed_fields.iter().flatten();
    let of_bundle = entries.filter(|entry| {
        let fields = entry.fields_v1.as_ref();
        fields.is_some_and(|fields| fields.0.to_string().contains("\"f:caBundle\""))
    });
    let names = of_bundle.filter_map(|entry| entry.manager.clone());
    names.filter(|name| name != FIELD_MANAGER).collect()
}

/// The authorities that all webhooks trust, each with the times at which this replica first and
/// last observed this trust, by the monotonic clock. A rotation measures the overlap by them.
#[derive(Clone, Debug, Default)]
pub(super) struct TrustHistory(Vec<(CaCertificate, Instant, Instant)>);

impl TrustHistory {
    /// Records which authorities all webhooks trust at `now`, and removes all other authorities.
    pub(super) fn record(&mut self, bundles: &WebhookBundles, now: Instant) {
        let trusted = bundles.trusted_by_all().into_iter();
        let entries = trusted.map(|certificate| {
            let since = self.entry(&certificate).map_or(now, |(_, since, _)| *since);
            (certificate, since, now)
        });
        self.0 = entries.collect();
    }

    /// Returns for how long an authority has been trusted; `None` if it is not trusted.
    pub(super) fn trusted_for(&self, certificate: &CaCertificate) -> Option<Duration> {
        let (_, since, last) = self.entry(certificate)?;
        Some(last.saturating_duration_since(*since))
    }

    fn entry(&self, certificate: &CaCertificate) -> Option<&(CaCertificate, Instant, Instant)> {
        self.0.iter().find(|(trusted, ..)| trusted == certificate)
    }
}

#[cfg(test)]
mod tests;
