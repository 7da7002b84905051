//! The findings of each fault in a healthy cluster.

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

/// Each failed request is a finding, and no check passes without its facts.
#[test]
fn without_rights_everything_is_a_finding() {
    let forbidden = |resource: &str| read_error("list", resource, Reason::Forbidden);
    let facts = Facts {
        configurations: Err(forbidden("mutatingwebhookconfigurations")),
        definition: Err(forbidden("customresourcedefinitions")),
        namespaces: Err(forbidden("namespaces")),
        policies: Err(forbidden("jobpodpolicies.drydock.dev")),
        deployments: Err(forbidden("deployments.apps")),
        stateful_sets: Err(forbidden("statefulsets.apps")),
        quotas: Err(forbidden("resourcequotas")),
        limit_ranges: Err(forbidden("limitranges")),
        admission: Err(forbidden("/metrics")),
        replicas: None,
        rights: [].into(),
        dry_runs: Vec::new(),
        ..healthy()
    };
    let report = diagnose(&facts);
    assert_eq!(report.count(Level::Good), 0, "{report:#?}");
    assert_eq!(report.count(Level::Info), 0, "{report:#?}");
    assert_eq!(report.count(Level::Error), 0, "{report:#?}");
    insta::assert_snapshot!(findings(&report).join("\n"));
}

/// Runs the tests in the list, which must include each test that makes a finding.
#[test]
fn every_finding_is_made_by_a_test() {
    let tests: &[fn()] = &[
        cluster::a_missing_or_other_definition_is_found,
        cluster::webhooks_that_are_missing_or_twice_there_are_found,
        cluster::selectors_are_held_to_what_they_select,
        cluster::an_audit_that_can_stop_jobs_is_found_and_fail_open_is_no_fault,
        cluster::a_bundle_that_does_not_trust_is_found,
        cluster::replicas_that_are_away_are_found,
        cluster::versions_that_differ_are_found,
        cluster::certificates_that_end_are_found,
        cluster::certificates_that_the_bundle_does_not_trust_are_found,
        cluster::what_may_not_be_read_of_replicas_is_a_finding,
        cluster::calls_that_failed_are_found,
        jobs::a_pod_that_is_refused_or_not_repaired_is_found,
        jobs::a_pod_that_is_no_job_pod_and_refused_is_the_finding,
        jobs::in_audit_pods_pass_as_they_are,
        jobs::labels_that_mean_nothing_are_found,
        jobs::what_was_asked_for_and_has_not_opted_in_is_found,
        jobs::runners_whose_jobs_drydock_never_sees_are_found,
        jobs::an_installation_may_have_values_and_prefixes_of_its_own,
        jobs::a_configuration_that_may_not_be_read_is_a_finding,
        jobs::rights_that_a_runner_lacks_are_found,
        jobs::another_webhook_is_placed_before_or_after_drydock,
        policies::policies_that_are_not_in_force_are_found,
        policies::what_policies_mount_and_namespaces_lack_is_found,
        policies::a_level_of_pod_security_without_dind_is_found,
        policies::a_policy_that_selects_nothing_is_found,
        policies::hostnames_that_resolve_elsewhere_are_found,
        policies::quotas_and_ranges_that_a_job_meets_are_found,
        pod::a_repaired_pod_says_by_what,
        pod::a_pod_that_was_not_repaired_says_what_would_be_changed_and_why_not,
        pod::a_pod_outside_says_so,
        pod::a_pod_that_is_larger_than_drydock_reads_says_so,
        super::refusal::tests::each_message_of_the_api_server_has_its_finding,
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
