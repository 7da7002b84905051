//! Generates volumes of pods and their mounts.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

/// Volume names, some of which policies and drydock use, too.
pub const VOLUME_NAMES: [&str; 6] = [
    "mylab-ca-pem",
    "docker-certs",
    "dind-storage",
    "cache",
    "docker-client-certs",
    "registry-ca",
];

/// Mount paths: the certificate directory in several spellings, paths above, below and beside it,
/// and paths that other rules use.
const PATHS: [&str; 41] = [
    "/certs/client",
    "/certs/client/",
    "//certs//client",
    "/a/../certs/client",
    "certs/client",
    "/certs/client/ca.pem",
    "certs//client/./sub",
    "/certs",
    "/certs/",
    "/certs/server",
    "/certs/server/key.pem",
    "/certs/ca",
    "/certs/clients",
    "/certs/displaced",
    "/certs/displaced-mylab-ca-pem",
    "/tls",
    "/tls/client",
    "/tls/server",
    "/a/b/client",
    "/client",
    "/",
    "/var/lib/docker",
    "/var/lib/docker/",
    "/var/lib",
    "/lib/modules",
    "/lib/modules/6.1",
    "/etc/docker",
    "/etc/docker/certs.d/registry.mylab.com",
    "/etc/docker/certs.d/registry.mylab.com/ca.crt",
    "/home/rootless/.local/share/docker",
    "/cache",
    "/builds",
    "/builds/certs",
    "/builds/certs/client",
    "/root",
    "/root/.docker",
    "/a",
    "/a/b",
    "/etc/hosts",
    "/home/rootless/.config/docker",
    "/var/run",
];

#[derive(Clone, Copy, Debug)]
pub enum Source {
    Memory,
    SizedMemory,
    Disk,
    HugePages,
    Secret,
    SecretWithServer,
    ConfigMap,
    Projected,
    ProjectedWithServer,
    DownwardApi,
    Csi,
    Claim,
    HostPath,
    Nfs,
    Image,
    Ephemeral,
    Future,
    Missing,
}

impl Source {
    pub fn json(self, name: &str) -> Value {
        let server = json!([{"key": "s", "path": "server/key.pem"}]);
        match self {
            Self::Memory => json!({"emptyDir": {"medium": "Memory"}}),
            Self::SizedMemory => json!({"emptyDir": {"medium": "Memory", "sizeLimit": "5Mi"}}),
            Self::Disk => json!({"emptyDir": {}}),
            Self::HugePages => json!({"emptyDir": {"medium": "HugePages"}}),
            Self::Secret => json!({"secret": {"secretName": name, "defaultMode": 420}}),
            Self::SecretWithServer => json!({"secret": {"secretName": name, "items": server}}),
            Self::ConfigMap => json!({"configMap": {"name": name}}),
            Self::Projected => json!({"projected": {"sources": [{"secret": {"name": name}}]}}),
            Self::ProjectedWithServer => {
                json!({"projected": {"sources": [{"configMap": {"name": name}}, {"secret": {"name": name, "items": server}}]}})
            }
            Self::DownwardApi => {
                json!({"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}})
            }
            Self::Csi => json!({"csi": {"driver": "secrets-store.csi.k8s.io"}}),
            Self::Claim => json!({"persistentVolumeClaim": {"claimName": name}}),
            Self::HostPath => json!({"hostPath": {"path": "/srv/certs", "type": ""}}),
            Self::Nfs => json!({"nfs": {"server": "nfs.mylab.com", "path": "/certs"}}),
            Self::Image => json!({"image": {"reference": "corp/certs:1"}}),
            Self::Ephemeral => {
                json!({"ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"]}}}})
            }
            Self::Future => json!({"hologram": {"beam": 9_007_199_254_740_993_u64}}),
            Self::Missing => json!({}),
        }
    }
}

pub fn source() -> impl Strategy<Value = Source> {
    use Source::*;
    let common = select(vec![Secret, Memory, Disk, ConfigMap, SizedMemory]);
    let rare = select(vec![
        HugePages,
        SecretWithServer,
        Projected,
        ProjectedWithServer,
        DownwardApi,
        Csi,
        Claim,
        HostPath,
        Nfs,
        Image,
        Ephemeral,
        Future,
        Missing,
    ]);
    prop_oneof![3 => common, 2 => rare]
}

/// Generates the fields of a mount other than name and path.
fn mount_flags() -> impl Strategy<Value = Value> {
    let plain = Just(json!({}));
    let odd = select(vec![
        json!({"readOnly": true}),
        json!({"readOnly": false}),
        json!({"subPath": "ca.pem"}),
        json!({"readOnly": true, "subPath": "ca.pem"}),
        json!({"subPathExpr": "$(POD_NAME)"}),
        json!({"mountPropagation": "HostToContainer"}),
        json!({"readOnly": true, "recursiveReadOnly": "Enabled"}),
        json!({"subPath": "", "readOnly": null}),
        json!({"subPath": "client"}),
    ]);
    prop_oneof![3 => plain, 2 => odd]
}

/// The containers that have a mount. A runner mounts the volumes of config.toml in all containers;
/// with `pod_spec`, other combinations are possible.
#[derive(Clone, Copy, Debug)]
pub enum Scope {
    Everywhere,
    Containers,
    Build,
    Helper,
    Init,
    Service(usize),
}

#[derive(Clone, Debug)]
pub struct Mount {
    pub volume: usize,
    pub path: &'static str,
    pub flags: Value,
    pub scope: Scope,
}

pub fn mount() -> impl Strategy<Value = Mount> {
    use Scope::*;
    let path = prop_oneof![3 => Just(PATHS[0]), 2 => select(&PATHS[..9]), 3 => select(&PATHS[..])];
    let scope = prop_oneof![
        3 => Just(Everywhere),
        3 => select(vec![Containers, Build, Service(0), Service(1), Helper, Init]),
    ];
    (0..4_usize, path, mount_flags(), scope).prop_map(|(volume, path, flags, scope)| Mount {
        volume,
        path,
        flags,
        scope,
    })
}
