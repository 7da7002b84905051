//! Invalid requests: each gets status 4xx with a message and is counted, and the next review gets a
//! response (rules F1, F2).

use crate::client::{Answer, JSON, post, request};
use crate::metrics::{failed, other};
use crate::process::Server;
use crate::reviews::{RUNNER, assert_answers_runner, runner};
use serde_json::json;

/// Sends an invalid request, then a valid review on the same connection and on a new one.
#[track_caller]
fn refused(server: &Server, bytes: &[u8], status: u16) -> Answer {
    let mut connection = server.connect();
    connection.send(bytes).unwrap();
    let answer = connection.answer().unwrap();
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_is_for_a_jobs_author(&answer);
    assert!(!answer.says_close());
    assert_answers_runner(&connection.review("/mutate", RUNNER).unwrap());
    assert_answers_runner(&server.connect().review("/mutate", RUNNER).unwrap());
    answer
}

/// Asserts that the body is suitable for the job log, in which the API server quotes it (rule F1).
#[track_caller]
pub(crate) fn assert_is_for_a_jobs_author(answer: &Answer) {
    let text = answer.text();
    assert!(text.ends_with('\n'), "{text:?}");
    assert_eq!(text.lines().count(), 1, "not one line: {text:?}");
    let length = text.chars().count();
    assert!((20..=300).contains(&length), "{text:?}");
    assert!(text.contains(' ') && !text.contains('<'), "{text:?}");
    for internal in [
        "::", "src/", ".rs", "serde", "panic", "Error", "hyper", "axum", "Some(", "Err(", "/tmp",
        "RUST_",
    ] {
        assert!(!text.contains(internal), "{internal} in {text:?}");
    }
}

/// Sends an invalid review to a new server, and checks how it is counted.
#[track_caller]
fn refused_and_counted(bytes: &[u8], status: u16, reason: &str) -> Answer {
    refused_and_counted_as(bytes, status, &failed(reason))
}

/// Sends a request that is not a review to a new server, and checks how it is counted.
#[track_caller]
fn refused_as_other(bytes: &[u8], status: u16, reason: &str) -> Answer {
    refused_and_counted_as(bytes, status, &other(reason))
}

#[track_caller]
fn refused_and_counted_as(bytes: &[u8], status: u16, sample: &str) -> Answer {
    let server = Server::start(&[]);
    let answer = refused(&server, bytes, status);
    let metrics = server.metrics();
    let counted: Vec<_> = ["drydock_reviews_total{outcome=\"failed\"", "drydock_other"]
        .into_iter()
        .flat_map(|family| metrics.beginning_with(family))
        .filter(|(_, value)| *value != 0.0)
        .collect();
    assert_eq!(counted, [(sample, 1.0)]);
    answer
}

#[test]
fn f2_a_wrong_content_type_gets_a_415_that_names_the_required_one() {
    let yaml = ("Content-Type", "application/yaml");
    let bytes = request("POST", "/mutate", &[yaml], RUNNER);
    let answer = refused_as_other(&bytes, 415, "content-type");
    assert!(answer.text().contains("application/json"));
}

#[test]
fn f2_a_missing_content_type_gets_a_415() {
    let bytes = request("POST", "/mutate", &[], RUNNER);
    refused_as_other(&bytes, 415, "content-type");
}

#[test]
fn f2_another_method_gets_a_405_that_names_the_allowed_one() {
    let server = Server::start(&[]);
    for method in ["GET", "PUT", "DELETE"] {
        let answer = refused(&server, &request(method, "/mutate", &[JSON], b""), 405);
        assert!(answer.text().contains("POST"), "{}", answer.text());
        assert_eq!(answer.header("allow"), Some("POST"));
    }
}

#[test]
fn f2_another_path_gets_a_404_that_names_the_existing_paths() {
    let server = Server::start(&[]);
    for path in ["/", "/mutate/", "/metrics", "/validate"] {
        let answer = refused(&server, &post(path, RUNNER), 404);
        assert!(answer.text().contains("/mutate"), "{}", answer.text());
    }
}

#[test]
fn f2_a_truncated_body_gets_a_400_and_the_next_review_is_answered() {
    let half = &RUNNER[..RUNNER.len() / 2];
    let answer = refused_as_other(&post("/mutate", half), 400, "not-json");
    assert!(answer.text().contains("JSON"));
}

#[test]
fn f2_an_empty_body_gets_a_400() {
    refused_as_other(&post("/mutate", b""), 400, "not-json");
}

#[test]
fn f2_a_body_that_is_not_utf_8_gets_a_400() {
    let mut body = RUNNER.to_vec();
    body[40] = 0xff;
    refused_as_other(&post("/mutate", &body), 400, "not-json");
}

#[test]
fn f2_endlessly_nested_arrays_get_a_400() {
    let body = [&b"{\"request\":{\"object\":"[..], &[b'['; 1 << 20]].concat();
    refused_as_other(&post("/mutate", &body), 400, "not-json");
}

#[test]
fn f2_another_kind_gets_a_400_that_names_both() {
    let pod = runner()["request"]["object"].to_string();
    let answer = refused_as_other(&post("/mutate", pod.as_bytes()), 400, "wrong-kind");
    for word in ["AdmissionReview", "Pod"] {
        assert!(answer.text().contains(word), "{}", answer.text());
    }
}

#[test]
fn f2_another_version_gets_a_400_that_names_both() {
    let mut review = runner();
    review["apiVersion"] = json!("admission.k8s.io/v1beta1");
    let body = review.to_string();
    let answer = refused_and_counted(&post("/mutate", body.as_bytes()), 400, "wrong-kind");
    for word in ["admission.k8s.io/v1;", "admission.k8s.io/v1beta1"] {
        assert!(answer.text().contains(word), "{}", answer.text());
    }
}

#[test]
fn f2_a_review_without_a_request_or_its_uid_gets_a_400_that_says_so() {
    for field in ["/request", "/request/uid", "/request/object"] {
        let mut review = runner();
        review.pointer_mut(field).unwrap().take();
        let body = review.to_string();
        let answer = refused_and_counted(&post("/mutate", body.as_bytes()), 400, "missing-field");
        let name = field.trim_start_matches('/').replace('/', ".");
        assert!(answer.text().contains(&name), "{}", answer.text());
    }
}

#[test]
fn f2_a_pod_with_a_field_of_a_wrong_type_gets_a_400_that_names_the_field() {
    let mut review = runner();
    review["request"]["object"]["spec"]["containers"] = json!("many");
    let body = review.to_string();
    let answer = refused_and_counted(&post("/mutate", body.as_bytes()), 400, "wrong-type");
    assert!(answer.text().contains("containers"), "{}", answer.text());
}

#[test]
fn f6_a_pod_over_a_bound_gets_a_422_that_names_it() {
    let mut review = runner();
    review["request"]["object"]["spec"]["tolerations"] = json!(vec![json!({}); 20_000]);
    let body = review.to_string();
    let answer = refused_and_counted(&post("/mutate", body.as_bytes()), 422, "over-bound");
    let bound = "more than 1024 tolerations (spec.tolerations)";
    assert!(answer.text().contains(bound), "{}", answer.text());
}

#[test]
fn f7_a_namespace_that_contains_a_path_gets_a_400() {
    let mut review = runner();
    review["request"]["namespace"] = json!("victim/pods/foo/eviction?x=");
    let body = review.to_string();
    let answer = refused_and_counted(&post("/mutate", body.as_bytes()), 400, "invalid-field");
    assert!(answer.text().contains("namespace"), "{}", answer.text());
}

#[test]
fn f2_an_invalid_and_a_valid_pipelined_request_get_two_responses_in_order() {
    let server = Server::start(&[]);
    let mut connection = server.connect();
    let (bad, good) = (post("/mutate", b"{"), post("/mutate", RUNNER));
    connection
        .send(&[bad.as_slice(), &good, &bad, &good].concat())
        .unwrap();
    for _ in 0..2 {
        assert_eq!(connection.answer().unwrap().status, 400);
        assert_answers_runner(&connection.answer().unwrap());
    }
    assert_answers_runner(&connection.review("/mutate", RUNNER).unwrap());
}

#[test]
fn f2_bytes_that_are_not_http_affect_only_their_connection() {
    let server = Server::start(&[]);
    let mut good = server.connect();
    assert_answers_runner(&good.review("/mutate", RUNNER).unwrap());
    for nonsense in [
        &b"\x00\x01\x02\x03\r\n\r\n"[..],
        b"POST /mutate\r\n\r\n",
        b"POST /mutate HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut bad = server.connect();
        bad.send(nonsense).unwrap();
        bad.wait_until_closed();
        assert_answers_runner(&good.review("/mutate", RUNNER).unwrap());
    }
    // More headers than the server accepts.
    let mut bad = server.connect();
    let mut bytes = b"POST /mutate HTTP/1.1\r\n".to_vec();
    for number in 0..100_000 {
        bytes.extend(format!("X-{number}: {number}\r\n").into_bytes());
    }
    // The server may close the connection before the request is sent completely.
    let _ = bad.send(&bytes);
    bad.wait_until_closed();
    assert_answers_runner(&good.review("/mutate", RUNNER).unwrap());
    let metrics = server.metrics();
    assert_eq!(metrics.value(&other("not-http")), 5.0);
    assert_eq!(metrics.sum("drydock_reviews_total"), 6.0);
}

#[test]
fn f2_the_audit_path_refuses_the_same_requests() {
    let server = Server::start(&[]);
    refused(&server, &post("/audit", b"{"), 400);
    refused(&server, &request("POST", "/audit", &[], RUNNER), 415);
    refused(&server, &request("GET", "/audit", &[], b""), 405);
}
