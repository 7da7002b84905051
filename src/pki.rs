//! Certificates without a cluster: the authority that signs them, and TLS that replaces them while the server runs.

pub mod authority;
pub mod tls;
