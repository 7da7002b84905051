//! The committed CRD: the API server accepts it, and `kubectl` shows its descriptions and columns.

use crate::api_server::{ApiServer, shared};
use crate::identity::Identity;
use crate::isolation::SCOPE_LABEL;
use crate::raw_requests::{apply, get};
use crate::wait::{TIMEOUT, eventually};
use serde_json::{Value, json};

const DEFINITION: &str =
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/jobpodpolicies.drydock.dev";

/// Applies the CRD, and waits until policies can be written and read.
pub(crate) async fn defined(api: &ApiServer) -> Value {
    // Server-side apply, because other tests apply the same CRD at the same time.
    let arguments = [
        "apply",
        "--server-side",
        "-f",
        "manifests/chart/crds/jobpodpolicies.yaml",
    ];
    api.kubectl(&arguments).printed();
    let admin = api.client(Identity::Admin).await;
    let look = async || get(&admin, DEFINITION).await.object();
    let is_served = |definition: &Value| {
        let conditions = definition["status"]["conditions"].as_array();
        let mut conditions = conditions.into_iter().flatten();
        conditions
            .any(|condition| condition["type"] == "Established" && condition["status"] == "True")
    };
    eventually("the CRD is established", TIMEOUT, look, is_served).await
}

#[tokio::test]
async fn the_api_server_accepts_the_committed_crd_without_a_warning() {
    let definition = defined(shared().await).await;
    let conditions = definition["status"]["conditions"].as_array().unwrap();
    for condition in conditions {
        let wanted = match condition["type"].as_str().unwrap() {
            "NamesAccepted" | "Established" => "True",
            "NonStructuralSchema" | "Terminating" | "KubernetesAPIApprovalPolicyConformant" => {
                "False"
            }
            other => panic!("{other}: {condition}"),
        };
        assert_eq!(condition["status"], wanted, "{condition}");
    }
}

#[tokio::test]
async fn kubectl_explain_shows_the_doc_comment_of_a_field() {
    let api = shared().await;
    defined(api).await;
    let explain = async || api.kubectl(&["explain", "jobpodpolicy.spec.dind"]);
    // The OpenAPI document is published shortly after the CRD is served.
    let output = eventually("kubectl explain succeeds", TIMEOUT, explain, |output| {
        output.code == Some(0)
    })
    .await;
    let output = output.printed();
    for words in ["KIND:", "JobPodPolicy", "clientCerts", "volumes"] {
        assert!(output.contains(words), "{words} is not in:\n{output}");
    }
}

#[tokio::test]
async fn kubectl_lists_policies_in_columns() {
    let api = shared().await;
    defined(api).await;
    let scope = api.scope("columns").await;
    let policy = json!({
        "apiVersion": "drydock.dev/v1alpha1",
        "kind": "JobPodPolicy",
        "metadata": {"name": scope.name},
        "spec": {
            "mode": "Audit",
            "priority": 7,
            "namespaceSelector": {"matchLabels": {SCOPE_LABEL: scope.name}},
        },
    });
    let path = format!("/apis/drydock.dev/v1alpha1/jobpodpolicies/{}", scope.name);
    let answer = apply(&scope.admin, &path, &policy).await;
    assert_eq!(answer.warnings, Vec::<String>::new());
    answer.object();
    let listed = api.kubectl(&["get", "jpp", &scope.name]).printed();
    let mut lines = listed.lines();
    let (head, row) = (lines.next().unwrap(), lines.next().unwrap());
    for (column, wanted) in [
        ("NAME", scope.name.as_str()),
        ("MODE", "Audit"),
        ("PRIORITY", "7"),
    ] {
        let from = head
            .find(column)
            .unwrap_or_else(|| panic!("no {column} in {head}"));
        let value = row[from..].split_whitespace().next();
        assert_eq!(value, Some(wanted), "{listed}");
    }
}
