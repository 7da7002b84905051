//! Only API servers are answered on the webhook port: they show a client certificate.
//!
//! An API server shows none by itself: it needs an AdmissionConfiguration and a kubeconfig, which
//! are files of its own machine and so no part
//! of the kustomization. `certs/README.md` says how to make the certificates.
//! Source: <https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#authenticate-apiservers>

use crate::manifests::File;
use crate::manifests::kustomization::Kustomization;
use crate::manifests::yaml::{self, Unwritable};
use crate::names::{NAME, NAMESPACE};
use serde_json::json;

/// The ConfigMap with the authority of API servers, `ca.crt`. A certificate is no secret.
const AUTHORITY: &str = "drydock-client-ca";
const FOLDER: &str = "/etc/drydock/client-ca";
/// Where the API server's files lie. kubeadm mounts nothing of this name by itself.
const OF_API_SERVER: &str = "/etc/kubernetes/drydock";

pub(super) fn files() -> Result<Vec<File>, Unwritable> {
    let kustomization = Kustomization::component().merge(&json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {"template": {"spec": {
            "containers": [{
                "name": NAME,
                "env": [{"name": "DRYDOCK_CLIENT_CA_FILE", "value": format!("{FOLDER}/ca.crt")}],
                "volumeMounts": [{"name": "client-ca", "mountPath": FOLDER, "readOnly": true}],
            }],
            "volumes": [{"name": "client-ca", "configMap": {"name": AUTHORITY}}],
        }}},
    }))?;
    let kustomization = kustomization.file(
        "components/client-ca/kustomization.yaml",
        "The webhook port answers only clients with a certificate of the authority in the ConfigMap drydock-client-ca (key ca.crt); all others\n\
         are refused in the TLS handshake. The ops port is not concerned, so probes work as before.\n\
         First give every API server the files of the folder api-server: one that shows no certificate cannot create a job pod.\n\
         certs/README.md has every step. Not possible where the control plane is somebody else's, as on GKE, EKS and AKS.",
    )?;
    Ok(vec![kustomization, admission()?, kubeconfig()?])
}

fn admission() -> Result<File, Unwritable> {
    let configuration = json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AdmissionConfiguration",
        "plugins": [{
            "name": "MutatingAdmissionWebhook",
            "configuration": {
                "apiVersion": "apiserver.config.k8s.io/v1",
                "kind": "WebhookAdmissionConfiguration",
                "kubeConfigFile": format!("{OF_API_SERVER}/webhooks.kubeconfig"),
            },
        }],
    });
    yaml::file(
        "components/client-ca/api-server/admission.yaml",
        "For the machine of the API server: kube-apiserver --admission-control-config-file=/etc/kubernetes/drydock/admission.yaml\n\
         If it has such a file already, put this plugin into it: the flag takes one. kubeConfigFile must be an absolute path.",
        &[yaml::document(&configuration)?],
    )
}

fn kubeconfig() -> Result<File, Unwritable> {
    let configuration = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "users": [{
            "name": format!("{NAME}.{NAMESPACE}.svc"),
            "user": {"client-certificate": "client.crt", "client-key": "client.key"},
        }],
    });
    yaml::file(
        "components/client-ca/api-server/webhooks.kubeconfig",
        "For the machine of the API server, beside client.crt and client.key. It shows that certificate to the webhook of this name only:\n\
         SERVICE.NAMESPACE.svc, with :PORT where the Service's port is not 443; HOST:PORT for a webhook that is registered by url.",
        &[yaml::document(&configuration)?],
    )
}
