//! `JobPodPolicy` as people write it: the custom resource, its schema and its defaults.
//!
//! The doc comments of the fields are what `kubectl explain jobpodpolicy.spec` prints.
//! Nothing is checked here beyond what the schema says: [`crate::policy`] parses these types into ones that cannot be wrong.

use k8s_openapi::api::core::v1::{
    CSIVolumeSource, ConfigMapVolumeSource, EmptyDirVolumeSource, EphemeralVolumeSource,
    HostPathVolumeSource, NFSVolumeSource, PersistentVolumeClaimVolumeSource, SecretVolumeSource,
    Toleration,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, Time};
use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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

/// Says how GitLab CI job pods are repaired on their way into the cluster.
/// It applies to the job pods of every namespace that opted in with the label drydock.dev/job-pods (enforce or audit).
/// Several policies fold into one: higher priority first, then by name; the first that speaks about a thing wins.
#[derive(CustomResource, Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[kube(
    group = "drydock.dev",
    version = "v1alpha1",
    kind = "JobPodPolicy",
    plural = "jobpodpolicies",
    singular = "jobpodpolicy",
    shortname = "jpp",
    category = "drydock",
    doc = "JobPodPolicy says how GitLab CI job pods are repaired on their way into the cluster. It applies to the job pods of every namespace that opted in with the label drydock.dev/job-pods (enforce or audit). Several policies fold into one: higher priority first, then by name; the first that speaks about a thing wins.",
    printcolumn = r#"{"name":"Mode","type":"string","jsonPath":".spec.mode"}"#,
    printcolumn = r#"{"name":"Priority","type":"integer","jsonPath":".spec.priority"}"#,
    status = "JobPodPolicyStatus",
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct JobPodPolicySpec {
    /// Rank among several policies: the higher one wins, equal ones by name. Example: 100.
    #[serde(default)]
    pub priority: i32,

    /// Enforce changes job pods. Audit changes nothing and says what it would have done, in logs, metrics and audit annotations.
    #[serde(default)]
    pub mode: Mode,

    /// Narrows the policy to namespaces with these labels, among those that opted in. Empty or absent: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,

    /// Narrows the policy to job pods with these labels. Empty or absent: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_selector: Option<LabelSelector>,

    /// Hostnames that this policy owns. In every job pod each of them resolves, in /etc/hosts, to exactly the addresses given here:
    /// stale entries that a runner's config.toml brings are taken out.
    /// Names that the runner maps to 127.0.0.1 (services such as docker or postgres) stay the runner's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_aliases: Vec<HostAlias>,

    /// What pods that run docker:dind need. Absent: drydock leaves everything about docker alone. {} has the defaults.
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
    /// A fixed IPv4 or IPv6 address, not a loopback or unspecified one. Example: 10.0.0.232.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,

    /// A live address: the one that this object has now, followed when it moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<AddressSource>,

    /// The hostnames, in lower case. Example: [gitlab.mylab.com, registry.mylab.com].
    /// May be left out with from.ingress: then they are those of the Ingress rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
}

/// The object that a live address comes from. Exactly one of them.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AddressSource {
    /// An Ingress: its status.loadBalancer address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<ObjectReference>,

    /// A Service: its status.loadBalancer address, or its cluster address where address: ClusterIP asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceReference>,

    /// A Gateway (gateway.networking.k8s.io): its status.addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<ObjectReference>,
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

/// What a job pod that runs a Docker daemon (docker:dind) gets.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dind {
    /// Further images that count as dind, beside the docker image's own dind tags: globs over the reference without its digest,
    /// in which * stands for any characters. Example: ["registry.mylab.com/ci/dind:*"].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,

    /// How the directory is kept free into which dind writes the docker client's certificates (/certs/client, or what DOCKER_TLS_CERTDIR says).
    #[serde(default)]
    pub client_certs: ClientCerts,

    /// Volumes for the dind container. A container that mounts something at the path already keeps it.
    /// The default is an emptyDir at /var/lib/docker and the node's /lib/modules, read-only; [] adds none.
    #[serde(default = "default_volumes")]
    pub volumes: Vec<DindVolume>,

    /// Certificate authorities of registries, mounted where dind looks for them (/etc/docker/certs.d/HOST/ca.crt).
    #[serde(default, rename = "registryCAs", skip_serializing_if = "Vec::is_empty")]
    pub registry_cas: Vec<RegistryCa>,

    /// Where dind pods run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduling: Option<Scheduling>,
}

impl Default for Dind {
    fn default() -> Self {
        Self {
            images: Vec::new(),
            client_certs: ClientCerts::default(),
            volumes: default_volumes(),
            registry_cas: Vec::new(),
            scheduling: None,
        }
    }
}

/// Seed 004's volumes without the host's cgroup tree, which leaks cgroups of inner containers on cgroup v1 and is not needed on v2.
fn default_volumes() -> Vec<DindVolume> {
    vec![
        DindVolume {
            name: "dind-storage".to_owned(),
            mount_path: "/var/lib/docker".to_owned(),
            empty_dir: Some(EmptyDirVolumeSource::default()),
            ..DindVolume::default()
        },
        DindVolume {
            name: "dind-modules".to_owned(),
            mount_path: "/lib/modules".to_owned(),
            read_only: true,
            host_path: Some(HostPathVolumeSource {
                path: "/lib/modules".to_owned(),
                // Without a type the kubelet makes the directory as well; with Directory a pod waits for it.
                type_: Some("DirectoryOrCreate".to_owned()),
            }),
            ..DindVolume::default()
        },
    ]
}

/// What happens to whatever else sits where dind writes the docker client's certificates.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientCerts {
    /// Replace puts a memory-backed emptyDir there, in every container that mounts something there.
    /// Relocate does the same and mounts what was there read-only at relocateTo.
    /// Report leaves it and says so. Deny refuses the pod, so that the job fails at once with the reason.
    #[serde(default)]
    pub on_conflict: OnConflict,

    /// Size limit of the memory-backed emptyDir. The files take about 20 KiB; the memory counts against the pod. Example: 1Mi.
    #[serde(default = "default_size_limit")]
    pub size_limit: String,

    /// Where Relocate mounts what was displaced. Default: /certs/displaced. Only with onConflict: Relocate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relocate_to: Option<String>,
}

impl Default for ClientCerts {
    fn default() -> Self {
        Self {
            on_conflict: OnConflict::default(),
            size_limit: default_size_limit(),
            relocate_to: None,
        }
    }
}

fn default_size_limit() -> String {
    "1Mi".to_owned()
}

/// What to do with a conflicting mount at the docker client's certificate directory.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum OnConflict {
    /// Put a memory-backed emptyDir in its place.
    #[default]
    Replace,
    /// Replace it, and mount it read-only at relocateTo.
    Relocate,
    /// Leave it and say so.
    Report,
    /// Refuse the pod.
    Deny,
}

/// A volume and where it is mounted. Exactly one source.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DindVolume {
    /// Name of the volume in the pod; where a pod has that name already, another one is taken. Example: dind-storage.
    pub name: String,

    /// Absolute path in the container. Not at, above or below /certs/client.
    /// In rootless dind /var/lib/docker becomes /home/rootless/.local/share/docker.
    pub mount_path: String,

    /// Mounts the volume read-only.
    #[serde(default)]
    pub read_only: bool,

    /// Dind mounts it in the dind containers, All in every container and native sidecar of the pod.
    #[serde(default)]
    pub containers: VolumeContainers,

    /// A directory that lives as long as the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_dir: Option<EmptyDirVolumeSource>,
    /// A directory of the node. Mounted only in privileged containers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_path: Option<HostPathVolumeSource>,
    /// A PersistentVolumeClaim of the job's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<PersistentVolumeClaimVolumeSource>,
    /// A PersistentVolumeClaim that lives as long as the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ephemeral: Option<EphemeralVolumeSource>,
    /// A ConfigMap of the job's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapVolumeSource>,
    /// A Secret of the job's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretVolumeSource>,
    /// A volume of a CSI driver that supports inline volumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csi: Option<CSIVolumeSource>,
    /// An NFS export.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nfs: Option<NFSVolumeSource>,
}

/// Which containers get a volume.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum VolumeContainers {
    /// The dind containers.
    #[default]
    Dind,
    /// Every container and native sidecar.
    All,
}

/// A registry's certificate authority, from a ConfigMap of the job's namespace.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RegistryCa {
    /// The registry as the docker client writes it, with its port if it has one. Example: registry.mylab.com:5000.
    pub host: String,
    /// The key of a ConfigMap that holds the certificate in PEM. A missing ConfigMap does not keep the job from starting.
    pub config_map: ConfigMapKey,
}

/// Names one key of a ConfigMap.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKey {
    /// Name of the ConfigMap. Example: registry-ca.
    pub name: String,
    /// Key in the ConfigMap. Example: ca.crt.
    pub key: String,
}

/// Where dind pods run.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Scheduling {
    /// Node labels, each added when the pod has none of that key. Example: {role: ci}.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Tolerations, each appended when the pod has no equal one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
}

/// What drydock makes of the policy. Every replica writes the same.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobPodPolicyStatus {
    /// The metadata.generation that the rest of the status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Accepted: the policy as it is written is in force. AddressesResolved: every live source has an address.
    /// Conflicting: another policy of higher rank wins something that this one asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,

    /// What the live sources have now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["source"]))]
    pub addresses: Vec<ResolvedSource>,
}

/// The addresses that a live source has now.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedSource {
    /// The source as KIND/NAMESPACE/NAME. Example: ingress/cicd/gitlab-registry.
    pub source: String,
    /// Its addresses, the first of each family being used. Empty: it has none, or has never been there.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// The hostnames of an Ingress' rules, where the policy leaves them to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    /// Since when it has had these addresses, as drydock saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Whether these are the last known ones of an object that is gone, or has no address any more.
    #[serde(default)]
    pub stale: bool,
}

/// Returns the CustomResourceDefinition, as `drydock print crd` prints it.
#[must_use]
pub fn definition() -> CustomResourceDefinition {
    JobPodPolicy::crd()
}
