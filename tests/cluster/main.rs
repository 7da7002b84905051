//! Tests of the real binary with a real kube-apiserver.
//!
//! Most tests share one API server and use their own namespaces. Tests that stop the API server or
//! change cluster-scoped objects start their own. `cluster/binaries.rs` finds or builds its
//! programs.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod api_server;
mod binaries;
mod child_process;
mod date_proxy;
mod drydock_process;
mod endpoints;
mod identity;
mod installation;
mod isolation;
mod load_balancer;
mod measurements;
mod other_webhook;
#[path = "../webhook/output_lines.rs"]
mod output_lines;
mod pod_creations;
#[path = "../policies/random.rs"]
mod random;
mod raw_requests;
mod registration;
mod replica;
mod runner_pods;
#[path = "../policies/table.rs"]
mod table;
mod wait;

mod certificates;
mod chart;
mod client_ca;
mod clocks;
mod crd;
mod disruptions;
mod doctor;
mod environment;
mod forged_reviews;
mod http_proxy;
mod import;
mod in_cluster;
mod install;
mod job_pods;
mod messages;
mod outage;
mod policies;
mod rbac;
mod recovery;
mod refused_writes;
mod reinvocation;
mod upgrade;
mod validating_admission_policy;
mod versions;
mod watches;
mod webhook_selectors;
