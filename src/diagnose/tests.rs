//! Adds faults to a healthy cluster, and checks the findings.

mod cluster;
mod jobs;
mod pod;
mod policies;

use super::diagnose;
use super::finding;
use super::testing::{findings, healthy, seen};
use crate::diagnose::facts::{Facts, Reason};
use crate::diagnose::report::Level;
use crate::diagnose::testing::read_error;
use std::collections::BTreeSet;

#[test]
fn a_healthy_cluster_has_no_findings() {
    let report = diagnose(&healthy());
    assert_eq!(findings(&report), [""; 0]);
    let sections: Vec<&str> = report
        .sections
        .iter()
        .map(|section| section.title)
        .collect();
    assert_eq!(
        sections,
        [
            "Installed",
            "Works",
            "Namespaces",
            "Runners",
            "Policies",
            "Other webhooks"
        ]
    );
    let lines: Vec<&str> = report.checks().map(|check| check.text.as_str()).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

/// Each failed request results in a finding, and no check passes without the facts that it needs.
#[test]
fn without_rights_everything_is_a_finding() {
    let forbidden = |resource: &str| read_error("list", resource, Reason::Forbidden);
    let facts = Facts {
        webhook_configurations: Err(forbidden("mutatingwebhookconfigurations")),
        crd: Err(forbidden("customresourcedefinitions")),
        namespaces: Err(forbidden("namespaces")),
        policies: Err(forbidden("jobpodpolicies.drydock.dev")),
        deployments: Err(forbidden("deployments.apps")),
        stateful_sets: Err(forbidden("statefulsets.apps")),
        quotas: Err(forbidden("resourcequotas")),
        limit_ranges: Err(forbidden("limitranges")),
        admission_metrics: Err(forbidden("/metrics")),
        replicas: None,
        permissions: [].into(),
        dry_runs: Vec::new(),
        ..healthy()
    };
    let report = diagnose(&facts);
    assert_eq!(report.count(Level::Good), 0, "{report:#?}");
    assert_eq!(report.count(Level::Info), 0, "{report:#?}");
    assert_eq!(report.count(Level::Error), 0, "{report:#?}");
    insta::assert_snapshot!(findings(&report).join("\n"));
}

/// Runs all tests that produce findings, and fails if the tables contain a finding that no test
/// produces.
#[test]
fn every_finding_has_a_test() {
    let tests: &[fn()] = &[
        cluster::a_missing_or_different_crd_is_found,
        cluster::missing_and_duplicate_webhooks_are_found,
        cluster::rules_and_selectors_that_select_other_objects_are_found,
        cluster::failure_policy_fail_is_a_finding_for_the_audit_webhook_only,
        cluster::a_missing_invalid_or_expired_ca_bundle_is_found,
        cluster::missing_and_unready_replicas_are_found,
        cluster::versions_that_differ_are_found,
        cluster::expiring_and_expired_certificates_are_found,
        cluster::certificates_that_the_api_server_does_not_trust_are_found,
        cluster::failed_requests_about_replicas_are_findings,
        cluster::failed_and_slow_calls_are_found,
        jobs::refused_and_unchanged_job_pods_are_found,
        jobs::only_the_refusal_of_a_pod_that_is_not_a_job_pod_is_a_finding,
        jobs::unchanged_pods_in_audit_mode_are_no_finding,
        jobs::wrong_labels_are_found,
        jobs::selected_namespaces_that_have_not_opted_in_are_found,
        jobs::runners_with_jobs_in_other_namespaces_are_found,
        jobs::label_values_and_name_prefixes_of_the_webhooks_are_used,
        jobs::a_runner_configuration_that_cannot_be_read_is_a_finding,
        jobs::missing_permissions_of_a_runner_are_found,
        jobs::other_webhooks_are_called_before_or_after_drydock,
        policies::policies_that_are_not_in_force_are_found,
        policies::missing_config_maps_and_claims_are_found,
        policies::a_pod_security_level_that_forbids_dind_is_found,
        policies::a_policy_that_selects_nothing_is_found,
        policies::hostnames_that_resolve_to_other_addresses_are_found,
        policies::quotas_and_limit_ranges_that_affect_jobs_are_found,
        pod::a_repaired_pod_is_reported_with_its_policy,
        pod::a_pod_that_was_not_repaired_is_reported_with_changes_and_reason,
        pod::pods_that_drydock_does_not_change_are_explained,
        pod::a_pod_that_exceeds_a_limit_is_found,
        super::refusal::tests::each_message_of_the_api_server_has_a_finding,
    ];
    let seen = seen(tests);
    let unseen: Vec<&str> = finding::all()
        .map(|(name, _)| name)
        .filter(|name| !seen.contains(name))
        .collect();
    assert_eq!(unseen, [""; 0]);
}

#[test]
fn names_of_findings_are_unique() {
    let names: Vec<&str> = finding::all().map(|(name, _)| name).collect();
    let unique: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(unique.len(), names.len());
}
