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
    /// Further images that run a Docker daemon, as globs over the image reference without its
    /// digest; * stands for any characters. Always recognised: the docker image, under any registry
    /// prefix, with a dind or latest tag, without a tag, or of version 23 and later.
    /// At most 64. Example: ["registry.mylab.com/ci/dind:*"].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,

    /// The directory into which dind writes the certificates of the docker client: /certs/client,
    /// or client in DOCKER_TLS_CERTDIR. A Secret or ConfigMap mounted there makes the job fail with
    /// TLS errors, because dind cannot write to it and the client reads other certificates than
    /// those of the daemon.
    #[serde(default)]
    pub client_certs: ClientCerts,

    /// Volumes for the dind container, in this order. A container that already mounts something at
    /// the path keeps it.
    /// Absent: an emptyDir at /var/lib/docker, and /lib/modules of the node, read-only. [] adds
    /// none.
    /// At most 32, each with a name and a mountPath of its own.
    /// Example: [{name: dind-storage, mountPath: /var/lib/docker, emptyDir: {sizeLimit: 20Gi}}].
    #[serde(default = "default_volumes")]
    pub volumes: Vec<DindVolume>,

    /// Certificate authorities of registries, mounted where dind looks for them:
    /// /etc/docker/certs.d/HOST/ca.crt.
    /// Use this instead of mounting the authority of a registry at /certs/client. At most 64, each
    /// host once.
    /// Example: [{host: registry.mylab.com, configMap: {name: registry-ca, key: ca.crt}}].
    #[serde(default, rename = "registryCAs", skip_serializing_if = "Vec::is_empty")]
    pub registry_cas: Vec<RegistryCa>,

    /// Schedules pods with dind on dedicated nodes. Example: {nodeSelector: {role: ci},
    /// tolerations: [{key: dedicated, value: ci, effect: NoSchedule}]}.
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

/// The volumes that dind needs. The cgroup tree of the node is not among them: it leaks cgroups of
/// inner containers on cgroup v1, and dind does not need it on v2.
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
                // With Directory, a pod would wait on a node without the directory.
                type_: Some("DirectoryOrCreate".to_owned()),
            }),
            ..DindVolume::default()
        },
    ]
}

/// The directory of the certificates of the docker client.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientCerts {
    /// The action for other content that is mounted in the directory.
    /// Replace mounts a memory-backed emptyDir instead, in every container that mounts something
    /// there.
    /// Relocate does the same and mounts the displaced content read-only at relocateTo.
    /// Report changes nothing and reports the conflict.
    /// Deny rejects the pod, so that the job fails at once with the reason.
    #[serde(default)]
    pub on_conflict: OnConflict,

    /// The size limit of the memory-backed emptyDir: a quantity greater than zero. The files take
    /// about 20 KiB, which count against the memory of the pod.
    /// Example: 1Mi.
    #[serde(default = "default_size_limit")]
    pub size_limit: Quantity,

    /// The directory at which Relocate mounts the displaced content; not at, above or below
    /// /certs/client. Absent: /certs/displaced.
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

/// The action for a conflicting mount in the directory of the client certificates.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum OnConflict {
    /// Mount a memory-backed emptyDir instead.
    #[default]
    Replace,
    /// Replace the content, and mount it read-only at relocateTo.
    Relocate,
    /// Change nothing and report the conflict.
    Report,
    /// Reject the pod.
    Deny,
}

/// A volume and its mount. Exactly one of emptyDir, hostPath, persistentVolumeClaim, ephemeral,
/// configMap, secret, csi and nfs.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DindVolume {
    /// The name of the volume in the pod; drydock picks another one if the pod has a volume of this
    /// name. Example: dind-storage.
    pub name: String,

    /// The path in the container: absolute, without "//", ".", ".." and a "/" at the end. Not at,
    /// above or below /certs/client.
    /// Rootless dind mounts /var/lib/docker at /home/rootless/.local/share/docker. Example:
    /// /var/lib/docker.
    pub mount_path: String,

    /// Whether the mount is read-only. Example: true.
    #[serde(default)]
    pub read_only: bool,

    /// Dind mounts the volume in the dind containers, All in every container and native sidecar of
    /// the pod.
    #[serde(default)]
    pub containers: VolumeContainers,

    /// A directory with the lifetime of the pod. Example: {sizeLimit: 20Gi}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_dir: Option<EmptyDirVolumeSource>,
    /// A directory of the node, for privileged containers only. Example: {path: /lib/modules, type:
    /// Directory}.
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
    /// An inline volume of a CSI driver. Example: {driver: secrets-store.csi.k8s.io, readOnly:
    /// true}.
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
    /// Every container and native sidecar.
    All,
}

/// The certificate authority of a registry, from a ConfigMap in the namespace of the job.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RegistryCa {
    /// The registry as in image references, with its port if it has one. Example:
    /// registry.mylab.com:5000.
    pub host: String,
    /// The ConfigMap, in the namespace of the job, and the key with the certificate in PEM. The job
    /// starts without the authority if the ConfigMap does not exist. Example: {name: registry-ca,
    /// key: ca.crt}.
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

/// The nodes of pods with dind.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Scheduling {
    /// Node labels. Each is added unless the pod selects by the same key, whatever its value. At
    /// most 32. Example: {role: ci}.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Tolerations. Each is added unless the pod has an equal one. At most 32.
    /// Example: [{key: dedicated, value: ci, effect: NoSchedule}].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
}
