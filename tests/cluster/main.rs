//! drydock in a cluster: the real binary at a real kube-apiserver.
//!
//! All tests share one API server, each in its own namespaces; those that stop it have their own.
//! `cluster/binaries.rs` says where its programs come from.

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
