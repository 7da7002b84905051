//! drydock's registration at the API server, the committed one but for what a test's own server needs otherwise.

use crate::call::{self, Answer, DryRun, create_pod};
use crate::identity::Identity;
use crate::pods::{broken_job, changes};
use crate::scope::{SCOPE_LABEL, Scope};
use crate::wait::{PATIENCE, eventually};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drydock::names::{
    AUDIT, AUDIT_WEBHOOK, ENFORCE, ENFORCE_WEBHOOK, NAME, NAMESPACE, OPT_IN_LABEL,
};
use serde_json::{Value, json};

/// What differs from test to test.
pub(crate) struct Registration<'a> {
    /// Scheme, host and port, which stand in for the Service: it would have no endpoints.
    pub(crate) url: &'a str,
    /// The authority of the webhook's certificate, PEM.
    pub(crate) authority: &'a str,
    /// What becomes of a pod of an `enforce` namespace while the webhook is away; the committed one where it is nothing.
    pub(crate) failure_policy: Option<&'a str>,
}

impl Registration<'_> {
    /// Registers it for the namespaces of a scope, and waits until a job pod that is created there, in a namespace that opted in
    /// with `enforce`, is repaired.
    pub(crate) async fn repairs(&self, scope: &Scope<'_>) {
        self.eventually(scope, "a job pod is repaired", |answer| {
            answer.status == 201 && changes(&answer.body).is_some()
        })
        .await;
    }

    /// Registers it and waits until such a pod is refused.
    pub(crate) async fn refuses(&self, scope: &Scope<'_>) -> Answer {
        let is_refused = |answer: &Answer| answer.status >= 400;
        self.eventually(scope, "a job pod is refused", is_refused)
            .await
    }

    /// Registers it and waits until such a pod is created as it came.
    pub(crate) async fn lets_pass(&self, scope: &Scope<'_>) -> Answer {
        let passes = |answer: &Answer| answer.status == 201 && changes(&answer.body).is_none();
        self.eventually(scope, "a job pod passes", passes).await
    }

    async fn eventually(
        &self,
        scope: &Scope<'_>,
        what: &str,
        is_so: impl Fn(&Answer) -> bool,
    ) -> Answer {
        register(scope, self.applied_to(committed(), scope)).await;
        let namespace = scope.namespace("registered", Some(ENFORCE)).await;
        let runner = scope.api.client(Identity::Runner).await;
        let pod = broken_job();
        let create = async || create_pod(&runner, &namespace, &pod, DryRun::Yes).await;
        eventually(what, PATIENCE, create, is_so).await
    }

    /// Puts what differs into a configuration that is otherwise as it is.
    fn applied_to(&self, mut configuration: Value, scope: &Scope<'_>) -> Value {
        configuration["metadata"]["name"] = scope.name.as_str().into();
        for webhook in configuration["webhooks"].as_array_mut().unwrap() {
            let path = webhook["clientConfig"]["service"]["path"].as_str();
            webhook["clientConfig"] = json!({
                "url": format!("{}{}", self.url, path.unwrap()),
                "caBundle": STANDARD.encode(self.authority),
            });
            webhook["namespaceSelector"]["matchLabels"] = json!({SCOPE_LABEL: scope.name});
            if let Some(policy) = self.failure_policy
                && webhook["name"] == ENFORCE_WEBHOOK
            {
                webhook["failurePolicy"] = policy.into();
            }
        }
        configuration
    }
}

/// Applies a MutatingWebhookConfiguration.
pub(crate) async fn register(scope: &Scope<'_>, configuration: Value) {
    let name = configuration["metadata"]["name"].as_str().unwrap();
    let path =
        format!("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{name}");
    let answer = call::apply(&scope.admin, &path, &configuration).await;
    assert_eq!(answer.warnings, Vec::<String>::new());
    answer.object();
}

/// The configuration that is installed in a cluster.
pub(crate) fn committed() -> Value {
    let webhook = |name: &str, mode: &str, path: &str, failure_policy: &str| {
        json!({
            "name": name,
            "admissionReviewVersions": ["v1"],
            "clientConfig": {"service": {"name": NAME, "namespace": NAMESPACE, "path": path}},
            "failurePolicy": failure_policy,
            "matchPolicy": "Equivalent",
            "namespaceSelector": {"matchExpressions": [
                {"key": OPT_IN_LABEL, "operator": "In", "values": [mode]},
                {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system", NAMESPACE]},
            ]},
            "reinvocationPolicy": "IfNeeded",
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"], "scope": "Namespaced"}],
            "sideEffects": "NoneOnDryRun",
            "timeoutSeconds": 5,
        })
    };
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": NAME},
        "webhooks": [
            webhook(ENFORCE_WEBHOOK, ENFORCE, "/mutate", "Fail"),
            webhook(AUDIT_WEBHOOK, AUDIT, "/audit", "Ignore"),
        ],
    })
}
