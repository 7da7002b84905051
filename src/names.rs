//! Names of drydock's objects, labels and webhooks in a cluster.
//!
//! The committed manifests use these names. An installation can use other object names, and sets
//! them with flags of `drydock serve`.

/// The namespace in which the manifests install drydock.
pub const NAMESPACE: &str = "drydock";
/// The name of the Deployment, Service, ServiceAccount, roles and MutatingWebhookConfiguration.
pub const NAME: &str = "drydock";
/// The name of the Secret in drydock's namespace that contains the self-managed CA.
pub const CA_SECRET: &str = "drydock-ca";
/// The field manager of drydock's server-side apply requests.
pub const FIELD_MANAGER: &str = "drydock";
/// The label of a namespace that opts in. Its value is the mode, [`ENFORCE`] or [`AUDIT`] (P1).
pub const OPT_IN_LABEL: &str = "drydock.dev/job-pods";
/// The value of [`OPT_IN_LABEL`] for namespaces in which drydock changes job pods.
pub const ENFORCE: &str = "enforce";
/// The value of [`OPT_IN_LABEL`] for namespaces in which drydock only reports changes.
pub const AUDIT: &str = "audit";
/// The name of the webhook for namespaces that opted in with [`ENFORCE`].
pub const ENFORCE_WEBHOOK: &str = "enforce.job-pods.drydock.dev";
/// The name of the webhook for namespaces that opted in with [`AUDIT`].
pub const AUDIT_WEBHOOK: &str = "audit.job-pods.drydock.dev";
/// The name of the webhook for namespaces without [`OPT_IN_LABEL`] that GitLab Runner creates for
/// single jobs.
pub const NAMESPACE_PER_JOB_WEBHOOK: &str = "namespace-per-job.job-pods.drydock.dev";
/// The names of all webhooks in drydock's webhook configuration.
pub const WEBHOOKS: [&str; 3] = [ENFORCE_WEBHOOK, AUDIT_WEBHOOK, NAMESPACE_PER_JOB_WEBHOOK];

/// The namespaces whose job pods drydock changes, as the webhook configuration selects them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EnforcedNamespaces {
    /// The value of [`OPT_IN_LABEL`] that selects a namespace.
    pub value: String,
    /// The name prefix that selects a namespace without that label.
    pub prefix: Option<String>,
}

impl EnforcedNamespaces {
    /// Returns whether a namespace is selected. `label` is the value of the label [`OPT_IN_LABEL`]
    /// of the namespace.
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
    use super::{ENFORCE, EnforcedNamespaces};

    #[test]
    fn a_namespace_is_selected_by_its_label_or_by_its_name_without_a_label() {
        let by_label = EnforcedNamespaces {
            value: ENFORCE.to_owned(),
            prefix: None,
        };
        let both = EnforcedNamespaces {
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
