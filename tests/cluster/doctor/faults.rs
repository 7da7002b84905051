//! Every finding that can be provoked at a real API server, one fault after the other.

mod running;
mod stopped;

use super::cluster::{Cluster, Ran, run_as};
use crate::api_server::ApiServer;
use crate::identity::Identity;
use crate::raw_requests::{apply, call, get, merge, patch};
use crate::wait::{A_MOMENT, PATIENCE};
use axum::http::Method;
use drydock::diagnose::finding;
use kube::Client;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Instant;

/// Findings that no test provokes at an API server, and why; those of `src/diagnose/tests` do.
const ELSEWHERE: [(&str, &str); 15] = [
    (
        "calls-slow",
        "a call that is as slow and does not fail needs a slow network",
    ),
    (
        "definition-not-served",
        "the API server sets the condition right at once",
    ),
    (
        "has-side-effects",
        "the API server refuses the value in admissionregistration.k8s.io/v1",
    ),
    (
        "hostname-elsewhere",
        "depends on the names that this computer resolves",
    ),
    ("pod-too-large", "the API server refuses a pod of that size"),
    (
        "policy-unreadable",
        "the API server refuses such a policy by the definition's rules",
    ),
    (
        "refused",
        "stands for words that are not known; the others' are",
    ),
    (
        "refused-certificate",
        "needs a certificate that is wrong in a way of its own",
    ),
    (
        "refused-no-address",
        "depends on the resolver of this computer",
    ),
    ("refused-no-route", "needs a network without a route"),
    (
        "refused-no-service-account",
        "the API servers of the tests have no ServiceAccounts",
    ),
    (
        "refused-other-denies",
        "no other webhook of the tests denies",
    ),
    (
        "refused-other-no-dry-run",
        "the API server refuses such a webhook in admissionregistration.k8s.io/v1",
    ),
    (
        "refused-terminating",
        "a namespace that is being deleted is left out",
    ),
    (
        "runner-rights-minor",
        "the roles of the tests are the chart's, which grant more",
    ),
];

/// What is wrong, and what `drydock doctor` says then.
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
    /// An object that was not there, or another content of it.
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

    /// Of an object that the fault makes itself, so that nothing is to be restored.
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

/// What was found, and which faults were not.
#[derive(Default)]
struct Seen {
    names: BTreeSet<String>,
    missed: Vec<String>,
}

impl Seen {
    /// Runs it until all these findings are made, and prints what people read.
    async fn look(&mut self, api: &ApiServer, who: Identity, arguments: &[&str], wanted: &[&str]) {
        let json = [arguments, &["-o", "json"]].concat();
        let deadline = Instant::now() + PATIENCE;
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
            tokio::time::sleep(A_MOMENT).await;
        }
        show(wanted, &run_as(api, who, arguments));
    }
}

/// The names of the findings in a JSON report.
fn names(ran: &Ran) -> BTreeSet<String> {
    let report: Value = serde_json::from_str(&ran.out).unwrap_or_default();
    let sections = report["sections"].as_array().into_iter().flatten();
    let checks = sections.flat_map(|section| section["checks"].as_array().unwrap());
    let findings = checks.filter(|check| check["level"] != "good");
    findings
        .map(|check| check["name"].as_str().unwrap().to_owned())
        .collect()
}

/// Injects a fault, looks for its findings, and makes it undone.
async fn provoke(cluster: &Cluster, fault: Fault, seen: &mut Seen) {
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
    seen.look(api, admins, fault.arguments, fault.finds).await;
    for (path, original) in originals.into_iter().rev() {
        restore(admin, &path, original).await;
    }
}

/// What people read, for `--nocapture`.
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
    let mut seen = Seen::default();
    let cluster = Cluster::start().await;
    for fault in running::faults(&cluster).await {
        provoke(&cluster, fault, &mut seen).await;
    }
    running::certificates(&cluster, &mut seen).await;
    // Each fault is undone; the API server remembers the calls that failed.
    let left = names(&cluster.doctor(&["-o", "json"]));
    assert_eq!(left, ["calls-failed".to_owned()].into());
    let (api, nobody) = (&cluster.api, Identity::Nobody);
    seen.look(api, nobody, &[], &["not-allowed"]).await;
    stopped::faults(cluster, &mut seen).await;
    assert_eq!(seen.missed, [""; 0]);
    let all = finding::all().map(|(name, _)| name);
    let unseen: BTreeSet<&str> = all.filter(|name| !seen.names.contains(*name)).collect();
    assert_eq!(unseen, ELSEWHERE.map(|(name, _)| name).into());
}
