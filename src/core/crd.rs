//! The custom resource `JobPodPolicy`: types, defaults and schema.
//!
//! The doc comments of the fields are the texts of `kubectl explain jobpodpolicy.spec`. serde and
//! schemars derive the schema with its defaults. `constraints` adds formats and limits of single
//! fields, and `cel_rules` adds CEL rules over several fields, so that the API server rejects an
//! invalid policy when it is written. [`crate::core::policy`] parses these types, and checks policy
//! files with the same schema.

#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "docs of fields are texts of `kubectl explain`, and brackets in them are YAML"
)]

mod cel_rules;
pub(crate) mod constraints;
mod dind;
pub mod format;
mod status;

pub(crate) use cel_rules::{MAX_HOSTNAMES, MAX_INGRESS_HOSTNAMES, VOLUME_SOURCES};
pub use dind::{
    ClientCerts, ConfigMapKey, Dind, DindVolume, OnConflict, RegistryCa, Scheduling,
    VolumeContainers,
};
pub use status::{JobPodPolicyStatus, ResolvedSource};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) const VERSION: &str = "v1alpha1";
pub(crate) const API_VERSION: &str = "drydock.dev/v1alpha1";
pub(crate) const KIND: &str = "JobPodPolicy";

/// The changes that the policy makes. {} is a policy without changes.
#[derive(CustomResource, Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[kube(
    group = "drydock.dev",
    version = "v1alpha1",
    kind = "JobPodPolicy",
    plural = "jobpodpolicies",
    singular = "jobpodpolicy",
    shortname = "jpp",
    category = "drydock",
    doc = "JobPodPolicy defines how drydock changes GitLab CI job pods when they are created. It applies to job pods in every namespace with the label drydock.dev/job-pods (enforce or audit). If several policies match a pod, the one with the highest priority decides about each setting; equal priorities are ordered by name. The API server rejects an invalid policy; `drydock check FILE` finds the same errors before.",
    printcolumn = r#"{"name":"Mode","type":"string","jsonPath":".spec.mode"}"#,
    printcolumn = r#"{"name":"Priority","type":"integer","jsonPath":".spec.priority"}"#,
    printcolumn = r#"{"name":"Accepted","type":"string","jsonPath":".status.conditions[?(@.type==\"Accepted\")].status","description":"Whether the current version of the policy is in force."}"#,
    printcolumn = r#"{"name":"Addresses","type":"string","jsonPath":".status.conditions[?(@.type==\"AddressesResolved\")].status","description":"Whether every object in hostAliases[].from has an address."}"#,
    printcolumn = r#"{"name":"Conflicting","type":"string","jsonPath":".status.conditions[?(@.type==\"Conflicting\")].status","priority":1,"description":"Whether a policy of higher rank overrides a setting of this one."}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    status = "JobPodPolicyStatus"
)]
#[serde(rename_all = "camelCase")]
pub struct JobPodPolicySpec {
    /// Rank among several policies: the higher priority wins, equal priorities are ordered by name.
    /// Example: 100.
    #[serde(default)]
    pub priority: i32,

    /// Enforce changes job pods. Audit changes nothing and reports the changes in logs, metrics and
    /// audit annotations.
    /// The label drydock.dev/job-pods: audit does the same for one namespace and every policy.
    #[serde(default)]
    pub mode: Mode,

    /// Restricts the policy to namespaces with these labels, among those with the label
    /// drydock.dev/job-pods.
    /// Empty or absent: all of them. Example: {matchLabels: {team: mobile}}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,

    /// Restricts the policy to job pods with these labels. Empty or absent: all of them.
    /// Example: {matchExpressions: [{key: arch, operator: In, values: [arm64]}]}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_selector: Option<LabelSelector>,

    /// Hostnames that this policy owns. In every job pod each of them resolves, in /etc/hosts, to
    /// exactly the addresses given here: drydock removes stale entries of config.toml.
    /// Hostnames that the runner maps to 127.0.0.1 (services such as docker or postgres) are not
    /// changed.
    /// At most 32 entries with 1024 hostnames in all; an address can have several entries. Put more
    /// into a second policy.
    /// Example: [{ip: 10.0.0.232, hostnames: [gitlab.mylab.com]}].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_aliases: Vec<HostAlias>,

    /// Settings for job pods with a docker:dind container. Absent: drydock changes nothing about
    /// docker.
    /// {} applies the defaults: a memory-backed emptyDir at /certs/client, and volumes for
    /// /var/lib/docker and /lib/modules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dind: Option<Dind>,
}

/// Whether a policy changes pods or only reports the changes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Mode {
    /// Change job pods.
    #[default]
    Enforce,
    /// Change nothing and report the changes.
    Audit,
}

/// An address and the hostnames that resolve to it. Exactly one of ip and from.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HostAlias {
    /// A fixed IPv4 or IPv6 address. Not a loopback or unspecified address, and no IPv6 address
    /// that begins with "::" or "0:".
    /// A hostname has at most one address of each family. Example: 10.0.0.232.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,

    /// An object whose address drydock watches. While the object has no address, the last known one
    /// stays in use.
    /// Example: {ingress: {namespace: cicd, name: gitlab-registry}}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<AddressSource>,

    /// The hostnames, in lower case and without wildcards; at most 64. Not localhost or another
    /// name of the pod itself. Example: [gitlab.mylab.com, registry.mylab.com].
    /// With from.ingress it can be absent: then the hostnames are those in the rules of the Ingress
    /// that match its hostnameSuffixes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
}

/// The object whose address to use. Exactly one of ingress, service and gateway.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AddressSource {
    /// An Ingress: the address in its status.loadBalancer. Example: {namespace: cicd, name:
    /// gitlab-registry}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<IngressReference>,

    /// A Service: the address in its status.loadBalancer, or its cluster IP with address:
    /// ClusterIP.
    /// Example: {namespace: ingress-nginx, name: ingress-nginx-controller}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceReference>,

    /// A Gateway (gateway.networking.k8s.io): the addresses in its status.addresses. Example:
    /// {namespace: gateways, name: public}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<ObjectReference>,
}

/// An Ingress, and the hostnames to use of its rules.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IngressReference {
    /// Namespace of the Ingress. Example: cicd.
    pub namespace: String,
    /// Name of the Ingress. Example: gitlab-registry.
    pub name: String,
    /// The domains of the hostnames to use from the rules of the Ingress. Required if the entry
    /// lists no hostnames, and not allowed if it does.
    /// mylab.com matches mylab.com and gitlab.mylab.com, but not evilmylab.com or github.com: so a
    /// user who can edit the Ingress cannot redirect other hostnames in every job.
    /// The first 64 matching hostnames are used; the condition HostnamesTaken lists the others. At
    /// most 16. Example: [mylab.com].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hostname_suffixes: Vec<String>,
}

/// A namespaced object.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectReference {
    /// Namespace of the object. Example: cicd.
    pub namespace: String,
    /// Name of the object. Example: gitlab-registry.
    pub name: String,
}

/// A Service, and which of its addresses to use.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceReference {
    /// Namespace of the Service. Example: ingress-nginx.
    pub namespace: String,
    /// Name of the Service. Example: ingress-nginx-controller.
    pub name: String,
    /// LoadBalancer uses status.loadBalancer; the Service has no address while that is empty.
    /// ClusterIP uses spec.clusterIPs.
    #[serde(default)]
    pub address: ServiceAddress,
}

/// The address of a Service to use.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
pub enum ServiceAddress {
    /// The address of the load balancer.
    #[default]
    LoadBalancer,
    /// The address inside the cluster.
    ClusterIP,
}

/// Returns the CustomResourceDefinition, as `drydock print crd` prints it.
pub fn definition() -> CustomResourceDefinition {
    let mut definition = JobPodPolicy::crd();
    for version in &mut definition.spec.versions {
        let schema = version.schema.as_mut();
        if let Some(schema) = schema.and_then(|schema| schema.open_api_v3_schema.as_mut()) {
            cel_rules::complete(schema);
        }
    }
    definition
}
