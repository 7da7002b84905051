//! `JobPodPolicy` as people write it: the custom resource, its schema, its defaults and what the API server refuses.
//!
//! The doc comments of the fields are what `kubectl explain jobpodpolicy.spec` prints.
//! The schema that serde and schemars derive says types and defaults. [`form`] says what names, addresses and paths look like, and
//! `rules` puts these forms, bounds and rules in CEL where they belong, so that a wrong policy is refused when it is written.
//! [`crate::core::policy`] parses these types into ones that cannot be wrong, and holds a file of policies to the same schema.

#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "the texts of fields are what `kubectl explain` prints, and brackets in them are YAML"
)]

mod cel;
mod dind;
pub mod form;
mod rules;
mod status;

pub use cel::{Subject, form_of, form_of_pattern};
pub use dind::{
    ClientCerts, ConfigMapKey, Dind, DindVolume, OnConflict, RegistryCa, Scheduling,
    VolumeContainers,
};
pub use rules::{HOSTNAMES, HOSTNAMES_OF_RULES};
pub use status::{JobPodPolicyStatus, ResolvedSource};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The API group of [`JobPodPolicy`].
pub const GROUP: &str = "drydock.dev";
/// The version of [`JobPodPolicy`].
pub const VERSION: &str = "v1alpha1";
/// The plural of [`JobPodPolicy`] in URLs.
pub const PLURAL: &str = "jobpodpolicies";
/// `apiVersion` of a [`JobPodPolicy`].
pub const API_VERSION: &str = "drydock.dev/v1alpha1";
/// `kind` of a [`JobPodPolicy`].
pub const KIND: &str = "JobPodPolicy";

/// What the policy asks for. {} is a policy that changes nothing.
#[derive(CustomResource, Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[kube(
    group = "drydock.dev",
    version = "v1alpha1",
    kind = "JobPodPolicy",
    plural = "jobpodpolicies",
    singular = "jobpodpolicy",
    shortname = "jpp",
    category = "drydock",
    doc = "JobPodPolicy says how GitLab CI job pods are repaired on their way into the cluster. It applies to the job pods of every namespace that opted in with the label drydock.dev/job-pods (enforce or audit). Several policies fold into one: higher priority first, then by name; the first that speaks about a thing wins. What is wrong with a policy is told when it is written, and before by `drydock check FILE`.",
    printcolumn = r#"{"name":"Mode","type":"string","jsonPath":".spec.mode"}"#,
    printcolumn = r#"{"name":"Priority","type":"integer","jsonPath":".spec.priority"}"#,
    printcolumn = r#"{"name":"Accepted","type":"string","jsonPath":".status.conditions[?(@.type==\"Accepted\")].status","description":"Whether the policy as it is written is in force."}"#,
    printcolumn = r#"{"name":"Addresses","type":"string","jsonPath":".status.conditions[?(@.type==\"AddressesResolved\")].status","description":"Whether every live source has an address."}"#,
    printcolumn = r#"{"name":"Conflicting","type":"string","jsonPath":".status.conditions[?(@.type==\"Conflicting\")].status","priority":1,"description":"Whether a policy of higher rank wins something that this one asks for."}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    status = "JobPodPolicyStatus"
)]
#[serde(rename_all = "camelCase")]
pub struct JobPodPolicySpec {
    /// Rank among several policies: the higher one wins, equal ones by name. Example: 100.
    #[serde(default)]
    pub priority: i32,

    /// Enforce changes job pods. Audit changes nothing and says what it would have done, in logs, metrics and audit annotations.
    /// The label drydock.dev/job-pods: audit does the same for one namespace and every policy.
    #[serde(default)]
    pub mode: Mode,

    /// Narrows the policy to namespaces with these labels, among those that opted in with drydock.dev/job-pods.
    /// Empty or absent: all of them. Example: {matchLabels: {team: mobile}}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,

    /// Narrows the policy to job pods with these labels. Empty or absent: all of them.
    /// Example: {matchExpressions: [{key: arch, operator: In, values: [arm64]}]}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_selector: Option<LabelSelector>,

    /// Hostnames that this policy owns. In every job pod each of them resolves, in /etc/hosts, to exactly the addresses given here:
    /// stale entries that a runner's config.toml brings are taken out.
    /// Names that the runner maps to 127.0.0.1 (services such as docker or postgres) stay the runner's.
    /// At most 32 entries with 1024 hostnames in all; an address may have several entries, and there may be several policies.
    /// Example: [{ip: 10.0.0.232, hostnames: [gitlab.mylab.com]}].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_aliases: Vec<HostAlias>,

    /// What pods that run docker:dind need. Absent: drydock leaves everything about docker alone. {} has the defaults:
    /// a memory-backed emptyDir at /certs/client, and volumes for /var/lib/docker and /lib/modules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dind: Option<Dind>,
}

/// Whether a policy changes pods or only says what it would change.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Mode {
    /// Change job pods.
    #[default]
    Enforce,
    /// Change nothing, say everything.
    Audit,
}

/// An address and the hostnames that resolve to it. Exactly one of ip and from.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HostAlias {
    /// A fixed IPv4 or IPv6 address; not a loopback or unspecified one, and none that begins with "::" or "0:".
    /// A hostname has one of each family.
    /// Example: 10.0.0.232.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,

    /// A live address: the one that this object has now, followed when it moves; the last known one while it has none.
    /// Example: {ingress: {namespace: cicd, name: gitlab-registry}}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<AddressSource>,

    /// The hostnames, in lower case and without wildcards; at most 64. Example: [gitlab.mylab.com, registry.mylab.com].
    /// May be left out with from.ingress: then they are those of the Ingress' rules that end in one of its hostnameSuffixes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
}

/// The object that a live address comes from. Exactly one of ingress, service and gateway.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AddressSource {
    /// An Ingress: its status.loadBalancer address. Example: {namespace: cicd, name: gitlab-registry}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<IngressReference>,

    /// A Service: its status.loadBalancer address, or its cluster address where address: ClusterIP asks for it.
    /// Example: {namespace: ingress-nginx, name: ingress-nginx-controller}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceReference>,

    /// A Gateway (gateway.networking.k8s.io): its status.addresses. Example: {namespace: gateways, name: public}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<ObjectReference>,
}

/// Names an Ingress, and which hostnames of its rules are taken.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IngressReference {
    /// Namespace of the Ingress. Example: cicd.
    pub namespace: String,
    /// Name of the Ingress. Example: gitlab-registry.
    pub name: String,
    /// The domains that hostnames of the Ingress' rules must belong to; required where the entry lists no hostnames, and of no use where it does.
    /// mylab.com takes mylab.com and gitlab.mylab.com, and neither evilmylab.com nor github.com: who may edit the Ingress cannot redirect other hostnames for every job.
    /// Of the rules' hostnames the first 64 that fit are taken; the condition HostnamesTaken names the others. At most 16. Example: [mylab.com].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hostname_suffixes: Vec<String>,
}

/// Names a namespaced object.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectReference {
    /// Namespace of the object. Example: cicd.
    pub namespace: String,
    /// Name of the object. Example: gitlab-registry.
    pub name: String,
}

/// Names a Service, and which of its addresses.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceReference {
    /// Namespace of the Service. Example: ingress-nginx.
    pub namespace: String,
    /// Name of the Service. Example: ingress-nginx-controller.
    pub name: String,
    /// LoadBalancer takes status.loadBalancer, and none where that is empty. ClusterIP takes spec.clusterIPs.
    #[serde(default)]
    pub address: ServiceAddress,
}

/// Which of a Service's addresses.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
pub enum ServiceAddress {
    /// The one that reaches it from outside the cluster.
    #[default]
    LoadBalancer,
    /// The one inside the cluster.
    ClusterIP,
}

/// Returns the CustomResourceDefinition, as `drydock print crd` prints it.
#[must_use]
pub fn definition() -> CustomResourceDefinition {
    let mut definition = JobPodPolicy::crd();
    for version in &mut definition.spec.versions {
        let schema = version.schema.as_mut();
        if let Some(schema) = schema.and_then(|schema| schema.open_api_v3_schema.as_mut()) {
            rules::complete(schema);
        }
    }
    definition
}
