//! The checks of one pod (`--pod`).

use crate::diagnose::diagnose;
use crate::diagnose::dry_run_pods::PodKind;
use crate::diagnose::facts::{Facts, InspectedPod, Read, Reason};
use crate::diagnose::report::Check;
use crate::diagnose::testing::{healthy, namespace, note, object, policy, read_error};
use serde_json::{Value, json};

fn checks(object: Read<Option<Value>>, fault: impl FnOnce(&mut Facts)) -> Vec<Check> {
    let mut facts = healthy();
    facts.pod = Some(InspectedPod {
        namespace: "ci".to_owned(),
        name: "job".to_owned(),
        object,
        events: Ok(Vec::new()),
    });
    fault(&mut facts);
    let report = diagnose(&facts);
    report
        .checks()
        .inspect(|check| note(check))
        .cloned()
        .collect()
}

fn stored(created: &str) -> Value {
    let mut pod = PodKind::Label.pod();
    pod["metadata"]["creationTimestamp"] = created.into();
    pod
}

/// Returns a pod that drydock changed when it was created.
fn repaired() -> Value {
    let mut pod = stored("2026-06-01T00:00:00Z");
    pod["metadata"]["annotations"] =
        json!({"drydock.dev/changes": "add-host-alias", "drydock.dev/policies": "gitlab@1"});
    pod["spec"]["hostAliases"] = json!([{"ip": "10.0.0.232", "hostnames": ["gitlab.mylab.com"]}]);
    pod
}

#[track_caller]
fn find<'c>(checks: &'c [Check], name: &str) -> &'c Check {
    let mut named = checks.iter().filter(|check| check.name == name);
    named.next().unwrap()
}

#[test]
pub(super) fn a_repaired_pod_is_reported_with_its_policy() {
    let checks = checks(Ok(Some(repaired())), |_| ());
    let changed = find(&checks, "pod-changed");
    assert!(changed.text.contains("gitlab@1"), "{changed:?}");
    assert_eq!(
        find(&checks, "pod-now").text,
        "if the pod were created now, drydock would not change it"
    );
}

#[test]
pub(super) fn a_pod_that_was_not_repaired_is_reported_with_changes_and_reason() {
    let of = |created: &str, fault: fn(&mut Facts)| {
        let checks = checks(Ok(Some(stored(created))), fault);
        let now = find(&checks, "pod-not-repaired").clone();
        assert_eq!(now.details.len(), 1, "{now:?}");
        assert!(now.details[0].contains("10.0.0.232"), "{now:?}");
        now.meaning.unwrap()
    };
    let late = of("2026-06-01T00:00:00Z", |_| ());
    assert!(late.contains("did not call drydock"), "{late}");
    let early = of("2025-12-31T00:00:00Z", |_| ());
    assert!(
        early.contains("The webhook was registered 24 hours after"),
        "{early}"
    );
    let before_policy = of("2026-06-01T00:00:00Z", |facts| {
        let policies = facts.policies.as_mut().unwrap();
        policies[0]["metadata"]["creationTimestamp"] = "2026-06-03T00:00:00Z".into();
    });
    assert!(
        before_policy.contains("Policy gitlab was created 2 days after"),
        "{before_policy}"
    );
    let before_label = of("2026-06-01T00:00:00Z", |facts| {
        let mut labelled = namespace("ci", &json!({"drydock.dev/job-pods": "enforce"}));
        labelled["metadata"]["managedFields"] = json!([{
            "time": "2026-06-01T01:00:00Z",
            "fieldsV1": {"f:metadata": {"f:labels": {"f:drydock.dev/job-pods": {}}}},
        }]);
        facts.namespaces = Ok(vec![object(labelled)]);
    });
    assert!(
        before_label.contains("The namespace opted in 60 minutes after"),
        "{before_label}"
    );
}

#[test]
pub(super) fn pods_that_drydock_does_not_change_are_explained() {
    let gone = checks(Ok(None), |_| ());
    assert_eq!(gone[0].text, "there is no pod job in namespace ci");
    let forbidden = checks(Err(read_error("get", "pods", Reason::Forbidden)), |_| ());
    assert_eq!(forbidden[0].text, "you are not allowed to get pods");
    let other = checks(Ok(Some(PodKind::Other.pod())), |_| ());
    assert_eq!(other[0].text, "the pod is not a job pod");
    let not_opted_in = checks(Ok(Some(stored("2026-06-01T00:00:00Z"))), |facts| {
        facts.namespaces = Ok(vec![object(namespace("ci", &json!({})))]);
    });
    assert_eq!(
        find(&not_opted_in, "pod-not-opted-in").text,
        "namespace ci has not opted in"
    );
    let no_policy = checks(Ok(Some(stored("2026-06-01T00:00:00Z"))), |facts| {
        facts.policies = Ok(Vec::new());
    });
    assert_eq!(
        find(&no_policy, "pod-without-policy").text,
        "no policy matches the pod"
    );
    let denied = checks(Ok(Some(with_certificates())), |facts| {
        let spec = json!({"dind": {"clientCerts": {"onConflict": "Deny"}}});
        facts.policies = Ok(vec![policy("strict", &spec)]);
    });
    assert_eq!(
        find(&denied, "pod-denied").text,
        "if the pod were created now, a policy would deny it (onConflict: Deny)"
    );
}

/// Returns the pod of a job with dind that mounts a Secret at the client certificate directory.
fn with_certificates() -> Value {
    let mut pod = PodKind::Dind.pod();
    pod["metadata"]["creationTimestamp"] = "2026-06-01T00:00:00Z".into();
    pod
}

#[test]
pub(super) fn a_pod_that_exceeds_a_limit_is_found() {
    let mut large = stored("2026-06-01T00:00:00Z");
    let container = large["spec"]["containers"][0].clone();
    large["spec"]["containers"] = vec![container; 20_000].into();
    let checks = checks(Ok(Some(large)), |_| ());
    assert_eq!(checks[0].name, "pod-too-large");
    assert_eq!(checks[0].details.len(), 1, "{checks:?}");
}
