//! Messages in the log and to the author of the job when an object is missing.

use crate::api_server::{ApiServer, shared};
use crate::drydock_process::Certificate;
use crate::identity::Identity;
use crate::installation::{in_cluster, in_cluster_with, install};
use crate::registration::Registration;
use crate::wait::{TIMEOUT, eventually};
use serde_json::{Value, json};
use std::process::Command;

#[tokio::test]
async fn a_missing_kind_is_logged_as_not_watched_and_not_read() {
    let api = ApiServer::exclusive().await;
    // Installs the roles, too.
    install(&api).await;
    let delete = ["delete", "crd", "jobpodpolicies.drydock.dev"];
    api.kubectl(&delete).printed();
    let certificate = Certificate::new();
    let server = in_cluster_with(&api, &certificate);
    let sentence = "cannot watch policies: \
                    the API server does not know this kind of object";
    let lines = async || server.lines_with(sentence).len();
    eventually("the error is logged", TIMEOUT, lines, |count| *count > 0).await;
    let log = server.stderr();
    assert!(!log.contains("404"), "{log}");
    assert_eq!(server.lines_with("cannot watch policies").len(), 1);
    assert_eq!(server.lines_with("stays in force").len(), 0, "{log}");
    let reason = "the policies have not been read yet\n".to_owned();
    assert_eq!(server.get("/readyz"), (503, reason));
    install(&api).await;
    server.ready().await;
    let again = async || server.lines_with("watching policies again").len();
    eventually("the recovery is logged", TIMEOUT, again, |count| {
        *count == 1
    })
    .await;
}

/// The job log contains the API server's error.
#[tokio::test]
async fn a_replica_without_a_certificate_refuses_connections() {
    let api = shared().await;
    install(api).await;
    let scope = api.scope("no-certificate").await;
    let other = format!("{}-other", scope.name);
    // This webhook configuration does not exist.
    let flags = ["--tls-name", "127.0.0.1", "--webhook-configuration", &other];
    let secret = format!("{}-ca", scope.name);
    let server = in_cluster(api, &[&flags[..], &["--ca-secret", &secret]].concat());
    assert_eq!(server.get("/readyz").0, 503);
    let certificate = Certificate::new();
    let registration = Registration::new(server.url(), &certificate.authority, Some("Fail"));
    let refused = registration.refuses(&scope).await;
    let refused = refused.refusal();
    assert!(
        refused.ends_with("connect: connection refused"),
        "{refused}"
    );
    assert!(!refused.contains("access denied"), "{refused}");
}

#[tokio::test]
async fn a_missing_token_file_is_logged_once() {
    let api = ApiServer::exclusive().await;
    let directory = tempfile::TempDir::new().unwrap();
    let text = std::fs::read_to_string(api.kubeconfig(Identity::Drydock)).unwrap();
    let mut kubeconfig: Value = serde_json::from_str(&text).unwrap();
    kubeconfig["users"][0]["user"] = json!({"tokenFile": "/nowhere/token"});
    let file = directory.path().join("kubeconfig");
    std::fs::write(&file, kubeconfig.to_string()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_drydock"))
        .args(["serve", "--cluster"])
        .env("KUBECONFIG", &file)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(log.matches("/nowhere/token").count(), 1, "{log}");
    assert_eq!(log.matches("No such file").count(), 1, "{log}");
}
