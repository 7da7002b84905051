//! No client can raise an alert: the metrics that alerts query stay at zero.
//!
//! promtool tests the expressions over time.

use crate::client::{JSON, post, request, tcp};
use crate::hostile_reviews::SHAPES;
use crate::metrics::{Metrics, failed, handshake_failure};
use crate::process::{Server, eventually};
use crate::reviews::{RUNNER, runner};
use serde_json::{Value, json};
use std::io::Write as _;
use std::net::Shutdown;

/// Returns the expression of an alert in `manifests/`.
fn expression(alert: &str) -> String {
    let text = include_str!("../../manifests/components/monitoring/prometheus-rule.yaml");
    let rules: Value = serde_saphyr::from_str(text).unwrap();
    let rules = rules["spec"]["groups"][0]["rules"].as_array().unwrap();
    let found = rules.iter().find(|it| it["alert"] == alert);
    found.unwrap()["expr"].as_str().unwrap().to_owned()
}

/// Returns the values of the label `reason` that an alert selects of a metric.
fn reasons(alert: &str, metric: &str) -> Vec<String> {
    let expression = expression(alert);
    let (_, selector) = expression.split_once(&format!("{metric}{{")).unwrap();
    let (selector, _) = selector.split_once('}').unwrap();
    let (_, reasons) = selector.split_once("reason=").unwrap();
    let reasons = reasons.trim_start_matches('~').trim_start_matches('"');
    let (reasons, _) = reasons.split_once('"').unwrap();
    reasons.split('|').map(ToOwned::to_owned).collect()
}

/// Returns bodies that are not reviews, or reviews that drydock refuses.
fn garbage() -> Vec<Vec<u8>> {
    let mut bodies: Vec<Vec<u8>> = ["", "\0\u{1b}[2J", "null", "[]", "{}", "{\"kind\":7}"]
        .map(|text| text.as_bytes().to_vec())
        .to_vec();
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut review = runner();
        change(&mut review);
        review.to_string().into_bytes()
    };
    bodies.push(changed(&|review| review["kind"] = "Pod".into()));
    bodies.push(changed(&|review| {
        review["apiVersion"] = "admission.k8s.io/v1beta1".into();
    }));
    bodies.push(changed(&|review| review["request"] = Value::Null));
    bodies.push(changed(&|review| review["request"]["uid"] = Value::Null));
    bodies.push(changed(&|review| {
        review["request"]["namespace"] = "../../etc".into();
    }));
    bodies.push(changed(&|review| {
        review["request"]["object"]["spec"]["containers"] = json!(7);
    }));
    bodies.extend(SHAPES.iter().map(|shape| shape.of_size(400 << 10)));
    bodies
}

fn all_failed(metrics: &Metrics) -> f64 {
    metrics.sum("drydock_reviews_total{outcome=\"failed\"")
        + metrics.sum("drydock_other_requests_total")
}

#[test]
fn f2_garbage_from_any_client_does_not_raise_drydock_failing() {
    let server = Server::start(&["--max-connections", "4", "--body-seconds", "0.3"]);
    for body in garbage() {
        for path in ["/mutate", "/audit"] {
            let _ = server.connect().review(path, &body);
        }
    }
    for bytes in [
        request("GET", "/", &[], b""),
        request("GET", "/mutate", &[], b""),
        request("DELETE", "/mutate", &[], b""),
        request("POST", "/convert", &[JSON], RUNNER),
        request("POST", "/mutate", &[("Content-Type", "text/plain")], RUNNER),
        request(
            "POST",
            "/mutate",
            &[JSON, ("Content-Length", "9000000")],
            b"",
        ),
        b"\x16\x03\x01 no HTTP\r\n\r\n".to_vec(),
        post("/mutate", RUNNER)[..2000].to_vec(),
    ] {
        let mut connection = server.connect();
        connection.send(&bytes).unwrap();
        let _ = connection.stream.sock.shutdown(Shutdown::Write);
        let _ = connection.answer();
    }
    // Bodies that are never sent: the connections are evicted, or closed after a time limit.
    let mut slow: Vec<_> = (0..12).map(|_| server.incomplete_review()).collect();
    slow.iter_mut().for_each(|it| it.wait_until_closed());
    let metrics = server.metrics();
    assert!(all_failed(&metrics) > 40.0, "{metrics:#?}");
    let reasons = reasons("DrydockFailing", "drydock_reviews_total");
    assert!(!reasons.is_empty());
    for reason in reasons {
        assert_eq!(metrics.value(&failed(&reason)), 0.0, "{reason}");
    }
}

#[test]
fn f2_a_port_scan_does_not_raise_drydock_not_trusted() {
    let server = Server::start(&[]);
    let hello = {
        let mut hello = Vec::new();
        server.client().session().write_tls(&mut hello).unwrap();
        hello
    };
    let probes: [&[u8]; 7] = [
        b"",
        b"GET / HTTP/1.0\r\n\r\n",
        b"SSH-2.0-scan\r\n",
        b"\x80\x2e\x01\0\x02",
        // A TLS alert instead of a ClientHello, and a record of SSL 3.0.
        b"\x15\x03\x01\0\x02\x02\x2a",
        b"\x16\x03\0\0\x04\x01\0\0\0",
        &hello,
    ];
    for probe in probes {
        let mut connection = tcp(server.webhook).unwrap();
        connection.write_all(probe).unwrap();
        connection.shutdown(Shutdown::Both).unwrap();
    }
    eventually("all failures are counted", || {
        server.metrics().sum("drydock_tls_handshake_failures_total") >= 7.0
    });
    let metrics = server.metrics();
    for reason in reasons("DrydockNotTrusted", "drydock_tls_handshake_failures_total") {
        assert_eq!(metrics.value(&handshake_failure(&reason)), 0.0, "{reason}");
    }
}
