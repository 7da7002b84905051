//! Metrics add up, each review has a log line, and no value of a pod is exposed (rules P4, T1, T4).

use crate::client::{Answer, JSON, post, request};
use crate::kubelet_mount::Mount;
use crate::metrics::{Metrics, other, reviews};
use crate::process::Server;
use crate::reviews::{RUNNER, assert_answers_runner, policy, response, runner, small};
use serde_json::{Value, json};

/// Sends a review for each outcome, and requests that fail. Returns the number of requests.
fn one_of_each(server: &Server) -> f64 {
    let mut requests = 0.0;
    let mut send = |bytes: &[u8], status: u16| {
        let mut connection = server.connect();
        connection.send(bytes).unwrap();
        assert_eq!(connection.answer().unwrap().status, status);
        requests += 1.0;
    };
    send(&post("/mutate", RUNNER), 200);
    send(&post("/mutate", RUNNER), 200);
    send(&post("/audit", RUNNER), 200);
    let mut review = runner();
    review["request"]["namespace"] = json!("kube-system");
    send(&post("/mutate", review.to_string().as_bytes()), 200);
    let mut review = runner();
    review["request"]["object"]["metadata"]["labels"] = json!({});
    review["request"]["object"]["metadata"]["annotations"] = json!({});
    send(&post("/mutate", review.to_string().as_bytes()), 200);
    send(&post("/mutate", b"{"), 400);
    send(&post("/mutate", b"{}"), 400);
    send(&request("POST", "/mutate", &[], RUNNER), 415);
    requests
}

/// Returns the number of changes that the metrics count for a mode.
fn changes(metrics: &Metrics, mode: &str) -> f64 {
    let of_mode = format!("mode=\"{mode}\"");
    metrics
        .beginning_with("drydock_changes_total")
        .filter(|(sample, _)| sample.contains(&of_mode))
        .map(|(_, value)| value)
        .sum()
}

#[test]
fn p4_reviews_and_other_requests_add_up_to_the_number_of_requests() {
    let server = Server::start(&[]);
    let requests = one_of_each(&server);
    let metrics = server.metrics();
    let others = metrics.sum("drydock_other_requests_total");
    assert_eq!(metrics.sum("drydock_reviews_total") + others, requests);
    assert_eq!(metrics.sum("drydock_reviews_total{outcome=\"failed\""), 0.0);
    for (sample, count) in [
        (reviews("mutated", ""), 2.0),
        (reviews("audited", "would-mutate"), 1.0),
        (reviews("skipped", "excluded-namespace"), 1.0),
        (reviews("skipped", "not-a-job-pod"), 1.0),
        (other("not-json"), 1.0),
        (other("wrong-kind"), 1.0),
        (other("content-type"), 1.0),
    ] {
        assert_eq!(metrics.value(&sample), count, "{sample}");
    }
}

#[test]
fn f2_other_paths_and_methods_do_not_count_as_failed_reviews() {
    let server = Server::start(&[]);
    for bytes in [
        post("/nowhere", RUNNER),
        request("GET", "/mutate", &[], b""),
    ] {
        let mut connection = server.connect();
        connection.send(&bytes).unwrap();
        assert!(connection.answer().unwrap().status >= 404);
    }
    let metrics = server.metrics();
    assert_eq!(metrics.sum("drydock_reviews_total"), 0.0);
    for reason in ["path", "method"] {
        assert_eq!(metrics.value(&other(reason)), 1.0, "{reason}");
    }
}

#[test]
fn the_histogram_has_a_bucket_of_10_microseconds_and_counts_every_answered_review() {
    let server = Server::start(&[]);
    one_of_each(&server);
    let metrics = server.metrics();
    let bucket = |bound: &str| {
        let sample = format!("drydock_review_duration_seconds_bucket{{le=\"{bound}\"}}");
        metrics.value(&sample)
    };
    let bounds = [
        "0.00001", "0.0001", "0.001", "0.01", "0.1", "1.0", "10.0", "+Inf",
    ];
    let counts = bounds.map(bucket);
    assert!(counts.is_sorted(), "buckets are not cumulative: {counts:?}");
    assert_eq!(bucket("+Inf"), 5.0, "not all five reviews are counted");
    assert_eq!(bucket("10.0"), 5.0, "a review took longer than 10 s");
    assert_eq!(metrics.value("drydock_review_duration_seconds_count"), 5.0);
    let seconds = metrics.value("drydock_review_duration_seconds_sum");
    assert!((1e-5..10.0).contains(&seconds), "{seconds}");
}

#[test]
fn changes_are_counted_by_name_and_by_whether_they_were_made() {
    let server = Server::start(&[]);
    let mut connection = server.connect();
    let nothing = server.metrics();
    assert_eq!(nothing.sum("drydock_changes_total"), 0.0);
    assert_answers_runner(&connection.review("/mutate", RUNNER).unwrap());
    let made = server.metrics();
    let swapped = "drydock_changes_total{change=\"swap-volume\",mode=\"enforce\"}";
    assert_eq!(made.value(swapped), 1.0);
    assert!(changes(&made, "enforce") >= 5.0);
    assert_eq!(changes(&made, "audit"), 0.0);
    connection.review("/audit", RUNNER).unwrap();
    let audited = server.metrics();
    assert_eq!(changes(&audited, "audit"), changes(&made, "enforce"));
    assert_eq!(changes(&audited, "enforce"), changes(&made, "enforce"));
}

#[test]
fn all_label_values_exist_at_the_start_and_requests_add_none() {
    let server = Server::start(&[]);
    let names = |metrics: &Metrics| -> Vec<String> {
        let samples = metrics.beginning_with("drydock_");
        samples.map(|(sample, _)| sample.to_owned()).collect()
    };
    let before = names(&server.metrics());
    one_of_each(&server);
    let mut connection = server.connect();
    for kind in ["a", "b"] {
        let body = json!({"apiVersion": kind, "kind": kind}).to_string();
        connection.review("/mutate", body.as_bytes()).unwrap();
    }
    assert_eq!(names(&server.metrics()), before);
}

#[test]
fn t1_a_review_is_one_log_line_with_namespace_pod_policies_changes_and_duration() {
    let server = Server::start(&["--log-format", "json", "--drain-seconds", "0"]);
    assert_answers_runner(&server.connect().review("/mutate", RUNNER).unwrap());
    let log = server.stop();
    let lines: Vec<Value> = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|line: &Value| line["message"] == "review")
        .collect();
    let [line] = lines.as_slice() else {
        panic!("not one line: {log}");
    };
    let review = runner();
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["uid"], review["request"]["uid"]);
    assert_eq!(line["namespace"], "ci");
    assert_eq!(line["pod"], review["request"]["name"]);
    assert_eq!(line["outcome"], "mutated");
    assert_eq!(line["policies"], "gitlab");
    assert!(line["changes"].as_str().unwrap().contains("swap-volume"));
    assert!(line["microseconds"].as_u64().unwrap() < 10_000_000);
}

/// A value that must not occur in logs, metrics, errors, or a response outside of its patch.
const SECRET: &str = "hunter2-never-seen";

/// Returns valid and invalid reviews of pods that contain the secret, each in another place.
fn secretive() -> Vec<Vec<u8>> {
    let good = small("a-uid", SECRET);
    let mut bodies: Vec<Value> = vec![good.clone()];
    for (place, value) in [
        ("/spec/containers/0/command", json!([SECRET])),
        ("/spec/containers/2/args", json!([SECRET])),
        ("/spec/containers/2/command", json!(["sh", "-c", SECRET])),
        ("/spec/containers/2/env/0/value", json!(SECRET)),
        (
            "/spec/containers/2/env/0/value",
            json!(format!("$({SECRET})")),
        ),
        (
            "/metadata/annotations",
            json!({"job.runner.gitlab.com/url": SECRET}),
        ),
        // These fields have a type that an API server never sends.
        ("/spec/containers/0/env/0/value", json!({SECRET: SECRET})),
        ("/spec/containers/0/env/0", json!(SECRET)),
        ("/spec/containers/2/env", json!(SECRET)),
        ("/spec/containers/2/command", json!(SECRET)),
        ("/spec/containers/2/args", json!({SECRET: 1})),
        ("/spec/containers/2/env/1/value", json!([SECRET])),
        ("/spec/containers/2/env/0/name", json!([SECRET])),
        ("/spec/containers/2/securityContext", json!(SECRET)),
        ("/spec/containers", json!(SECRET)),
        ("/spec", json!(SECRET)),
    ] {
        let mut review = good.clone();
        let pod = &mut review["request"]["object"];
        let (parent, key) = place.rsplit_once('/').unwrap();
        let parent = pod.pointer_mut(parent).unwrap();
        match key.parse::<usize>() {
            Ok(index) => parent[index] = value,
            Err(_) => parent[key] = value,
        }
        bodies.push(review);
    }
    let mut bodies: Vec<Vec<u8>> = bodies.iter().map(|b| b.to_string().into_bytes()).collect();
    // Bodies that are truncated or invalid within or after the secret.
    let text = good.to_string();
    let end = text.find(SECRET).unwrap() + SECRET.len();
    bodies.push(text[..end].into());
    bodies.push(text[..=end].into());
    bodies.push(text.replacen(SECRET, &format!("{SECRET}\\q"), 1).into());
    bodies.push(text.replacen(SECRET, &format!("{SECRET}\n"), 1).into());
    bodies
}

/// Returns a response without its patch.
fn outside_the_patch(answer: &Answer) -> String {
    if answer.status != 200 {
        return answer.text();
    }
    let mut response = response(answer);
    response.as_object_mut().unwrap().remove("patch");
    response.to_string()
}

#[test]
fn t4_no_value_of_a_pod_is_in_logs_errors_metrics_or_an_answer_outside_the_patch() {
    let deny = policy("strict", "10.0.0.1") + "  dind: {clientCerts: {onConflict: Deny}}\n";
    let mount = Mount::new(&[("policy.yaml", &deny)]);
    let strict = mount.text("policy.yaml");
    let debug = ["--log-level", "debug"];
    for flags in [
        &debug[..],
        &["--log-level", "debug", "--log-format", "json"],
        &["--log-level", "debug", "--policy", &strict],
    ] {
        let server = Server::start(&[flags, &["--drain-seconds", "0"]].concat());
        let mut connection = server.connect();
        let mut statuses = Vec::new();
        let mut seen = String::new();
        for body in secretive() {
            for path in ["/mutate", "/audit"] {
                let answer = connection.review(path, &body).unwrap();
                statuses.push(answer.status);
                seen.push_str(&outside_the_patch(&answer));
                seen.push('\n');
            }
            let untyped = request("POST", "/mutate", &[("Content-Type", "text/yaml")], &body);
            connection.send(&untyped).unwrap();
            seen.push_str(&connection.answer().unwrap().text());
            let elsewhere = request("POST", "/elsewhere", &[JSON], &body);
            connection.send(&elsewhere).unwrap();
            seen.push_str(&connection.answer().unwrap().text());
        }
        assert!(statuses.contains(&200) && statuses.contains(&400));
        let metrics = server.get("/metrics").1;
        let logs = server.stop();
        assert!(logs.lines().count() > statuses.len(), "{logs}");
        for (place, text) in [("answers", seen), ("metrics", metrics), ("logs", logs)] {
            let lines: Vec<&str> = text.lines().filter(|line| line.contains(SECRET)).collect();
            assert!(lines.is_empty(), "in {place}: {lines:#?}");
        }
    }
}
