//! drydock: a mutating admission webhook that repairs GitLab CI job pods.
pub mod admission;
pub mod cli;
pub mod crd;
pub mod development_ca;
pub mod document;
pub mod job_pod;
pub mod mount_path;
pub mod mutate;
pub mod pod;
pub mod policy;
pub mod server;
pub mod telemetry;
pub mod verdict;
