//! The component `client-ca` and its files for the API server: drydock responds only to an API
//! server that has these files.

use crate::api_server::{ApiServer, free_port, shared};
use crate::drydock_process::{Certificate, Drydock};
use crate::registration::Registration;
use crate::wait::{TIMEOUT, eventually};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drydock::names::{NAME, NAMESPACE};
use kube::client::Body;
use kube::{Client, Config};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::Value;
use std::fs;
use std::path::Path;

const FILES: &str = "manifests/components/client-ca/api-server";

/// A CA for client certificates of API servers, and one such certificate, as PEM.
struct ClientPki {
    authority: String,
    certificate: String,
    key: String,
}

impl ClientPki {
    fn new() -> Self {
        let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut ca = CertificateParams::new([]).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = ca.self_signed(&ca_key).unwrap().pem();
        let mut client = CertificateParams::new([]).unwrap();
        let name = &mut client.distinguished_name;
        name.push(DnType::CommonName, "kube-apiserver");
        client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let signed = client.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
        Self {
            authority,
            certificate: signed.pem(),
            key: key.serialize_pem(),
        }
    }
}

fn committed(name: &str) -> Value {
    serde_saphyr::from_str(&fs::read_to_string(format!("{FILES}/{name}")).unwrap()).unwrap()
}

/// Writes the API server's files of the component with a user for a webhook at `host`, and returns
/// the API server's flag.
fn write_api_server_files(directory: &Path, clients: &ClientPki, host: &str) -> Vec<String> {
    let mut admission = committed("admission.yaml");
    let file = &mut admission["plugins"][0]["configuration"]["kubeConfigFile"];
    let name = Path::new(file.as_str().unwrap()).file_name().unwrap();
    let kubeconfig_file = directory.join(name);
    *file = kubeconfig_file.display().to_string().into();
    let mut kubeconfig = committed("webhooks.kubeconfig");
    let users = kubeconfig["users"].as_array_mut().unwrap();
    let mut at_url = users[0].clone();
    assert_eq!(at_url["name"], format!("{NAME}.{NAMESPACE}.svc"));
    at_url["name"] = host.into();
    users.push(at_url);
    fs::write(kubeconfig_file, kubeconfig.to_string()).unwrap();
    fs::write(directory.join("client.crt"), &clients.certificate).unwrap();
    fs::write(directory.join("client.key"), &clients.key).unwrap();
    let admission_file = directory.join("admission.yaml");
    fs::write(&admission_file, admission.to_string()).unwrap();
    vec![format!(
        "--admission-control-config-file={}",
        admission_file.display()
    )]
}

/// Sends a review directly to drydock, with or without a client certificate.
async fn post(
    server: &Drydock,
    certificate: &Certificate,
    shown: Option<&ClientPki>,
) -> kube::Result<u16> {
    let mut config = Config::new(server.url().parse().unwrap());
    let authority = CertificateDer::pem_slice_iter(certificate.authority.as_bytes());
    config.root_cert = Some(authority.map(|der| der.unwrap().to_vec()).collect());
    config.proxy_url = None;
    if let Some(shown) = shown {
        let [certificate, key] = [&shown.certificate, &shown.key].map(|pem| STANDARD.encode(pem));
        config.auth_info.client_certificate_data = Some(certificate);
        config.auth_info.client_key_data = Some(key.into());
    }
    let client = Client::try_from(config).unwrap();
    let review = fs::read_to_string("tests/fixtures/reviews/runner/19.3.0-secret-certs.json");
    let request = axum::http::Request::post("/mutate")
        .header("Content-Type", "application/json")
        .body(Body::from(review.unwrap().into_bytes()))
        .unwrap();
    Ok(client.send(request).await?.status().as_u16())
}

#[tokio::test]
async fn only_an_api_server_with_the_client_certificate_gets_responses() {
    let clients = ClientPki::new();
    let host = format!("127.0.0.1:{}", free_port());
    let prepare = |directory: &Path| write_api_server_files(directory, &clients, &host);
    let api = ApiServer::exclusive_with(prepare).await;

    let certificate = Certificate::new();
    let authority = certificate.file().with_file_name("client-ca.crt");
    fs::write(&authority, &clients.authority).unwrap();
    let authority = authority.to_str().unwrap();
    let server = certificate.serve(&["--listen", &host, "--client-ca-file", authority]);
    let registration = Registration::new(server.url(), &certificate.authority, None);
    registration.repairs(&api.scope("client-ca").await).await;

    let answered = post(&server, &certificate, Some(&clients)).await;
    assert_eq!(answered.unwrap(), 200);
    let before = count(&server, "drydock_reviews_total");
    assert!(before > 0);
    let refused_handshakes = count(&server, "drydock_tls_handshake_failures_total");

    // An API server without the files sends no client certificate. In TLS 1.3, the alert may arrive
    // while it writes the review, so the error is "certificate required" or a broken connection.
    let scope = shared().await.scope("client-ca").await;
    let refused = registration.refuses(&scope).await;
    let reason = refused.refusal();
    assert!(reason.contains("failed calling webhook"), "{reason}");
    post(&server, &certificate, None)
        .await
        .expect_err("the handshake must fail");

    assert_eq!(
        count(&server, "drydock_reviews_total"),
        before,
        "drydock read the review"
    );
    let failures = async || count(&server, "drydock_tls_handshake_failures_total");
    let what = "both handshakes are counted as refused";
    let are_counted = |failures: &u64| *failures >= refused_handshakes + 2;
    eventually(what, TIMEOUT, failures, are_counted).await;
}

/// Returns the sum of a metric over its labels.
fn count(server: &Drydock, metric: &str) -> u64 {
    let (_, text) = server.get("/metrics");
    let samples = text
        .lines()
        .filter_map(|line| line.strip_prefix(metric))
        .filter(|rest| rest.starts_with(['{', ' ']));
    let values = samples.map(|rest| rest.rsplit(' ').next().unwrap().parse::<u64>().unwrap());
    values.sum()
}
