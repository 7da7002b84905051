//! Reviews that a client other than the API server sends, and the requests that drydock's
//! ServiceAccount makes because of them (rule F8).

use crate::api_server::{ApiServer, shared};
use crate::drydock_process::{Certificate, Drydock};
use crate::identity::Identity;
use crate::installation::{in_cluster_with, install, review};
use crate::isolation::{SCOPE_LABEL, Scope};
use crate::raw_requests;
use crate::wait::{TIMEOUT, eventually};
use drydock::names::{AUDIT, ENFORCE};
use futures::future::join_all;
use kube::Client;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Returns a review for a pod with this name in this namespace. drydock reports a finding for the
/// author of the job.
fn forged(namespace: &str, pod: &str) -> String {
    let file = "tests/fixtures/reviews/runner/19.3.0-secret-certs.json";
    let mut review: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let request = &mut review["request"];
    request["namespace"] = namespace.into();
    request["name"] = pod.into();
    request["object"]["metadata"]["name"] = pod.into();
    review.to_string()
}

/// Writes a policy that selects the namespaces of a scope by their label.
async fn write_policy(scope: &Scope<'_>) {
    let policy = json!({
        "apiVersion": "drydock.dev/v1alpha1",
        "kind": "JobPodPolicy",
        "metadata": {"name": scope.name},
        "spec": {
            "dind": {},
            "namespaceSelector": {"matchLabels": {SCOPE_LABEL: scope.name}},
        },
    });
    let path = format!("/apis/drydock.dev/v1alpha1/jobpodpolicies/{}", scope.name);
    raw_requests::apply(&scope.admin, &path, &policy)
        .await
        .object();
}

async fn events(admin: &Client, namespace: &str) -> usize {
    let path = format!("/api/v1/namespaces/{namespace}/events");
    let list = raw_requests::get(admin, &path).await.object();
    list["items"].as_array().unwrap().len()
}

fn dropped(server: &Drydock) -> u32 {
    let (_, text) = server.get("/metrics");
    let sample = "drydock_events_total{outcome=\"dropped\",reason=\"not-opted-in\"} ";
    let value = text.lines().find_map(|line| line.strip_prefix(sample));
    value.unwrap().parse().unwrap()
}

#[tokio::test]
async fn f8_forged_reviews_cause_events_only_in_enforced_namespaces() {
    let api = shared().await;
    install(api).await;
    let scope = api.scope("deputy").await;
    let admin = api.client(Identity::Admin).await;
    write_policy(&scope).await;
    let jobs = scope.namespace("jobs", Some(ENFORCE)).await;
    let never = scope.namespace("never", None).await;
    let audited = scope.namespace("audited", Some(AUDIT)).await;
    let certificate = Certificate::new();
    let server = in_cluster_with(api, &certificate);
    server.ready().await;

    // The first Event shows that the namespaces are listed and the policy is in force.
    let written = async || {
        let (status, _) = review(&server, &certificate, &forged(&jobs, "runner-0")).await;
        (status, events(&admin, &jobs).await)
    };
    eventually("there is an Event", TIMEOUT, written, |(_, count)| {
        *count > 0
    })
    .await;
    let before = dropped(&server);

    for namespace in [&never, &audited] {
        let (status, answer) = review(&server, &certificate, &forged(namespace, "runner-1")).await;
        assert_eq!(status, 200, "{answer}");
        assert!(
            answer["response"]["patch"].is_string(),
            "the response has no warning: {answer}"
        );
    }
    assert!(dropped(&server) >= before + 2);
    for namespace in [
        format!("{jobs}/pods/runner-0/eviction?x="),
        format!("../{jobs}"),
        format!("{jobs}#"),
    ] {
        let (status, answer) = review(&server, &certificate, &forged(&namespace, "runner-1")).await;
        assert_eq!(status, 400, "{answer}");
    }
    // drydock writes Events in order, so all earlier Events have been written.
    review(&server, &certificate, &forged(&jobs, "runner-2")).await;
    let path =
        format!("/api/v1/namespaces/{jobs}/events?fieldSelector=involvedObject.name=runner-2");
    let last = async || raw_requests::get(&admin, &path).await.object()["items"].clone();
    eventually("there is the last Event", TIMEOUT, last, |items| {
        *items != json!([])
    })
    .await;
    assert_eq!(events(&admin, &never).await, 0);
    assert_eq!(events(&admin, &audited).await, 0);

    // After the label is removed, drydock writes no more Events.
    let path = format!("/api/v1/namespaces/{jobs}");
    let mut namespace = raw_requests::get(&admin, &path).await.object();
    let labels = namespace["metadata"]["labels"].as_object_mut().unwrap();
    labels.remove("drydock.dev/job-pods");
    let replaced =
        raw_requests::call(&admin, axum::http::Method::PUT, &path, Some(&namespace)).await;
    replaced.object();
    let before = dropped(&server);
    let look = async || {
        review(&server, &certificate, &forged(&jobs, "runner-3")).await;
        dropped(&server)
    };
    eventually("the Events are dropped", TIMEOUT, look, |count| {
        *count > before
    })
    .await;
    let count = events(&admin, &jobs).await;
    let before = dropped(&server);
    review(&server, &certificate, &forged(&jobs, "runner-4")).await;
    assert!(dropped(&server) > before);
    assert_eq!(events(&admin, &jobs).await, count);
}

/// Writes an audit policy that logs the requests of drydock's ServiceAccount, and returns the flags
/// for it.
fn recording(directory: &Path, log: &mut PathBuf) -> Vec<String> {
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata", "users": [Identity::Drydock.user()]}, {"level": "None"}],
    });
    let file = directory.join("audit.json");
    std::fs::write(&file, policy.to_string()).unwrap();
    *log = directory.join("audit.log");
    vec![
        format!("--audit-policy-file={}", file.display()),
        format!("--audit-log-path={}", log.display()),
        "--audit-log-mode=blocking-strict".to_owned(),
    ]
}

/// Returns the verb and path of drydock's requests so far.
fn recorded(log: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(log).unwrap();
    // The API server may be writing the last line, which then does not parse.
    let calls = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let fields = calls.map(|call| {
        let field = |name: &str| call[name].as_str().unwrap().to_owned();
        (field("verb"), field("requestURI"))
    });
    fields.collect()
}

#[tokio::test]
async fn f8_reviews_of_other_namespaces_cause_only_bounded_reads() {
    let mut log = PathBuf::new();
    let prepare = |directory: &Path| recording(directory, &mut log);
    let api = ApiServer::exclusive_with(prepare).await;
    install(&api).await;
    let scope = api.scope("recorded").await;
    // The policy selects namespaces by label, so drydock has to read unknown namespaces.
    write_policy(&scope).await;
    let jobs = scope.namespace("jobs", Some(ENFORCE)).await;
    let never = scope.namespace("never", None).await;
    let certificate = Certificate::new();
    let server = in_cluster_with(&api, &certificate);
    server.ready().await;
    let marked = async |pod: &str| {
        let look = async || {
            review(&server, &certificate, &forged(&jobs, pod)).await;
            let path =
                format!("/api/v1/namespaces/{jobs}/events?fieldSelector=involvedObject.name={pod}");
            raw_requests::get(&scope.admin, &path).await.object()["items"].clone()
        };
        eventually("there is an Event", TIMEOUT, look, |items| {
            *items != json!([])
        })
        .await;
    };
    marked("runner-0").await;

    let before = recorded(&log).len();
    let began = Instant::now();
    let ghost = format!("{}-ghost", scope.name);
    let forgeries = (0..50_usize).map(|pod| {
        let namespace = [&never, &ghost][pod % 2];
        let forgery = forged(namespace, &format!("runner-{pod}"));
        let (server, certificate) = (&server, &certificate);
        async move { review(server, certificate, &forgery).await.0 }
    });
    let statuses = join_all(forgeries).await;
    assert!(statuses.contains(&200), "{statuses:?}");
    for namespace in [
        format!("{never}/pods/runner-0/eviction?x="),
        format!("../{never}"),
    ] {
        review(&server, &certificate, &forged(&namespace, "runner-1")).await;
    }
    // drydock writes Events in order, so the requests for the earlier reviews are complete.
    marked("runner-2").await;

    let kept_for = Duration::from_secs(3);
    let rounds = began.elapsed().as_millis() / kept_for.as_millis() + 1;
    let calls = recorded(&log).split_off(before);
    let mut reads = 0;
    for (verb, path) in &calls {
        let own = path.starts_with(&format!("/api/v1/namespaces/{jobs}/events"));
        let is_bookkeeping = matches!(verb.as_str(), "list" | "watch")
            || path.starts_with("/apis/drydock.dev/v1alpha1/jobpodpolicies/");
        let is_read = verb == "get"
            && [&never, &ghost]
                .map(|name| format!("/api/v1/namespaces/{name}"))
                .contains(path);
        reads += u128::from(is_read);
        assert!(own || is_bookkeeping || is_read, "{verb} {path}");
    }
    assert!(
        (1..=2 * rounds).contains(&reads),
        "{reads} reads: {calls:#?}"
    );
    // Forged reviews must not raise an alert: each read had a response.
    let failed = |reason| {
        server.metric(&format!(
            "drydock_reviews_total{{outcome=\"failed\",reason=\"{reason}\"}} "
        ))
    };
    assert!(failed("namespace-unknown") >= 20.0);
    assert_eq!(failed("namespace-not-read"), 0.0);
}
