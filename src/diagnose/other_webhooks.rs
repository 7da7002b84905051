//! Other webhooks that change job pods, and whether they are called before or after drydock.
//!
//! The API server calls the configurations in the order of their names. It calls a webhook with
//! `reinvocationPolicy: IfNeeded` again if a later webhook has changed the pod.
//! Source:
//! <https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#reinvocation-policy>

use super::dry_run_pods::PodKind;
use super::finding::jobs as finding;
use super::installation::{Installation, is_drydocks, labels_of};
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
    let all = view.facts.configurations.iter().flatten();
    let pairs = all.flat_map(|configuration| {
        let webhooks = configuration.webhooks.iter().flatten();
        webhooks.map(move |webhook| (configuration, webhook))
    });
    let mut checks: Vec<Check> = pairs
        .filter_map(|(configuration, webhook)| other(view, own, configuration, webhook))
        .collect();
    if checks.is_empty() {
        let text = "no other webhook changes job pods";
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
    let sees_job_pods = !is_drydocks(&webhook.name)
        && webhook.rules.iter().flatten().any(covers_pods)
        && selects_a_job_pod(webhook);
    let selector = webhook.namespace_selector.as_ref();
    let seen = view.opted_in.iter();
    let seen = seen.filter(|one| selects(selector, &labels_of(one.object)));
    let mut seen = seen.map(|one| one.name).peekable();
    if !sees_job_pods || seen.peek().is_none() {
        return None;
    }
    let name = configuration.metadata.name.as_deref().unwrap_or_default();
    let (other, seen) = (&webhook.name, list(seen));
    let comes_first = name < own.configuration;
    let is_called_again = own
        .webhooks
        .iter()
        .all(|webhook| webhook.reinvocation_policy.as_deref() == Some("IfNeeded"));
    let check = match (comes_first, is_called_again) {
        (true, _) => {
            let text =
                format!("{other} (in {seen}) is called before drydock, which sees its changes");
            Check::info(NAME, text)
        }
        (false, true) => {
            let text = format!(
                "{other} (in {seen}) is called after drydock; if it changes the pod, drydock is called again"
            );
            Check::info(NAME, text)
        }
        (false, false) => finding::other_webhook_last(other, seen, own.title()),
    };
    Some(check.about(format!("mutatingwebhookconfiguration/{name}")))
}

/// Whether the objectSelector selects job pods of at least one generation.
fn selects_a_job_pod(webhook: &MutatingWebhook) -> bool {
    PodKind::GENERATIONS.iter().any(|kind| {
        let pod = kind.pod();
        let labels = pod.pointer("/metadata/labels").cloned().unwrap_or_default();
        let labels: Labels = serde_json::from_value(labels).unwrap_or_default();
        selects(webhook.object_selector.as_ref(), &labels)
    })
}
