//! `drydock doctor` with a real API server: a healthy cluster, each fault, missing permissions, a
//! missing installation, and an API server that does not respond.

mod cluster;
mod faults;
mod kubelet;

use crate::api_server::ApiServer;
use crate::identity::Identity;
use crate::raw_requests::{DryRun, create_pod};
use crate::runner_pods::broken_job;
use cluster::{Cluster, doctor, namespace, run_as, version};
pub(crate) use cluster::{replica, set_endpoint};
use serde_json::{Value, json};
use std::net::TcpListener;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_cluster_has_no_findings() {
    let cluster = Cluster::start().await;
    let healthy = cluster.doctor(&[]);
    insta::assert_snapshot!("healthy", healthy.stable());
    assert_eq!(
        (healthy.code, healthy.err.as_str()),
        (Some(0), ""),
        "{healthy:?}"
    );
    let json = cluster.doctor(&["-o", "json"]);
    insta::assert_snapshot!("healthy_json", json.stable());
    let parsed: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(
        (parsed["errors"].as_u64(), parsed["warnings"].as_u64()),
        (Some(0), Some(0))
    );
    let verbose = cluster.doctor(&["--verbose"]);
    for row in [
        "    RESOURCE         VERBS                        GRANTED  NEEDED FOR\n",
        "    events           list                         yes      drydock's Events\n",
        "    secrets          create, get, update, delete  yes      registry credentials\n",
    ] {
        assert!(verbose.out.contains(row), "{}", verbose.out);
    }
    let printed = version(&cluster.api);
    assert!(
        printed.contains(&format!("server:     {}\n", env!("CARGO_PKG_VERSION"))),
        "{printed}"
    );
}

/// Explains a job pod that drydock repaired, and one that was created before its namespace opted
/// in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_is_explained() {
    let cluster = Cluster::start().await;
    let admin = &cluster.admin;
    let repaired = create_pod(admin, "ci", &broken_job(), DryRun::No)
        .await
        .object();
    let name = repaired["metadata"]["name"].as_str().unwrap();
    let ran = cluster.doctor(&["-n", "ci", "--pod", name]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert!(
        ran.out
            .contains("drydock changed the pod when it was created (policies: gitlab@1)"),
        "{}",
        ran.out
    );
    namespace(admin, "late", json!({})).await;
    let missed = create_pod(admin, "late", &broken_job(), DryRun::No)
        .await
        .object();
    let name = missed["metadata"]["name"].as_str().unwrap();
    let ran = cluster.doctor(&["-n", "late", "--pod", name]);
    ran.finds("namespace late has not opted in");
    ran.finds("the pod is not repaired");
    let stable = ran.stable().replace(name, "JOB");
    insta::assert_snapshot!("pod", stable);
    let none = cluster.doctor(&["-n", "ci", "--pod", "nothing"]);
    none.finds("there is no pod nothing in namespace ci");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_reports_missing_permissions_and_a_missing_installation() {
    let api = ApiServer::exclusive().await;
    let nothing = run_as(&api, Identity::Admin, &[]);
    assert_eq!(nothing.code, Some(1), "{nothing:?}");
    insta::assert_snapshot!("nothing_installed", nothing.stable());
    let nobody = run_as(&api, Identity::Nobody, &[]);
    assert_eq!(nobody.code, Some(1), "{nobody:?}");
    insta::assert_snapshot!("no_rights", nobody.stable());
    let json = run_as(&api, Identity::Nobody, &["-o", "json"]);
    let parsed: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(parsed["good"], 0, "{parsed:#}");
    // Nothing is installed during the wait, so the command reports the findings when it times out.
    let waited = run_as(&api, Identity::Admin, &["--wait", "1s"]);
    assert_eq!(waited.code, Some(1), "{waited:?}");
    let printed = version(&api);
    assert!(printed.contains("server:     not found"), "{printed}");
}

#[test]
fn an_api_server_that_does_not_respond_is_an_error() {
    let directory = tempfile::TempDir::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let kubeconfig = directory.path().join("kubeconfig");
    let write = |url: String| {
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": url}}],
            "users": [{"name": "test", "user": {"token": "t"}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        });
        std::fs::write(&kubeconfig, config.to_string()).unwrap();
    };
    // The kernel accepts connections, but no process responds.
    write(format!("http://{address}"));
    let (code, out, err) = doctor(&kubeconfig, &["--time-limit", "1s"]);
    assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
    assert!(err.contains("did not respond within 1 s"), "{err}");
    assert!(err.contains(&address.to_string()), "{err}");
    drop(listener);
    let (code, out, err) = doctor(&kubeconfig, &["--time-limit", "1s"]);
    assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
    assert!(err.contains("onnection refused"), "{err}");
    let (code, _, err) = doctor(&kubeconfig, &["--context", "production"]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("production"), "{err}");
}
