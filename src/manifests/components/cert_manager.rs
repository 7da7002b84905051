//! Certificates by cert-manager, in place of drydock's own authority.
//! Source: <https://cert-manager.io/docs/concepts/ca-injector/>

use super::certificate_files;
use crate::manifests::kustomization::Kustomization;
use crate::manifests::yaml::{self, Unwritable};
use crate::manifests::{File, namespaced};
use crate::names::{NAME, NAMESPACE};
use serde_json::{Value, json};

/// The Issuer that begins the chain, the Certificate of the authority, and the Issuer that signs with it.
const SELF_SIGNED: &str = "drydock-self-signed";
const AUTHORITY: &str = "drydock-authority";
/// The serving certificate and its Secret.
const SERVING: &str = "drydock-serving";

pub(super) fn files() -> Result<Vec<File>, Unwritable> {
    let certificates = certificates()?;
    let mut kustomization = Kustomization::component()
        .with(&certificates)
        .merge(&certificate_files::mounted(SERVING))?
        .merge(&json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {
                "name": NAME,
                "annotations": {"cert-manager.io/inject-ca-from": format!("{NAMESPACE}/{SERVING}")},
            },
        }))?;
    for right in certificate_files::needless_rights() {
        kustomization = kustomization.merge(&right)?;
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
