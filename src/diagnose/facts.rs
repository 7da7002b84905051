//! What is known about a cluster, as it was read. Nothing here is a conclusion.

use super::dry_run_pods::Probed;
use super::finding::unread as finding;
use super::report::Check;
use super::rights::Right;
use super::text::of_namespace;
use super::webhook_metrics::AdmissionMetrics;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Event, LimitRange, Namespace, Pod, ResourceQuota, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// Everything that was read from a cluster.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The version of this binary.
    pub version: String,
    /// Seconds since 1970.
    pub now: i64,
    /// The namespaces that were asked for; empty for all.
    pub selected: Vec<String>,
    /// All webhooks that change objects.
    pub configurations: Read<Vec<MutatingWebhookConfiguration>>,
    /// The definition of `JobPodPolicy`; `None` where there is none.
    pub definition: Read<Option<CustomResourceDefinition>>,
    /// Namespaces: those that were asked for, or all.
    pub namespaces: Read<Vec<Namespace>>,
    /// `JobPodPolicy` objects.
    pub policies: Read<Vec<Value>>,
    /// Deployments, among which are runners.
    pub deployments: Read<Vec<Deployment>>,
    /// StatefulSets, among which are runners.
    pub stateful_sets: Read<Vec<StatefulSet>>,
    /// ResourceQuotas.
    pub quotas: Read<Vec<ResourceQuota>>,
    /// LimitRanges.
    pub limit_ranges: Read<Vec<LimitRange>>,
    /// What the API server counted about drydock's webhooks.
    pub admission: Read<AdmissionMetrics>,
    /// What stands behind the webhooks; `None` where none is registered.
    pub replicas: Option<Replicas>,
    /// The ConfigMaps that somebody refers to, by namespace and name: the keys, never the values;
    /// `None` where there is none.
    pub config_maps: BTreeMap<ObjectName, Read<Option<Vec<String>>>>,
    /// Whether each PersistentVolumeClaim exists that a policy mounts.
    pub claims: BTreeMap<ObjectName, Read<bool>>,
    /// Configuration of runners, by the runner's [`super::runner::Runner::object`].
    pub runner_settings: BTreeMap<String, Read<super::runner::Settings>>,
    /// Whether each right is granted to the ServiceAccount of a runner, by the runner's object.
    pub rights: BTreeMap<String, Vec<(Right, Read<bool>)>>,
    /// Job pods that were sent with `dryRun=All`.
    pub probes: Vec<Probed>,
    /// The addresses that hostnames of policies have here; empty where they have none.
    pub resolved: BTreeMap<String, Vec<std::net::IpAddr>>,
    /// The pod that was asked for.
    pub pod: Option<AskedPod>,
}

/// Namespace and name.
pub type ObjectName = (String, String);

/// The Service that the API server calls, and what answers there.
#[derive(Clone, Debug)]
pub struct Replicas {
    /// The Service; `None` where there is none of its name.
    pub service: Read<Option<Service>>,
    /// Deployments of its namespace.
    pub deployments: Read<Vec<Deployment>>,
    /// Pods of its namespace that the Service selects.
    pub pods: Read<Vec<Pod>>,
    /// Disruption budgets of its namespace.
    pub budgets: Read<Vec<PodDisruptionBudget>>,
    /// What a replica says of itself in its metrics, by pod.
    pub metrics: BTreeMap<String, Read<ReplicaMetrics>>,
    /// What a replica serves in a TLS handshake, by pod.
    pub handshakes: BTreeMap<String, Read<Handshake>>,
}

/// What a replica says of itself.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ReplicaMetrics {
    /// Its version.
    pub version: Option<String>,
    /// When its certificate expires, in seconds since 1970.
    pub certificate_expiry: Option<i64>,
}

/// What a replica served in a TLS handshake.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Handshake {
    /// When its certificate expires, in seconds since 1970.
    pub expires: i64,
    /// Why the API server refuses it, by the `caBundle` and the Service's name; `None` if it does
    /// not.
    pub refused: Option<String>,
}

/// A pod that exists, with what is told about it.
#[derive(Clone, Debug)]
pub struct AskedPod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The object; `None` where there is none.
    pub object: Read<Option<Value>>,
    /// Its Events.
    pub events: Read<Vec<Event>>,
}

/// An answer of the API server, or why there is none.
pub type Read<T> = Result<T, Unread>;

/// A question that was not answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unread {
    /// The verb as `kubectl auth can-i` has it.
    pub verb: &'static str,
    /// The resource as `kubectl` names it, as in `deployments.apps`.
    pub resource: String,
    /// The namespace; `None` for all, and for what has none.
    pub namespace: Option<String>,
    /// Why.
    pub reason: Reason,
}

/// Why a question was not answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reason {
    /// The user has no right to ask.
    Forbidden,
    /// The time was over.
    NoAnswer,
    /// Something else, in the words of the API server or of the client.
    Failed(String),
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.check("").text)
    }
}

impl Unread {
    /// Returns the finding; `unknown` completes "It is not known …".
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
        let question = format!("{verb} {resource}{}", of_namespace(namespace.as_deref()));
        let command = match (reason, resource.split('/').next()) {
            (Reason::Forbidden, _) => format!("kubectl auth can-i {verb} {resource}{option}"),
            // A path, and no resource.
            (_, None | Some("")) => format!("kubectl get --raw {resource}"),
            (_, Some(object)) => format!("kubectl get {object}{option}"),
        };
        match reason {
            Reason::Forbidden => finding::not_allowed(question, unknown, command),
            Reason::NoAnswer => finding::no_answer(question, unknown, command),
            Reason::Failed(words) => {
                finding::not_read(question, unknown, command).details([words.clone()])
            }
        }
    }
}
