//! drydock has only the permissions that it needs, restricted by resource name if possible.

use crate::objects::{base, component, list, one, texts};
use drydock::names::{CA_SECRET, NAME, NAMESPACE};
use serde_json::{Value, json};

fn roles(objects: &[Value]) -> Vec<&Value> {
    let is_role = |object: &&Value| matches!(object["kind"].as_str(), Some("Role" | "ClusterRole"));
    objects.iter().filter(is_role).collect()
}

#[test]
fn no_role_has_a_wildcard() {
    for role in roles(&base()) {
        for rule in list(&role["rules"]) {
            for field in ["apiGroups", "resources", "verbs"] {
                assert!(!texts(&rule[field]).is_empty(), "{rule}");
                assert!(!texts(&rule[field]).contains(&"*"), "{rule}");
            }
        }
    }
}

#[test]
fn secrets_and_webhook_configurations_are_restricted_by_name() {
    let objects = base();
    let mut seen = Vec::new();
    for role in roles(&objects) {
        for rule in list(&role["rules"]) {
            for resource in texts(&rule["resources"]) {
                let name = match resource {
                    "secrets" => CA_SECRET,
                    "mutatingwebhookconfigurations" => NAME,
                    _ => continue,
                };
                assert_eq!(texts(&rule["resourceNames"]), [name]);
                seen.push((role["kind"].as_str().unwrap(), resource));
            }
        }
    }
    assert_eq!(
        seen,
        [
            ("ClusterRole", "mutatingwebhookconfigurations"),
            ("Role", "secrets")
        ]
    );
}

/// The role that restores the `caBundle` cannot create a webhook configuration that a user deleted.
#[test]
fn a_deleted_webhook_configuration_stays_deleted() {
    let objects = base();
    let role = one(&objects, "ClusterRole", "drydock-certificates");
    let verbs = texts(&role["rules"][0]["verbs"]);
    assert_eq!(verbs, ["get", "list", "watch", "patch"]);
}

#[test]
fn every_binding_gives_an_existing_role_only_to_drydock() {
    let objects = [base(), component("live-addresses")].concat();
    let mut bound = Vec::new();
    for object in &objects {
        let kind = object["kind"].as_str().unwrap();
        if !kind.ends_with("RoleBinding") {
            continue;
        }
        let role = &object["roleRef"];
        one(
            &objects,
            role["kind"].as_str().unwrap(),
            role["name"].as_str().unwrap(),
        );
        let subjects = list(&object["subjects"]);
        assert_eq!(subjects.len(), 1);
        assert_eq!(subjects[0]["kind"], "ServiceAccount");
        assert_eq!(subjects[0]["name"], NAME);
        assert_eq!(subjects[0]["namespace"], NAMESPACE);
        bound.push(role["name"].as_str().unwrap());
    }
    one(&objects, "ServiceAccount", NAME);
    assert_eq!(
        bound,
        [
            "drydock",
            "drydock-certificates",
            "drydock-certificates",
            "drydock-address-sources"
        ]
    );
}

/// Only policies with live addresses need permission to read their sources.
#[test]
fn the_base_has_no_permission_to_read_address_sources() {
    let objects = base();
    one(&objects, "ClusterRole", "drydock-address-sources");
    for object in &objects {
        assert_ne!(object["roleRef"]["name"], "drydock-address-sources");
    }
}

/// RBAC cannot restrict a patch to fields, so a ValidatingAdmissionPolicy does.
/// `tests/cluster/validating_admission_policy.rs` tests which changes it denies.
#[test]
fn a_policy_restricts_patches_of_the_configuration_to_the_ca_bundle() {
    let objects = base();
    let binding = one(
        &objects,
        "ValidatingAdmissionPolicyBinding",
        "drydock-ca-bundle-only",
    );
    assert_eq!(binding["spec"]["validationActions"], json!(["Deny"]));
    let policy = binding["spec"]["policyName"].as_str().unwrap();
    let spec = &one(&objects, "ValidatingAdmissionPolicy", policy)["spec"];
    assert_eq!(spec["failurePolicy"], "Fail");
    let who = spec["matchConditions"][0]["expression"].as_str().unwrap();
    assert!(who.ends_with(&format!("'system:serviceaccount:{NAMESPACE}:{NAME}'")));
}
