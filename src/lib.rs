//! drydock: a TLS mutating admission webhook that repairs GitLab CI job pods on their way into a Kubernetes cluster.
//!
//! A mutation is a subtraction: **desired − actual = changes**. Policies fold to what a pod should look like; the rules compare it with
//! the pod and return a list of changes; everything else is a rendering of that list: a JSON Patch for the API server, sentences for
//! people, names for metrics. Webhook, command line and tests call the same function, [`verdict::judge`].
//!
//! ```text
//! document, mount_path, object_name, shown ◄─ everything below          pure: no async, clock, environment, files, network
//! crd ◄── policy ◄─┐
//!         pod ◄────┼─ job_pod ◄── mutate ◄── verdict ◄── admission ◄─┐
//!                  └────────────────────────────────────────────────┤
//!                                      telemetry ◄─┬─ server ◄──────┼─ cli ◄── main          I/O
//!                                          names ◄─┴─ cluster ◄─────┤
//!                                      authority ◄──────────────────┤
//!               crd, mount_path, policy, quote ◄── import ◄─────────┤   pure
//!                       verdict, authority ◄── diagnose ◄───────────┘   pure
//! ```
//!
//! `server` and `cluster` do not know each other: channels join them in `cli::serve`.
//! Left never imports right; `tests/tidy/main.rs` holds it.
//!
//! # The way of a review
//!
//! [`server`] reads the body → [`admission`] reads the review into a borrowed [`pod::Pod`] → [`verdict::judge`]: is it a job pod
//! ([`job_pod`]), which policies match ([`policy::set`]), what do they change ([`mutate`]) → the patch, warnings and audit annotations
//! go back, a [`admission::Record`] goes to log and metrics.
//!
//! Beside it [`cluster`] watches policies and the objects that have their addresses, and publishes a [`policy::PolicySet`] when
//! one changes; it writes status and Events. An API server that is away changes nothing for reviews.
//!
//! `docs/ARCHITECTURE.md` has the flows with their files in order, and the invariants with the test
//! that holds each.

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
