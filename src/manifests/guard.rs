//! A ValidatingAdmissionPolicy that keeps drydock's own ServiceAccount to `caBundle`.
//!
//! RBAC can name the MutatingWebhookConfiguration that may be patched, but no field of it: with a
//! stolen token every object of the cluster could be sent to a server of the thief's. The API server
//! evaluates such policies for webhook configurations, unlike admission webhooks, which it never
//! calls for them. Needs Kubernetes 1.30.
//! Source: <https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/>

use super::yaml::{self, Unwritable};
use super::{File, metadata, texts};
use crate::names::{AUDIT_WEBHOOK, ENFORCE_WEBHOOK, NAME, NAMESPACE};
use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, MatchResources, NamedRuleWithOperations, ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicyBinding, ValidatingAdmissionPolicyBindingSpec,
    ValidatingAdmissionPolicySpec, Validation,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// Name of the policy and of its binding.
pub(super) const GUARD: &str = "drydock-ca-bundle-only";

/// Fields are compared by iterating over the object's own keys, so a field of a newer Kubernetes is
/// guarded, too. `dyn` because the type of an object has no keys to iterate over.
/// Today there is no field beside these two and the type.
const ONLY_WEBHOOKS: &str = "\
dyn(object).all(field, field in ['metadata', 'webhooks']
  || field in dyn(oldObject) && dyn(oldObject)[field] == dyn(object)[field])
&& dyn(oldObject).all(field, field in dyn(object))";

/// The API server itself writes these three at each update.
const NO_METADATA: &str = "\
dyn(object.metadata).all(field, field in ['generation', 'managedFields', 'resourceVersion']
  || field in dyn(oldObject.metadata) && dyn(oldObject.metadata)[field] == dyn(object.metadata)[field])
&& dyn(oldObject.metadata).all(field, field in ['generation', 'managedFields', 'resourceVersion']
  || field in dyn(object.metadata))";

const SAME_WEBHOOKS: &str = "\
has(object.webhooks) && has(oldObject.webhooks)
&& object.webhooks.map(webhook, webhook.name) == oldObject.webhooks.map(webhook, webhook.name)";

/// `clientConfig` is required in each webhook.
const NO_OTHER_FIELD: &str = "\
object.webhooks.all(new, oldObject.webhooks.exists(old, old.name == new.name
  && dyn(new).all(field, field == 'clientConfig' || field in dyn(old) && dyn(old)[field] == dyn(new)[field])
  && dyn(old).all(field, field in dyn(new))
  && dyn(new.clientConfig).all(field, field == 'caBundle'
    || field in dyn(old.clientConfig) && dyn(old.clientConfig)[field] == dyn(new.clientConfig)[field])
  && dyn(old.clientConfig).all(field, field == 'caBundle' || field in dyn(new.clientConfig))))";

pub(super) fn file() -> Result<File, Unwritable> {
    let documents = [yaml::document(&policy())?, yaml::document(&binding())?];
    yaml::file(
        "guard.yaml",
        "drydock's ServiceAccount may patch the MutatingWebhookConfiguration, to keep its caBundle. RBAC cannot name a field, so this policy\n\
         does: with drydock's token only caBundle of drydock's two webhooks can change. Nobody else is held to it.",
        &documents,
    )
}

fn policy() -> ValidatingAdmissionPolicy {
    let account = format!("system:serviceaccount:{NAMESPACE}:{NAME}");
    let no_other_webhook = format!(
        "object.webhooks.all(new, new.name in ['{ENFORCE_WEBHOOK}', '{AUDIT_WEBHOOK}']
  || oldObject.webhooks.exists(old, old.name == new.name && old.clientConfig == new.clientConfig))"
    );
    let validations = [
        (ONLY_WEBHOOKS, "a field beside metadata and webhooks"),
        (NO_METADATA, "metadata"),
        (SAME_WEBHOOKS, "the list of webhooks"),
        (
            NO_OTHER_FIELD,
            "a field of a webhook other than clientConfig.caBundle",
        ),
        (&no_other_webhook, "a webhook that is not drydock's"),
    ];
    ValidatingAdmissionPolicy {
        metadata: metadata(GUARD),
        spec: Some(ValidatingAdmissionPolicySpec {
            failure_policy: Some("Fail".to_owned()),
            match_constraints: Some(MatchResources {
                resource_rules: Some(vec![NamedRuleWithOperations {
                    api_groups: Some(texts(["admissionregistration.k8s.io"])),
                    api_versions: Some(texts(["v1"])),
                    resources: Some(texts(["mutatingwebhookconfigurations"])),
                    operations: Some(texts(["UPDATE"])),
                    scope: Some("*".to_owned()),
                    ..NamedRuleWithOperations::default()
                }]),
                // What the API server fills in: left out, kubectl would write the list at each
                // apply, and a server-side one conflict.
                match_policy: Some("Equivalent".to_owned()),
                namespace_selector: Some(LabelSelector::default()),
                object_selector: Some(LabelSelector::default()),
                ..MatchResources::default()
            }),
            match_conditions: Some(vec![MatchCondition {
                name: "is-drydock".to_owned(),
                expression: format!("request.userInfo.username == '{account}'"),
            }]),
            validations: Some(validations.map(validation).into()),
            ..ValidatingAdmissionPolicySpec::default()
        }),
        ..ValidatingAdmissionPolicy::default()
    }
}

fn validation((expression, field): (&str, &str)) -> Validation {
    Validation {
        expression: expression.to_owned(),
        message: Some(format!(
            "{NAME}'s ServiceAccount may change only clientConfig.caBundle of its webhooks; this request changes {field}"
        )),
        reason: Some("Forbidden".to_owned()),
        ..Validation::default()
    }
}

fn binding() -> ValidatingAdmissionPolicyBinding {
    ValidatingAdmissionPolicyBinding {
        metadata: metadata(GUARD),
        spec: ValidatingAdmissionPolicyBindingSpec {
            policy_name: GUARD.to_owned(),
            validation_actions: texts(["Deny"]),
            ..ValidatingAdmissionPolicyBindingSpec::default()
        },
    }
}
