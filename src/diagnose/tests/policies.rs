//! Faults of policies, and of what they meet in namespaces.

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
    assert_eq!(none, ["error no-policy: there is no JobPodPolicy"]);
    let spec = json!({"hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a.example.com"]}]});
    for (type_, status, found) in [
        (
            "Accepted",
            "False",
            "error policy-not-accepted: p: the replicas do not accept it",
        ),
        (
            "AddressesResolved",
            "False",
            "error policy-no-address: p: an object under hostAliases[].from has no address",
        ),
        (
            "HostnamesTaken",
            "False",
            "warning policy-hostnames: p: it does not take all hostnames of an Ingress",
        ),
        (
            "Conflicting",
            "True",
            "warning policy-conflict: p: a higher-ranked policy overrides it",
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
        ["warning policy-behind: p: no replica of drydock has read its last change"]
    );
    let unread = with_policy(&spec, |policy, _| policy["status"] = json!({}));
    assert_eq!(
        unread,
        ["warning policy-not-read: p: no replica of drydock has read it"]
    );
    let bad = with_policy(
        &json!({"hostAliases": [{"ip": "x", "hostnames": ["a"]}]}),
        |_, _| (),
    );
    assert_eq!(
        bad,
        ["error policy-unreadable: p: this version of drydock cannot parse it"]
    );
}

#[test]
pub(super) fn what_policies_mount_and_namespaces_lack_is_found() {
    let spec = json!({"dind": {
        "registryCAs": [{"host": "registry.corp", "configMap": {"name": "ca", "key": "ca.crt"}}],
        "volumes": [{"name": "data", "mountPath": "/var/lib/docker", "persistentVolumeClaim": {"claimName": "cache"}}],
    }});
    let place = |name: &str| ("ci".to_owned(), name.to_owned());
    let found = with_policy(&spec, |_, facts| {
        facts.config_maps.insert(place("ca"), Ok(None));
        facts.claims.insert(place("cache"), Ok(false));
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
            .config_maps
            .insert(place("ca"), Ok(Some(vec!["tls.crt".to_owned()])));
        facts.claims.insert(place("cache"), Ok(true));
    });
    assert_eq!(
        other_key,
        ["warning registry-ca-missing: p: ConfigMap ca in namespace ci has no key ca.crt"]
    );
}

#[test]
pub(super) fn a_level_of_pod_security_without_dind_is_found() {
    let spec = json!({"dind": {}});
    let findings = with_policy(&spec, |_, facts| {
        let labels = json!({"drydock.dev/job-pods": "enforce", "pod-security.kubernetes.io/enforce": "baseline"});
        facts.namespaces = Ok(vec![object(namespace("ci", &labels))]);
    });
    assert_eq!(
        findings,
        [
            "warning pod-security: p: Pod Security of ci refuses privileged pods and hostPath volumes"
        ]
    );
}

#[test]
pub(super) fn a_policy_that_selects_nothing_is_found() {
    let spec = json!({"namespaceSelector": {"matchLabels": {"team": "mobile"}}, "dind": {}});
    assert_eq!(
        with_policy(&spec, |_, _| ()),
        [
            "warning policy-selects-nothing: p: its namespaceSelector selects no namespace that has opted in"
        ]
    );
}

#[test]
pub(super) fn hostnames_that_resolve_elsewhere_are_found() {
    let findings = with(|facts| {
        let here = vec!["203.0.113.7".parse().unwrap()];
        facts.resolved.insert("gitlab.mylab.com".to_owned(), here);
    });
    assert_eq!(
        findings,
        [
            "warning hostname-elsewhere: gitlab: 1 hostname resolves to another address on this computer"
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
pub(super) fn quotas_and_ranges_that_a_job_meets_are_found() {
    let quota = |used: &str, resource: &str| {
        object(json!({
            "metadata": {"name": "q", "namespace": "ci"},
            "status": {"hard": {resource: "10"}, "used": {resource: used}},
        }))
    };
    let full = with(|facts| facts.quotas = Ok(vec![quota("10", "pods")]));
    assert_eq!(
        full,
        ["warning quota-used-up: ci: ResourceQuota q is used up: pods"]
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
            "warning limits-ephemeral-storage: ci: LimitRange r limits the ephemeral-storage of every container"
        ]
    );
}
