//! drydock in a cluster: the real binary at a real kube-apiserver.
//!
//! All tests share one API server, each in its own namespaces; those that stop it have their own.
//! `cluster/parts.rs` says where its programs come from.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod api_server;
mod balancer;
mod call;
mod dates;
mod figures;
mod guarded;
mod identity;
#[path = "../webhook/lines.rs"]
mod lines;
mod other_webhook;
mod parts;
mod pods;
#[path = "../policies/random.rs"]
mod random;
mod registration;
mod replica;
mod scope;
mod serve;
mod setup;
mod stream;
#[path = "../policies/table.rs"]
mod table;
mod wait;

mod called_for;
mod certificates;
mod chart;
mod client_ca;
mod clocks;
mod definition;
mod deputy;
mod disturbances;
mod doctor;
mod ground;
mod guard;
mod import;
mod install;
mod installed;
mod job_pods;
mod messages;
mod outage;
mod policies;
mod proxy;
mod rbac;
mod recovery;
mod refused;
mod reinvocation;
mod upgrade;
mod versions;
mod watching;
