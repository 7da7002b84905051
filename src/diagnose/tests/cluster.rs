//! Faults in the installation.

use crate::diagnose::facts::{Facts, Handshake, Reason, Replicas};
use crate::diagnose::testing::{
    NOW, bundle, configuration, crd, object, read_error, replica, webhook, with,
};
use serde_json::{Value, json};

/// Returns the findings after a change of the webhook for enforce mode.
fn with_webhook(change: impl FnOnce(&mut Value)) -> Vec<String> {
    with(|facts| {
        let mut enforce = webhook("enforce");
        change(&mut enforce);
        let webhooks = json!([enforce, webhook("audit")]);
        facts.webhook_configurations = Ok(vec![object(configuration("drydock", &webhooks))]);
    })
}

fn replicas(facts: &mut Facts) -> &mut Replicas {
    facts.replicas.as_mut().unwrap()
}

#[test]
pub(super) fn a_missing_or_different_crd_is_found() {
    let none = with(|facts| facts.crd = Ok(None));
    assert_eq!(
        none,
        ["error definition-missing: the CRD jobpodpolicies.drydock.dev does not exist"]
    );
    let other = with(|facts| {
        let mut other = crd();
        other["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"] = "x".into();
        facts.crd = Ok(Some(object(other)));
    });
    assert_eq!(
        other,
        [
            "warning definition-differs: the schema of the CRD jobpodpolicies.drydock.dev differs from the schema of this version of drydock"
        ]
    );
    let unserved = with(|facts| {
        let mut unserved = crd();
        unserved["status"]["conditions"][0]["status"] = "False".into();
        facts.crd = Ok(Some(object(unserved)));
    });
    assert_eq!(
        unserved,
        [
            "error definition-not-served: the CRD jobpodpolicies.drydock.dev does not have the condition Established"
        ]
    );
}

#[test]
pub(super) fn missing_and_duplicate_webhooks_are_found() {
    let none = with(|facts| facts.webhook_configurations = Ok(Vec::new()));
    assert!(
        none[0].starts_with(
            "error not-registered: no MutatingWebhookConfiguration contains a webhook"
        ),
        "{none:?}"
    );
    let audit_only = with(|facts| {
        let webhooks = json!([webhook("audit")]);
        facts.webhook_configurations = Ok(vec![object(configuration("drydock", &webhooks))]);
    });
    assert!(
        audit_only[0].contains("has no webhook for enforce mode"),
        "{audit_only:?}"
    );
    let twice = with(|facts| {
        let webhooks = json!([webhook("enforce"), webhook("audit")]);
        let of = |name| object(configuration(name, &webhooks));
        facts.webhook_configurations = Ok(vec![of("team-b"), of("team-a")]);
    });
    assert_eq!(
        twice,
        [
            "warning registered-twice: 2 MutatingWebhookConfigurations contain webhooks of drydock: team-a and team-b"
        ]
    );
}

#[test]
pub(super) fn rules_and_selectors_that_select_other_objects_are_found() {
    for (field, value, found) in [
        (
            "rules",
            json!([]),
            "error not-for-pods: the rules of enforce.job-pods.drydock.dev do not include the operation CREATE on pods",
        ),
        (
            "namespaceSelector",
            json!({"matchLabels": {"a": "b"}}),
            "error selects-no-namespaces: the namespaceSelector of enforce.job-pods.drydock.dev does not select namespaces with the label drydock.dev/job-pods",
        ),
        (
            "objectSelector",
            json!({"matchLabels": {"a": "b"}}),
            "error selects-no-job-pods: the objectSelector of enforce.job-pods.drydock.dev does not select job pods",
        ),
        (
            "sideEffects",
            json!("Some"),
            "warning has-side-effects: enforce.job-pods.drydock.dev has sideEffects: Some",
        ),
        (
            "namespaceSelector",
            json!({"matchLabels": {"drydock.dev/job-pods": "enforce"}}),
            "warning selects-own-namespace: the namespaceSelector of enforce.job-pods.drydock.dev does not exclude namespace drydock",
        ),
        (
            "namespaceSelector",
            json!({}),
            "warning selects-all-namespaces: the namespaceSelector of enforce.job-pods.drydock.dev selects namespaces that have not opted in",
        ),
    ] {
        let findings = with_webhook(|webhook| webhook[field] = value);
        assert!(
            findings.iter().any(|one| one == found),
            "{found}: {findings:#?}"
        );
    }
    // Rules and selectors that select the same objects as those in the manifests are no finding.
    let same = with_webhook(|webhook| {
        webhook["rules"][0]["operations"] = json!(["*"]);
        webhook["objectSelector"] = json!({});
    });
    assert_eq!(same, [""; 0]);
}

#[test]
pub(super) fn failure_policy_fail_is_a_finding_for_the_audit_webhook_only() {
    let open = with_webhook(|webhook| webhook["failurePolicy"] = "Ignore".into());
    assert_eq!(open, [""; 0]);
    let closed = with(|facts| {
        let mut audit = webhook("audit");
        audit["failurePolicy"] = "Fail".into();
        let webhooks = json!([webhook("enforce"), audit]);
        facts.webhook_configurations = Ok(vec![object(configuration("drydock", &webhooks))]);
    });
    assert_eq!(
        closed,
        ["warning audit-stops-jobs: audit.job-pods.drydock.dev has failurePolicy: Fail"]
    );
}

#[test]
pub(super) fn a_missing_invalid_or_expired_ca_bundle_is_found() {
    for (bundle, found) in [
        (
            json!(null),
            "error no-ca-bundle: enforce.job-pods.drydock.dev has no caBundle",
        ),
        (
            json!("bm90IFBFTQ=="),
            "error ca-bundle-unreadable: the caBundle of enforce.job-pods.drydock.dev cannot be parsed as PEM certificates",
        ),
        (
            json!(bundle(10)),
            "warning ca-bundle-expires: the last CA certificate in the caBundle expires in 10 days",
        ),
        (
            json!(bundle(0)),
            "error ca-bundle-expired: all CA certificates in the caBundle have expired, the last one 0 minutes ago",
        ),
    ] {
        let findings = with_webhook(|webhook| webhook["clientConfig"]["caBundle"] = bundle);
        assert_eq!(findings, [found]);
    }
}

#[test]
pub(super) fn missing_and_unready_replicas_are_found() {
    let one = with(|facts| {
        replicas(facts).pods = Ok(vec![
            object(replica("a", "node-1", true)),
            object(replica("b", "node-2", false)),
        ]);
    });
    assert_eq!(
        one,
        ["warning replica-not-ready: 1 of 2 replicas are ready"]
    );
    let none = with(|facts| replicas(facts).pods = Ok(vec![object(replica("a", "n", false))]));
    assert_eq!(none, ["error no-replica-ready: 0 of 1 replica is ready"]);
    let together = with(|facts| {
        replicas(facts).pods = Ok(["a", "b"]
            .map(|name| object(replica(name, "n", true)))
            .into());
    });
    assert_eq!(
        together,
        ["warning one-node: the 2 replicas run on the same node"]
    );
    let single = with(|facts| {
        let deployments = replicas(facts).deployments.as_mut().unwrap();
        deployments[0].spec.as_mut().unwrap().replicas = Some(1);
    });
    assert_eq!(
        single,
        [
            "warning few-replicas: deployment/drydock has spec.replicas: 1; at least 2 are recommended"
        ]
    );
    let no_budget = with(|facts| replicas(facts).budgets = Ok(Vec::new()));
    assert_eq!(
        no_budget,
        ["warning no-disruption-budget: no PodDisruptionBudget selects the replicas"]
    );
    let no_service = with(|facts| replicas(facts).service = Ok(None));
    assert_eq!(
        no_service,
        ["error no-service: there is no Service drydock in namespace drydock"]
    );
}

#[test]
pub(super) fn versions_that_differ_are_found() {
    let mixed = with(|facts| {
        let metrics = &mut replicas(facts).metrics;
        metrics.get_mut("b").unwrap().as_mut().unwrap().version = Some("0.2.0".to_owned());
    });
    assert_eq!(
        mixed,
        ["warning versions-mixed: the replicas run different versions: 0.1.0 and 0.2.0"]
    );
    let other = with(|facts| facts.version = "0.2.0".to_owned());
    assert_eq!(
        other,
        [
            "warning version-differs: the replicas run version 0.1.0, but this command is version 0.2.0"
        ]
    );
    // If the metrics cannot be read, the version is the tag of the image.
    let by_tag = with(|facts| {
        replicas(facts).metrics.clear();
        facts.version = "0.2.0".to_owned();
    });
    assert_eq!(
        by_tag,
        [
            "warning version-differs: the replicas run version 0.1.0, but this command is version 0.2.0"
        ]
    );
}

fn handshake(facts: &mut Facts) -> &mut Handshake {
    let read = replicas(facts).handshakes.get_mut("b").unwrap();
    read.as_mut().unwrap()
}

#[test]
pub(super) fn expiring_and_expired_certificates_are_found() {
    let late = with(|facts| handshake(facts).expires = NOW + 3 * 60 * 60);
    assert_eq!(
        late,
        [
            "error certificate-expires: the certificate of pod b expires in 3 hours and was not renewed"
        ]
    );
    let expired = with(|facts| {
        let served = handshake(facts);
        served.expires = NOW - 3 * 60 * 60;
        served.verification_error = Some("certificate expired".to_owned());
    });
    assert_eq!(
        expired,
        ["error certificate-expired: the certificate of pod b expired 3 hours ago"]
    );
    // If the handshakes fail, the expiry is read from the metrics.
    let by_metrics = with(|facts| {
        let forbidden = read_error("create", "pods/portforward", Reason::Forbidden);
        replicas(facts).handshakes = [("b".to_owned(), Err(forbidden))].into();
        let metrics = replicas(facts).metrics.get_mut("b").unwrap();
        metrics.as_mut().unwrap().certificate_expiry = Some(NOW + 60 * 60);
    });
    assert_eq!(
        by_metrics,
        [
            "error certificate-expires: the certificate of pod b expires in 60 minutes and was not renewed",
            "warning not-allowed: you are not allowed to create pods/portforward"
        ]
    );
}

#[test]
pub(super) fn certificates_that_the_api_server_does_not_trust_are_found() {
    let untrusted = with(|facts| {
        handshake(facts).verification_error = Some("UnknownIssuer".to_owned());
    });
    assert_eq!(
        untrusted,
        ["error certificate-refused: the API server does not trust the certificate of pod b"]
    );
}

#[test]
pub(super) fn failed_requests_about_replicas_are_findings() {
    let findings = with(|facts| {
        let replicas = replicas(facts);
        let forbidden = |resource| read_error("get", resource, Reason::Forbidden);
        replicas.metrics = [("a".to_owned(), Err(forbidden("pods/proxy")))].into();
        replicas.handshakes = [("a".to_owned(), Err(forbidden("pods/portforward")))].into();
    });
    assert_eq!(
        findings,
        [
            "warning not-allowed: you are not allowed to get pods/portforward",
            "warning not-allowed: you are not allowed to get pods/proxy",
        ]
    );
    let failed = with(|facts| {
        let failed = read_error(
            "create",
            "pods/portforward",
            Reason::Failed("no route".to_owned()),
        );
        let silent = read_error("get", "/metrics", Reason::NoAnswer);
        replicas(facts).handshakes = [("a".to_owned(), Err(failed))].into();
        facts.admission_metrics = Err(silent);
    });
    assert_eq!(
        failed,
        [
            "warning not-read: the request to create pods/portforward failed",
            "warning no-answer: the request to get /metrics timed out",
        ]
    );
}

#[test]
pub(super) fn failed_and_slow_calls_are_found() {
    let fail_open = with(|facts| facts.admission_metrics.as_mut().unwrap().fail_open = 2);
    assert_eq!(
        fail_open,
        [
            "warning fail-open: 2 pods were created without the changes of drydock, because the call to drydock failed (failurePolicy: Ignore)"
        ]
    );
    let failed = with(|facts| facts.admission_metrics.as_mut().unwrap().failed = 1);
    assert_eq!(
        failed,
        ["warning calls-failed: 1 call from the API server to drydock failed"]
    );
    let slow = with(|facts| facts.admission_metrics.as_mut().unwrap().seconds = 9.0);
    assert_eq!(
        slow,
        ["warning calls-slow: a call from the API server to drydock takes 1000.0 ms on average"]
    );
    // Few users are allowed to read the metrics of the API server, so this error is no finding.
    let forbidden = with(|facts| {
        facts.admission_metrics = Err(read_error("get", "/metrics", Reason::Forbidden))
    });
    assert_eq!(forbidden, [""; 0]);
}
