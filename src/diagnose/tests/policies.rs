//! Faults in policies, and in the namespaces that they select.

use crate::diagnose::facts::Facts;
use crate::diagnose::testing::{condition, namespace, object, policy, with};
use serde_json::{Value, json};

fn with_policy(spec: &Value, change: impl FnOnce(&mut Value, &mut Facts)) -> Vec<String> {
    with(|facts| {
        let mut policy = policy("p", spec);
        change(&mut policy, facts);
        facts.policies = Ok(vec![policy]);
        facts.dry_runs.clear();
    })
}

#[test]
pub(super) fn policies_that_are_not_in_force_are_found() {
    let none = with(|facts| {
        facts.policies = Ok(Vec::new());
        facts.dry_runs.clear();
    });
    assert_eq!(none, ["error no-policy: the cluster has no JobPodPolicy"]);
    let spec = json!({"hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a.example.com"]}]});
    for (type_, status, found) in [
        (
            "Accepted",
            "False",
            "error policy-not-accepted: p: the replicas do not accept the policy",
        ),
        (
            "AddressesResolved",
            "False",
            "error policy-no-address: p: an object in hostAliases[].from has no address",
        ),
        (
            "HostnamesTaken",
            "False",
            "warning policy-hostnames: p: the policy does not use all hostnames of an Ingress",
        ),
        (
            "Conflicting",
            "True",
            "warning policy-conflict: p: a policy of higher rank overrides settings of this policy",
        ),
    ] {
        let findings = with_policy(&spec, |policy, _| {
            policy["status"]["conditions"] = json!([condition(type_, status, "why")]);
        });
        assert_eq!(findings, [found]);
    }
    let behind = with_policy(&spec, |policy, _| {
        policy["metadata"]["generation"] = 2.into()
    });
    assert_eq!(
        behind,
        [
            "warning policy-behind: p: no replica of drydock has read the latest version of the policy"
        ]
    );
    let unread = with_policy(&spec, |policy, _| policy["status"] = json!({}));
    assert_eq!(
        unread,
        ["warning policy-not-read: p: no replica of drydock has read the policy"]
    );
    let bad = with_policy(
        &json!({"hostAliases": [{"ip": "x", "hostnames": ["a"]}]}),
        |_, _| (),
    );
    assert_eq!(
        bad,
        ["error policy-unreadable: p: this version of drydock cannot parse the policy"]
    );
}

#[test]
pub(super) fn missing_config_maps_and_claims_are_found() {
    let spec = json!({"dind": {
        "registryCAs": [{"host": "registry.corp", "configMap": {"name": "ca", "key": "ca.crt"}}],
        "volumes": [{"name": "data", "mountPath": "/var/lib/docker", "persistentVolumeClaim": {"claimName": "cache"}}],
    }});
    let in_ci = |name: &str| ("ci".to_owned(), name.to_owned());
    let found = with_policy(&spec, |_, facts| {
        facts.config_map_keys.insert(in_ci("ca"), Ok(None));
        facts.claims.insert(in_ci("cache"), Ok(false));
    });
    assert_eq!(
        found,
        [
            "warning registry-ca-missing: p: there is no ConfigMap ca in namespace ci (CA of registry.corp)",
            "error claim-missing: p: there is no PersistentVolumeClaim cache in namespace ci",
        ]
    );
    let other_key = with_policy(&spec, |_, facts| {
        facts
            .config_map_keys
            .insert(in_ci("ca"), Ok(Some(vec!["tls.crt".to_owned()])));
        facts.claims.insert(in_ci("cache"), Ok(true));
    });
    assert_eq!(
        other_key,
        ["warning registry-ca-missing: p: ConfigMap ca in namespace ci has no key ca.crt"]
    );
}

#[test]
pub(super) fn a_pod_security_level_that_forbids_dind_is_found() {
    let spec = json!({"dind": {}});
    let findings = with_policy(&spec, |_, facts| {
        let labels = json!({"drydock.dev/job-pods": "enforce", "pod-security.kubernetes.io/enforce": "baseline"});
        facts.namespaces = Ok(vec![object(namespace("ci", &labels))]);
    });
    assert_eq!(
        findings,
        [
            "warning pod-security: p: the Pod Security level of ci forbids privileged pods and hostPath volumes"
        ]
    );
}

#[test]
pub(super) fn a_policy_that_selects_nothing_is_found() {
    let spec = json!({"namespaceSelector": {"matchLabels": {"team": "mobile"}}, "dind": {}});
    assert_eq!(
        with_policy(&spec, |_, _| ()),
        [
            "warning policy-selects-nothing: p: the namespaceSelector selects no namespace that has opted in"
        ]
    );
}

#[test]
pub(super) fn hostnames_that_resolve_to_other_addresses_are_found() {
    let findings = with(|facts| {
        let here = vec!["203.0.113.7".parse().unwrap()];
        facts.resolved.insert("gitlab.mylab.com".to_owned(), here);
    });
    assert_eq!(
        findings,
        [
            "warning hostname-elsewhere: gitlab: on this computer, 1 hostname resolves to an address that is not in the policy"
        ]
    );
    let nowhere = with(|facts| {
        facts
            .resolved
            .insert("gitlab.mylab.com".to_owned(), Vec::new());
    });
    assert_eq!(nowhere, [""; 0]);
}

#[test]
pub(super) fn quotas_and_limit_ranges_that_affect_jobs_are_found() {
    let quota = |used: &str, resource: &str| {
        object(json!({
            "metadata": {"name": "q", "namespace": "ci"},
            "status": {"hard": {resource: "10"}, "used": {resource: used}},
        }))
    };
    let full = with(|facts| facts.quotas = Ok(vec![quota("10", "pods")]));
    assert_eq!(
        full,
        ["warning quota-used-up: ci: ResourceQuota q has reached its limit for pods"]
    );
    assert_eq!(
        with(|facts| facts.quotas = Ok(vec![quota("9", "pods")])),
        [""; 0]
    );
    let claim = json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let spec = json!({"dind": {"volumes": [{"name": "data", "mountPath": "/var/lib/docker", "ephemeral": {"volumeClaimTemplate": claim}}]}});
    let counted = with_policy(&spec, |_, facts| {
        facts.quotas = Ok(vec![quota("1", "persistentvolumeclaims")]);
    });
    assert_eq!(
        counted,
        [
            "warning quota-counts-claims: ci: ResourceQuota q limits persistentvolumeclaims, which jobs with dind use"
        ]
    );
    let range = with_policy(&json!({"dind": {}}), |_, facts| {
        facts.limit_ranges = Ok(vec![object(json!({
            "metadata": {"name": "r", "namespace": "ci"},
            "spec": {"limits": [{"type": "Container", "default": {"ephemeral-storage": "1Gi"}}]},
        }))]);
    });
    assert_eq!(
        range,
        [
            "warning limits-ephemeral-storage: ci: LimitRange r sets a default limit on ephemeral-storage for every container"
        ]
    );
}
