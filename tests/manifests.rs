//! The files under `manifests/`: they are the printed ones, they fit together, and drydock runs as nobody with no rights to spare.
//!
//! What needs an API server is in `tests/cluster`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that meets what it does not expect is to fail"
)]
#![allow(
    unreachable_pub,
    missing_docs,
    reason = "the modules of a test are nobody's library"
)]

#[path = "manifests/access.rs"]
mod access;
#[path = "manifests/deployment.rs"]
mod deployment;
#[path = "manifests/files.rs"]
mod files;
#[path = "manifests/monitoring.rs"]
mod monitoring;
#[path = "manifests/objects.rs"]
mod objects;
#[path = "manifests/webhook.rs"]
mod webhook;
