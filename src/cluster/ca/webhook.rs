//! What the webhook configuration says now: the `caBundle` of drydock's webhooks, and since when which authority has been in it.

#[cfg(test)]
mod tests;

use crate::names::{AUDIT_WEBHOOK, ENFORCE_WEBHOOK, NAME};
use crate::pki::authority::CaCertificate;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// drydock's webhooks in the configuration, as they are there.
#[derive(Clone, Debug, Default)]
pub(super) struct Live {
    resource_version: Option<String>,
    webhooks: Vec<Webhook>,
    /// Who else has written a `caBundle`, as the API server notes it.
    rivals: BTreeSet<String>,
}

#[derive(Clone, Debug)]
struct Webhook {
    name: String,
    bundle: Vec<u8>,
}

impl Live {
    pub(super) fn of(configuration: &MutatingWebhookConfiguration) -> Self {
        let webhooks = configuration.webhooks.iter().flatten();
        let own =
            webhooks.filter(|it| [ENFORCE_WEBHOOK, AUDIT_WEBHOOK].contains(&it.name.as_str()));
        let webhooks = own.map(|webhook| Webhook {
            name: webhook.name.clone(),
            bundle: webhook
                .client_config
                .ca_bundle
                .clone()
                .unwrap_or_default()
                .0,
        });
        Self {
            resource_version: configuration.metadata.resource_version.clone(),
            webhooks: webhooks.collect(),
            rivals: rivals(configuration),
        }
    }

    /// Says who else has written a bundle.
    pub(super) fn rivals(&self) -> String {
        let names: Vec<String> = self
            .rivals
            .iter()
            .take(3)
            .map(|it| format!("{it:?}"))
            .collect();
        match names.is_empty() {
            true => "somebody else".to_owned(),
            false => names.join(", "),
        }
    }

    /// Whether there is no webhook of drydock's.
    pub(super) fn is_empty(&self) -> bool {
        self.webhooks.is_empty()
    }

    /// Whether a webhook has another bundle.
    pub(super) fn differs_from(&self, bundle: &str) -> bool {
        let mut webhooks = self.webhooks.iter();
        webhooks.any(|webhook| webhook.bundle != bundle.as_bytes())
    }

    /// Returns the authorities that any webhook trusts.
    pub(super) fn trusted_by_any(&self) -> Vec<CaCertificate> {
        let mut trusted = Vec::new();
        for certificate in self.webhooks.iter().flat_map(Webhook::trusted) {
            if !trusted.contains(&certificate) {
                trusted.push(certificate);
            }
        }
        trusted
    }

    /// Returns the authorities that all webhooks trust.
    fn trusted_by_all(&self) -> Vec<CaCertificate> {
        let Some((first, others)) = self.webhooks.split_first() else {
            return Vec::new();
        };
        let mut trusted = first.trusted();
        for other in others {
            let of_other = other.trusted();
            trusted.retain(|certificate| of_other.contains(certificate));
        }
        trusted
    }

    /// Returns the server-side apply that gives every webhook that is there the bundle, and nothing else.
    ///
    /// All of them each time: one left out would lose its bundle, for drydock would give up the field. None that is not there: it would be
    /// made, without the fields that it must have. The version keeps it from being written to what has changed since it was read.
    pub(super) fn patch(&self, bundle: &str) -> Value {
        use base64::Engine as _;
        let bundle = base64::engine::general_purpose::STANDARD.encode(bundle);
        let webhooks: Vec<Value> = self
            .webhooks
            .iter()
            .map(|webhook| json!({"name": webhook.name, "clientConfig": {"caBundle": bundle}}))
            .collect();
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": NAME, "resourceVersion": self.resource_version},
            "webhooks": webhooks,
        })
    }
}

/// Returns the managers of fields, other than drydock, that have written a `caBundle`.
fn rivals(configuration: &MutatingWebhookConfiguration) -> BTreeSet<String> {
    let entries = configuration.metadata.managed_fields.iter().flatten();
    let of_bundle = entries.filter(|entry| {
        let fields = entry.fields_v1.as_ref();
        fields.is_some_and(|fields| fields.0.to_string().contains("\"f:caBundle\""))
    });
    let names = of_bundle.filter_map(|entry| entry.manager.clone());
    names.filter(|name| name != NAME).collect()
}

impl Webhook {
    fn trusted(&self) -> Vec<CaCertificate> {
        CaCertificate::all_from_pem(&String::from_utf8_lossy(&self.bundle)).0
    }
}

/// Since when which authority has been trusted by all webhooks, as far as this replica has seen: the clock of the overlap.
///
/// By a clock that only goes forward, and from look to look: time in which nobody looked does not count.
#[derive(Clone, Debug, Default)]
pub(super) struct InForce(Vec<(CaCertificate, Instant, Instant)>);

impl InForce {
    /// Takes in what is there now. One that was away begins anew.
    pub(super) fn note(&mut self, live: &Live, now: Instant) {
        let trusted = live.trusted_by_all();
        let since = |certificate: &CaCertificate| {
            let known = self.0.iter().find(|(known, ..)| known == certificate);
            known.map_or(now, |(_, since, _)| *since)
        };
        let noted = trusted.into_iter().map(|certificate| {
            let since = since(&certificate);
            (certificate, since, now)
        });
        self.0 = noted.collect();
    }

    /// Returns for how long an authority has been trusted; nothing where it is not.
    pub(super) fn how_long(&self, certificate: &CaCertificate) -> Option<Duration> {
        let known = self.0.iter().find(|(known, ..)| known == certificate);
        known.map(|(_, since, seen)| seen.saturating_duration_since(*since))
    }
}
