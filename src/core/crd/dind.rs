//! `spec.dind`: what a job pod that runs a Docker daemon gets.

use k8s_openapi::api::core::v1::{
    CSIVolumeSource, ConfigMapVolumeSource, EmptyDirVolumeSource, EphemeralVolumeSource,
    HostPathVolumeSource, NFSVolumeSource, PersistentVolumeClaimVolumeSource, SecretVolumeSource,
    Toleration,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a job pod that runs a Docker daemon (docker:dind) gets.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dind {
    /// Further images that count as dind. Without it: the docker image, under any registry prefix, with a dind or latest tag, without a tag,
    /// or of version 23 and later. Each is a glob over the whole reference without its digest, in which * stands for any characters.
    /// At most 64. Example: ["registry.mylab.com/ci/dind:*"].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,

    /// How the directory is kept free into which dind writes the docker client's certificates: /certs/client, or client in what
    /// DOCKER_TLS_CERTDIR says. A Secret or ConfigMap mounted there makes the job fail with TLS errors, because dind cannot write to it
    /// and the client finds other certificates than the daemon's.
    #[serde(default)]
    pub client_certs: ClientCerts,

    /// Volumes for the dind container, in this order. A container that mounts something at the path already keeps it.
    /// Absent: an emptyDir at /var/lib/docker, and the node's /lib/modules, read-only. [] adds none.
    /// At most 32, each with a name and a mountPath of its own.
    /// Example: [{name: dind-storage, mountPath: /var/lib/docker, emptyDir: {sizeLimit: 20Gi}}].
    #[serde(default = "default_volumes")]
    pub volumes: Vec<DindVolume>,

    /// Certificate authorities of registries, mounted where dind looks for them: /etc/docker/certs.d/HOST/ca.crt.
    /// This is the place for a registry's authority, not /certs/client. At most 64, a host once.
    /// Example: [{host: registry.mylab.com, configMap: {name: registry-ca, key: ca.crt}}].
    #[serde(default, rename = "registryCAs", skip_serializing_if = "Vec::is_empty")]
    pub registry_cas: Vec<RegistryCa>,

    /// Sends dind pods to nodes of their own.
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
    /// What happens to something else that is mounted there.
    /// Replace puts a memory-backed emptyDir in its place, in every container that mounts something there.
    /// Relocate does the same and mounts what was there read-only at relocateTo.
    /// Report leaves it and says so.
    /// Deny refuses the pod, so that the job fails at once with the reason.
    #[serde(default)]
    pub on_conflict: OnConflict,

    /// Size limit of the memory-backed emptyDir: a quantity greater than zero. The files take about 20 KiB; what is used counts against
    /// the pod's memory.
    /// Example: 1Mi.
    #[serde(default = "default_size_limit")]
    pub size_limit: Quantity,

    /// Where Relocate mounts what it displaced: a directory not at, above or below /certs/client. Absent: /certs/displaced.
    /// Only with onConflict: Relocate. Example: /certs/ca.
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

fn default_size_limit() -> Quantity {
    Quantity("1Mi".to_owned())
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

/// A volume and where it is mounted. Exactly one of emptyDir, hostPath, persistentVolumeClaim, ephemeral, configMap, secret, csi and nfs.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DindVolume {
    /// Name of the volume in the pod; where a pod has that name already, another one is taken. Example: dind-storage.
    pub name: String,

    /// Path in the container: absolute, without "//", ".", ".." and a "/" at the end. Not at, above or below /certs/client.
    /// In rootless dind /var/lib/docker becomes /home/rootless/.local/share/docker. Example: /var/lib/docker.
    pub mount_path: String,

    /// Mounts the volume read-only.
    #[serde(default)]
    pub read_only: bool,

    /// Dind mounts it in the dind containers, All in every container and native sidecar of the pod.
    #[serde(default)]
    pub containers: VolumeContainers,

    /// A directory that lives as long as the pod. Example: {sizeLimit: 20Gi}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_dir: Option<EmptyDirVolumeSource>,
    /// A directory of the node, for privileged containers only; others do not get it. Example: {path: /lib/modules, type: Directory}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_path: Option<HostPathVolumeSource>,
    /// A PersistentVolumeClaim of the job's namespace. Example: {claimName: docker-cache}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<PersistentVolumeClaimVolumeSource>,
    /// A PersistentVolumeClaim that is made for the pod and goes with it.
    /// Example: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 20Gi}}}}}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ephemeral: Option<EphemeralVolumeSource>,
    /// A ConfigMap of the job's namespace. Example: {name: daemon-json}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapVolumeSource>,
    /// A Secret of the job's namespace. Example: {secretName: docker-auth}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretVolumeSource>,
    /// A volume of a CSI driver that supports inline volumes. Example: {driver: secrets-store.csi.k8s.io, readOnly: true}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csi: Option<CSIVolumeSource>,
    /// An NFS export. Example: {server: nfs.mylab.com, path: /export/docker}.
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
    /// The key of a ConfigMap, in the job's namespace, that holds the certificate in PEM.
    /// A missing ConfigMap does not keep the job from starting.
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
    /// Node labels, each added when the pod has none of that key; another value that it has stays. At most 32. Example: {role: ci}.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Tolerations, each appended when the pod has no equal one. At most 32.
    /// Example: [{key: dedicated, value: ci, effect: NoSchedule}].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
}
