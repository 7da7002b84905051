//! Checks the CRD and the webhooks of drydock: their rules, selectors and `caBundle`.

use super::facts::Facts;
use super::finding::installed as finding;
use super::installation::{
    Installation, NamespaceMode, labels_of, mode_of, namespace_prefix, opt_in_value,
};
use super::label_selector::selects;
use super::report::Check;
use super::text::{duration, list};
use super::view::View;
use crate::core::crd;
use crate::names::OPT_IN_LABEL;
use crate::pki::authority::CaCertificate;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, RuleWithOperations};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

/// The remaining lifetime in seconds below which the renewal of a CA is overdue. drydock renews its
/// CA four months before the expiry, cert-manager after two thirds of the lifetime.
const RENEWAL_OVERDUE: i64 = 30 * 24 * 60 * 60;

pub(super) fn checks(view: &View<'_>) -> Vec<Check> {
    let mut checks = vec![crd_check(view.facts)];
    if let Err(error) = &view.facts.webhook_configurations {
        checks.push(error.check("whether the API server calls drydock"));
        return checks;
    }
    checks.push(registered(&view.installations));
    for installation in &view.installations {
        let object = installation.title();
        let webhooks = installation.webhooks.iter();
        let own = webhooks.flat_map(|webhook| webhook_checks(installation, webhook));
        let own = own.chain([ca_bundle_check(installation, view.facts.now)]);
        checks.extend(own.map(|check| check.about(&object)));
    }
    checks
}

fn crd_check(facts: &Facts) -> Check {
    let installed = match &facts.crd {
        Ok(Some(crd)) => crd,
        Ok(None) => return finding::definition_missing(),
        Err(error) => return error.check("whether the CRD matches this version of drydock"),
    };
    if !is_established(installed) {
        finding::definition_not_served()
    } else if schema(installed) != schema(&crd::definition()) {
        finding::definition_differs()
    } else {
        let text = "the CRD jobpodpolicies.drydock.dev matches this version of drydock";
        Check::good("definition", text)
    }
}

fn is_established(crd: &CustomResourceDefinition) -> bool {
    let status = crd.status.iter();
    let mut conditions = status.flat_map(|status| status.conditions.iter().flatten());
    conditions.any(|condition| condition.type_ == "Established" && condition.status == "True")
}

fn schema(crd: &CustomResourceDefinition) -> Value {
    let mut versions = crd.spec.versions.iter();
    let version = versions.find(|version| version.name == crd::VERSION && version.served);
    version.map_or(Value::Null, |version| {
        serde_json::to_value(&version.schema).unwrap_or_default()
    })
}

fn registered(installations: &[Installation<'_>]) -> Check {
    let one = match installations {
        [] => return finding::not_registered(),
        [one] => one,
        several => {
            let names = list(several.iter().map(|one| one.configuration_name));
            return finding::registered_twice(several.len(), names);
        }
    };
    let modes = one.webhooks.iter().map(|webhook| mode_of(webhook));
    if modes.clone().all(|mode| mode == NamespaceMode::Audit) {
        return finding::only_audit(one.title()).about(one.title());
    }
    let names = list(modes.map(NamespaceMode::name));
    let text = format!("webhooks for these modes are registered: {names}");
    Check::good("registered", text).about(one.title())
}

/// Returns a Namespace with which to evaluate selectors. `value` is the value of its opt-in label;
/// if `value` is `None`, the Namespace has no labels.
fn example_namespace(name: &str, value: Option<&str>) -> Namespace {
    let labels = value.map(|value| (OPT_IN_LABEL.to_owned(), value.to_owned()));
    Namespace {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels.into_iter().collect()),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    }
}

/// Checks a webhook. Evaluates its selectors for example objects, because selectors that differ
/// from the selectors in the manifests may select the same objects.
fn webhook_checks(installation: &Installation<'_>, webhook: &MutatingWebhook) -> Vec<Check> {
    let (name, object) = (&webhook.name, installation.title());
    let selected =
        |namespace: &Namespace| selects(webhook.namespace_selector.as_ref(), &labels_of(namespace));
    let own = opt_in_value(webhook);
    let is_by_label = namespace_prefix(webhook).is_none();
    let mut checks = Vec::new();
    if !webhook.rules.iter().flatten().any(covers_pods) {
        checks.push(finding::not_for_pods(name, &object));
    }
    if is_by_label && !own.is_some_and(|value| selected(&example_namespace("any", Some(value)))) {
        checks.push(finding::selects_no_namespaces(name, OPT_IN_LABEL, &object));
    }
    if !selects_job_pods(webhook) {
        checks.push(finding::selects_no_job_pods(name, &object));
    }
    if is_by_label && selected(&example_namespace("any", None)) {
        checks.push(finding::selects_all_namespaces(name, &object));
    }
    let drydock = installation.service().map(|service| service.namespace);
    for excluded in drydock.into_iter().chain(["kube-system".to_owned()]) {
        if selected(&example_namespace(&excluded, own)) {
            checks.push(finding::selects_own_namespace(name, excluded, &object));
        }
    }
    if !matches!(webhook.side_effects.as_str(), "None" | "NoneOnDryRun") {
        checks.push(finding::has_side_effects(
            name,
            &webhook.side_effects,
            &object,
        ));
    }
    checks.extend(failure_policy(webhook));
    checks
}

pub(super) fn covers_pods(rule: &RuleWithOperations) -> bool {
    let has = |list: &Option<Vec<String>>, wanted: &[&str]| {
        let mut items = list.iter().flatten();
        items.any(|item| wanted.contains(&item.as_str()))
    };
    has(&rule.operations, &["CREATE", "*"])
        && has(&rule.api_groups, &["", "*"])
        && has(&rule.api_versions, &["v1", "*"])
        && has(&rule.resources, &["pods", "*", "*/*"])
}

/// Returns whether the `objectSelector` selects pods with the label `pod`, which every runner sets.
fn selects_job_pods(webhook: &MutatingWebhook) -> bool {
    let label = ("pod", "runner-a-project-1-concurrent-0");
    let labels = [(label.0.to_owned(), label.1.to_owned())].into();
    selects(webhook.object_selector.as_ref(), &labels)
}

fn failure_policy(webhook: &MutatingWebhook) -> Option<Check> {
    let name = &webhook.name;
    let ignores_failures = webhook.failure_policy.as_deref() == Some("Ignore");
    let text = match (mode_of(webhook), ignores_failures) {
        (NamespaceMode::Audit, true) => return None,
        (NamespaceMode::Audit, false) => return Some(finding::audit_stops_jobs(name)),
        (NamespaceMode::Enforce, true) => {
            format!(
                "{name} has failurePolicy: Ignore, so job pods are created without changes while drydock is down"
            )
        }
        (NamespaceMode::Enforce, false) => {
            format!(
                "{name} has failurePolicy: Fail, so no job pod can be created while drydock is down"
            )
        }
    };
    Some(Check::info("failure-policy", text))
}

fn ca_bundle_check(installation: &Installation<'_>, now: i64) -> Check {
    let logs = installation.logs_command();
    let mut first_to_expire: Option<i64> = None;
    for webhook in &installation.webhooks {
        let text = ca_bundle(webhook);
        if text.trim().is_empty() {
            if webhook.client_config.url.is_some() {
                continue;
            }
            return finding::no_ca_bundle(&webhook.name, logs);
        }
        let (certificates, unreadable) = CaCertificate::all_from_pem(&text);
        let last = certificates.iter().map(CaCertificate::expires).max();
        let Some(last) = last.filter(|_| unreadable == 0) else {
            return finding::ca_bundle_unreadable(&webhook.name, logs);
        };
        let first = first_to_expire.unwrap_or(i64::MAX);
        first_to_expire = Some(first.min(last.as_second()));
    }
    let Some(expires) = first_to_expire else {
        let text = "the webhooks have a URL and no caBundle, so the API server uses its system trust roots";
        return Check::info("ca-bundle", text);
    };
    match expires - now {
        left if left <= 0 => finding::ca_bundle_expired(duration(-left), logs),
        left if left < RENEWAL_OVERDUE => finding::ca_bundle_expires(duration(left), logs),
        left => Check::good(
            "ca-bundle",
            format!("the caBundle is valid for {}", duration(left)),
        ),
    }
}

/// Returns the `caBundle` of a webhook, or an empty string if there is none.
pub(super) fn ca_bundle(webhook: &MutatingWebhook) -> String {
    let bytes = webhook.client_config.ca_bundle.as_ref();
    bytes.map_or_else(String::new, |bytes| {
        String::from_utf8_lossy(&bytes.0).into_owned()
    })
}
