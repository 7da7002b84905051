//! Facts about a cluster, as the API server returned them. Conclusions are made elsewhere.

use super::dry_run_pods::DryRun;
use super::finding::read_error as finding;
use super::report::Check;
use super::rights::RightReview;
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

/// The facts about a cluster.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The version of this binary.
    pub version: String,
    /// The current time, in seconds since 1970.
    pub now: i64,
    /// The namespaces of `--namespace`; empty for all.
    pub selected: Vec<String>,
    /// All mutating webhooks.
    pub configurations: Read<Vec<MutatingWebhookConfiguration>>,
    /// The CRD of `JobPodPolicy`; `None` if it does not exist.
    pub definition: Read<Option<CustomResourceDefinition>>,
    /// The namespaces of `--namespace`, or all.
    pub namespaces: Read<Vec<Namespace>>,
    /// `JobPodPolicy` objects.
    pub policies: Read<Vec<Value>>,
    /// Deployments; some of them are runners.
    pub deployments: Read<Vec<Deployment>>,
    /// StatefulSets; some of them are runners.
    pub stateful_sets: Read<Vec<StatefulSet>>,
    /// ResourceQuotas.
    pub quotas: Read<Vec<ResourceQuota>>,
    /// LimitRanges.
    pub limit_ranges: Read<Vec<LimitRange>>,
    /// The API server's metrics about drydock's webhooks.
    pub admission: Read<AdmissionMetrics>,
    /// The Service of the webhooks and its replicas; `None` if no webhook is registered.
    pub replicas: Option<Replicas>,
    /// The keys of the ConfigMaps that policies mount; `None` if the ConfigMap does not exist.
    pub config_maps: BTreeMap<ObjectName, Read<Option<Vec<String>>>>,
    /// Whether the PersistentVolumeClaims that policies mount exist.
    pub claims: BTreeMap<ObjectName, Read<bool>>,
    /// The settings of each runner, by [`super::runner::Runner::title`].
    pub runner_settings: BTreeMap<String, Read<super::runner::RunnerSettings>>,
    /// The rights of the ServiceAccount of each runner, by [`super::runner::Runner::title`].
    pub rights: BTreeMap<String, Vec<RightReview>>,
    /// The results of creating job pods with `dryRun=All`.
    pub dry_runs: Vec<DryRun>,
    /// The addresses to which this computer resolves the hostnames of policies; empty if it
    /// cannot.
    pub resolved: BTreeMap<String, Vec<std::net::IpAddr>>,
    /// The pod of `--pod`.
    pub pod: Option<InspectedPod>,
}

/// The namespace and the name of an object.
pub type ObjectName = (String, String);

/// The Service that the API server calls, and the replicas that it selects.
#[derive(Clone, Debug)]
pub struct Replicas {
    /// The Service; `None` if it does not exist.
    pub service: Read<Option<Service>>,
    /// The Deployments of its namespace.
    pub deployments: Read<Vec<Deployment>>,
    /// The pods that the Service selects.
    pub pods: Read<Vec<Pod>>,
    /// The PodDisruptionBudgets of its namespace.
    pub budgets: Read<Vec<PodDisruptionBudget>>,
    /// The metrics of each replica, by pod.
    pub metrics: BTreeMap<String, Read<ReplicaMetrics>>,
    /// The TLS handshake with each replica, by pod.
    pub handshakes: BTreeMap<String, Read<Handshake>>,
}

/// The metrics of a replica that are checked.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ReplicaMetrics {
    /// Its version.
    pub version: Option<String>,
    /// When its certificate expires, in seconds since 1970.
    pub certificate_expiry: Option<i64>,
}

/// The certificate that a replica served in a TLS handshake.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Handshake {
    /// When it expires, in seconds since 1970.
    pub expires: i64,
    /// Why the API server rejects it, which verifies it by the `caBundle` and the name of the
    /// Service; `None` if it accepts it.
    pub refused: Option<String>,
}

/// The pod of `--pod`.
#[derive(Clone, Debug)]
pub struct InspectedPod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The object; `None` if it does not exist.
    pub object: Read<Option<Value>>,
    /// Its Events.
    pub events: Read<Vec<Event>>,
}

/// A response of the API server, or why there is none.
pub type Read<T> = Result<T, ReadError>;

/// A request to the API server that failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReadError {
    /// The verb, as in `kubectl auth can-i`.
    pub verb: &'static str,
    /// The resource as `kubectl` names it, as in `deployments.apps`.
    pub resource: String,
    /// The namespace; `None` for all namespaces and for cluster-scoped resources.
    pub namespace: Option<String>,
    /// Why it failed.
    pub reason: Reason,
}

/// Why a request failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reason {
    /// RBAC denies it to the user.
    Forbidden,
    /// There was no response within the time limit.
    NoAnswer,
    /// Another error: the message of the API server or of the client.
    Failed(String),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.check("").text)
    }
}

impl ReadError {
    /// Returns the finding; `unknown` completes "drydock doctor cannot tell …".
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
            // It is a path such as /metrics.
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
