//! Whether drydock is registered as it ships: definition, webhooks, selectors, `caBundle`.

use super::facts::Facts;
use super::installation::{
    Installation, NamespaceMode, installations, labels_of, mode_of, opt_in_value, prefix,
};
use super::labels::selects;
use super::report::Check;
use super::words::{count, lasting, list, plural};
use crate::core::crd;
use crate::names::OPT_IN_LABEL;
use crate::pki::authority::CaCertificate;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, RuleWithOperations};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

/// drydock renews its own authority four months before its end; cert-manager a third of the life
/// before.
const SOON: i64 = 30 * 24 * 60 * 60;
const INSTALL: &str = "kubectl apply --server-side -k manifests";

pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    let mut checks = vec![definition(facts)];
    let configurations = match &facts.configurations {
        Ok(configurations) => configurations,
        Err(unread) => {
            let unknown = "whether the API server calls drydock at all";
            checks.push(unread.check("webhooks-registered", unknown));
            return checks;
        }
    };
    let installations = installations(configurations);
    checks.push(registered(&installations));
    for installation in &installations {
        for webhook in &installation.webhooks {
            checks.extend(webhook_selects(installation, webhook));
        }
        checks.extend(failure_policies(installation));
        checks.push(ca_bundle(installation, facts.now));
    }
    checks
}

fn definition(facts: &Facts) -> Check {
    const NAME: &str = "definition";
    let apply = "drydock print crd | kubectl apply --server-side -f -";
    let definition = match &facts.definition {
        Ok(Some(definition)) => definition,
        Ok(None) => {
            return Check::error(
                NAME,
                "JobPodPolicy is not defined",
                "There can be no policy, so no job pod is repaired.",
            )
            .next(apply);
        }
        Err(unread) => {
            return unread.check(NAME, "whether the definition is the one of this version");
        }
    };
    if !is_established(definition) {
        return Check::error(
            NAME,
            "the API server does not serve JobPodPolicy",
            "Policies cannot be read, so a replica that starts is not ready.",
        )
        .next("kubectl describe crd jobpodpolicies.drydock.dev");
    }
    let own = crd::definition();
    if schema(definition) == schema(&own) {
        return Check::good(
            NAME,
            "JobPodPolicy is defined as in this version of drydock",
        );
    }
    Check::warning(
        NAME,
        "JobPodPolicy is defined as in another version of drydock",
        "A field that the definition does not have is dropped when a policy is written; jobs do not get what it asks for.",
    )
    .next("drydock version")
    .next(apply)
}

fn is_established(definition: &CustomResourceDefinition) -> bool {
    let status = definition.status.as_ref();
    let mut conditions = status
        .into_iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions.any(|condition| condition.type_ == "Established" && condition.status == "True")
}

fn schema(definition: &CustomResourceDefinition) -> Value {
    let mut versions = definition.spec.versions.iter();
    let version = versions.find(|version| version.name == crd::VERSION && version.served);
    version.map_or(Value::Null, |version| {
        serde_json::to_value(&version.schema).unwrap_or_default()
    })
}

fn registered(installations: &[Installation<'_>]) -> Check {
    const NAME: &str = "webhooks-registered";
    match installations {
        [] => Check::error(
            NAME,
            "no webhook of drydock is registered",
            "The API server never calls drydock, so no job pod is repaired.",
        )
        .next(INSTALL),
        [one] => {
            let modes = one.webhooks.iter().map(|webhook| mode_of(webhook).name());
            let names = list(modes);
            let has_enforce = one
                .webhooks
                .iter()
                .any(|webhook| mode_of(webhook) == NamespaceMode::Enforce);
            let object = format!("mutatingwebhookconfiguration/{}", one.configuration);
            if !has_enforce {
                return Check::error(
                    NAME,
                    format!("{object} has no webhook that changes pods"),
                    "Job pods are only looked at, in namespaces in audit.",
                )
                .next(INSTALL)
                .about(object);
            }
            Check::good(NAME, format!("webhooks are registered for {names}")).about(object)
        }
        several => Check::warning(
            NAME,
            format!(
                "drydock is registered {} times: {}",
                several.len(),
                list(several.iter().map(|one| one.configuration))
            ),
            "Every job pod waits for each of them, and they may want different things.",
        )
        .next("kubectl get mutatingwebhookconfigurations"),
    }
}

/// A namespace that exists nowhere, with the label as it is given.
fn namespace(name: &str, value: Option<&str>) -> Namespace {
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

/// The selectors are compared by what they select, not by how they are written.
fn webhook_selects(installation: &Installation<'_>, webhook: &MutatingWebhook) -> Vec<Check> {
    const NAME: &str = "webhook-selectors";
    let object = format!(
        "mutatingwebhookconfiguration/{}",
        installation.configuration
    );
    let show = format!("kubectl get {object} -o yaml");
    let name = &webhook.name;
    let selected =
        |namespace: &Namespace| selects(webhook.namespace_selector.as_ref(), &labels_of(namespace));
    let mut checks = Vec::new();
    let mut error = |text: String, meaning: &str| {
        let check = Check::error(NAME, text, meaning);
        checks.push(check.next(&show).next(INSTALL).about(&object));
    };
    if !webhook.rules.iter().flatten().any(covers_pods) {
        error(
            format!("{name} is not registered for the creation of pods"),
            "The API server does not call drydock for job pods, so none is repaired.",
        );
    }
    let own = opt_in_value(webhook);
    let is_by_label = prefix(webhook).is_none();
    if is_by_label && !own.is_some_and(|value| selected(&namespace("any", Some(value)))) {
        error(
            format!("{name} selects no namespaces by the label {OPT_IN_LABEL}"),
            "Job pods of namespaces that opt in are created as they come.",
        );
    }
    if !selects_job_pods(webhook) {
        error(
            format!("{name} has an objectSelector that does not select job pods"),
            "The API server does not call drydock for job pods, so none is repaired.",
        );
    }
    let mut warning = |text: String, meaning: &str| {
        let check = Check::warning(NAME, text, meaning);
        checks.push(check.next(&show).next(INSTALL).about(&object));
    };
    if is_by_label && selected(&namespace("any", None)) {
        warning(
            format!("{name} selects namespaces that have not opted in"),
            "Pods of these namespaces wait for drydock, and cannot be created while it is away.",
        );
    }
    for excluded in own_namespaces(installation) {
        if selected(&namespace(&excluded, own)) {
            warning(
                format!("{name} does not exclude namespace {excluded}"),
                "If that namespace opts in, its pods cannot be created while drydock is away.",
            );
        }
    }
    if !matches!(webhook.side_effects.as_str(), "None" | "NoneOnDryRun") {
        warning(
            format!("{name} has sideEffects {}", webhook.side_effects),
            "A dry run of a job pod is refused (kubectl diff, kubectl apply --dry-run=server, this command).",
        );
    }
    checks
}

fn own_namespaces(installation: &Installation<'_>) -> Vec<String> {
    let own = installation.service().map(|service| service.namespace);
    own.into_iter().chain(["kube-system".to_owned()]).collect()
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

fn selects_job_pods(webhook: &MutatingWebhook) -> bool {
    // The label that every runner sets.
    let labels = [(
        "pod".to_owned(),
        "runner-a-project-1-concurrent-0".to_owned(),
    )]
    .into();
    selects(webhook.object_selector.as_ref(), &labels)
}

fn failure_policies(installation: &Installation<'_>) -> Vec<Check> {
    const NAME: &str = "failure-policy";
    let object = format!(
        "mutatingwebhookconfiguration/{}",
        installation.configuration
    );
    let mut checks = Vec::new();
    for webhook in &installation.webhooks {
        let fails = webhook.failure_policy.as_deref() != Some("Ignore");
        let name = &webhook.name;
        let check = match (mode_of(webhook), fails) {
            (NamespaceMode::Enforce, true) => Check::good(
                NAME,
                format!("{name} is fail-closed: without drydock no job pod is created"),
            ),
            (NamespaceMode::Enforce, false) => Check::good(
                NAME,
                format!("{name} is fail-open: without drydock job pods are not repaired"),
            ),
            (NamespaceMode::Audit, true) => Check::warning(
                NAME,
                format!("{name} has failurePolicy Fail"),
                "An audit can stop jobs: while drydock is away, no job pod is created there.",
            )
            .next(INSTALL),
            (NamespaceMode::Audit, false) => continue,
        };
        checks.push(check.about(&object));
    }
    checks
}

fn ca_bundle(installation: &Installation<'_>, now: i64) -> Check {
    const NAME: &str = "ca-bundle";
    let object = format!(
        "mutatingwebhookconfiguration/{}",
        installation.configuration
    );
    let logs = installation.service().map_or_else(
        || format!("kubectl get {object} -o yaml"),
        |service| {
            format!(
                "kubectl -n {} logs deployment/{}",
                service.namespace, service.name
            )
        },
    );
    let meaning = "The API server does not trust drydock, so its calls fail: no job pod is created in namespaces in enforce.";
    let mut earliest: Option<CaCertificate> = None;
    for webhook in &installation.webhooks {
        let bundle = webhook.client_config.ca_bundle.as_ref();
        let text = bundle
            .map(|bytes| String::from_utf8_lossy(&bytes.0))
            .unwrap_or_default();
        if text.trim().is_empty() {
            if webhook.client_config.url.is_some() {
                continue;
            }
            return Check::error(
                NAME,
                format!("{} has no caBundle", webhook.name),
                format!("{meaning} drydock writes it when it starts, or cert-manager does."),
            )
            .next(logs)
            .about(object);
        }
        let (certificates, unreadable) = CaCertificate::all_from_pem(&text);
        let last = certificates.into_iter().max_by_key(CaCertificate::expires);
        let Some(last) = last.filter(|_| unreadable == 0) else {
            return Check::error(
                NAME,
                format!(
                    "the caBundle of {} is not a list of PEM certificates",
                    webhook.name
                ),
                meaning,
            )
            .next(logs)
            .about(object);
        };
        if earliest
            .as_ref()
            .is_none_or(|one| last.expires() < one.expires())
        {
            earliest = Some(last);
        }
    }
    let Some(certificate) = earliest else {
        return Check::good(
            NAME,
            "the API server calls a URL and trusts its own authorities",
        )
        .about(object);
    };
    let left = certificate.expires().as_second() - now;
    let check = if left <= 0 {
        let text = format!("the caBundle expired {} ago", lasting(-left));
        Check::error(NAME, text, meaning).next(logs)
    } else if left < SOON {
        Check::warning(
            NAME,
            format!("the caBundle expires in {}", lasting(left)),
            "Its successor should be in it by now. Once it has expired, no job pod is created in namespaces in enforce.",
        )
        .next(logs)
    } else {
        Check::good(NAME, format!("the caBundle is good for {}", lasting(left)))
    };
    check.about(object)
}

/// Returns `1 replica is`, `2 replicas are`.
pub(super) fn replicas_are(number: usize) -> String {
    format!(
        "{} {}",
        count(number, "replica"),
        plural(number, "is", "are")
    )
}
