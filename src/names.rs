//! Names of drydock's objects in a cluster.
//!
//! An installation may give its objects other names: the flags of `serve` say them. The constants
//! are the defaults of those flags, which the committed manifests have.

/// The namespace that the manifests install into.
pub const NAMESPACE: &str = "drydock";
/// Name of Deployment, Service, ServiceAccount, roles and MutatingWebhookConfiguration.
pub const NAME: &str = "drydock";
/// The Secret, in drydock's own namespace, that holds the self-managed certificate authority.
pub const CA_SECRET: &str = "drydock-ca";
/// The manager of the fields that drydock applies to its webhook configuration.
pub const FIELD_MANAGER: &str = "drydock";
/// The label by which a namespace opts in; its value is the mode (P1).
pub const OPT_IN_LABEL: &str = "drydock.dev/job-pods";
/// The value of [`OPT_IN_LABEL`] with which pods are changed.
pub const ENFORCE: &str = "enforce";
/// The value of [`OPT_IN_LABEL`] with which changes are reported but not made.
pub const AUDIT: &str = "audit";
/// The webhook of namespaces that opted in with [`ENFORCE`].
pub const ENFORCE_WEBHOOK: &str = "enforce.job-pods.drydock.dev";
/// The webhook of namespaces that opted in with [`AUDIT`].
pub const AUDIT_WEBHOOK: &str = "audit.job-pods.drydock.dev";
/// The webhook of namespaces without the label that GitLab Runner creates for a job.
pub const NAMESPACE_PER_JOB_WEBHOOK: &str = "namespace-per-job.job-pods.drydock.dev";
/// All of drydock's webhooks.
pub const WEBHOOKS: [&str; 3] = [ENFORCE_WEBHOOK, AUDIT_WEBHOOK, NAMESPACE_PER_JOB_WEBHOOK];

/// The namespaces whose job pods are changed, as the webhook configuration selects them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Enforced {
    /// The value of [`OPT_IN_LABEL`].
    pub value: String,
    /// The beginning of the name of a namespace without that label.
    pub prefix: Option<String>,
}

impl Enforced {
    /// Whether a namespace is one of them, by its name and the value of its label.
    pub fn contains(&self, namespace: &str, label: Option<&str>) -> bool {
        match (label, &self.prefix) {
            (Some(value), _) => value == self.value,
            (None, Some(prefix)) => namespace.starts_with(prefix),
            (None, None) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ENFORCE, Enforced};

    #[test]
    fn a_namespace_is_enforced_by_its_label_or_without_one_by_its_name() {
        let by_label = Enforced {
            value: ENFORCE.to_owned(),
            prefix: None,
        };
        let both = Enforced {
            value: "canary".to_owned(),
            prefix: Some("ci-job-".to_owned()),
        };
        for (namespace, label, default, canary) in [
            ("ci", Some("enforce"), true, false),
            ("ci", Some("canary"), false, true),
            ("ci", Some("audit"), false, false),
            ("ci", None, false, false),
            ("ci-job-7", None, false, true),
            ("ci-job-7", Some("audit"), false, false),
            ("my-ci-job-7", None, false, false),
        ] {
            assert_eq!(by_label.contains(namespace, label), default, "{namespace}");
            assert_eq!(both.contains(namespace, label), canary, "{namespace}");
        }
    }
}
