//! What an installation can have instead of, or beside, what the base says: one file a component.
//!
//! A component is used by a kustomization of one's own that names `manifests` under `resources` and the component under `components`.
//! Any of them go together.

mod cert_manager;
mod certificate_files;
mod client_ca;
mod dashboard;
mod host_network;
mod monitoring;
mod openshift;

use super::File;
use super::access::{self, ADDRESS_SOURCES};
use super::kustomization::Kustomization;
use super::yaml::{self, Unwritable};
use crate::names::{ENFORCE_WEBHOOK, NAME};
use serde_json::json;

/// The Secret of a certificate of one's own.
const OWN_CERTIFICATE: &str = "drydock-tls";

/// Returns the files of all components.
pub(super) fn files() -> Result<Vec<File>, Unwritable> {
    Ok([
        cert_manager::files()?,
        client_ca::files()?,
        fail_open()?,
        host_network::files()?,
        live_addresses()?,
        monitoring::files()?,
        openshift::files()?,
        own_certificate()?,
    ]
    .concat())
}

fn fail_open() -> Result<Vec<File>, Unwritable> {
    let kustomization = Kustomization::component().merge(&json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": NAME},
        "webhooks": [{"name": ENFORCE_WEBHOOK, "failurePolicy": "Ignore"}],
    }))?;
    Ok(vec![kustomization.file(
        "components/fail-open/kustomization.yaml",
        "Where drydock cannot be reached, job pods start as the runner made them, instead of failing.\n\
         A job that needs the repair then fails later, and less clearly.",
    )?])
}

fn live_addresses() -> Result<Vec<File>, Unwritable> {
    let binding = yaml::file(
        "components/live-addresses/access.yaml",
        "Services, Ingresses and Gateways of every namespace can be read.",
        &[yaml::document(&access::cluster_role_binding(
            ADDRESS_SOURCES,
        ))?],
    )?;
    let kustomization = Kustomization::component().with(&binding).file(
        "components/live-addresses/kustomization.yaml",
        "For policies that take addresses from a Service, Ingress or Gateway (hostAliases with from), wherever that is.\n\
         Narrower, without this component: in each namespace that policies name, a Role with resourceNames, bound to drydock's ServiceAccount.",
    )?;
    Ok(vec![kustomization, binding])
}

fn own_certificate() -> Result<Vec<File>, Unwritable> {
    let mut kustomization =
        Kustomization::component().merge(&certificate_files::mounted(OWN_CERTIFICATE))?;
    for right in certificate_files::needless_rights() {
        kustomization = kustomization.merge(&right)?;
    }
    Ok(vec![kustomization.file(
        "components/own-certificate/kustomization.yaml",
        "A certificate of one's own, in the Secret drydock-tls (tls.crt, tls.key) of drydock's namespace; it names drydock.drydock.svc.\n\
         The caBundle of both webhooks is one's own to set. Pods start once the Secret is there, and re-read it when it is renewed.",
    )?])
}
