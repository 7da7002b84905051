//! The pods for which the API server calls drydock, and what happens to them if the call fails.

use crate::objects::{base, list, one};
use drydock::names::{AUDIT, AUDIT_WEBHOOK, ENFORCE, ENFORCE_WEBHOOK, NAMESPACE, OPT_IN_LABEL};
use serde_json::{Value, json};

fn webhooks() -> Vec<Value> {
    let objects = base();
    let configuration = one(&objects, "MutatingWebhookConfiguration", "drydock");
    list(&configuration["webhooks"]).to_vec()
}

/// The opt-in label selects the webhook (rule P1), whose path contains the mode. In audit mode,
/// drydock must not stop a job (rule A6).
#[test]
fn the_label_of_the_namespace_selects_the_webhook() {
    let expected = [
        (ENFORCE_WEBHOOK, ENFORCE, "/mutate", "Fail"),
        (AUDIT_WEBHOOK, AUDIT, "/audit", "Ignore"),
    ];
    let webhooks = webhooks();
    assert_eq!(webhooks.len(), expected.len());
    for (webhook, (name, mode, path, failure_policy)) in webhooks.iter().zip(expected) {
        assert_eq!(webhook["name"], name);
        assert_eq!(webhook["clientConfig"]["service"]["path"], path);
        assert_eq!(webhook["failurePolicy"], failure_policy);
        assert_eq!(
            webhook["namespaceSelector"],
            json!({"matchExpressions": [
                {"key": OPT_IN_LABEL, "operator": "In", "values": [mode]},
                {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system", NAMESPACE]},
            ]})
        );
    }
}

/// The Admissions Enforcer of AKS changes the namespaceSelector of webhook configurations without
/// this label.
#[test]
fn the_configuration_has_the_label_that_disables_the_aks_admissions_enforcer() {
    let objects = base();
    let configuration = one(&objects, "MutatingWebhookConfiguration", "drydock");
    let labels = &configuration["metadata"]["labels"];
    assert_eq!(labels["admissions.enforcer/disabled"], "true");
}

/// The steps in `certs/README.md` apply the object with this label last.
#[test]
fn f5_only_the_webhook_configuration_has_the_label_to_apply_it_last() {
    let objects = base();
    let has_label = |object: &&Value| {
        let labels = &object["metadata"]["labels"];
        labels.get("admissions.enforcer/disabled").is_some()
    };
    let kinds: Vec<&Value> = objects
        .iter()
        .filter(has_label)
        .map(|object| &object["kind"])
        .collect();
    assert_eq!(kinds, ["MutatingWebhookConfiguration"]);
    let readme = std::fs::read_to_string("certs/README.md").unwrap();
    assert!(readme.contains("kubectl apply -k . -l '!admissions.enforcer/disabled'"));
}

#[test]
fn only_creations_of_pods_are_reviewed() {
    for webhook in webhooks() {
        assert_eq!(
            webhook["rules"],
            json!([{
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "operations": ["CREATE"],
                "resources": ["pods"],
                "scope": "Namespaced",
            }])
        );
        // All GitLab Runners since 13.12 set this label on job pods (rule P2).
        assert_eq!(
            webhook["objectSelector"],
            json!({"matchExpressions": [{"key": "pod", "operator": "Exists"}]})
        );
        assert_eq!(webhook.get("matchConditions"), None);
        assert_eq!(webhook["admissionReviewVersions"], json!(["v1"]));
        assert_eq!(webhook["matchPolicy"], "Equivalent");
        assert_eq!(webhook["reinvocationPolicy"], "IfNeeded");
        assert_eq!(webhook["sideEffects"], "NoneOnDryRun");
        assert_eq!(webhook["timeoutSeconds"], 5);
    }
}

#[test]
fn the_webhooks_refer_to_the_installed_service() {
    let objects = base();
    let service = one(&objects, "Service", "drydock");
    for webhook in webhooks() {
        let called = &webhook["clientConfig"]["service"];
        assert_eq!(called["name"], service["metadata"]["name"]);
        assert_eq!(called["namespace"], service["metadata"]["namespace"]);
        assert_eq!(called["port"], service["spec"]["ports"][0]["port"]);
    }
}
