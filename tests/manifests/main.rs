//! The files under `manifests/`: they are the printed ones, they fit together, and drydock runs as
//! nobody with no rights to spare.
//!
//! What needs Helm or an API server is in `tests/cluster`.
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

mod deployment;
mod files;
mod monitoring;
mod objects;
mod rbac;
mod webhook;
