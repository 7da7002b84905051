//! Installs the CRD, namespace and roles of `manifests/`, and starts servers with them.

use crate::api_server::ApiServer;
use crate::drydock_process::{Certificate, Drydock, PROGRAM};
use crate::identity::Identity;
use crate::raw_requests;
use drydock::core::crd;
use kube::client::Body;
use kube::{Client, Config};
use serde_json::{Value, json};
use std::ffi::OsStr;

/// Applies the CRD, drydock's namespace and the roles of its ServiceAccount, including permission
/// to read address sources in all namespaces.
pub(crate) async fn install(api: &ApiServer) {
    let parts = [
        "namespace",
        "chart/crds/jobpodpolicies",
        "rbac",
        "components/live-addresses/live-addresses-role-binding",
    ];
    let files = parts.map(|name| format!("manifests/{name}.yaml"));
    let mut arguments = vec!["apply", "--server-side", "--force-conflicts"];
    for file in &files {
        arguments.extend(["-f", file]);
    }
    api.kubectl(&arguments).printed();
    api.kubectl(&[
        "apply",
        "--server-side",
        "-k",
        "manifests/components/live-addresses/roles",
    ]);
    let wait = [
        "wait",
        "--for=condition=Established",
        "crd/jobpodpolicies.drydock.dev",
    ];
    api.kubectl(&wait).printed();
}

/// Installs the CRD without validation, so that the API server accepts invalid policies.
pub(crate) async fn install_without_rules(api: &ApiServer) {
    install(api).await;
    let mut definition = serde_json::to_value(crd::definition()).unwrap();
    drop_rules(&mut definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]);
    let admin = api.client(Identity::Admin).await;
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/jobpodpolicies.drydock.dev";
    raw_requests::apply(&admin, path, &definition)
        .await
        .object();
}

fn drop_rules(schema: &mut Value) {
    const RULES: [&str; 8] = [
        "x-kubernetes-validations",
        "pattern",
        "format",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "maxProperties",
    ];
    match schema {
        Value::Object(fields) => {
            fields.retain(|name, value| !RULES.contains(&name.as_str()) || value.is_object());
            fields.values_mut().for_each(drop_rules);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_rules),
        _ => {}
    }
}

/// Starts `drydock serve --cluster` as drydock's ServiceAccount, with additional flags.
pub(crate) fn in_cluster(api: &ApiServer, flags: &[&str]) -> Drydock {
    in_cluster_by(PROGRAM.as_ref(), api, flags)
}

/// Starts another version of drydock with `--cluster`.
pub(crate) fn in_cluster_by(program: &OsStr, api: &ApiServer, flags: &[&str]) -> Drydock {
    let kubeconfig = api.kubeconfig(Identity::Drydock);
    let flags = [&["--cluster"], flags].concat();
    Drydock::start_by(&[program], &flags, |command| {
        command.env("KUBECONFIG", kubeconfig);
    })
}

/// Starts `drydock serve --cluster` with a certificate from files.
pub(crate) fn in_cluster_with(api: &ApiServer, certificate: &Certificate) -> Drydock {
    let (file, key) = (certificate.file(), certificate.key_file());
    let files = [file, key].map(|file| file.display().to_string());
    let [file, key] = &files;
    in_cluster(api, &["--tls-cert-file", file, "--tls-key-file", key])
}

/// Sends a review directly to drydock, and returns status and body.
pub(crate) async fn review(
    server: &Drydock,
    certificate: &Certificate,
    review: &str,
) -> (u16, Value) {
    let mut config = Config::new(server.url().parse().unwrap());
    let pem = pem_blocks(&certificate.authority);
    config.root_cert = Some(pem);
    config.proxy_url = None;
    let client = Client::try_from(config).unwrap();
    let request = axum::http::Request::post("/mutate")
        .header("Content-Type", "application/json")
        .body(Body::from(review.as_bytes().to_vec()))
        .unwrap();
    let response = client.send(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect_bytes().await.unwrap();
    let text = || json!(String::from_utf8_lossy(&body));
    (
        status,
        serde_json::from_slice(&body).unwrap_or_else(|_| text()),
    )
}

fn pem_blocks(text: &str) -> Vec<Vec<u8>> {
    use rustls::pki_types::{CertificateDer, pem::PemObject as _};
    CertificateDer::pem_slice_iter(text.as_bytes())
        .map(|der| der.unwrap().to_vec())
        .collect()
}
