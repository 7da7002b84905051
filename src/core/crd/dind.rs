//! `spec.dind`: settings for job pods with a Docker daemon.

use k8s_openapi::api::core::v1::{
    CSIVolumeSource, ConfigMapVolumeSource, EmptyDirVolumeSource, EphemeralVolumeSource,
    HostPathVolumeSource, NFSVolumeSource, PersistentVolumeClaimVolumeSource, SecretVolumeSource,
    Toleration,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Settings for job pods with a Docker daemon (docker:dind).
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dind {
    /// Additional images that run a Docker daemon. Each item is a glob that is compared with the
    /// image reference without its digest; * matches any characters.
    /// drydock always recognises the docker image, with any registry prefix, if it has a dind or
    /// latest tag, no tag, or version 23 or later.
    /// At most 64. Example: ["registry.mylab.com/ci/dind:*"].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,

    /// Settings for the directory in which dind creates the certificates of the docker client:
    /// /certs/client, or the subdirectory client of DOCKER_TLS_CERTDIR. If a Secret or ConfigMap is
    /// mounted there, the job fails with TLS errors: dind cannot write its certificates, and the
    /// docker client reads certificates that do not belong to the daemon.
    #[serde(default)]
    pub client_certs: ClientCerts,

    /// Volumes to mount in the dind container, in this order. If a container already has a mount at
    /// the path, drydock keeps that mount.
    /// If absent, drydock mounts an emptyDir at /var/lib/docker, and /lib/modules of the node
    /// read-only. An empty list adds no volumes.
    /// At most 32. Names and mount paths must be unique.
    /// Example: [{name: dind-storage, mountPath: /var/lib/docker, emptyDir: {sizeLimit: 20Gi}}].
    #[serde(default = "default_volumes")]
    pub volumes: Vec<DindVolume>,

    /// CA certificates of registries. drydock mounts each of them in dind at
    /// /etc/docker/certs.d/HOST/ca.crt, where the Docker daemon reads it.
    /// Use this field instead of mounting the CA certificate of a registry at /certs/client.
    /// At most 64. Hosts must be unique.
    /// Example: [{host: registry.mylab.com, configMap: {name: registry-ca, key: ca.crt}}].
    #[serde(default, rename = "registryCAs", skip_serializing_if = "Vec::is_empty")]
    pub registry_cas: Vec<RegistryCa>,

    /// The nodeSelector labels and tolerations that drydock adds to pods with dind.
    /// Example: {nodeSelector: {role: ci}, tolerations: [{key: dedicated, value: ci, effect:
    /// NoSchedule}]}.
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

/// Returns the volumes that dind needs. The cgroup file system of the node is not one of them: on
/// cgroup v1 the cgroups of inner containers would leak, and on v2 dind does not need it.
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
                // With Directory, a pod could not start on a node without the directory.
                type_: Some("DirectoryOrCreate".to_owned()),
            }),
            ..DindVolume::default()
        },
    ]
}

/// Settings for the directory of the client certificates.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientCerts {
    /// The action if a container mounts another volume at the directory.
    /// Replace mounts a memory-backed emptyDir instead, in every container that has a mount there.
    /// Relocate does the same and mounts the displaced volume read-only at relocateTo.
    /// Report only reports the conflict.
    /// Deny rejects the pod, so that the job fails immediately with the reason.
    #[serde(default)]
    pub on_conflict: OnConflict,

    /// The size limit of the memory-backed emptyDir, a quantity greater than zero. The certificates
    /// use about 20 KiB of the memory of the pod.
    /// Example: 1Mi.
    #[serde(default = "default_size_limit")]
    pub size_limit: Quantity,

    /// The directory at which onConflict: Relocate mounts the displaced volume. It must not be
    /// /certs/client, a parent of it or a path below it. The default is /certs/displaced.
    /// Can be set only if onConflict is Relocate. Example: /certs/ca.
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

/// The action if a container mounts another volume at the directory of the client certificates.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum OnConflict {
    /// Mount a memory-backed emptyDir instead.
    #[default]
    Replace,
    /// Mount a memory-backed emptyDir instead, and the displaced volume read-only at relocateTo.
    Relocate,
    /// Only report the conflict.
    Report,
    /// Reject the pod.
    Deny,
}

/// A volume and its mount. Exactly one of emptyDir, hostPath, persistentVolumeClaim, ephemeral,
/// configMap, secret, csi and nfs must be set.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DindVolume {
    /// The name of the volume in the pod. If the pod already has a volume with this name, drydock
    /// chooses another name. Example: dind-storage.
    pub name: String,

    /// The absolute path in the container, without "//", ".", ".." and a trailing "/". It must not
    /// be /certs/client, a parent of it or a path below it.
    /// In rootless dind, drydock mounts the volume for /var/lib/docker at
    /// /home/rootless/.local/share/docker instead. Example: /var/lib/docker.
    pub mount_path: String,

    /// Whether the mount is read-only. Example: true.
    #[serde(default)]
    pub read_only: bool,

    /// Dind mounts the volume in the dind containers. All mounts it in all containers and native
    /// sidecars of the pod.
    #[serde(default)]
    pub containers: VolumeContainers,

    /// An emptyDir, which has the lifetime of the pod. Example: {sizeLimit: 20Gi}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_dir: Option<EmptyDirVolumeSource>,
    /// A file or directory of the node. drydock mounts it only in privileged containers.
    /// Example: {path: /lib/modules, type: Directory}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_path: Option<HostPathVolumeSource>,
    /// A PersistentVolumeClaim in the namespace of the job. Example: {claimName: docker-cache}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<PersistentVolumeClaimVolumeSource>,
    /// A PersistentVolumeClaim that is created and deleted with the pod.
    /// Example: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce], resources: {requests:
    /// {storage: 20Gi}}}}}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ephemeral: Option<EphemeralVolumeSource>,
    /// A ConfigMap in the namespace of the job. Example: {name: daemon-json}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapVolumeSource>,
    /// A Secret in the namespace of the job. Example: {secretName: docker-auth}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretVolumeSource>,
    /// An inline volume of a CSI driver.
    /// Example: {driver: secrets-store.csi.k8s.io, readOnly: true}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csi: Option<CSIVolumeSource>,
    /// An NFS export. Example: {server: nfs.mylab.com, path: /export/docker}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nfs: Option<NFSVolumeSource>,
}

/// The containers that mount a volume.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum VolumeContainers {
    /// The dind containers.
    #[default]
    Dind,
    /// All containers and native sidecars.
    All,
}

/// The CA certificate of a registry, from a ConfigMap in the namespace of the job.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RegistryCa {
    /// The host of the registry as in image references, with the port if there is one. Example:
    /// registry.mylab.com:5000.
    pub host: String,
    /// The ConfigMap in the namespace of the job, and the key that contains the CA certificate as
    /// PEM. If the ConfigMap does not exist, the job starts without the CA certificate.
    /// Example: {name: registry-ca, key: ca.crt}.
    pub config_map: ConfigMapKey,
}

/// A key of a ConfigMap.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKey {
    /// Name of the ConfigMap. Example: registry-ca.
    pub name: String,
    /// Key in the ConfigMap. Example: ca.crt.
    pub key: String,
}

/// The nodeSelector labels and tolerations that drydock adds to pods with dind.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Scheduling {
    /// Labels that drydock adds to the nodeSelector of the pod. A key that the pod already has
    /// keeps its value. At most 32. Example: {role: ci}.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Tolerations that drydock adds to the pod, unless the pod has an equal one. At most 32.
    /// Example: [{key: dedicated, value: ci, effect: NoSchedule}].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
}
