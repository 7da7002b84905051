//! The webhook configuration of `manifests/`, changed to call the server of a test.

use crate::identity::Identity;
use crate::isolation::{SCOPE_LABEL, Scope};
use crate::raw_requests::{self, Answer, DryRun, create_pod};
use crate::runner_pods::{broken_job, changes};
use crate::wait::{TIMEOUT, eventually};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drydock::names::{ENFORCE, ENFORCE_WEBHOOK};
use kube::Client;
use serde_json::{Value, json};
use std::fs;

/// The path of the installed webhook configuration.
pub(crate) const CONFIGURATION: &str =
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/drydock";

/// A webhook server, and the settings that differ between tests.
pub(crate) struct Registration<'a> {
    /// Scheme, host and port, which replace the Service, because that has no endpoints.
    url: String,
    /// The CA certificate of the webhook server, as PEM.
    authority: &'a str,
    /// The `failurePolicy` of the webhook for `enforce` namespaces, or `None` to keep the one in
    /// `manifests/`.
    pub(crate) failure_policy: Option<&'a str>,
}

impl<'a> Registration<'a> {
    pub(crate) fn new(url: String, authority: &'a str, failure_policy: Option<&'a str>) -> Self {
        Self {
            url,
            authority,
            failure_policy,
        }
    }

    /// Registers the webhook for the namespaces of a scope, and waits until a job pod in an
    /// `enforce` namespace is repaired.
    pub(crate) async fn repairs(&self, scope: &Scope<'_>) {
        self.eventually(scope, "a job pod is repaired", |answer| {
            answer.status == 201 && changes(&answer.body).is_some()
        })
        .await;
    }

    /// Registers the webhook, and waits until such a pod is refused.
    pub(crate) async fn refuses(&self, scope: &Scope<'_>) -> Answer {
        let is_refused = |answer: &Answer| answer.status >= 400;
        self.eventually(scope, "a job pod is refused", is_refused)
            .await
    }

    /// Registers the webhook, and waits until such a pod is created unchanged.
    pub(crate) async fn lets_pass(&self, scope: &Scope<'_>) -> Answer {
        let passes = |answer: &Answer| answer.status == 201 && changes(&answer.body).is_none();
        self.eventually(scope, "a job pod passes", passes).await
    }

    /// Registers the webhook for the namespaces of a scope. The API server uses it only after a
    /// moment.
    pub(crate) async fn apply(&self, scope: &Scope<'_>) {
        register(scope, self.applied_to(committed(), scope)).await;
    }

    async fn eventually(
        &self,
        scope: &Scope<'_>,
        what: &str,
        is_so: impl Fn(&Answer) -> bool,
    ) -> Answer {
        self.apply(scope).await;
        let namespace = scope.namespace("registered", Some(ENFORCE)).await;
        let runner = scope.api.client(Identity::Runner).await;
        let pod = broken_job();
        let create = async || create_pod(&runner, &namespace, &pod, DryRun::Yes).await;
        eventually(what, TIMEOUT, create, is_so).await
    }

    /// Returns a webhook configuration with these settings.
    fn applied_to(&self, mut configuration: Value, scope: &Scope<'_>) -> Value {
        configuration["metadata"]["name"] = scope.name.as_str().into();
        for webhook in configuration["webhooks"].as_array_mut().unwrap() {
            at_url(webhook, &self.url);
            webhook["clientConfig"]["caBundle"] = STANDARD.encode(self.authority).into();
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

/// Replaces the Service of a webhook by a URL (scheme, host and port).
pub(crate) fn at_url(webhook: &mut Value, url: &str) {
    let how = webhook["clientConfig"].as_object_mut().unwrap();
    let service = how.remove("service").unwrap();
    let path = service["path"].as_str().unwrap();
    how.insert("url".to_owned(), format!("{url}{path}").into());
}

/// Applies a MutatingWebhookConfiguration.
pub(crate) async fn register(scope: &Scope<'_>, configuration: Value) {
    let name = configuration["metadata"]["name"].as_str().unwrap();
    let path =
        format!("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{name}");
    let answer = raw_requests::apply(&scope.admin, &path, &configuration).await;
    assert_eq!(answer.warnings, Vec::<String>::new());
    answer.object();
}

/// Applies the webhook configuration of `manifests/` with a `caBundle`.
pub(crate) async fn apply_with_bundle(admin: &Client, bundle: &str) {
    let mut configuration = committed();
    for webhook in configuration["webhooks"].as_array_mut().unwrap() {
        webhook["clientConfig"]["caBundle"] = STANDARD.encode(bundle).into();
    }
    let applied = raw_requests::apply(admin, CONFIGURATION, &configuration).await;
    applied.object();
}

/// Returns the webhook configuration of `manifests/`.
pub(crate) fn committed() -> Value {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/manifests/mutating-webhook-configuration.yaml"
    );
    serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}
