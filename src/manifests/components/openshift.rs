//! drydock on OpenShift, under the SecurityContextConstraints `restricted-v2`.
//! Source: <https://github.com/openshift/cluster-kube-apiserver-operator/tree/master/bindata/bootkube/scc-manifests>

use crate::manifests::File;
use crate::manifests::kustomization::Kustomization;
use crate::manifests::yaml::Unwritable;
use crate::names::{NAME, NAMESPACE};
use serde_json::json;

pub(super) fn files() -> Result<Vec<File>, Unwritable> {
    let kustomization = Kustomization::component().merge(&json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {"template": {
            "metadata": {"annotations": {"openshift.io/required-scc": "restricted-v2"}},
            "spec": {"securityContext": {"runAsUser": null, "runAsGroup": null, "fsGroup": null}},
        }},
    }))?;
    Ok(vec![kustomization.file(
        "components/openshift/kustomization.yaml",
        "For OpenShift. Each namespace there has a range of user ids, and restricted-v2 refuses every other: it sets user and fsGroup itself.\n\
         The image runs as any user. All else that restricted-v2 asks for the base has already: no privilege, no capability, RuntimeDefault.\n\
         Put it after cert-manager and own-certificate, which set an fsGroup. host-network needs another SCC (hostnetwork-v2) as well.",
    )?])
}
