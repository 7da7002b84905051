//! What components share that bring a certificate in a Secret, in place of drydock's own authority.

use crate::manifests::access::CERTIFICATES;
use crate::names::{NAME, NAMESPACE};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

const FOLDER: &str = "/etc/drydock/tls";

/// Mounts the certificate in a Secret, and serves with it.
/// The flags come by environment, so that a component that sets arguments goes with this one.
pub(super) fn mounted(secret: &str) -> Value {
    let file = |name: &str| format!("{FOLDER}/{name}");
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {"template": {"spec": {
            "containers": [{
                "name": NAME,
                "env": [
                    {"name": "DRYDOCK_TLS_CERT_FILE", "value": file("tls.crt")},
                    {"name": "DRYDOCK_TLS_KEY_FILE", "value": file("tls.key")},
                ],
                "volumeMounts": [{"name": "tls", "mountPath": FOLDER, "readOnly": true}],
            }],
            "volumes": [{"name": "tls", "secret": {"secretName": secret, "defaultMode": 0o440}}],
            "securityContext": {"fsGroup": 65532},
        }}},
    })
}

/// Takes away the rights for drydock's own authority.
pub(super) fn needless_rights() -> [Value; 4] {
    ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"].map(without)
}

fn without(kind: &str) -> Value {
    let namespace = match kind {
        "Role" | "RoleBinding" => Some(NAMESPACE),
        _ => None,
    };
    let metadata = ObjectMeta {
        name: Some(CERTIFICATES.to_owned()),
        namespace: namespace.map(str::to_owned),
        ..ObjectMeta::default()
    };
    json!({
        "$patch": "delete",
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": metadata,
    })
}
