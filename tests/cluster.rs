//! drydock in a cluster: the real binary at a real kube-apiserver, which decides what a patch, a policy or a registration is worth.
//!
//! All tests share one API server, each in namespaces of its own; those that stop it have one of their own.
//! `cluster/parts.rs` says where its programs come from.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "cluster/api_server.rs"]
mod api_server;
#[path = "cluster/balancer.rs"]
mod balancer;
#[path = "cluster/call.rs"]
mod call;
#[path = "cluster/figures.rs"]
mod figures;
#[path = "cluster/guarded.rs"]
mod guarded;
#[path = "cluster/identity.rs"]
mod identity;
#[path = "webhook/lines.rs"]
mod lines;
#[path = "cluster/other_webhook.rs"]
mod other_webhook;
#[path = "cluster/parts.rs"]
mod parts;
#[path = "cluster/pods.rs"]
mod pods;
#[path = "policies/random.rs"]
mod random;
#[path = "cluster/registration.rs"]
mod registration;
#[path = "cluster/replica.rs"]
mod replica;
#[path = "cluster/scope.rs"]
mod scope;
#[path = "cluster/serve.rs"]
mod serve;
#[path = "cluster/setup.rs"]
mod setup;
#[path = "cluster/stream.rs"]
mod stream;
#[path = "policies/table.rs"]
mod table;
#[path = "cluster/wait.rs"]
mod wait;

#[path = "cluster/certificates.rs"]
mod certificates;
#[path = "cluster/client_ca.rs"]
mod client_ca;
#[path = "cluster/definition.rs"]
mod definition;
#[path = "cluster/deputy.rs"]
mod deputy;
#[path = "cluster/disturbances.rs"]
mod disturbances;
#[path = "cluster/ground.rs"]
mod ground;
#[path = "cluster/guard.rs"]
mod guard;
#[path = "cluster/install.rs"]
mod install;
#[path = "cluster/installed.rs"]
mod installed;
#[path = "cluster/job_pods.rs"]
mod job_pods;
#[path = "cluster/match_conditions.rs"]
mod match_conditions;
#[path = "cluster/outage.rs"]
mod outage;
#[path = "cluster/policies.rs"]
mod policies;
#[path = "cluster/rbac.rs"]
mod rbac;
#[path = "cluster/reinvocation.rs"]
mod reinvocation;
#[path = "cluster/upgrade.rs"]
mod upgrade;
#[path = "cluster/watching.rs"]
mod watching;
