//! What the API server is told to ask drydock: the creation of job pods in namespaces that opted in (P1), and nothing else.

use super::network::SERVICE_PORT;
use super::yaml::{self, Unwritable};
use super::{File, metadata, text_map, texts};
use crate::names::{AUDIT, AUDIT_WEBHOOK, ENFORCE, ENFORCE_WEBHOOK, NAME, NAMESPACE, OPT_IN_LABEL};
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhook, MutatingWebhookConfiguration, RuleWithOperations, ServiceReference,
    WebhookClientConfig,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

/// Keeps the Admissions Enforcer of AKS from adding to the namespaceSelectors, which the files
/// would take away again, and so on.
/// What it protects, kube-system and the namespaces of AKS, never opts in. Source: <https://learn.microsoft.com/azure/aks/faq>
const AKS_LEAVE_ALONE: (&str, &str) = ("admissions.enforcer/disabled", "true");

pub(super) fn file() -> Result<File, Unwritable> {
    let mut metadata = metadata(NAME);
    let labels = metadata.labels.get_or_insert_default();
    labels.extend(text_map([AKS_LEAVE_ALONE]));
    let configuration = MutatingWebhookConfiguration {
        metadata,
        webhooks: Some(vec![
            webhook(ENFORCE_WEBHOOK, ENFORCE, "/mutate", "Fail"),
            webhook(AUDIT_WEBHOOK, AUDIT, "/audit", "Ignore"),
        ]),
    };
    yaml::file(
        "webhook.yaml",
        "Two webhooks, so that the namespace's mode travels in the path. Where pods are changed, every job pod must be: Fail. An audit must\n\
         never stop a job: Ignore. There is no caBundle here; drydock writes it, and nothing else, by server-side apply.\n\
         Every GitLab Runner labels its job pods `pod`, and a job cannot take that label away: no other pod waits for drydock.\n\
         drydock decides which of these are job pods; no expression here repeats it, so the API server evaluates none.",
        &[yaml::document(&configuration)?],
    )
}

fn webhook(name: &str, mode: &str, path: &str, failure_policy: &str) -> MutatingWebhook {
    MutatingWebhook {
        name: name.to_owned(),
        admission_review_versions: texts(["v1"]),
        client_config: WebhookClientConfig {
            service: Some(ServiceReference {
                name: NAME.to_owned(),
                namespace: NAMESPACE.to_owned(),
                path: Some(path.to_owned()),
                port: Some(SERVICE_PORT),
            }),
            ..WebhookClientConfig::default()
        },
        rules: Some(vec![RuleWithOperations {
            api_groups: Some(texts([""])),
            api_versions: Some(texts(["v1"])),
            resources: Some(texts(["pods"])),
            operations: Some(texts(["CREATE"])),
            scope: Some("Namespaced".to_owned()),
        }]),
        namespace_selector: Some(LabelSelector {
            match_expressions: Some(vec![
                requirement(OPT_IN_LABEL, "In", texts([mode])),
                requirement(
                    "kubernetes.io/metadata.name",
                    "NotIn",
                    texts(["kube-system", NAMESPACE]),
                ),
            ]),
            ..LabelSelector::default()
        }),
        // Every GitLab Runner gives its job pods this label; `job_pod` decides whether a pod is one.
        object_selector: Some(LabelSelector {
            match_expressions: Some(vec![LabelSelectorRequirement {
                key: "pod".to_owned(),
                operator: "Exists".to_owned(),
                values: None,
            }]),
            ..LabelSelector::default()
        }),
        failure_policy: Some(failure_policy.to_owned()),
        match_policy: Some("Equivalent".to_owned()),
        // Another webhook may add a container after us; planning a planned pod gives no change (A2).
        reinvocation_policy: Some("IfNeeded".to_owned()),
        // Events are written, but not for a dry run.
        side_effects: "NoneOnDryRun".to_owned(),
        timeout_seconds: Some(5),
        ..MutatingWebhook::default()
    }
}

fn requirement(key: &str, operator: &str, values: Vec<String>) -> LabelSelectorRequirement {
    LabelSelectorRequirement {
        key: key.to_owned(),
        operator: operator.to_owned(),
        values: Some(values),
    }
}
