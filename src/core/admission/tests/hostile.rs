//! Rules F6 and F7 for hostile pods: drydock never shows their text unescaped or without a limit.

#![allow(clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]

use crate::core::admission::{Answer, Context, ReviewError, review};
use crate::core::pod::Pod;
use crate::core::policy::Mode;
use crate::core::policy::set::Namespace;
use crate::core::rules::Audience;
use crate::core::verdict::{self, Outcome, Scope};
use crate::testing::Setup;
use serde_json::{Value, json};

/// Returns a long text with quotation marks, line breaks, terminal escapes and bidirectional marks.
fn hostile(number: usize) -> String {
    format!(
        "x\"'\n\r\u{1b}[2J\u{202e}\u{2028}\u{200b}\u{9b} level=error all is lost {number} {}",
        "y".repeat(380)
    )
}

fn review_of(pod: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "ci",
            "name": "runner-1",
            "operation": "CREATE",
            "object": pod,
        },
    })
}

/// Returns pods in which every string is hostile, one for each case that the rules distinguish.
fn pods() -> Vec<Value> {
    let at = |path: &str| -> Vec<Value> {
        let mount = |number| json!({"name": hostile(number), "mountPath": path});
        vec![mount(1)]
    };
    let dind = |number: usize, env: Value, mounts: Vec<Value>| json!({"name": hostile(number), "image": "docker:24-dind", "env": env, "volumeMounts": mounts});
    let directory = format!("/certs/{}", hostile(7));
    let sources = [
        json!({"name": hostile(1), "secret": {"secretName": hostile(2)}}),
        json!({"name": hostile(1), (hostile(3)): {}}),
        json!({"name": hostile(1), "hostPath": {"path": format!("/{}/docker.sock", hostile(4))}}),
        json!({"name": hostile(1), "emptyDir": {}}),
    ];
    let certdir = json!([{"name": "DOCKER_TLS_CERTDIR", "value": directory}]);
    let lists = [
        vec![dind(1, json!([]), at("/certs/client"))],
        vec![dind(1, json!([]), at("/certs/client/ca.pem"))],
        vec![dind(
            1,
            json!([]),
            at(&format!("/certs/client/{}", hostile(5))),
        )],
        vec![dind(1, json!([]), at("/certs"))],
        vec![dind(1, json!([]), at("/certs/server"))],
        vec![
            dind(1, json!([]), at("/var/lib/docker")),
            dind(2, json!([]), at("/var/lib/docker")),
        ],
        vec![dind(
            1,
            json!([]),
            at(&format!("/etc/docker/certs.d/r/{}", hostile(6))),
        )],
        vec![dind(1, certdir.clone(), at(&format!("{directory}/client")))],
        vec![dind(1, certdir.clone(), vec![]), dind(2, certdir, vec![])],
        vec![dind(
            1,
            json!([{"name": "DOCKER_TLS_CERTDIR", "value": hostile(8)}]),
            vec![],
        )],
        vec![dind(
            1,
            json!([{"name": "DOCKER_TLS_CERTDIR", "value": ""}, {"name": "DOCKER_HOST", "value": hostile(9)}]),
            vec![],
        )],
        vec![json!({"name": hostile(1), "image": format!("docker:{}", hostile(2))})],
        vec![json!({"name": hostile(1), "image": format!("{}/docker:1", hostile(2))})],
    ];
    let mut pods = Vec::new();
    for source in &sources {
        for list in &lists {
            let mut containers = list.clone();
            containers.push(json!({"name": "build", "volumeMounts": at("/certs/client")}));
            pods.push(json!({
                "metadata": {
                    "name": hostile(10),
                    "labels": {"job.runner.gitlab.com/pod": "x", (hostile(11)): hostile(12)},
                    "annotations": {"drydock.dev/policies": hostile(13), "drydock.dev/changes": hostile(14)},
                },
                "spec": {
                    "hostAliases": [
                        {"ip": hostile(15), "hostnames": ["owned.test", hostile(16)]},
                        {"ip": "10.0.0.9", "hostnames": ["Owned.test", "OWNED.test"]},
                        {"ip": "127.0.0.1", "hostnames": ["shadowed.test", hostile(17)]},
                    ],
                    "nodeSelector": {"role": hostile(18), (hostile(19)): ""},
                    "tolerations": [{"key": hostile(20)}],
                    "containers": containers,
                    "volumes": [source],
                },
            }));
        }
    }
    pods
}

const CONFLICTS: [&str; 4] = ["Replace", "Relocate", "Report", "Deny"];

fn policy(on_conflict: &str, mode: &str) -> String {
    json!({
        "mode": mode,
        "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["owned.test", "shadowed.test"]}],
        "dind": {
            "clientCerts": {"onConflict": on_conflict},
            "volumes": [
                {"name": "data", "mountPath": "/var/lib/docker", "emptyDir": {}},
                {"name": "modules", "mountPath": "/lib/modules", "hostPath": {"path": "/lib/modules"}},
            ],
            "registryCAs": [{"host": "r", "configMap": {"name": "ca", "key": "ca.crt"}}],
            "scheduling": {"nodeSelector": {"role": "ci"}, "tolerations": [{"key": "ci", "operator": "Exists"}]},
        },
    })
    .to_string()
}

/// The patch has an operation for each mount of the pod. Each operation contains the same string,
/// whose characters take six bytes each.
#[test]
fn f6_a_patch_over_the_size_limit_is_an_error() {
    let mount = |number: usize| json!({"name": "claim", "mountPath": format!("/x{number}/../certs/client")});
    let mounts: Vec<Value> = (0..1_000).map(mount).collect();
    let text = |length: usize| {
        let shared = json!([{"name": "empty", "mountPath": "/certs/client", "subPath": "\u{1}".repeat(length)}]);
        let pod = json!({
            "metadata": {"labels": {"job.runner.gitlab.com/pod": "x"}},
            "spec": {
                "volumes": [{"name": "claim", "hostPath": {}}, {"name": "empty", "emptyDir": {}}],
                "containers": [
                    {"name": "build", "volumeMounts": mounts},
                    {"name": "docker", "image": "docker:28-dind", "volumeMounts": shared},
                ],
            },
        });
        review_of(&pod).to_string()
    };
    let policies = Setup {
        policies: &[("a", "dind: {volumes: []}")],
        ..Setup::default()
    };
    let policies = policies.policy_set();
    let context = Context {
        policies: &policies,
        mode: Mode::Enforce,
        namespace_labels: None,
        own_namespace: "drydock",
    };
    let answer = review(text(100).as_bytes(), context).expect("there should be an answer");
    let patch = answer.patch.expect("a patch");
    assert!(patch.len() > 500_000, "{} bytes", patch.len());
    let error =
        review(text(1_000).as_bytes(), context).expect_err("a patch of 6 MB should be refused");
    assert!(matches!(error, ReviewError::PatchTooLarge(_)), "{error}");
    assert!(error.to_string().contains("more than 2097152 bytes"));
}

/// Checks that a text has only printable characters, and at most `most` bytes.
#[track_caller]
fn assert_harmless(text: &str, most: usize) {
    let prints =
        |char: char| char == '\'' || char == '"' || char == '\\' || char.escape_debug().len() == 1;
    if let Some(odd) = text.chars().find(|char| !prints(*char)) {
        panic!("{odd:?} in {text:?}");
    }
    assert!(text.len() <= most, "{} bytes: {text}", text.len());
}

#[track_caller]
fn assert_answer_is_harmless(answer: &Answer) {
    let record = &answer.record;
    for text in [&record.namespace, &record.pod, &record.uid] {
        assert_harmless(text, 600);
    }
    for text in [&record.findings, &record.policies] {
        assert_harmless(text, 4200);
    }
    for finding in record
        .author_findings
        .iter()
        .flat_map(|reported| &reported.sentences)
    {
        assert_harmless(finding, 1100);
    }
    let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let response = &body["response"];
    let warnings = response["warnings"].as_array().into_iter().flatten();
    assert!(warnings.clone().count() <= 20);
    for warning in warnings {
        assert_harmless(warning.as_str().expect("a text"), 500);
    }
    let annotations = response["auditAnnotations"].as_object().expect("an object");
    for value in annotations.values() {
        assert_harmless(value.as_str().expect("a text"), 4200);
    }
    if let Some(message) = response["status"]["message"].as_str() {
        assert_harmless(message, 3000);
    }
}

#[test]
fn f7_text_of_a_pod_is_escaped_and_truncated_everywhere() {
    let (mut rules, mut outcomes) = (std::collections::BTreeSet::new(), Vec::new());
    for (on_conflict, mode) in CONFLICTS
        .into_iter()
        .flat_map(|on_conflict| [(on_conflict, "Enforce"), (on_conflict, "Audit")])
    {
        let spec = policy(on_conflict, mode);
        let setup = Setup {
            policies: &[("test@3", &spec)],
            ..Setup::default()
        };
        let policies = &setup.policy_set();
        for pod in pods() {
            let context = Context {
                policies,
                mode: Mode::Enforce,
                namespace_labels: None,
                own_namespace: "drydock",
            };
            let answer = review(review_of(&pod).to_string().as_bytes(), context)
                .expect("there should be an answer");
            assert_answer_is_harmless(&answer);
            for part in ["the pod already had drydock.dev/policies=", " (A5)"] {
                assert!(answer.record.findings.contains(part));
            }
            if !outcomes.contains(&answer.record.outcome) {
                outcomes.push(answer.record.outcome);
            }
            let text = pod.to_string();
            let scope = Scope {
                namespace: Namespace {
                    name: "ci",
                    labels: None,
                },
                mode: Mode::Enforce,
                own_namespace: "drydock",
            };
            let pod = Pod::from_json(&text).expect("a pod");
            let verdict =
                verdict::judge(pod, policies, scope).expect("the patch should be written");
            for (finding, _) in verdict.findings(Audience::Explain) {
                rules.insert(finding.rule());
                assert_harmless(&finding.to_string(), 3000);
            }
            for change in verdict
                .enforced
                .changes
                .iter()
                .chain(&verdict.audited.changes)
            {
                rules.insert(change.rule());
                assert_harmless(&change.to_string(), 3000);
            }
        }
    }
    for outcome in [Outcome::Mutated, Outcome::Denied] {
        assert!(outcomes.contains(&outcome), "{outcomes:?}");
    }
    // The pods cover the rules whose sentences contain text of a pod.
    for rule in [
        "D1", "D2", "D6", "D7", "D8", "H2", "H3", "R1", "R2", "S1", "V3", "V5",
    ] {
        assert!(rules.contains(rule), "{rule}: {rules:?}");
    }
}

/// Hundreds of containers cause hundreds of findings.
#[test]
fn f6_the_number_of_findings_is_limited() {
    let container = |number: usize| json!({"name": format!("{number}-{}", hostile(number)), "image": "docker:24-dind"});
    let pod = json!({
        "metadata": {"labels": {"job.runner.gitlab.com/pod": "x"}},
        "spec": {"containers": (0..200).map(container).collect::<Vec<_>>()},
    });
    let spec = policy("Replace", "Enforce");
    let setup = Setup {
        policies: &[("test@3", &spec)],
        ..Setup::default()
    };
    let context = Context {
        policies: &setup.policy_set(),
        mode: Mode::Enforce,
        namespace_labels: None,
        own_namespace: "drydock",
    };
    let answer =
        review(review_of(&pod).to_string().as_bytes(), context).expect("there should be an answer");
    assert_answer_is_harmless(&answer);
    assert!(
        answer.record.findings.ends_with(" more"),
        "{}",
        answer.record.findings
    );
    let reported = answer.record.author_findings.expect("something to report");
    assert_eq!(reported.sentences.len(), 8);
    assert!(
        reported.sentences[7].ends_with("more findings for this pod"),
        "{reported:?}"
    );
}

/// Both parsers report a limit with the same message and name.
#[test]
fn f6_a_pod_over_a_limit_is_an_error_that_names_it() {
    let setup = Setup::default();
    let policies = &setup.policy_set();
    // Without an escape, and with one, which only serde_json reads.
    for name in ["a", "\n"] {
        for space in ["", " "] {
            let elements = vec!["{}"; 20_000].join(&format!(",{space}"));
            let mut review_of_pod =
                review_of(&json!({"metadata": {"name": name}, "spec": {"tolerations": "HERE"}}))
                    .to_string();
            review_of_pod = review_of_pod.replace("\"HERE\"", &format!("[{elements}]"));
            let context = Context {
                policies,
                mode: Mode::Enforce,
                namespace_labels: None,
                own_namespace: "drydock",
            };
            let error = review(review_of_pod.as_bytes(), context)
                .expect_err("the pod should exceed the limit");
            assert_eq!(error.name(), "over-bound");
            assert!(matches!(error, ReviewError::OverBound(_)));
            let message = error.to_string();
            assert!(
                message.contains("more than 1024 tolerations (spec.tolerations)"),
                "{message}"
            );
        }
    }
}
