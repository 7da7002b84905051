//! Rules M5, A6, P1 and P4, and rule F1 for denials.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

use super::{AuditReason, Outcome, SkipReason};
use crate::core::job_pod::NotJobPod;
use crate::core::policy::Mode;
use crate::testing::{Setup, judge};
use rstest::rstest;
use serde_json::json;
use std::collections::BTreeSet;

const ALIAS: &str = "hostAliases: [{ip: 10.0.0.1, hostnames: [a]}]";
const AUDIT_ALIAS: &str = "{mode: Audit, hostAliases: [{ip: 10.0.0.2, hostnames: [b]}]}";
const DENY: &str = "dind: {volumes: [], clientCerts: {onConflict: Deny}}";
const AUDIT_DENY: &str = "{mode: Audit, dind: {volumes: [], clientCerts: {onConflict: Deny}}}";
const CONFLICT: &str = "volumes: [{name: ca, secret: {secretName: ca}}]\ncontainers: [{name: build}, {name: docker, image: docker:dind, volumeMounts: [{name: ca, mountPath: /certs/client}]}]";

#[rstest]
#[case::kube_system("kube-system", true)]
#[case::own("drydock", true)]
#[case::a_jobs("gitlab-runner", false)]
#[case::like_its_own("drydock-jobs", false)]
#[case::not_known("", false)]
fn p1_two_namespaces_are_excluded_by_name(#[case] namespace: &str, #[case] excluded: bool) {
    let judged = Setup {
        policies: &[("test", ALIAS)],
        namespace,
        ..Setup::default()
    }
    .judge();
    let skipped = Outcome::Skipped(SkipReason::ExcludedNamespace);
    assert_eq!(judged.outcome == skipped, excluded);
}

#[test]
fn p4_outcomes_and_reasons_have_distinct_names() {
    let skips = NotJobPod::ALL.map(SkipReason::NotJobPod);
    let skips = skips.into_iter().chain([
        SkipReason::NotPodCreation,
        SkipReason::ExcludedNamespace,
        SkipReason::NoPolicy,
    ]);
    let audits = [
        AuditReason::WouldMutate,
        AuditReason::WouldDeny,
        AuditReason::NothingToChange,
    ];
    let plain = [Outcome::Mutated, Outcome::Unchanged, Outcome::Denied];
    let all: Vec<Outcome> = plain
        .into_iter()
        .chain(skips.map(Outcome::Skipped))
        .chain(audits.map(Outcome::Audited))
        .collect();
    let names: BTreeSet<_> = all
        .iter()
        .map(|outcome| (outcome.name(), outcome.reason()))
        .collect();
    assert_eq!(names.len(), all.len());
    for (name, reason) in names {
        let text = format!("{name}{reason}");
        assert!(
            text.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'-'),
            "{text}"
        );
        assert_eq!(
            reason.is_empty(),
            ["mutated", "unchanged", "denied"].contains(&name)
        );
    }
}

#[rstest]
#[case::mutated(&[("p", ALIAS)], "", Outcome::Mutated)]
#[case::unchanged(&[("p", ALIAS)], "hostAliases: [{ip: 10.0.0.1, hostnames: [a]}]", Outcome::Unchanged)]
#[case::denied(&[("p", DENY)], CONFLICT, Outcome::Denied)]
#[case::not_a_job_pod(&[("p", ALIAS)], "metadata: {labels: {}}", Outcome::Skipped(SkipReason::NotJobPod(NotJobPod::NotRecognised)))]
#[case::without_policies(&[], "", Outcome::Skipped(SkipReason::NoPolicy))]
#[case::no_policy_for_it(&[("p", "podSelector: {matchLabels: {a: b}}")], "", Outcome::Skipped(SkipReason::NoPolicy))]
#[case::would_mutate(&[("p", AUDIT_ALIAS)], "", Outcome::Audited(AuditReason::WouldMutate))]
#[case::would_deny(&[("p", AUDIT_DENY)], CONFLICT, Outcome::Audited(AuditReason::WouldDeny))]
#[case::would_mutate_what_is_enforced_already(&[("p", ALIAS), ("q", AUDIT_ALIAS)], "hostAliases: [{ip: 10.0.0.1, hostnames: [a]}]", Outcome::Audited(AuditReason::WouldMutate))]
#[case::both_find_nothing(&[("p", ALIAS), ("q", AUDIT_DENY)], "hostAliases: [{ip: 10.0.0.1, hostnames: [a]}]", Outcome::Unchanged)]
#[case::nothing_to_change(&[("p", AUDIT_DENY)], "", Outcome::Audited(AuditReason::NothingToChange))]
fn p4_every_pod_has_one_outcome(
    #[case] policies: &[(&str, &str)],
    #[case] pod: &str,
    #[case] outcome: Outcome,
) {
    let judged = Setup {
        policies,
        pod,
        ..Setup::default()
    }
    .judge();
    assert_eq!(judged.outcome, outcome);
}

#[test]
fn p4_a_pod_out_of_scope_is_skipped_in_every_mode() {
    for mode in [Mode::Enforce, Mode::Audit] {
        let judged = Setup {
            mode,
            ..Setup::default()
        }
        .judge();
        assert_eq!(judged.outcome, Outcome::Skipped(SkipReason::NoPolicy));
    }
}

#[test]
fn m5_audit_policies_are_compared_with_the_changed_pod() {
    let judged = Setup {
        policies: &[
            (
                "audit",
                "{mode: Audit, priority: 9, hostAliases: [{ip: 10.0.0.2, hostnames: [a, b]}]}",
            ),
            ("enforce", ALIAS),
        ],
        ..Setup::default()
    }
    .judge();
    assert_eq!(judged.outcome, Outcome::Mutated);
    assert_eq!(
        judged.host_aliases(),
        &json!([{"ip": "10.0.0.1", "hostnames": ["a"]}])
    );
    // The changed pod has the hostname at another address, which the audit policy would remove.
    assert_eq!(
        judged.audit_changes,
        ["add-host-alias", "remove-host-alias"]
    );
    assert!(
        judged.overrides.is_empty(),
        "policies of one mode do not override those of the other"
    );
}

#[test]
fn m5_an_audit_policy_does_not_repeat_a_change_of_an_enforce_policy() {
    let judged = Setup {
        policies: &[
            ("a", ALIAS),
            (
                "b",
                "{mode: Audit, hostAliases: [{ip: 10.0.0.1, hostnames: [a]}]}",
            ),
        ],
        ..Setup::default()
    }
    .judge();
    assert_eq!(judged.outcome, Outcome::Mutated);
    assert!(judged.audit_changes.is_empty());
}

#[test]
fn m5_an_audit_policy_is_not_named_in_the_annotations() {
    let judged = Setup {
        policies: &[("a", ALIAS), ("b", AUDIT_ALIAS)],
        ..Setup::default()
    }
    .judge();
    assert_eq!(
        judged.pod["metadata"]["annotations"]["drydock.dev/policies"],
        "a"
    );
}

#[test]
fn m5_deny_in_an_audit_policy_does_not_refuse_the_pod() {
    let judged = Setup {
        policies: &[("a", ALIAS), ("b", AUDIT_DENY)],
        pod: CONFLICT,
        ..Setup::default()
    }
    .judge();
    assert_eq!(judged.outcome, Outcome::Mutated);
    assert_eq!(judged.changes, ["add-host-alias"]);
    assert!(judged.reports_to_author("D8", "\"ca\""));
}

#[rstest]
#[case::changes(ALIAS, "", AuditReason::WouldMutate)]
#[case::refuses(DENY, CONFLICT, AuditReason::WouldDeny)]
#[case::does_nothing(
    ALIAS,
    "hostAliases: [{ip: 10.0.0.1, hostnames: [a]}]",
    AuditReason::NothingToChange
)]
fn a6_a_namespace_in_audit_changes_and_refuses_nothing(
    #[case] policy: &str,
    #[case] pod: &str,
    #[case] reason: AuditReason,
) {
    let judged = Setup {
        policies: &[("test", policy)],
        pod,
        mode: Mode::Audit,
        ..Setup::default()
    }
    .judge();
    assert_eq!(judged.outcome, Outcome::Audited(reason));
    assert_eq!(judged.pod, judged.before);
}

#[test]
fn a6_a_namespace_in_audit_reports_all_changes_and_findings() {
    let pod = CONFLICT;
    let policies = &[
        (
            "a",
            "{hostAliases: [{ip: 10.0.0.1, hostnames: [a]}], dind: {volumes: []}}",
        ),
        ("b", AUDIT_ALIAS),
    ];
    let enforced = Setup {
        policies,
        pod,
        ..Setup::default()
    }
    .judge();
    let audited = Setup {
        policies,
        pod,
        mode: Mode::Audit,
        ..Setup::default()
    }
    .judge();
    assert_eq!(enforced.changes, audited.changes);
    assert_eq!(enforced.findings, audited.findings);
    assert_eq!(audited.audit_changes, ["add-host-alias"]);
}

#[test]
fn f1_only_deny_in_an_enforce_policy_refuses() {
    assert_eq!(judge(DENY, CONFLICT).outcome, Outcome::Denied);
    for policy in [
        "dind: {volumes: []}",
        "dind: {clientCerts: {onConflict: Report}}",
        AUDIT_DENY,
    ] {
        assert_ne!(judge(policy, CONFLICT).outcome, Outcome::Denied, "{policy}");
    }
}
