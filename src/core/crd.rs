//! The custom resource `JobPodPolicy`: types, defaults and schema.
//!
//! `kubectl explain jobpodpolicy.spec` prints the doc comments of the fields. serde and schemars
//! derive the schema with its defaults. `constraints` adds formats and limits for single fields,
//! and `cel_rules` adds CEL rules over several fields, so that the API server rejects an invalid
//! policy when it is written. [`crate::core::policy`] checks policies against the same schema and
//! deserializes them into these types.

#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "`kubectl explain` prints the docs of fields, in which brackets are YAML"
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

/// The desired state of job pods. An empty spec requests no changes.
#[derive(CustomResource, Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[kube(
    group = "drydock.dev",
    version = "v1alpha1",
    kind = "JobPodPolicy",
    plural = "jobpodpolicies",
    singular = "jobpodpolicy",
    shortname = "jpp",
    category = "drydock",
    doc = "JobPodPolicy defines how drydock changes GitLab CI job pods when they are created. It applies to job pods in every namespace with the label drydock.dev/job-pods (enforce or audit). If several policies match a pod and request different values for a setting, the policy with the highest priority takes precedence; policies with equal priority are ordered by name. The API server rejects an invalid policy; `drydock check FILE` reports the same errors before you apply it.",
    printcolumn = r#"{"name":"Mode","type":"string","jsonPath":".spec.mode"}"#,
    printcolumn = r#"{"name":"Priority","type":"integer","jsonPath":".spec.priority"}"#,
    printcolumn = r#"{"name":"Accepted","type":"string","jsonPath":".status.conditions[?(@.type==\"Accepted\")].status","description":"Whether the current version of the policy is in force."}"#,
    printcolumn = r#"{"name":"Addresses","type":"string","jsonPath":".status.conditions[?(@.type==\"AddressesResolved\")].status","description":"Whether every object in hostAliases[].from has an address."}"#,
    printcolumn = r#"{"name":"Conflicting","type":"string","jsonPath":".status.conditions[?(@.type==\"Conflicting\")].status","priority":1,"description":"Whether another policy with higher precedence overrides a setting of this policy."}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    status = "JobPodPolicyStatus"
)]
#[serde(rename_all = "camelCase")]
pub struct JobPodPolicySpec {
    /// The policy with the highest priority takes precedence; policies with equal priority are
    /// ordered by name.
    /// Example: 100.
    #[serde(default)]
    pub priority: i32,

    /// Enforce changes job pods. Audit only reports the changes, in logs, metrics and audit
    /// annotations.
    /// In a namespace with the label drydock.dev/job-pods: audit, all policies only report changes.
    #[serde(default)]
    pub mode: Mode,

    /// Selects namespaces by their labels, among those with the label drydock.dev/job-pods. An
    /// empty or absent selector selects all of them.
    /// Example: {matchLabels: {team: mobile}}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,

    /// Selects job pods by their labels. An empty or absent selector selects all of them.
    /// Example: {matchExpressions: [{key: arch, operator: In, values: [arm64]}]}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_selector: Option<LabelSelector>,

    /// Hostnames and their addresses. drydock changes the hostAliases of every job pod so that
    /// /etc/hosts maps each hostname to exactly these addresses. It removes other entries for these
    /// hostnames, such as stale entries from the runner's config.toml.
    /// Hostnames that the runner maps to 127.0.0.1, such as those of the services docker and
    /// postgres, are not changed.
    /// At most 32 entries with 1024 hostnames in total. Use a second policy for more. Several
    /// entries can have the same address.
    /// Example: [{ip: 10.0.0.232, hostnames: [gitlab.mylab.com]}].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_aliases: Vec<HostAlias>,

    /// Settings for job pods with a docker:dind container. If absent, drydock makes no changes for
    /// Docker.
    /// {} applies the defaults: a memory-backed emptyDir at /certs/client, and volumes at
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
    /// Only report the changes.
    Audit,
}

/// An address and the hostnames that resolve to it. Exactly one of ip and from must be set.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HostAlias {
    /// A fixed IPv4 or IPv6 address. It must not be a loopback or unspecified address, or an IPv6
    /// address that begins with "::" or "0:".
    /// A hostname can have one IPv4 and one IPv6 address. Example: 10.0.0.232.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,

    /// An object whose address drydock watches. While the object has no address, drydock uses its
    /// last known address.
    /// Example: {ingress: {namespace: cicd, name: gitlab-registry}}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<AddressSource>,

    /// The hostnames, in lower case and without wildcards. Names of the pod itself, such as
    /// localhost, are not allowed. At most 64.
    /// With from.ingress, the list can be absent: drydock then uses the hostnames in the rules of
    /// the Ingress that match hostnameSuffixes.
    /// Example: [gitlab.mylab.com, registry.mylab.com].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
}

/// The object whose address drydock uses. Exactly one of ingress, service and gateway must be set.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AddressSource {
    /// An Ingress. drydock uses the addresses in its status.loadBalancer.
    /// Example: {namespace: cicd, name: gitlab-registry}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<IngressReference>,

    /// A Service. drydock uses the addresses in its status.loadBalancer or, if address is
    /// ClusterIP, in its spec.clusterIPs.
    /// Example: {namespace: ingress-nginx, name: ingress-nginx-controller}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceReference>,

    /// A Gateway (gateway.networking.k8s.io). drydock uses the addresses in its status.addresses.
    /// Example: {namespace: gateways, name: public}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<ObjectReference>,
}

/// A reference to an Ingress, and the domains of the hostnames that drydock uses from its rules.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IngressReference {
    /// Namespace of the Ingress. Example: cicd.
    pub namespace: String,
    /// Name of the Ingress. Example: gitlab-registry.
    pub name: String,
    /// The domains of the hostnames that drydock uses from the rules of the Ingress. Required if
    /// the entry has no hostnames; must not be set otherwise.
    /// mylab.com matches mylab.com and gitlab.mylab.com, but not evilmylab.com or github.com.
    /// Therefore a user who can edit the Ingress cannot redirect other hostnames in job pods.
    /// drydock uses the first 64 matching hostnames; the condition HostnamesTaken lists the others.
    /// At most 16 domains. Example: [mylab.com].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hostname_suffixes: Vec<String>,
}

/// A reference to a namespaced object.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectReference {
    /// Namespace of the object. Example: cicd.
    pub namespace: String,
    /// Name of the object. Example: gitlab-registry.
    pub name: String,
}

/// A reference to a Service, and the choice of its addresses.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceReference {
    /// Namespace of the Service. Example: ingress-nginx.
    pub namespace: String,
    /// Name of the Service. Example: ingress-nginx-controller.
    pub name: String,
    /// LoadBalancer uses the addresses in status.loadBalancer. ClusterIP uses the addresses in
    /// spec.clusterIPs.
    #[serde(default)]
    pub address: ServiceAddress,
}

/// The addresses of a Service that drydock uses.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
pub enum ServiceAddress {
    /// The addresses of the load balancer.
    #[default]
    LoadBalancer,
    /// The cluster IPs.
    ClusterIP,
}

/// Returns the CustomResourceDefinition that `drydock print crd` prints.
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
