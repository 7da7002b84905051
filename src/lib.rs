//! A mutating admission webhook that repairs GitLab CI job pods when they are created.
//!
//! A mutation is a subtraction: **desired − actual = changes**. Policies fold to the desired state
//! of a pod; the rules compare it with the pod and return changes and findings. Everything else is
//! a rendering of these: a JSON Patch for the API server, sentences for people, names for metrics.
//! The webhook, the command line and the tests call one function, [`core::verdict::judge`].
//!
//! ```text
//! src/core        document, mount_path, object_name, quote ◄─ everything below
//!                 crd ◄── policy ◄─┐
//!                         pod ◄────┴─ job_pod ◄── rules ◄── verdict ◄── admission       pure
//!
//! src/import      core ◄── import          configuration of runners → policies          pure
//! src/diagnose    core ◄── diagnose        facts about a cluster → findings             pure
//! src/telemetry   core ◄── telemetry       log format and metrics
//! src/pki         authority, leaf, TLS configuration
//! src/server      core, pki, telemetry ◄── server
//! src/cluster     core, pki, telemetry, names ◄── cluster
//! src/cli         everything ◄── cli ◄── main
//! ```
//!
//! `server` and `cluster` do not know each other: channels join them in `cli::serve`.
//! Imports go to the left only; `tests/tidy/main.rs` checks it.
//!
//! `docs/ARCHITECTURE.md` has the flows with their files in order, the invariants with the test
//! that holds each, and the place of a new rule, field or metric.

// A test that meets what it does not expect is to fail.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing))]

pub mod cli;
pub mod cluster;
pub mod core;
pub mod diagnose;
pub mod import;
pub mod names;
pub mod pki;
pub mod server;
pub mod telemetry;
#[cfg(test)]
mod testing;
