//! Another mutating webhook, which the API server calls after drydock.

use crate::drydock_process::Certificate;
use crate::identity::Identity;
use crate::isolation::{SCOPE_LABEL, Scope};
use crate::raw_requests::{DryRun, create_pod};
use crate::registration::register;
use crate::runner_pods::broken_job;
use crate::wait::{TIMEOUT, eventually};
use axum::Router;
use axum_server::tls_rustls::RustlsConfig;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drydock::names::ENFORCE;
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::task::JoinHandle;

/// A running webhook server. It stops when dropped.
pub(crate) struct OtherWebhook {
    address: SocketAddr,
    certificate: Certificate,
    calls: Arc<AtomicUsize>,
    server: JoinHandle<()>,
}

impl Drop for OtherWebhook {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl OtherWebhook {
    /// Starts a webhook that changes each pod by JSON Patch operations.
    pub(crate) async fn start(patch: fn(&Value) -> Vec<Value>) -> Self {
        Self::responding(move |pod| {
            let mut response = json!({"allowed": true});
            let patch = patch(pod);
            if !patch.is_empty() {
                response["patchType"] = "JSONPatch".into();
                response["patch"] = STANDARD.encode(Value::from(patch).to_string()).into();
            }
            response
        })
        .await
    }

    /// Starts a webhook that returns the response of a function, without the `uid`, for each pod.
    pub(crate) async fn responding(
        respond: impl Fn(&Value) -> Value + Clone + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let certificate = Certificate::new();
        // axum-server uses the default crypto provider of the process.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let tls = RustlsConfig::from_pem_file(certificate.file(), certificate.key_file());
        let tls = tls.await.unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = calls.clone();
        let router = Router::new().fallback(async move |review: String| {
            counter.fetch_add(1, Ordering::Relaxed);
            answer(&review, &respond)
        });
        let server = axum_server::from_tcp_rustls(listener, tls).unwrap();
        let server = tokio::spawn(async move {
            server.serve(router.into_make_service()).await.unwrap();
        });
        Self {
            address,
            certificate,
            calls,
            server,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Returns the CA certificate of the server, as PEM.
    pub(crate) fn authority(&self) -> &str {
        &self.certificate.authority
    }

    /// Returns how often the webhook was called.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// Returns the entry for a webhook configuration.
    pub(crate) fn webhook(&self, namespace_selector: &Value) -> Value {
        json!({
            "name": "other.example.com",
            "admissionReviewVersions": ["v1"],
            "clientConfig": {
                "url": format!("https://{}/", self.address),
                "caBundle": STANDARD.encode(&self.certificate.authority),
            },
            "failurePolicy": "Fail",
            "namespaceSelector": namespace_selector,
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
            "sideEffects": "None",
        })
    }

    /// Registers the webhook for the namespaces of a scope, to be called after drydock, and waits
    /// until it is called.
    pub(crate) async fn register(&self, scope: &Scope<'_>) {
        let configuration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            // The API server calls webhooks in the order of the names of their configurations.
            "metadata": {"name": format!("{}-after", scope.name)},
            "webhooks": [self.webhook(&json!({"matchLabels": {SCOPE_LABEL: scope.name}}))],
        });
        register(scope, configuration).await;
        let namespace = scope.namespace("other", Some(ENFORCE)).await;
        let runner = scope.api.client(Identity::Runner).await;
        let pod = broken_job();
        let create = async || {
            let answer = create_pod(&runner, &namespace, &pod, DryRun::Yes).await;
            (answer, self.calls())
        };
        eventually(
            "the other webhook is called",
            TIMEOUT,
            create,
            |(_, calls)| *calls > 0,
        )
        .await;
    }
}

fn answer(
    review: &str,
    respond: &impl Fn(&Value) -> Value,
) -> ([(&'static str, &'static str); 1], String) {
    let review: Value = serde_json::from_str(review).unwrap();
    let request = &review["request"];
    let mut response = respond(&request["object"]);
    response["uid"] = request["uid"].clone();
    let review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": response,
    });
    ([("Content-Type", "application/json")], review.to_string())
}
