//! The API server rejects the same policies as `drydock check` (rule M6).

use crate::api_server::shared;
use crate::binaries::is_oldest_kubernetes;
use crate::crd::defined;
use crate::identity::Identity;
use crate::random;
use crate::raw_requests::{Answer, DryRun, call, create_pod};
use crate::table::{accepted, policy, refused};
use axum::http::Method;
use futures::StreamExt as _;
use kube::Client;
use serde_json::{Value, json};

/// Writes policies as a dry run with strict validation, like kubectl, and returns the responses in
/// order.
async fn write_all(specs: &[Value]) -> Vec<Answer> {
    let api = shared().await;
    defined(api).await;
    let admin = api.client(Identity::Admin).await;
    let answers = specs.iter().map(|spec| write(&admin, spec));
    futures::stream::iter(answers).buffered(8).collect().await
}

async fn write(client: &Client, spec: &Value) -> Answer {
    let path = "/apis/drydock.dev/v1alpha1/jobpodpolicies?dryRun=All&fieldValidation=Strict";
    call(client, Method::POST, path, Some(&policy("ci", spec))).await
}

/// Returns the errors of `drydock check` for a policy.
fn checked(spec: &Value) -> Vec<String> {
    match drydock::core::policy::read_object(policy("ci", spec)) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

#[tokio::test]
async fn check_and_the_api_server_refuse_a_policy_with_the_same_message() {
    let table = refused();
    let specs: Vec<Value> = table.iter().map(|entry| entry.spec.clone()).collect();
    let mut wrong = Vec::new();
    let is_oldest = is_oldest_kubernetes();
    for (entry, answer) in table.iter().zip(write_all(&specs).await) {
        assert_eq!(checked(&entry.spec), [entry.error.as_str()]);
        // Kubernetes 1.30 has other messages for schema errors, and does not check `format: int32`.
        if is_oldest && (answer.status == 422 || entry.spec["priority"].is_number()) {
            continue;
        }
        let message = answer.body["message"].as_str().unwrap_or_default();
        let (field, problem) = entry.error.split_once(' ').unwrap();
        let fits = match &entry.server {
            Some(words) => message.contains(words.as_str()),
            None => {
                message.contains(&format!(" {field}: "))
                    && message.ends_with(&format!(": {problem}"))
            }
        };
        if !fits || answer.status < 400 {
            wrong.push(format!(
                "{}\n  check: {}\n  server: {} {message}",
                entry.spec, entry.error, answer.status
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The largest policy shows that no CEL rule exceeds the API server's cost limit.
#[tokio::test]
async fn a_policy_that_check_accepts_is_stored_without_a_warning() {
    let specs = accepted();
    for (spec, answer) in specs.iter().zip(write_all(&specs).await) {
        let excerpt: String = spec.to_string().chars().take(300).collect();
        assert_eq!(
            (answer.status, &answer.warnings),
            (201, &Vec::new()),
            "{excerpt}: {answer:?}"
        );
        assert_eq!(checked(spec), Vec::<String>::new(), "{excerpt}");
    }
}

/// A volume that is valid in a policy must be valid in a pod. Otherwise jobs would fail long after
/// the policy was written.
#[tokio::test]
async fn volumes_of_an_accepted_policy_make_a_valid_pod() {
    let api = shared().await;
    let scope = api.scope("volumes").await;
    let namespace = scope.namespace("jobs", None).await;
    let mut seen = 0;
    for spec in accepted() {
        let listed = spec["dind"]["volumes"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        seen += listed.len();
        let mounts: Vec<Value> = listed
            .iter()
            .map(|volume| json!({"name": volume["name"], "mountPath": volume["mountPath"]}))
            .collect();
        let volumes: Vec<Value> = listed.into_iter().map(as_in_a_pod).collect();
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "job"},
            "spec": {"containers": [{"name": "build", "image": "alpine", "volumeMounts": mounts}], "volumes": volumes},
        });
        let answer = create_pod(&scope.admin, &namespace, &pod, DryRun::Yes).await;
        assert_eq!(
            answer.status, 201,
            "{volumes:?}: {}",
            answer.body["message"]
        );
    }
    assert!(seen > 40, "{seen}");
}

/// Returns a volume of a policy without the fields that belong to the mount.
fn as_in_a_pod(mut volume: Value) -> Value {
    let fields = volume.as_object_mut().unwrap();
    fields.retain(|field, _| !matches!(field.as_str(), "mountPath" | "readOnly" | "containers"));
    volume
}

#[tokio::test]
async fn check_and_the_api_server_agree_on_random_policies() {
    let specs = random::specs(1500);
    let mut wrong = Vec::new();
    let mut taken = 0;
    for (spec, answer) in specs.iter().zip(write_all(&specs).await) {
        let errors = checked(spec);
        taken += usize::from(errors.is_empty());
        if errors.is_empty() != (answer.status == 201) {
            let message = answer.body["message"].as_str().unwrap_or("it is taken");
            wrong.push(format!(
                "{spec}\n  check: {}\n  server: {message}",
                errors.join("; ")
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        specs.len(),
        wrong.join("\n")
    );
    // Neither nearly all nor nearly no policies may be valid.
    assert!(
        (300..1200).contains(&taken),
        "{taken} of {} policies are valid",
        specs.len()
    );
}

#[tokio::test]
async fn a_null_is_like_an_absent_field_and_defaults_are_stored() {
    let specs = [
        json!({"dind": null, "hostAliases": null, "mode": null}),
        json!({"dind": {"clientCerts": null, "volumes": null, "scheduling": null}}),
    ];
    let answers = write_all(&specs).await;
    let spec = |index: usize| answers[index].body["spec"].clone();
    assert_eq!(spec(0), json!({"mode": "Enforce", "priority": 0}));
    let dind = spec(1)["dind"].take();
    assert_eq!(
        dind["clientCerts"],
        json!({"onConflict": "Replace", "sizeLimit": "1Mi"})
    );
    let names = dind["volumes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|volume| &volume["name"]);
    assert_eq!(names.collect::<Vec<_>>(), ["dind-storage", "dind-modules"]);
    assert_eq!(dind.as_object().unwrap().len(), 2, "{dind}");
}

#[tokio::test]
async fn kubectl_applies_the_sample_policy_without_a_warning() {
    let api = shared().await;
    defined(api).await;
    for strict in ["--validate=strict", "--validate=warn"] {
        let arguments = [
            "apply",
            "--server-side",
            "--dry-run=server",
            strict,
            "-f",
            "manifests/sample-policy.yaml",
        ];
        assert_eq!(
            api.kubectl(&arguments).printed(),
            "jobpodpolicy.drydock.dev/gitlab serverside-applied (server dry run)\n"
        );
    }
}
