//! Other webhooks that change job pods, and whether they see a pod before or after drydock.
//!
//! The API server calls configurations by name, and the webhooks of one in its order. A webhook
//! with `reinvocationPolicy: IfNeeded` is called once more when one after it has changed the pod.
//! Source:
//! <https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#reinvocation-policy>

use super::facts::Facts;
use super::installation::{Installation, installations, is_drydocks, labels_of};
use super::labels::{Labels, selects};
use super::namespaces::{OptedIn, opted_in};
use super::probe::Kind;
use super::report::Check;
use super::words::list;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, MutatingWebhookConfiguration};

const NAME: &str = "other-webhook";

pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    let (Ok(configurations), Ok(namespaces)) = (&facts.configurations, &facts.namespaces) else {
        return Vec::new();
    };
    let opted_in = opted_in(Some(configurations), namespaces);
    let own = installations(configurations);
    let Some(own) = own.first().filter(|_| !opted_in.is_empty()) else {
        return Vec::new();
    };
    let mut checks: Vec<Check> = configurations
        .iter()
        .flat_map(|configuration| {
            let webhooks = configuration.webhooks.iter().flatten();
            webhooks.filter_map(|webhook| other(own, configuration, webhook, &opted_in))
        })
        .collect();
    if checks.is_empty() {
        checks.push(Check::good(
            NAME,
            "no other webhook changes job pods of these namespaces",
        ));
    }
    checks
}

fn other(
    own: &Installation<'_>,
    configuration: &MutatingWebhookConfiguration,
    webhook: &MutatingWebhook,
    opted_in: &[OptedIn<'_>],
) -> Option<Check> {
    if is_drydocks(&webhook.name)
        || !webhook
            .rules
            .iter()
            .flatten()
            .any(super::installed::covers_pods)
        || !selects_a_job_pod(webhook)
    {
        return None;
    }
    let seen: Vec<&str> = opted_in
        .iter()
        .filter(|one| selects(webhook.namespace_selector.as_ref(), &labels_of(one.object)))
        .map(|one| one.name)
        .collect();
    if seen.is_empty() {
        return None;
    }
    let name = configuration.metadata.name.as_deref().unwrap_or_default();
    let object = format!("mutatingwebhookconfiguration/{name}");
    let title = format!("{} ({})", webhook.name, list(&seen));
    let comes_first = name < own.configuration;
    let is_called_again = own
        .webhooks
        .iter()
        .all(|webhook| webhook.reinvocation_policy.as_deref() == Some("IfNeeded"));
    let check = if comes_first {
        Check::good(
            NAME,
            format!("{title} is called before drydock, which sees what it changed"),
        )
    } else if is_called_again {
        Check::good(
            NAME,
            format!("{title} is called after drydock, which is called again if it changes the pod"),
        )
    } else {
        Check::warning(
            NAME,
            format!("{title} is called after drydock, which is not called again"),
            "What it adds to a job pod, a container with a volume at /certs/client for one, is not repaired: drydock's reinvocationPolicy is not IfNeeded.",
        )
        .next(format!("kubectl get mutatingwebhookconfiguration {} -o yaml", own.configuration))
    };
    Some(check.about(object))
}

/// By its objectSelector, some generation of job pods.
fn selects_a_job_pod(webhook: &MutatingWebhook) -> bool {
    Kind::GENERATIONS.iter().any(|kind| {
        let pod = kind.pod();
        let labels: Labels = pod
            .pointer("/metadata/labels")
            .and_then(|labels| serde_json::from_value(labels.clone()).ok())
            .unwrap_or_default();
        selects(webhook.object_selector.as_ref(), &labels)
    })
}
