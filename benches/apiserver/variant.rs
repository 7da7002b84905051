//! The variants. Each one has a namespace, and a webhook or policy for the job pods in it.

use crate::api_server::ApiServer;
use crate::baseline::{Baseline, slug};
use crate::drydock_process::{Certificate, Drydock};
use crate::identity::Identity;
use crate::raw_requests;
use crate::runner_pods::fixture;
use crate::wait::{TIMEOUT, eventually};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drydock::names::ENFORCE_WEBHOOK;
use kube::client::Body;
use kube::{Client, Config};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use std::fs;

/// A job pod of GitLab Runner 19.3 with dind, a Secret at `/certs/client` and a stale address.
const POD: &str = "reviews/runner/19.3.0-secret-certs";
/// The address of the sample policy.
const ADDRESS: &str = "10.0.0.232";

/// A namespace, and the effect on job pods in it.
pub(crate) struct Variant {
    pub(crate) name: &'static str,
    namespace: String,
    effect: Effect,
}

/// The effect on a job pod. It shows that the webhook or policy of a variant is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Nothing,
    HostAliases,
    /// hostAliases, and a memory-backed emptyDir at `/certs/client`.
    All,
}

/// A policy file in the directory of this file.
#[derive(Clone, Copy)]
pub(crate) enum Policy {
    NoMatch,
    HostAliases,
    Sample,
}

impl Policy {
    pub(crate) fn file(self) -> &'static str {
        match self {
            Self::NoMatch => concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/benches/apiserver/no-match.yaml"
            ),
            Self::HostAliases => concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/benches/apiserver/host-aliases.yaml"
            ),
            Self::Sample => concat!(env!("CARGO_MANIFEST_DIR"), "/benches/apiserver/all.yaml"),
        }
    }
}

/// An API server, and the pod to create.
pub(crate) struct Cluster<'a> {
    api: &'a ApiServer,
    admin: Client,
    runner: Client,
    pod: Vec<u8>,
}

impl<'a> Cluster<'a> {
    pub(crate) async fn new(api: &'a ApiServer) -> Self {
        Self {
            api,
            admin: api.client(Identity::Admin).await,
            runner: api.client(Identity::Runner).await,
            pod: fixture(POD).to_string().into_bytes(),
        }
    }

    pub(crate) fn api_server_pid(&self) -> u32 {
        self.api.pid()
    }

    pub(crate) fn pod_kb(&self) -> usize {
        self.pod.len() / 1000
    }

    pub(crate) async fn plain(&self, name: &'static str) -> Variant {
        let namespace = slug(name);
        let object =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        let path = format!("/api/v1/namespaces/{namespace}");
        raw_requests::apply(&self.admin, &path, &object)
            .await
            .object();
        Variant {
            name,
            namespace,
            effect: Effect::Nothing,
        }
    }

    /// Returns the webhook for `enforce` namespaces of `manifests/`, with a URL as its address.
    pub(crate) fn webhook(&self, url: &str, authority: &str) -> Value {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/manifests/mutating-webhook-configuration.yaml"
        );
        let committed: Value = serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let webhooks = committed["webhooks"].as_array().unwrap();
        let mut webhook = webhooks
            .iter()
            .find(|webhook| webhook["name"] == ENFORCE_WEBHOOK)
            .unwrap()
            .clone();
        let path = webhook["clientConfig"]["service"]["path"].as_str().unwrap();
        let url = format!("{url}{path}");
        webhook["clientConfig"] = json!({"url": url, "caBundle": STANDARD.encode(authority)});
        webhook
    }

    pub(crate) async fn with_webhook(&self, name: &'static str, mut webhook: Value) -> Variant {
        let mut variant = self.plain(name).await;
        variant.effect = match name {
            name if name.contains("hostAliases") => Effect::HostAliases,
            name if name.contains("no patch") || name == "none" => Effect::Nothing,
            _ => Effect::All,
        };
        webhook["namespaceSelector"] =
            json!({"matchLabels": {"kubernetes.io/metadata.name": variant.namespace}});
        let configuration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": variant.namespace},
            "webhooks": [webhook],
        });
        let path = format!(
            "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{}",
            variant.namespace
        );
        raw_requests::apply(&self.admin, &path, &configuration)
            .await
            .object();
        variant
    }

    /// Registers a webhook with `matchConditions` instead of the `objectSelector`, as earlier
    /// versions of drydock did.
    pub(crate) async fn with_conditions(&self, name: &'static str, mut webhook: Value) -> Variant {
        let conditions = include_str!("match-conditions.yaml");
        webhook["matchConditions"] = serde_saphyr::from_str(conditions).unwrap();
        webhook.as_object_mut().unwrap().remove("objectSelector");
        self.with_webhook(name, webhook).await
    }

    /// Registers the baseline as webhook, with its response for `path`.
    pub(crate) async fn at_baseline(
        &self,
        name: &'static str,
        baseline: &Baseline,
        path: &str,
    ) -> Variant {
        let mut webhook = self.webhook("", baseline.authority());
        webhook["clientConfig"]["url"] = baseline.url(path).into();
        self.with_webhook(name, webhook).await
    }

    /// Creates a MutatingAdmissionPolicy with the same effect.
    pub(crate) async fn native(&self, name: &'static str) -> Variant {
        let mut variant = self.plain(name).await;
        variant.effect = Effect::All;
        for document in include_str!("native.yaml").split("\n---\n") {
            let object: Value = serde_saphyr::from_str(document).unwrap();
            let plural = match object["kind"].as_str().unwrap() {
                "MutatingAdmissionPolicy" => "mutatingadmissionpolicies",
                _ => "mutatingadmissionpolicybindings",
            };
            let path = format!(
                "/apis/admissionregistration.k8s.io/v1/{plural}/{}",
                object["metadata"]["name"].as_str().unwrap()
            );
            raw_requests::apply(&self.admin, &path, &object)
                .await
                .object();
        }
        variant
    }

    /// Returns the review that the API server sends for the pod.
    pub(crate) async fn review_of(&self, baseline: &Baseline) -> String {
        let variant = self.at_baseline("none", baseline, "none").await;
        let create = async || {
            self.create(&variant).await;
            baseline.last_review()
        };
        eventually("the baseline is called", TIMEOUT, create, |review| {
            !review.is_empty()
        })
        .await
    }

    /// Returns drydock's response to a review.
    pub(crate) async fn answer_of(
        &self,
        server: &Drydock,
        certificate: &Certificate,
        review: &str,
    ) -> String {
        let mut config = Config::new(server.url().parse().unwrap());
        let authority = CertificateDer::pem_slice_iter(certificate.authority.as_bytes());
        config.root_cert = Some(authority.map(|der| der.unwrap().to_vec()).collect());
        config.proxy_url = None;
        let request = axum::http::Request::post("/mutate")
            .header("Content-Type", "application/json")
            .body(Body::from(review.as_bytes().to_vec()))
            .unwrap();
        let response = Client::try_from(config).unwrap().send(request).await;
        let body = response.unwrap().into_body().collect_bytes().await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    /// Waits until each variant has its effect.
    pub(crate) async fn check(&self, variants: &[Variant]) {
        for variant in variants {
            let create = async || effect(&self.create(variant).await);
            let is_so = |seen: &Effect| *seen == variant.effect;
            eventually(variant.name, TIMEOUT, create, is_so).await;
        }
    }

    /// Creates the pod as a dry run, and returns the body of the response.
    pub(crate) async fn create(&self, variant: &Variant) -> Vec<u8> {
        let path = format!("/api/v1/namespaces/{}/pods?dryRun=All", variant.namespace);
        let request = axum::http::Request::post(path)
            .header("Content-Type", "application/json")
            .body(Body::from(self.pod.clone()))
            .unwrap();
        let response = self.runner.send(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect_bytes().await.unwrap();
        let text = String::from_utf8_lossy(&body[..body.len().min(1000)]);
        assert!(status.is_success(), "{}: {text}", variant.name);
        body.to_vec()
    }
}

fn effect(created: &[u8]) -> Effect {
    let pod: Value = serde_json::from_slice(created).unwrap();
    let has_address = pod["spec"]["hostAliases"]
        .as_array()
        .is_some_and(|entries| entries.iter().any(|entry| entry["ip"] == ADDRESS));
    let mounts = pod["spec"]["containers"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|container| container["volumeMounts"].as_array().unwrap());
    let is_in_memory = |name: &Value| {
        let mut volumes = pod["spec"]["volumes"].as_array().unwrap().iter();
        volumes.any(|volume| volume["name"] == *name && volume["emptyDir"]["medium"] == "Memory")
    };
    let is_repaired = mounts
        .filter(|mount| mount["mountPath"] == "/certs/client")
        .all(|mount| is_in_memory(&mount["name"]));
    match (has_address, is_repaired) {
        (true, true) => Effect::All,
        (true, false) => Effect::HostAliases,
        (false, _) => Effect::Nothing,
    }
}
