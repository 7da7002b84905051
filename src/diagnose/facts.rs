//! Facts about a cluster, as the API server returned them. The other modules of `diagnose`
//! evaluate these facts.

use super::dry_run_pods::DryRun;
use super::finding::read_error as finding;
use super::permissions::PermissionReview;
use super::report::Check;
use super::text::in_namespace;
use super::webhook_metrics::AdmissionMetrics;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Event, LimitRange, Namespace, Pod, ResourceQuota, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// The facts about a cluster and, with `--pod`, about one pod.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The version of this binary.
    pub version: String,
    /// The current time, in seconds since the Unix epoch.
    pub now: i64,
    /// The namespaces given with `--namespace`. Empty means all namespaces.
    pub selected: Vec<String>,
    /// All MutatingWebhookConfigurations.
    pub webhook_configurations: Read<Vec<MutatingWebhookConfiguration>>,
    /// The CRD of `JobPodPolicy`; `None` if it does not exist.
    pub crd: Read<Option<CustomResourceDefinition>>,
    /// The namespaces given with `--namespace`, or all namespaces.
    pub namespaces: Read<Vec<Namespace>>,
    /// The `JobPodPolicy` objects, as JSON.
    pub policies: Read<Vec<Value>>,
    /// All Deployments, among them those that run GitLab Runner.
    pub deployments: Read<Vec<Deployment>>,
    /// All StatefulSets, among them those that run GitLab Runner.
    pub stateful_sets: Read<Vec<StatefulSet>>,
    /// The ResourceQuotas of the checked namespaces.
    pub quotas: Read<Vec<ResourceQuota>>,
    /// The LimitRanges of the checked namespaces.
    pub limit_ranges: Read<Vec<LimitRange>>,
    /// The API server's metrics about drydock's webhooks.
    pub admission_metrics: Read<AdmissionMetrics>,
    /// The Service of the webhooks and its replicas; `None` if no webhook of drydock has a Service.
    pub replicas: Option<Replicas>,
    /// The keys of each ConfigMap that a policy mounts; `None` if the ConfigMap does not exist.
    pub config_map_keys: BTreeMap<ObjectName, Read<Option<Vec<String>>>>,
    /// Whether each PersistentVolumeClaim that a policy mounts exists.
    pub claims: BTreeMap<ObjectName, Read<bool>>,
    /// The settings of each runner. The key is [`super::runner::Runner::title`].
    pub runner_settings: BTreeMap<String, Read<super::runner::RunnerSettings>>,
    /// The permissions of each runner's ServiceAccount. The key is
    /// [`super::runner::Runner::title`].
    pub permissions: BTreeMap<String, Vec<PermissionReview>>,
    /// The pods that were created with `dryRun=All`, with the results.
    pub dry_runs: Vec<DryRun>,
    /// The addresses to which this computer resolves each hostname of the policies. Empty if the
    /// lookup failed.
    pub resolved: BTreeMap<String, Vec<std::net::IpAddr>>,
    /// The pod given with `--pod`.
    pub pod: Option<InspectedPod>,
}

/// The namespace and the name of an object.
pub type ObjectName = (String, String);

/// The Service that the API server calls, and the pods that the Service selects.
#[derive(Clone, Debug)]
pub struct Replicas {
    /// The Service; `None` if it does not exist.
    pub service: Read<Option<Service>>,
    /// The Deployments in the namespace of the Service.
    pub deployments: Read<Vec<Deployment>>,
    /// The pods that the Service selects.
    pub pods: Read<Vec<Pod>>,
    /// The PodDisruptionBudgets in the namespace of the Service.
    pub budgets: Read<Vec<PodDisruptionBudget>>,
    /// The metrics of each replica. The key is the name of the pod.
    pub metrics: BTreeMap<String, Read<ReplicaMetrics>>,
    /// The TLS handshake with each replica. The key is the name of the pod.
    pub handshakes: BTreeMap<String, Read<Handshake>>,
}

/// The metrics of a replica that `drydock doctor` checks.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ReplicaMetrics {
    /// The version of drydock.
    pub version: Option<String>,
    /// The expiry of the certificate, in seconds since the Unix epoch.
    pub certificate_expiry: Option<i64>,
}

/// The result of a TLS handshake with a replica.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Handshake {
    /// The expiry of the certificate that the replica served, in seconds since the Unix epoch.
    pub expires: i64,
    /// The error that the API server gets when it verifies the certificate with the `caBundle` and
    /// the DNS name of the Service. `None` if the verification succeeds.
    pub verification_error: Option<String>,
}

/// The pod given with `--pod`.
#[derive(Clone, Debug)]
pub struct InspectedPod {
    /// The namespace of the pod.
    pub namespace: String,
    /// The name of the pod.
    pub name: String,
    /// The pod as JSON; `None` if it does not exist.
    pub object: Read<Option<Value>>,
    /// The Events about the pod.
    pub events: Read<Vec<Event>>,
}

/// The response to a request, or the error.
pub type Read<T> = Result<T, ReadError>;

/// A failed request to the API server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReadError {
    /// The verb, as in `kubectl auth can-i`.
    pub verb: &'static str,
    /// The resource as in `kubectl get`, such as `deployments.apps`, or a path such as `/metrics`.
    pub resource: String,
    /// The namespace; `None` for all namespaces and for cluster-scoped resources.
    pub namespace: Option<String>,
    /// Why the request failed.
    pub reason: Reason,
}

/// The reason why a request failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reason {
    /// The user is not allowed to send the request.
    Forbidden,
    /// There was no response within the time limit.
    NoAnswer,
    /// Another error, with the message of the API server or of the client.
    Failed(String),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.check("").text)
    }
}

impl ReadError {
    /// Returns the finding about this error. `unknown` completes the sentence "drydock doctor
    /// cannot determine …".
    #[must_use]
    pub fn check(&self, unknown: &str) -> Check {
        let Self {
            verb,
            resource,
            namespace,
            reason,
        } = self;
        let option = namespace.as_ref().map(|name| format!(" -n {name}"));
        let option = option.as_deref().unwrap_or_default();
        let request = format!("{verb} {resource}{}", in_namespace(namespace.as_deref()));
        let command = match (reason, resource.split('/').next()) {
            (Reason::Forbidden, _) => format!("kubectl auth can-i {verb} {resource}{option}"),
            // The resource is a path such as /metrics.
            (_, None | Some("")) => format!("kubectl get --raw {resource}"),
            (_, Some(object)) => format!("kubectl get {object}{option}"),
        };
        match reason {
            Reason::Forbidden => finding::not_allowed(request, unknown, command),
            Reason::NoAnswer => finding::no_answer(request, unknown, command),
            Reason::Failed(message) => {
                finding::not_read(request, unknown, command).details([message.clone()])
            }
        }
    }
}
