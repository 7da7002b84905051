//! The responses to reviews.

use crate::client::request;
use crate::kubelet_mount::Mount;
use crate::process::Server;
use crate::reviews::{
    RUNNER, addresses, assert_answers_runner, assert_repaired, patch, patched, policy, response,
    runner, small,
};
use serde_json::{Value, json};
use std::thread;

#[test]
fn a_response_has_the_uid_and_a_patch_that_repairs_the_pod() {
    let server = Server::start(&[]);
    let answer = server.connect().review("/mutate", RUNNER).unwrap();
    assert_answers_runner(&answer);
}

#[test]
fn a_minimal_pod_is_repaired() {
    let server = Server::start(&[]);
    let review = small("a-uid", "hunter2");
    let body = review.to_string();
    let answer = server.connect().review("/mutate", body.as_bytes()).unwrap();
    assert_repaired(&patched(&review, &response(&answer)));
}

#[test]
fn a2_a_pod_with_nothing_to_change_gets_neither_patch_nor_patch_type() {
    let server = Server::start(&[]);
    let mut connection = server.connect();
    let mut review = runner();
    let first = response(&connection.review("/mutate", RUNNER).unwrap());
    review["request"]["object"] = patched(&review, &first);
    review["request"]["uid"] = json!("second-time");
    let body = review.to_string();
    let second = response(&connection.review("/mutate", body.as_bytes()).unwrap());
    assert_eq!(second["uid"], "second-time");
    assert_eq!(second["allowed"], true);
    assert_eq!(patch(&second), None);
    assert_eq!(second["auditAnnotations"]["outcome"], "unchanged");
}

#[test]
fn t3_a_warning_names_what_was_displaced_in_at_most_120_characters() {
    let server = Server::start(&[]);
    let mut review = small("a-uid", "hunter2");
    let pod = &mut review["request"]["object"]["spec"];
    let long = "v".repeat(63);
    pod["volumes"][0]["name"] = json!(long);
    for container in [0, 2] {
        pod["containers"][container]["volumeMounts"][0]["name"] = json!(long);
    }
    pod["hostAliases"] = json!([{"ip": "127.0.0.1", "hostnames": ["gitlab.mylab.com"]}]);
    for body in [review.to_string().into_bytes(), RUNNER.to_vec()] {
        for path in ["/mutate", "/audit"] {
            let response = response(&server.connect().review(path, &body).unwrap());
            let warnings: Vec<&str> = response["warnings"]
                .as_array()
                .expect("there is no warning about the displaced Secret")
                .iter()
                .map(|warning| warning.as_str().unwrap())
                .collect();
            let displaced =
                |text: &&str| text.contains("mylab-ca-pem") || text.contains("vvvvvvvv");
            assert!(warnings.iter().any(displaced), "{warnings:?}");
            for warning in warnings {
                assert!(warning.chars().count() <= 120, "{warning}");
                assert!(warning.starts_with("drydock"), "{warning}");
            }
        }
    }
}

#[test]
fn a6_the_audit_path_changes_nothing_and_reports_all_changes() {
    let server = Server::start(&[]);
    let mut connection = server.connect();
    let audited = response(&connection.review("/audit", RUNNER).unwrap());
    assert_eq!(audited["uid"], runner()["request"]["uid"]);
    assert_eq!(audited["allowed"], true);
    assert_eq!(patch(&audited), None);
    let annotations = &audited["auditAnnotations"];
    assert_eq!(annotations["outcome"], "audited");
    assert_eq!(annotations["reason"], "would-mutate");
    assert_eq!(annotations["policies"], "gitlab");
    assert!(
        annotations["findings"]
            .as_str()
            .unwrap()
            .contains("mylab-ca-pem")
    );
    assert!(audited["warnings"][0].as_str().unwrap().contains("audit"));
    // The audit lists all changes that the other path makes.
    let done = response(&connection.review("/mutate", RUNNER).unwrap());
    assert!(done["auditAnnotations"]["changes"].is_string());
    assert_eq!(
        annotations["would-change"],
        done["auditAnnotations"]["changes"]
    );
    assert_eq!(annotations.get("changes"), None);
}

#[test]
fn a6_the_audit_path_refuses_nothing() {
    let text = policy("strict", "10.0.0.232") + "  dind: {clientCerts: {onConflict: Deny}}\n";
    let mount = Mount::new(&[("policy.yaml", &text)]);
    let server = Server::start(&["--policy", &mount.text("policy.yaml")]);
    let mut connection = server.connect();
    let denied = response(&connection.review("/mutate", RUNNER).unwrap());
    assert_eq!(
        denied["allowed"], false,
        "not denied with onConflict: Deny (F1)"
    );
    assert_eq!(patch(&denied), None);
    let message = denied["status"]["message"].as_str().unwrap();
    for word in ["mylab-ca-pem", "/certs/client"] {
        assert!(message.contains(word), "{message}");
    }
    let audited = response(&connection.review("/audit", RUNNER).unwrap());
    assert_eq!(audited["allowed"], true);
    assert_eq!(audited.get("status"), None);
    assert_eq!(audited["auditAnnotations"]["reason"], "would-deny");
}

#[test]
fn p1_pods_of_kube_system_and_of_drydocks_own_namespace_are_never_changed() {
    for (flags, own) in [
        (&[][..], "drydock"),
        (&["--own-namespace", "ship-repair"], "ship-repair"),
    ] {
        let server = Server::start(flags);
        let mut connection = server.connect();
        let mut answer_in = |namespace: &str| -> Value {
            let mut review = runner();
            review["request"]["namespace"] = json!(namespace);
            let body = review.to_string();
            response(&connection.review("/mutate", body.as_bytes()).unwrap())
        };
        for namespace in [own, "kube-system"] {
            let response = answer_in(namespace);
            assert_eq!(patch(&response), None, "{namespace}");
            assert_eq!(response["allowed"], true);
            let annotations = &response["auditAnnotations"];
            assert_eq!(annotations["reason"], "excluded-namespace");
        }
        assert!(patch(&answer_in("ci")).is_some());
    }
}

#[test]
fn p1_requests_other_than_pod_creations_are_allowed_unchanged() {
    let server = Server::start(&[]);
    let mut connection = server.connect();
    for (field, value) in [
        ("operation", json!("UPDATE")),
        ("operation", json!("DELETE")),
        ("subResource", json!("ephemeralcontainers")),
        (
            "resource",
            json!({"group": "apps", "version": "v1", "resource": "deployments"}),
        ),
    ] {
        let mut review = runner();
        review["request"][field] = value;
        let body = review.to_string();
        let response = response(&connection.review("/mutate", body.as_bytes()).unwrap());
        assert_eq!(response["allowed"], true);
        assert_eq!(patch(&response), None, "{field}");
        assert_eq!(response["auditAnnotations"]["reason"], "not-pod-creation");
    }
}

#[test]
fn many_reviews_on_one_kept_alive_connection_get_their_own_answers() {
    let server = Server::start(&[]);
    let mut connection = server.connect();
    for number in 0..200 {
        let uid = format!("review-{number}");
        let review = small(&uid, "hunter2");
        let body = review.to_string();
        let answer = connection.review("/mutate", body.as_bytes()).unwrap();
        assert!(!answer.says_close(), "Connection: close without draining");
        assert_eq!(response(&answer)["uid"], uid);
    }
    assert_answers_runner(&connection.review("/mutate", RUNNER).unwrap());
    assert_eq!(server.metrics().value("drydock_connections"), 1.0);
}

#[test]
fn several_connections_are_served_concurrently() {
    let server = Server::start(&["--worker-threads", "2"]);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut connection = server.connect();
                for _ in 0..20 {
                    assert_answers_runner(&connection.review("/mutate", RUNNER).unwrap());
                }
            });
        }
    });
}

#[test]
fn every_policy_of_several_files_is_in_force() {
    let other = policy("other", "10.0.0.7").replace("gitlab.mylab.com", "other.mylab.com");
    let mount = Mount::new(&[
        ("one.yaml", &policy("one", "10.0.0.6")),
        ("other.yaml", &other),
    ]);
    let (one, other) = (mount.text("one.yaml"), mount.text("other.yaml"));
    let server = Server::start(&["--policy", &one, "--policy", &other]);
    let answer = server.connect().review("/mutate", RUNNER).unwrap();
    let pod = patched(&runner(), &response(&answer));
    assert_eq!(addresses(&pod, "gitlab.mylab.com"), ["10.0.0.6"]);
    assert_eq!(addresses(&pod, "other.mylab.com"), ["10.0.0.7"]);
}

#[test]
fn a_query_and_content_type_parameters_are_accepted() {
    let server = Server::start(&[]);
    let mut connection = server.connect();
    // The API server adds ?timeout=5s to the URL.
    let json = ("Content-Type", "Application/JSON; charset=utf-8");
    let bytes = request("POST", "/mutate?timeout=5s", &[json], RUNNER);
    connection.send(&bytes).unwrap();
    assert_answers_runner(&connection.answer().unwrap());
}

#[test]
fn http_1_1_is_negotiated_with_http_2_clients() {
    let server = Server::start(&[]);
    let connection = server.connect();
    let protocol = connection.stream.conn.alpn_protocol();
    assert_eq!(protocol, Some(&b"http/1.1"[..]));
}
