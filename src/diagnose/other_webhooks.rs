//! Reports the other mutating webhooks that the API server calls for job pods, and whether it calls
//! them before or after drydock.
//!
//! The API server calls the webhooks in the order of the names of their configurations. It calls a
//! webhook with `reinvocationPolicy: IfNeeded` again if a later webhook has changed the pod.
//! Source:
//! <https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#reinvocation-policy>

use super::dry_run_pods::PodKind;
use super::finding::jobs as finding;
use super::installation::{Installation, is_drydock_webhook, labels_of};
use super::installed::covers_pods;
use super::label_selector::{Labels, selects};
use super::report::Check;
use super::text::list;
use super::view::View;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, MutatingWebhookConfiguration};

const NAME: &str = "other-webhook";

pub(super) fn checks(view: &View<'_>) -> Vec<Check> {
    let own = view.installations.first();
    let Some(own) = own.filter(|_| !view.opted_in.is_empty()) else {
        return Vec::new();
    };
    let all = view.facts.webhook_configurations.iter().flatten();
    let pairs = all.flat_map(|configuration| {
        let webhooks = configuration.webhooks.iter().flatten();
        webhooks.map(move |webhook| (configuration, webhook))
    });
    let mut checks: Vec<Check> = pairs
        .filter_map(|(configuration, webhook)| other(view, own, configuration, webhook))
        .collect();
    if checks.is_empty() {
        let text = "no other mutating webhook is called for job pods";
        checks.push(Check::info(NAME, text));
    }
    checks
}

fn other(
    view: &View<'_>,
    own: &Installation<'_>,
    configuration: &MutatingWebhookConfiguration,
    webhook: &MutatingWebhook,
) -> Option<Check> {
    let is_called = !is_drydock_webhook(&webhook.name)
        && webhook.rules.iter().flatten().any(covers_pods)
        && selects_a_job_pod(webhook);
    let selector = webhook.namespace_selector.as_ref();
    let namespaces = view.opted_in.iter();
    let namespaces = namespaces.filter(|one| selects(selector, &labels_of(one.object)));
    let mut namespaces = namespaces.map(|one| one.name).peekable();
    if !is_called || namespaces.peek().is_none() {
        return None;
    }
    let name = configuration.metadata.name.as_deref().unwrap_or_default();
    let (other, namespaces) = (&webhook.name, list(namespaces));
    let is_called_first = name < own.configuration_name;
    let is_called_again = own
        .webhooks
        .iter()
        .all(|webhook| webhook.reinvocation_policy.as_deref() == Some("IfNeeded"));
    let check = match (is_called_first, is_called_again) {
        (true, _) => {
            let text = format!(
                "{other} (in {namespaces}) is called before drydock, so drydock sees its changes"
            );
            Check::info(NAME, text)
        }
        (false, true) => {
            let text = format!(
                "{other} (in {namespaces}) is called after drydock; if it changes the pod, drydock is called again"
            );
            Check::info(NAME, text)
        }
        (false, false) => finding::other_webhook_last(other, namespaces, own.title()),
    };
    Some(check.about(format!("mutatingwebhookconfiguration/{name}")))
}

/// Returns whether the `objectSelector` selects a job pod of at least one generation of runners.
fn selects_a_job_pod(webhook: &MutatingWebhook) -> bool {
    PodKind::GENERATIONS.iter().any(|kind| {
        let pod = kind.pod();
        let labels = pod.pointer("/metadata/labels").cloned().unwrap_or_default();
        let labels: Labels = serde_json::from_value(labels).unwrap_or_default();
        selects(webhook.object_selector.as_ref(), &labels)
    })
}
