//! What drydock's objects are called in a cluster: the committed manifests make them, [`crate::cluster`] reads and heals them.

/// The namespace that the manifests install into.
pub const NAMESPACE: &str = "drydock";
/// Name of Deployment, Service, ServiceAccount, roles and MutatingWebhookConfiguration.
pub const NAME: &str = "drydock";
/// The label by which a namespace opts in; its value is the mode, [`ENFORCE`] or [`AUDIT`] (P1).
pub const OPT_IN_LABEL: &str = "drydock.dev/job-pods";
/// The value of [`OPT_IN_LABEL`] with which pods are changed.
pub const ENFORCE: &str = "enforce";
/// The value of [`OPT_IN_LABEL`] with which nothing is changed and everything is said.
pub const AUDIT: &str = "audit";
/// The webhook of namespaces that opted in with [`ENFORCE`].
pub const ENFORCE_WEBHOOK: &str = "enforce.job-pods.drydock.dev";
/// The webhook of namespaces that opted in with [`AUDIT`].
pub const AUDIT_WEBHOOK: &str = "audit.job-pods.drydock.dev";
/// The Secret, in drydock's own namespace, that holds the self-managed certificate authority.
pub const CA_SECRET: &str = "drydock-ca";
