//! The files under `manifests/`: drydock prints them, they are consistent, and drydock runs without
//! root and with minimal permissions.
//!
//! Tests that need Helm or an API server are in `tests/cluster`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![allow(
    unreachable_pub,
    missing_docs,
    reason = "the modules of a test are not a public API"
)]

mod deployment;
mod files;
mod monitoring;
mod objects;
mod rbac;
mod webhook;
