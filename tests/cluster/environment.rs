//! Tests of the test environment: the API server has the version of `go.mod`, keeps its objects
//! when it restarts, and ends with the test process.

use crate::api_server::{ApiServer, shared};
use crate::binaries::{binaries, printed_version};
use crate::child_process::{ChildProcess, child_command};
use crate::identity::Identity;
use crate::raw_requests::{self, DryRun, create_pod, try_call};
use crate::wait::{TIMEOUT, eventually};
use axum::http::Method;
use serde_json::json;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

#[tokio::test]
async fn the_api_server_has_the_version_in_go_mod() {
    let api = shared().await;
    let admin = api.client(Identity::Admin).await;
    let answer = raw_requests::get(&admin, "/version").await.object();
    let version = answer["gitVersion"].as_str().unwrap();
    assert_eq!(printed_version(), format!("Kubernetes {version}"));
    let minor = version.split('.').nth(1).unwrap();
    assert_eq!(answer["minor"], minor, "wrong minor version: {answer}");
    // The programs in KUBEBUILDER_ASSETS may have any version.
    if let Some(wanted) = &binaries().version {
        assert_eq!(version, wanted);
    }
}

#[tokio::test]
async fn a_restarted_api_server_keeps_its_address_and_objects() {
    let mut api = ApiServer::exclusive().await;
    let namespace = api
        .scope("restart")
        .await
        .namespace("kept", Some("enforce"))
        .await;
    let admin = api.client(Identity::Admin).await;
    let path = format!("/api/v1/namespaces/{namespace}");
    api.stop();
    let answer = try_call(&admin, Method::GET, &path, None).await;
    answer.expect_err("the API server must not respond");
    api.start().await;
    let kept = raw_requests::get(&admin, &path).await.object();
    assert_eq!(
        kept["metadata"]["labels"]["drydock.dev/job-pods"],
        "enforce"
    );
}

#[tokio::test]
async fn each_identity_has_the_permissions_of_its_roles() {
    let api = shared().await;
    let scope = api.scope("identities").await;
    let namespace = scope.namespace("jobs", None).await;
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "job"},
        "spec": {"containers": [{"name": "build", "image": "alpine"}]},
    });
    for (identity, status) in [
        (Identity::Admin, 201),
        (Identity::Runner, 201),
        (Identity::Nobody, 403),
    ] {
        let client = api.client(identity).await;
        let answer = create_pod(&client, &namespace, &pod, DryRun::Yes).await;
        assert_eq!(answer.status, status, "{identity:?}: {answer:?}");
        let user = api
            .kubectl_as(
                identity,
                &[
                    "auth",
                    "whoami",
                    "-o",
                    "jsonpath={.status.userInfo.username}",
                ],
            )
            .printed();
        assert_eq!(user, identity.user());
    }
}

/// The variable with the directory for the child process. It is set only for a process that the
/// second test below starts.
const HELD: &str = "DRYDOCK_TESTS_HELD_DIRECTORY";

#[test]
#[ignore = "waits until the test below kills it"]
fn runs_a_child_process_until_it_is_killed() {
    let Ok(directory) = std::env::var(HELD) else {
        return;
    };
    let mut command = child_command("sh", Some(Path::new(&directory)));
    command
        .args(["-c", "echo $$ >pid.new; mv pid.new pid; exec sleep 1000"])
        .current_dir(&directory);
    let _held = ChildProcess::spawn(command);
    loop {
        std::thread::park();
    }
}

#[tokio::test]
async fn a_killed_test_process_leaves_no_child_process_or_directory() {
    let directory = TempDir::new().unwrap();
    let mut killed = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact"])
        .arg("environment::runs_a_child_process_until_it_is_killed")
        .env(HELD, directory.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let pid_file = directory.path().join("pid");
    let read = async || fs::read_to_string(&pid_file).ok();
    let pid = eventually("the child process runs", TIMEOUT, read, Option::is_some).await;
    killed.kill().unwrap();
    killed.wait().unwrap();
    let script = format!("kill -0 {}", pid.unwrap());
    let left = async || {
        let runs = Command::new("sh").args(["-c", &script]).output().unwrap();
        (runs.status.success(), directory.path().exists())
    };
    let is_gone = |left: &(bool, bool)| *left == (false, false);
    eventually("process and directory are gone", TIMEOUT, left, is_gone).await;
}
