//! Computes the changes to a pod. Pure: no I/O, clock, environment or Kubernetes client.
//!
//! ```text
//! document, mount_path, object_name, quote ◄─ everything below
//! crd ◄── policy ◄─┐
//!         pod ◄────┴─ job_pod ◄── rules ◄── verdict ◄── admission
//! ```

pub mod admission;
pub mod crd;
pub mod document;
pub mod job_pod;
pub mod mount_path;
pub mod object_name;
pub mod pod;
pub mod policy;
pub mod quote;
pub mod rules;
pub mod verdict;
