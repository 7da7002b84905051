//! Certificates by cert-manager, in place of drydock's own authority.
//! Source: <https://cert-manager.io/docs/concepts/ca-injector/>

use crate::manifests::access::CERTIFICATES;
use crate::manifests::kustomization::Kustomization;
use crate::manifests::yaml::{self, Unwritable};
use crate::manifests::{File, namespaced};
use crate::names::{NAME, NAMESPACE};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

/// The Issuer that begins the chain, the Certificate of the authority, and the Issuer that signs with it.
const SELF_SIGNED: &str = "drydock-self-signed";
const AUTHORITY: &str = "drydock-authority";
/// The serving certificate and its Secret.
const SERVING: &str = "drydock-serving";
const FOLDER: &str = "/etc/drydock/tls";

pub(super) fn files() -> Result<Vec<File>, Unwritable> {
    let certificates = certificates()?;
    let mut kustomization = Kustomization::component()
        .with(&certificates)
        .merge(&deployment())?
        .merge(&json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {
                "name": NAME,
                "annotations": {"cert-manager.io/inject-ca-from": format!("{NAMESPACE}/{SERVING}")},
            },
        }))?;
    for kind in ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"] {
        kustomization = kustomization.merge(&without(kind))?;
    }
    let kustomization = kustomization.file(
        "components/cert-manager/kustomization.yaml",
        "Certificates by cert-manager, which has to be installed before; its injector writes the caBundle.\n\
         drydock's own authority is not used, so the rights for it go. Pods start once the Secret is there, and re-read it when it is renewed.",
    )?;
    Ok(vec![kustomization, certificates])
}

fn certificates() -> Result<File, Unwritable> {
    let service = format!("{NAME}.{NAMESPACE}.svc");
    let documents = [
        yaml::document(&object("Issuer", SELF_SIGNED, &json!({"selfSigned": {}})))?,
        yaml::document(&object(
            "Certificate",
            AUTHORITY,
            &json!({
                "isCA": true,
                "commonName": AUTHORITY,
                "secretName": AUTHORITY,
                "duration": "87600h",
                "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Never"},
                "issuerRef": {"kind": "Issuer", "name": SELF_SIGNED},
            }),
        ))?,
        yaml::document(&object(
            "Issuer",
            AUTHORITY,
            &json!({"ca": {"secretName": AUTHORITY}}),
        ))?,
        yaml::document(&object(
            "Certificate",
            SERVING,
            &json!({
                "secretName": SERVING,
                "dnsNames": [service, format!("{service}.cluster.local")],
                "usages": ["digital signature", "server auth"],
                "duration": "2160h",
                "renewBefore": "720h",
                "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
                "issuerRef": {"kind": "Issuer", "name": AUTHORITY},
            }),
        ))?,
    ];
    yaml::file(
        "components/cert-manager/certificates.yaml",
        "An authority for this one Service, and the serving certificate it signs. The authority keeps its key for its ten years: were it to\n\
         change, the API server would trust the new one before the pods serve with it.",
        &documents,
    )
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "cert-manager.io/v1",
        "kind": kind,
        "metadata": namespaced(name),
        "spec": spec,
    })
}

/// The flags come by environment, so that a component that sets arguments goes with this one.
fn deployment() -> Value {
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
            "volumes": [{"name": "tls", "secret": {"secretName": SERVING, "defaultMode": 0o440}}],
            "securityContext": {"fsGroup": 65532},
        }}},
    })
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
