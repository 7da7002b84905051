//! The baseline: a server with the same TLS configuration and router library as drydock, and a
//! constant response.

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use drydock::pki::authority::Authority;
use drydock::pki::tls::{Certificate, server_config};
use jiff::Timestamp;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;
use tokio::sync::watch;

/// The argument with which the program of the benchmark runs this server.
pub(crate) const ARGUMENT: &str = "--baseline";

const ANSWER: &str = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"7051086f-6b18-4d40-858c-87483c41ad07","allowed":true}}"#;

/// Serves until the process is killed. Writes the CA certificate to `ca`, and the address to
/// stdout.
pub(crate) fn run(ca: &Path) {
    let (now, day) = (Timestamp::now(), Duration::from_secs(24 * 60 * 60));
    let authority = Authority::make("baseline", now, day).unwrap();
    // The same names as in drydock's certificate, so that both have the same size.
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let leaf = authority.sign(&names, now, day).unwrap();
    std::fs::write(ca, authority.certificate().pem()).unwrap();
    let certificate = Certificate::from_leaf(&leaf).unwrap();
    let (_keep, certificates) = watch::channel(Some(certificate));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        println!("https://{}/mutate", listener.local_addr().unwrap());
        listener.set_nonblocking(true).unwrap();
        let answer = |_: Bytes| async { ([("content-type", "application/json")], ANSWER) };
        let router = Router::new().route("/mutate", post(answer));
        let acceptor =
            RustlsAcceptor::new(RustlsConfig::from_config(server_config(certificates, None)))
                .acceptor(axum_server::accept::NoDelayAcceptor::new());
        let server = axum_server::from_tcp(listener)
            .unwrap()
            .http1_only()
            .acceptor(acceptor);
        server.serve(router.into_make_service()).await.unwrap();
    });
}
