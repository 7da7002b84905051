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

/// The number of volume sources, and of those at the beginning that are generated more often.
const SOURCES: usize = 18;
const COMMON_SOURCES: usize = 5;

/// Returns the source of a volume by its number. `name` is the name of the object to which it
/// refers.
pub fn source(number: usize, name: &str) -> Value {
    let server = json!([{"key": "s", "path": "server/key.pem"}]);
    let sources: [Value; SOURCES] = [
        json!({"secret": {"secretName": name, "defaultMode": 420}}),
        json!({"emptyDir": {"medium": "Memory"}}),
        json!({"emptyDir": {}}),
        json!({"configMap": {"name": name}}),
        json!({"emptyDir": {"medium": "Memory", "sizeLimit": "5Mi"}}),
        json!({"emptyDir": {"medium": "HugePages"}}),
        json!({"secret": {"secretName": name, "items": server}}),
        json!({"projected": {"sources": [{"secret": {"name": name}}]}}),
        json!({"projected": {"sources": [{"configMap": {"name": name}}, {"secret": {"name": name, "items": server}}]}}),
        json!({"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}),
        json!({"csi": {"driver": "secrets-store.csi.k8s.io"}}),
        json!({"persistentVolumeClaim": {"claimName": name}}),
        json!({"hostPath": {"path": "/srv/certs", "type": ""}}),
        json!({"nfs": {"server": "nfs.mylab.com", "path": "/certs"}}),
        json!({"image": {"reference": "corp/certs:1"}}),
        json!({"ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"]}}}}),
        // A source of a future Kubernetes version.
        json!({"hologram": {"beam": 9_007_199_254_740_993_u64}}),
        json!({}),
    ];
    sources[number].clone()
}

/// Generates the number of a volume source.
pub fn source_number() -> impl Strategy<Value = usize> {
    prop_oneof![3 => 0..COMMON_SOURCES, 2 => COMMON_SOURCES..SOURCES]
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
