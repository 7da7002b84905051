//! Provokes every finding that a real cluster can have, one fault after the other.

mod other_webhooks;
mod running;
mod stopped;

use super::cluster::{Cluster, Ran, run_as};
use crate::api_server::ApiServer;
use crate::identity::Identity;
use crate::raw_requests::{apply, call, get, merge, patch};
use crate::wait::{POLL_INTERVAL, TIMEOUT};
use axum::http::Method;
use drydock::diagnose::finding;
use kube::Client;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Instant;

/// Findings that only the tests in `src/diagnose/tests` provoke, and the reasons.
const ELSEWHERE: [(&str, &str); 12] = [
    (
        "calls-slow",
        "a call that is slow but does not fail needs a slow network",
    ),
    (
        "definition-not-served",
        "the API server corrects the condition immediately",
    ),
    (
        "has-side-effects",
        "the API server refuses the value in admissionregistration.k8s.io/v1",
    ),
    (
        "hostname-elsewhere",
        "depends on the hostnames that this machine resolves",
    ),
    ("pod-too-large", "the API server refuses a pod of that size"),
    (
        "policy-unreadable",
        "the CRD's validation rejects such a policy",
    ),
    (
        "refused-certificate",
        "needs a certificate that is invalid for a reason without a finding of its own",
    ),
    (
        "refused-no-address",
        "depends on the DNS resolver of this machine",
    ),
    ("refused-no-route", "needs a network without a route"),
    (
        "refused-no-service-account",
        "the API servers of the tests run without the ServiceAccount admission plugin",
    ),
    (
        "refused-other-no-dry-run",
        "the API server refuses such a webhook in admissionregistration.k8s.io/v1",
    ),
    (
        "refused-terminating",
        "drydock doctor skips namespaces that are being deleted",
    ),
];

/// Changes to the cluster, and the findings of `drydock doctor` about them.
struct Fault {
    finds: &'static [&'static str],
    arguments: &'static [&'static str],
    changes: Vec<(String, Change)>,
}

enum Change {
    /// A JSON Patch.
    Patch(Value),
    /// A JSON Merge Patch.
    Merge(Value),
    MergeOnly(Value),
    /// A new object, or new content of an object.
    Apply(Value),
    Delete,
}

impl Fault {
    fn new(finds: &'static [&'static str]) -> Self {
        Self {
            finds,
            arguments: &[],
            changes: Vec::new(),
        }
    }

    fn asked(mut self, arguments: &'static [&'static str]) -> Self {
        self.arguments = arguments;
        self
    }

    fn change(mut self, path: &str, change: Change) -> Self {
        self.changes.push((path.to_owned(), change));
        self
    }

    fn patch(self, path: &str, operations: Value) -> Self {
        self.change(path, Change::Patch(operations))
    }

    fn merge(self, path: &str, change: Value) -> Self {
        self.change(path, Change::Merge(change))
    }

    /// Changes an object that the same fault creates. It is not restored, because it is deleted.
    fn merge_only(self, path: &str, change: Value) -> Self {
        self.change(path, Change::MergeOnly(change))
    }

    fn apply(self, path: &str, object: Value) -> Self {
        self.change(path, Change::Apply(object))
    }

    fn delete(self, path: &str) -> Self {
        self.change(path, Change::Delete)
    }
}

/// The findings of all runs, and the faults that were not found.
#[derive(Default)]
struct Found {
    names: BTreeSet<String>,
    missed: Vec<String>,
}

impl Found {
    /// Runs `drydock doctor` until it reports all expected findings, and prints its text.
    async fn wait_for(
        &mut self,
        api: &ApiServer,
        who: Identity,
        arguments: &[&str],
        wanted: &[&str],
    ) {
        let json = [arguments, &["-o", "json"]].concat();
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let ran = run_as(api, who, &json);
            let found = names(&ran);
            if wanted.iter().all(|name| found.contains(*name)) {
                assert_eq!(ran.code, Some(1), "{ran:?}");
                self.names.extend(found);
                break;
            }
            if Instant::now() > deadline {
                self.missed
                    .push(format!("{wanted:?}, but {found:?} {}", ran.err));
                break;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        show(wanted, &run_as(api, who, arguments));
    }
}

/// Returns the names of the findings in a JSON report.
fn names(ran: &Ran) -> BTreeSet<String> {
    let report: Value = serde_json::from_str(&ran.out).unwrap_or_default();
    let sections = report["sections"].as_array().into_iter().flatten();
    let checks = sections.flat_map(|section| section["checks"].as_array().unwrap());
    let findings = checks.filter(|check| check["level"] == "warning" || check["level"] == "error");
    findings
        .map(|check| check["name"].as_str().unwrap().to_owned())
        .collect()
}

/// Injects a fault, waits for its findings, and undoes it.
async fn provoke(cluster: &Cluster, fault: Fault, seen: &mut Found) {
    let admin = &cluster.admin;
    let mut originals = Vec::new();
    for (path, change) in &fault.changes {
        if !matches!(change, Change::MergeOnly(_)) {
            let original = get(admin, path).await;
            let body = (original.status == 200).then_some(original.body);
            originals.push((path.clone(), body));
        }
        let answer = match change {
            Change::Patch(operations) => patch(admin, path, operations).await,
            Change::Merge(change) | Change::MergeOnly(change) => merge(admin, path, change).await,
            Change::Apply(object) => apply(admin, path, object).await,
            Change::Delete => call(admin, Method::DELETE, path, None).await,
        };
        answer.object();
    }
    let (api, admins) = (&cluster.api, Identity::Admin);
    seen.wait_for(api, admins, fault.arguments, fault.finds)
        .await;
    for (path, original) in originals.into_iter().rev() {
        restore(admin, &path, original).await;
    }
}

/// Prints the text of a report, which `--nocapture` shows.
#[allow(clippy::print_stderr, reason = "output of a test")]
fn show(found: &[&str], ran: &Ran) {
    eprintln!("### {}\n{}", found.join(", "), ran.stable());
}

async fn restore(admin: &Client, path: &str, original: Option<Value>) {
    let Some(mut original) = original else {
        let now = json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0});
        call(admin, Method::DELETE, path, Some(&now)).await.object();
        return;
    };
    let current = get(admin, path).await;
    let metadata = original["metadata"].as_object_mut().unwrap();
    metadata.remove("managedFields");
    if current.status == 200 {
        let version = current.body["metadata"]["resourceVersion"].clone();
        metadata.insert("resourceVersion".to_owned(), version);
        call(admin, Method::PUT, path, Some(&original))
            .await
            .object();
        return;
    }
    for field in ["resourceVersion", "uid", "creationTimestamp", "generation"] {
        metadata.remove(field);
    }
    apply(admin, path, &original).await.object();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_is_found_and_every_finding_is_provoked() {
    let mut seen = Found::default();
    let cluster = Cluster::start().await;
    for fault in running::faults(&cluster).await {
        provoke(&cluster, fault, &mut seen).await;
    }
    running::certificates(&cluster, &mut seen).await;
    other_webhooks::provoke_all(&cluster, &mut seen).await;
    // Every fault is undone, but the API server still counts the failed calls.
    let left = names(&cluster.doctor(&["-o", "json"]));
    assert_eq!(left, ["calls-failed".to_owned()].into());
    let (api, nobody) = (&cluster.api, Identity::Nobody);
    seen.wait_for(api, nobody, &[], &["not-allowed"]).await;
    stopped::faults(cluster, &mut seen).await;
    assert_eq!(seen.missed, [""; 0]);
    let all = finding::all().map(|(name, _)| name);
    let unseen: BTreeSet<&str> = all.filter(|name| !seen.names.contains(*name)).collect();
    assert_eq!(unseen, ELSEWHERE.map(|(name, _)| name).into());
}
