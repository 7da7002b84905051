//! A mutating admission webhook that repairs GitLab CI job pods when they are created.
//!
//! Policies define the desired state of a pod. The rules compare this state with the pod, and
//! return changes and findings: **desired − actual = changes**. drydock renders these as a JSON
//! Patch for the API server, as sentences for people and as names for metrics. The webhook, the
//! command line and the tests all call the same function, [`core::verdict::judge`].
//!
//! ```text
//! src/core        document, mount_path, object_name, quote ◄─ everything below
//!                 crd ◄── policy ◄─┐
//!                         pod ◄────┴─ job_pod ◄── rules ◄── verdict ◄── admission       pure
//!
//! src/import      core ◄── import          configuration of runners → policies          pure
//! src/diagnose    core, pki, names ◄── diagnose   facts about a cluster → findings      pure
//! src/telemetry   core ◄── telemetry       log format and metrics
//! src/pki         authority, leaf, TLS configuration
//! src/server      core, pki, telemetry ◄── server
//! src/cluster     core, pki, telemetry, names ◄── cluster
//! src/cli         everything ◄── cli ◄── main
//! ```
//!
//! A module imports only modules to its left in this diagram; `tests/tidy/main.rs` checks this.
//! `server` and `cluster` do not import each other: `cli::serve` connects them with channels.
//!
//! `docs/ARCHITECTURE.md` describes the flows file by file, the invariants and their tests, and
//! where to add a rule, a field or a metric.

// Unit tests may unwrap and index: a panic fails the test.
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
