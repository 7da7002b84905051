//! One fault after the other in a healthy cluster, and the findings.

mod cluster;
mod jobs;
mod pod;
mod policies;

use super::diagnose;
use super::testing::{findings, healthy};
use crate::diagnose::facts::{Facts, Reason};
use crate::diagnose::report::Level;
use crate::diagnose::testing::unread;

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

/// Whatever is not readable, is said; nothing panics, and nothing is claimed in its place.
#[test]
fn without_rights_everything_is_a_finding() {
    let forbidden = |resource: &str| unread("list", resource, Reason::Forbidden);
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
        probes: Vec::new(),
        ..healthy()
    };
    let report = diagnose(&facts);
    assert_eq!(report.count(Level::Good), 0, "{report:#?}");
    assert_eq!(report.count(Level::Error), 0, "{report:#?}");
    insta::assert_snapshot!(findings(&report).join("\n"));
}
