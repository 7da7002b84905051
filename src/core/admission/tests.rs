//! Rules F1, T1 to T4, P1 and A5: from the JSON of a request to the JSON of the response.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

mod hostile;
mod names;

use super::{Answer, Context, ReviewError, review};
use crate::core::policy::Mode;
use crate::core::policy::set::Labels;
use crate::core::verdict::{Outcome, SkipReason};
use crate::testing::{self, CERTS_ONLY, Setup, dind_pod};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rstest::rstest;
use serde_json::{Value, json};

const ALIAS: &str = "hostAliases: [{ip: 10.0.0.1, hostnames: [a]}]";
const SECRET: &str = "{name: ca, secret: {secretName: ca}}";
const AT: &str = "{name: ca, mountPath: /certs/client}";

/// Returns a review of the creation of a pod.
fn request(pod: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "ci",
            "operation": "CREATE",
            "object": pod,
        },
    })
}

#[track_caller]
fn try_answer(policy: &str, mode: Mode, body: &[u8]) -> Result<Answer, ReviewError> {
    let setup = Setup {
        policies: &[("test@3", policy)],
        ..Setup::default()
    };
    let policies = &setup.policy_set();
    let context = Context {
        policies,
        mode,
        namespace_labels: None,
        own_namespace: "drydock",
    };
    review(body, context)
}

#[track_caller]
fn answer(policy: &str, mode: Mode, request: &Value) -> (Answer, Value) {
    let answer = try_answer(policy, mode, request.to_string().as_bytes())
        .expect("there should be an answer");
    let mut body: Value = serde_json::from_slice(&answer.body).expect("the answer should be JSON");
    assert_eq!(body["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(body["kind"], "AdmissionReview");
    assert_eq!(body["response"]["uid"], request["request"]["uid"]);
    let response = body["response"].take();
    (answer, response)
}

#[test]
fn an_answer_has_the_requests_uid_and_a_patch_in_base64() {
    let (answer, response) = answer(ALIAS, Mode::Enforce, &request(&testing::pod("")));
    assert_eq!(response["allowed"], true);
    assert_eq!(response["patchType"], "JSONPatch");
    let patch = STANDARD
        .decode(response["patch"].as_str().expect("a text"))
        .expect("base64");
    assert_eq!(String::from_utf8(patch).ok(), answer.patch);
    let patch: Value =
        serde_json::from_str(answer.patch.as_deref().unwrap_or_default()).expect("JSON");
    assert_eq!(
        patch[0],
        json!({"op": "add", "path": "/spec/hostAliases", "value": [{"ip": "10.0.0.1", "hostnames": ["a"]}]})
    );
}

#[rstest]
#[case::unchanged(
    Mode::Enforce,
    "hostAliases: [{ip: 10.0.0.1, hostnames: [a]}]",
    "unchanged"
)]
#[case::audited(Mode::Audit, "", "audited")]
#[case::skipped(Mode::Enforce, "metadata: {labels: {}}", "skipped")]
fn an_unchanged_pod_has_neither_patch_nor_patch_type(
    #[case] mode: Mode,
    #[case] pod: &str,
    #[case] outcome: &str,
) {
    let (answer, response) = answer(ALIAS, mode, &request(&testing::pod(pod)));
    assert_eq!(response["allowed"], true);
    assert_eq!(response["patch"], Value::Null);
    assert!(
        !response
            .as_object()
            .expect("an object")
            .contains_key("patchType")
    );
    assert_eq!(response["auditAnnotations"]["outcome"], outcome);
    assert_eq!(answer.patch, None);
}

#[test]
fn f1_a_denial_names_container_volume_policy_and_fix() {
    let pod = testing::pod(&dind_pod(SECRET, AT, AT));
    let (answer, response) = answer(
        "dind: {clientCerts: {onConflict: Deny}}",
        Mode::Enforce,
        &request(&pod),
    );
    assert_eq!(answer.record.outcome, Outcome::Denied);
    assert_eq!(response["allowed"], false);
    assert_eq!(response["status"]["code"], 403);
    assert_eq!(response["patch"], Value::Null);
    let message = response["status"]["message"].as_str().expect("a text");
    for part in [
        "\"build\"",
        "\"ca\"",
        "/certs/client",
        "JobPodPolicy \"test\"",
        "config.toml",
    ] {
        assert!(message.contains(part), "{part} in {message}");
    }
    assert!(message.ends_with(" (D8)"), "{message}");
}

#[rstest]
#[case::updated("operation", json!("UPDATE"))]
#[case::deleted("operation", json!("DELETE"))]
#[case::status("subResource", json!("status"))]
#[case::ephemeral_containers("subResource", json!("ephemeralcontainers"))]
#[case::another_resource("resource", json!({"group": "", "version": "v1", "resource": "services"}))]
#[case::another_group("resource", json!({"group": "metrics.k8s.io", "version": "v1", "resource": "pods"}))]
fn p1_only_the_creation_of_pods_is_reviewed(#[case] field: &str, #[case] value: Value) {
    let mut request = request(&testing::pod(""));
    request["request"][field] = value;
    let (answer, response) = answer(ALIAS, Mode::Enforce, &request);
    assert_eq!(
        answer.record.outcome,
        Outcome::Skipped(SkipReason::NotPodCreation)
    );
    assert_eq!(response["allowed"], true);
}

#[test]
fn p1_another_object_is_not_parsed_as_a_pod() {
    let mut request = request(&json!({"metadata": [], "spec": {"containers": 1}}));
    request["request"]["resource"]["resource"] = json!("services");
    let (answer, _) = answer(ALIAS, Mode::Enforce, &request);
    assert_eq!(
        answer.record.outcome,
        Outcome::Skipped(SkipReason::NotPodCreation)
    );
    request["request"]["operation"] = json!("DELETE");
    request["request"]["object"] = Value::Null;
    assert!(try_answer(ALIAS, Mode::Enforce, request.to_string().as_bytes()).is_ok());
}

#[rstest]
#[case::no_json("hello", "not-json")]
#[case::empty("", "not-json")]
#[case::cut_short(r#"{"apiVersion": "admission.k8s.io/v1", "kind": "Admis"#, "not-json")]
#[case::followed_by_something("{} {}", "not-json")]
#[case::an_empty_object("{}", "wrong-kind")]
#[case::a_list("[]", "wrong-type")]
#[case::old_version(
    r#"{"apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview"}"#,
    "wrong-kind"
)]
#[case::another_kind(r#"{"apiVersion": "v1", "kind": "Pod", "spec": {}}"#, "wrong-kind")]
#[case::no_request(
    r#"{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}"#,
    "missing-field"
)]
#[case::null_request(
    r#"{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": null}"#,
    "missing-field"
)]
fn f1_a_body_that_is_no_review_is_an_error(#[case] body: &str, #[case] name: &str) {
    let error =
        try_answer(ALIAS, Mode::Enforce, body.as_bytes()).expect_err("there should be no answer");
    assert_eq!(error.name(), name);
    assert!(ReviewError::NAMES.contains(&name));
    assert!(error.to_string().starts_with("drydock "), "{error}");
}

#[rstest]
#[case("uid")]
#[case("operation")]
#[case("resource")]
#[case("object")]
fn f1_a_missing_field_is_an_error_that_names_it(#[case] field: &str) {
    let mut request = request(&testing::pod(""));
    request["request"][field] = Value::Null;
    let error = try_answer(ALIAS, Mode::Enforce, request.to_string().as_bytes())
        .expect_err("there should be no answer");
    assert_eq!(
        error.to_string(),
        format!("drydock cannot read the request: request.{field} is missing")
    );
}

#[test]
fn f1_a_pod_of_a_wrong_type_is_an_error_that_names_the_field() {
    let mut request = request(&testing::pod(""));
    request["request"]["object"]["spec"]["containers"][1]["name"] = json!({"a": 1});
    let error = try_answer(ALIAS, Mode::Enforce, request.to_string().as_bytes())
        .expect_err("there should be no answer");
    assert_eq!(error.name(), "wrong-type");
    assert!(error.to_string().contains("containers[1].name"), "{error}");
}

#[test]
fn t1_the_record_and_the_audit_annotations_describe_the_review() {
    let spec = format!(
        "metadata: {{generateName: runner-x, labels: {{job.runner.gitlab.com/pod: x}}}}\n{}",
        dind_pod(SECRET, AT, AT)
    );
    let (answer, response) = answer(CERTS_ONLY, Mode::Enforce, &request(&testing::pod(&spec)));
    let record = answer.record;
    assert_eq!(
        (record.namespace.as_str(), record.pod.as_str()),
        ("ci", "runner-x")
    );
    assert_eq!(record.policies, "test@3");
    assert_eq!(record.changes, ["swap-volume"]);
    assert!(record.audit_changes.is_empty());
    assert!(record.findings.starts_with("secret volume \"ca\""));
    assert!(record.findings.contains(" (D7); "), "{}", record.findings);
    let annotations = &response["auditAnnotations"];
    assert_eq!(annotations["outcome"], "mutated");
    assert_eq!(annotations["policies"], "test@3");
    assert_eq!(annotations["changes"], "swap-volume");
    assert_eq!(annotations["findings"], record.findings);
}

#[test]
fn t1_in_audit_they_describe_what_would_change() {
    let pod = testing::pod(&dind_pod(SECRET, AT, AT));
    let (answer, response) = answer(CERTS_ONLY, Mode::Audit, &request(&pod));
    assert!(answer.record.changes.is_empty());
    assert_eq!(answer.record.audit_changes, ["swap-volume"]);
    let annotations = &response["auditAnnotations"];
    assert_eq!(annotations["reason"], "would-mutate");
    assert_eq!(annotations["would-change"], "swap-volume");
    assert_eq!(annotations["changes"], Value::Null);
    let warning = response["warnings"][0].as_str().expect("a warning");
    assert!(
        warning.starts_with("drydock (audit, not done): "),
        "{warning}"
    );
}

#[test]
fn t3_warnings_have_at_most_120_characters_each_and_are_for_the_author() {
    let long = "long-volume-name-".repeat(15);
    let mount = format!(
        "{{name: {long}, mountPath: /certs/client/ca-{long}.pem}}, {{name: nowhere, mountPath: /certs/client/{long}}}"
    );
    let spec = format!(
        "hostAliases: [{{ip: 127.0.0.1, hostnames: [{0}.mylab.com]}}]\n{1}",
        "u-host".repeat(35),
        dind_pod(
            &format!("{{name: {long}, secret: {{secretName: s}}}}"),
            &mount,
            &mount
        )
    );
    let policy = format!(
        "{{hostAliases: [{{ip: 10.0.0.1, hostnames: [{}.mylab.com]}}], dind: {{volumes: []}}}}",
        "u-host".repeat(35)
    );
    for mode in [Mode::Enforce, Mode::Audit] {
        let (_, response) = answer(&policy, mode, &request(&testing::pod(&spec)));
        let warnings: Vec<&str> = response["warnings"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        assert!(warnings.len() >= 3, "{warnings:#?}");
        for warning in warnings {
            assert!(warning.chars().count() <= 120, "{warning}");
            assert!(warning.starts_with("drydock"), "{warning}");
        }
    }
}

#[test]
fn t3_findings_for_the_platform_team_are_no_warnings() {
    let pod = testing::pod("containers: [{name: build}, {name: svc-0, image: docker:20.10.24}]");
    let (answer, response) = answer(CERTS_ONLY, Mode::Enforce, &request(&pod));
    assert!(
        answer.record.findings.ends_with(" (D1)"),
        "{}",
        answer.record.findings
    );
    assert_eq!(response["warnings"], Value::Null);
}

/// Returns a pod that causes many findings and has a secret value in every variable.
fn pod_with_many_findings() -> Value {
    let env = "env: [{name: TOKEN, value: s3cr3t-value}, {name: DOCKER_HOST, value: 'tcp://s3cr3t-value:2375'}]";
    let off = "env: [{name: DOCKER_TLS_CERTDIR, value: s3cr3t-value/relative}]";
    let reference = "env: [{name: DOCKER_TLS_CERTDIR, value: /$(A)/s3cr3t-value}]";
    testing::pod(&format!(
        "hostAliases: [{{ip: 127.0.0.1, hostnames: [a]}}, {{ip: 10.0.0.9, hostnames: [b]}}]
volumes: [{SECRET}, {{name: sock, hostPath: {{path: /var/run/docker.sock}}}}]
containers:
- {{name: build, {env}, volumeMounts: [{AT}, {{name: sock, mountPath: /var/run/docker.sock}}]}}
- {{name: helper, {env}}}
- {{name: docker, image: 'docker:dind', {env}, volumeMounts: [{AT}, {{name: nowhere, mountPath: /certs/client/x}}]}}
- {{name: two, image: 'docker:dind', {off}}}
- {{name: three, image: 'docker:dind', {reference}}}
- {{name: four, image: 'docker:20.10', {env}}}"
    ))
}

#[rstest]
#[case::replace("Replace")]
#[case::relocate("Relocate")]
#[case::report("Report")]
#[case::deny("Deny")]
fn t4_no_value_of_a_variable_is_ever_in_an_answer_or_a_record(#[case] on_conflict: &str) {
    let policy = format!(
        "{{hostAliases: [{{ip: 10.0.0.1, hostnames: [a, b]}}], dind: {{clientCerts: {{onConflict: {on_conflict}}}}}}}"
    );
    for mode in [Mode::Enforce, Mode::Audit] {
        let (answer, response) = answer(&policy, mode, &request(&pod_with_many_findings()));
        assert!(
            answer.record.findings.len() >= 4,
            "{:#?}",
            answer.record.findings
        );
        assert!(!response.to_string().contains("s3cr3t"), "{response:#}");
        let record = format!("{:?}", answer.record);
        assert!(!record.contains("s3cr3t"), "{record}");
        assert!(!answer.patch.unwrap_or_default().contains("s3cr3t"));
    }
}

#[rstest]
#[case::as_a_number("/spec/containers/0/env", json!([{"name": "TOKEN", "value": 53017}]))]
#[case::in_place_of_the_list("/spec/containers/0/env", json!("TOKEN=53017"))]
#[case::in_place_of_an_item("/spec/containers/0/env", json!(["TOKEN=53017"]))]
#[case::in_place_of_a_flag("/spec/containers/0/securityContext", json!({"privileged": "53017"}))]
#[case::in_place_of_the_spec("/spec", json!("53017"))]
fn t4_an_error_does_not_quote_the_pod(#[case] pointer: &str, #[case] value: Value) {
    let mut request = request(&testing::pod(
        "containers: [{name: build, env: [], securityContext: {}}]",
    ));
    *request["request"]["object"]
        .pointer_mut(pointer)
        .expect("the field") = value;
    let error = try_answer(ALIAS, Mode::Enforce, request.to_string().as_bytes())
        .expect_err("there should be no answer");
    assert!(!error.to_string().contains("53017"), "{error}");
}

/// Returns a request for a pod with a Secret that drydock displaces.
fn displacing(name: &str, dry_run: bool) -> Value {
    let mut request = request(&testing::pod(&dind_pod(SECRET, AT, AT)));
    request["request"]["name"] = json!(name);
    request["request"]["dryRun"] = json!(dry_run);
    request["request"]["object"]["metadata"]
        .as_object_mut()
        .expect("an object")
        .remove("name");
    request
}

#[test]
fn t2_a_displaced_volume_is_reported_to_the_author() {
    let (answer, _) = answer(CERTS_ONLY, Mode::Enforce, &displacing("runner-1", false));
    let reported = answer.record.author_findings.expect("something to report");
    assert_eq!(
        (reported.namespace.as_str(), reported.pod.as_str()),
        ("ci", "runner-1")
    );
    assert!(
        reported
            .sentences
            .iter()
            .any(|finding| finding.contains("/certs/client")),
        "{reported:?}"
    );
}

#[rstest]
#[case::a_dry_run_stores_no_pod(CERTS_ONLY, Mode::Enforce, "runner-1", true)]
#[case::a_generated_name_is_not_known_yet(CERTS_ONLY, Mode::Enforce, "", false)]
#[case::an_audit_does_not_change_the_pod(CERTS_ONLY, Mode::Audit, "runner-1", false)]
#[case::no_finding_for_the_author(ALIAS, Mode::Enforce, "runner-1", false)]
#[case::a_refused_pod_is_not_created(
    "dind: {clientCerts: {onConflict: Deny}}",
    Mode::Enforce,
    "runner-1",
    false
)]
fn t2_there_is_no_event_for(
    #[case] policy: &str,
    #[case] mode: Mode,
    #[case] name: &str,
    #[case] dry_run: bool,
) {
    let (answer, _) = answer(policy, mode, &displacing(name, dry_run));
    assert_eq!(answer.record.author_findings, None);
}

#[rstest]
#[case::unknown(None, Outcome::Skipped(SkipReason::NoPolicy))]
#[case::selected(Some("prod"), Outcome::Mutated)]
#[case::others(Some("test"), Outcome::Skipped(SkipReason::NoPolicy))]
fn a_policy_selects_by_the_labels_of_the_namespace(
    #[case] env: Option<&str>,
    #[case] expected: Outcome,
) {
    let selects = "{namespaceSelector: {matchLabels: {env: prod}}, hostAliases: [{ip: 10.0.0.1, hostnames: [a]}]}";
    let labels = env.map(|env| Labels::from([("env".to_owned(), env.to_owned())]));
    let outcome = |policy| {
        let setup = Setup {
            policies: &[("test", policy)],
            ..Setup::default()
        };
        let policies = &setup.policy_set();
        let context = Context {
            policies,
            mode: Mode::Enforce,
            namespace_labels: labels.as_ref(),
            own_namespace: "drydock",
        };
        let body = request(&testing::pod("")).to_string();
        let answer = review(body.as_bytes(), context).expect("there should be an answer");
        (policies.needs_namespace_labels(), answer.record.outcome)
    };
    assert_eq!(outcome(selects), (true, expected));
    assert_eq!(outcome(ALIAS), (false, Outcome::Mutated));
}
