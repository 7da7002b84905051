//! Clients that send too much or too slowly are disconnected or refused, and counted. The next
//! review gets a response (rule F2).

use crate::client::{JSON, Plain, Tls, post, request, tcp};
use crate::metrics::{failed, handshake_failure, limit};
use crate::process::{Server, eventually};
use crate::refusals::assert_is_for_a_jobs_author;
use crate::reviews::{RUNNER, assert_answers_runner, padded, runner};
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// A time limit in seconds: enough for a normal client on a busy machine, but short for the test.
const SHORT: &str = "1";
/// The time between two bytes of a slow client.
const BYTE_INTERVAL: Duration = Duration::from_millis(50);

/// Asserts that a valid review gets a response on an existing and on a new connection, and that no
/// other connection is open.
#[track_caller]
fn assert_still_serves(server: &Server, mut good: Tls, limit_hit: &str) {
    assert_answers_runner(&good.review("/mutate", RUNNER).unwrap());
    assert_answers_runner(&server.connect().review("/mutate", RUNNER).unwrap());
    drop(good);
    let metrics = server.metrics();
    let hit: Vec<_> = metrics
        .beginning_with("drydock_limit_hits_total")
        .filter(|(_, value)| *value != 0.0)
        .collect();
    assert_eq!(hit, [(limit(limit_hit).as_str(), 1.0)]);
    server.wait_for_metric("drydock_connections", 0.0);
}

/// Asserts that the response to a body that is too large is correct. A client that is still sending
/// may see only the closed connection.
fn assert_too_large(connection: &mut Tls) {
    if let Ok(answer) = connection.answer() {
        assert_eq!((answer.status, answer.says_close()), (413, true));
        assert_is_for_a_jobs_author(&answer);
        assert!(answer.text().contains("8388608"), "{}", answer.text());
    }
}

#[test]
fn f2_a_body_of_9_mib_gets_a_413() {
    let server = Server::start(&[]);
    let good = server.connect();
    let mut connection = server.connect();
    let _ = connection.send(&post("/mutate", &padded(runner(), 9 << 20)));
    assert_too_large(&mut connection);
    assert_eq!(server.metrics().value(&failed("body-size")), 1.0);
    assert_still_serves(&server, good, "body-size");
}

#[test]
fn f2_a_body_that_announces_9_mib_gets_a_413_before_it_is_sent() {
    let server = Server::start(&[]);
    let good = server.connect();
    let mut connection = server.connect();
    let length = ("Content-Length", "9437184");
    let head = request("POST", "/mutate", &[JSON, length], b"");
    connection.send(&head).unwrap();
    let answer = connection.answer().unwrap();
    assert_eq!((answer.status, answer.says_close()), (413, true));
    assert_is_for_a_jobs_author(&answer);
    drop(connection);
    assert_still_serves(&server, good, "body-size");
}

#[test]
fn f2_a_chunked_body_of_9_mib_gets_a_413() {
    let server = Server::start(&[]);
    let good = server.connect();
    let mut connection = server.connect();
    let chunked = ("Transfer-Encoding", "chunked");
    let mut bytes = request("POST", "/mutate", &[JSON, chunked], b"");
    for part in padded(runner(), 9 << 20).chunks(64 << 10) {
        bytes.extend(format!("{:x}\r\n", part.len()).into_bytes());
        bytes.extend(part);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\n\r\n");
    let _ = connection.send(&bytes);
    assert_too_large(&mut connection);
    server.wait_for_metric(&failed("body-size"), 1.0);
    assert_still_serves(&server, good, "body-size");
}

#[test]
fn a_body_just_below_the_limit_and_a_chunked_one_are_answered() {
    let server = Server::start(&[]);
    let mut connection = server.connect();
    let body = padded(runner(), (8 << 20) - RUNNER.len() - 1000);
    assert_answers_runner(&connection.review("/mutate", &body).unwrap());
    let chunked = ("Transfer-Encoding", "chunked");
    let mut bytes = request("POST", "/mutate", &[JSON, chunked], b"");
    for part in RUNNER.chunks(1000) {
        bytes.extend(format!("{:x}\r\n", part.len()).into_bytes());
        bytes.extend(part);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\n\r\n");
    connection.send(&bytes).unwrap();
    assert_answers_runner(&connection.answer().unwrap());
}

#[test]
fn f2_the_size_of_a_body_is_bounded_by_a_flag() {
    let server = Server::start(&["--max-body-bytes", "1000"]);
    let mut connection = server.connect();
    let answer = connection.review("/mutate", RUNNER).unwrap();
    assert_eq!(answer.status, 413);
    assert!(answer.text().contains("1000"), "{}", answer.text());
}

#[test]
fn f2_a_connection_with_incomplete_headers_is_closed_after_header_seconds() {
    let server = Server::start(&["--header-seconds", SHORT]);
    let good = server.connect();
    let mut connection = server.connect();
    connection.send(b"POST /mutate HTTP/1.1\r\nHost: ").unwrap();
    connection.wait_until_closed();
    assert_still_serves(&server, good, "header-time");
}

#[test]
fn f2_the_header_time_limit_applies_to_headers_sent_with_the_handshake() {
    let server = Server::start(&["--header-seconds", SHORT]);
    let good = server.connect();
    let mut socket = tcp(server.webhook).unwrap();
    let mut session = server.client().session();
    // The client sends its last message of the handshake and half a request in one packet.
    while session.is_handshaking() {
        if session.wants_write() {
            session.write_tls(&mut socket).unwrap();
        } else {
            session.read_tls(&mut socket).unwrap();
            session.process_new_packets().unwrap();
        }
    }
    session.writer().write_all(b"POST /mut").unwrap();
    let mut packet = Vec::new();
    while session.wants_write() {
        session.write_tls(&mut packet).unwrap();
    }
    socket.write_all(&packet).unwrap();
    Plain::over(socket).wait_until_closed();
    assert_still_serves(&server, good, "header-time");
}

#[test]
fn f2_the_header_time_of_a_pipelined_request_begins_with_its_next_byte() {
    let server = Server::start(&["--header-seconds", SHORT]);
    let good = server.connect();
    let mut connection = server.connect();
    let both = [&post("/mutate", RUNNER)[..], b"POST /mutate HTTP/1.1\r\n"].concat();
    connection.send(&both).unwrap();
    assert_answers_runner(&connection.answer().unwrap());
    send_slowly(connection, b"X");
    assert_still_serves(&server, good, "header-time");
}

#[test]
fn f2_slow_headers_do_not_extend_the_time_limit() {
    let server = Server::start(&["--header-seconds", SHORT]);
    let good = server.connect();
    send_slowly(server.connect(), b"POST /mutate HTTP/1.1\r\n");
    assert_still_serves(&server, good, "header-time");
}

#[test]
fn f2_an_incomplete_body_gets_a_408_after_body_seconds() {
    let server = Server::start(&["--body-seconds", SHORT]);
    let good = server.connect();
    let mut connection = server.connect();
    let bytes = post("/mutate", RUNNER);
    connection.send(&bytes[..bytes.len() - 1000]).unwrap();
    let answer = connection.answer().unwrap();
    assert_eq!((answer.status, answer.says_close()), (408, true));
    assert_is_for_a_jobs_author(&answer);
    connection.wait_until_closed();
    assert_eq!(server.metrics().value(&failed("body-time")), 1.0);
    assert_still_serves(&server, good, "body-time");
}

#[test]
fn f2_a_slow_body_does_not_extend_the_time_limit() {
    let server = Server::start(&["--body-seconds", SHORT]);
    let good = server.connect();
    send_slowly(server.connect(), &post("/mutate", RUNNER)[..600]);
    assert_still_serves(&server, good, "body-time");
}

/// Sends the beginning of a request and then single bytes, and asserts that the server closes the
/// connection: bytes must not extend the time limit.
#[track_caller]
fn send_slowly(mut connection: Tls, beginning: &[u8]) {
    let began = Instant::now();
    connection.send(beginning).unwrap();
    while connection.send(b"x").is_ok() {
        thread::sleep(BYTE_INTERVAL);
        assert!(
            began.elapsed() < Duration::from_secs(8),
            "the connection is still open"
        );
    }
}

#[test]
fn f2_an_abandoned_body_is_counted() {
    let server = Server::start(&[]);
    let good = server.connect();
    let mut connection = server.connect();
    let bytes = post("/mutate", RUNNER);
    connection.send(&bytes[..bytes.len() - 1000]).unwrap();
    connection.stream.conn.send_close_notify();
    connection.stream.flush().unwrap();
    drop(connection);
    server.wait_for_metric(&failed("body-cut"), 1.0);
    let mut good = good;
    assert_answers_runner(&good.review("/mutate", RUNNER).unwrap());
}

#[test]
fn f2_a_connection_without_a_handshake_is_closed_after_handshake_seconds() {
    let server = Server::start(&["--handshake-seconds", SHORT]);
    let good = server.connect();
    let mut silent = Plain::connect(server.webhook).unwrap();
    silent.wait_until_closed();
    server.wait_for_metric(&handshake_failure("timeout"), 1.0);
    assert_still_serves(&server, good, "handshake-time");
}

#[test]
fn f2_a_connection_with_an_incomplete_handshake_is_closed_after_handshake_seconds() {
    let server = Server::start(&["--handshake-seconds", SHORT]);
    let good = server.connect();
    let mut socket = tcp(server.webhook).unwrap();
    let mut hello = Vec::new();
    let mut session = server.client().session();
    session.write_tls(&mut hello).unwrap();
    socket.write_all(&hello[..hello.len() / 2]).unwrap();
    Plain::over(socket).wait_until_closed();
    server.wait_for_metric(&handshake_failure("timeout"), 1.0);
    assert_still_serves(&server, good, "handshake-time");
}

#[test]
fn f2_plain_http_on_the_tls_port_is_closed_immediately_and_counted() {
    let server = Server::start(&[]);
    let mut good = server.connect();
    let mut plain = Plain::connect(server.webhook).unwrap();
    plain.send(&post("/mutate", RUNNER)).unwrap();
    plain.wait_until_closed();
    server.wait_for_metric(&handshake_failure("protocol"), 1.0);
    assert_answers_runner(&good.review("/mutate", RUNNER).unwrap());
    assert_answers_runner(&server.connect().review("/mutate", RUNNER).unwrap());
}

#[test]
fn f2_an_idle_connection_is_closed_after_idle_seconds_and_no_sooner() {
    let server = Server::start(&["--idle-seconds", SHORT, "--header-seconds", "0.1"]);
    let mut connection = server.connect();
    let before = Instant::now();
    assert_answers_runner(&connection.review("/mutate", RUNNER).unwrap());
    connection.wait_until_closed();
    assert!(before.elapsed() >= Duration::from_secs(1));
    let hits = server.metrics().value(&limit("idle-time"));
    assert_eq!(hits, 1.0);
    assert_answers_runner(&server.connect().review("/mutate", RUNNER).unwrap());
}

#[test]
fn the_log_has_at_level_debug_why_a_connection_was_closed() {
    let limits = [
        "--idle-seconds",
        SHORT,
        "--handshake-seconds",
        SHORT,
        "--max-connections",
        "2",
    ];
    let server = Server::start(&[&["--log-level", "debug"], &limits[..]].concat());
    let _idle = server.connect();
    let _silent = Plain::connect(server.webhook).unwrap();
    server.wait_for_words(&["client timed out", "idle-time"]);
    server.wait_for_words(&["TLS handshake failed", "deadline has elapsed"]);
    let _crowd = [(); 3].map(|()| Plain::connect(server.webhook).unwrap());
    server.wait_for_words(&["connection evicted", "too many connections", "Handshake"]);
}

#[test]
fn f2_a_client_that_reads_no_responses_is_disconnected() {
    let server = Server::start(&["--idle-seconds", SHORT]);
    let mut deaf = server.connect();
    let begun = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let bytes = post("/mutate", b"{").repeat(1000);
            // The client never reads, so the loop ends when the server closes the connection.
            while deaf.send(&bytes).is_ok() {
                begun.store(true, Ordering::Relaxed);
            }
        });
        eventually("the first requests are sent", || {
            begun.load(Ordering::Relaxed)
        });
        assert_answers_runner(&server.connect().review("/mutate", RUNNER).unwrap());
    });
    server.wait_for_metric("drydock_connections", 0.0);
    assert!(server.metrics().value(&limit("idle-time")) >= 1.0);
    assert_answers_runner(&server.connect().review("/mutate", RUNNER).unwrap());
}

#[test]
fn f2_an_incomplete_body_on_the_ops_port_gets_a_408_too() {
    let flags = ["--body-seconds", SHORT, "--allow-log-level-changes"];
    let server = Server::start(&flags);
    let mut slow = Plain::connect(server.ops).unwrap();
    let head = request("PUT", "/log-level", &[("Content-Length", "9")], b"in");
    slow.send(&head).unwrap();
    assert_eq!(slow.answer().unwrap().status, 408);
    slow.wait_until_closed();
    assert_eq!(server.metrics().value(&limit("body-time")), 1.0);
}

#[test]
fn f2_the_ops_port_disconnects_slow_clients_too() {
    let server = Server::start(&["--header-seconds", SHORT]);
    let mut slow = Plain::over(TcpStream::connect(server.ops).unwrap());
    slow.send(b"GET /metr").unwrap();
    slow.wait_until_closed();
    assert!(server.metrics().value(&limit("header-time")) >= 1.0);
}

#[test]
fn f2_failed_handshakes_that_anyone_can_cause_do_not_count_as_not_trusted() {
    let server = Server::start(&[]);
    for _ in 0..3 {
        drop(tcp(server.webhook).unwrap());
    }
    server.wait_for_metric(&handshake_failure("closed"), 3.0);
    let metrics = server.metrics();
    assert_eq!(metrics.sum("drydock_tls_handshake_failures_total"), 3.0);
}

#[test]
fn f2_a_client_that_rejects_the_certificate_is_counted() {
    let (server, other) = (Server::start(&[]), Server::start(&[]));
    assert!(other.client().connect(server.webhook).is_err());
    server.wait_for_metric(&handshake_failure("not-trusted"), 1.0);
    let metrics = server.metrics();
    assert_eq!(metrics.sum("drydock_tls_handshake_failures_total"), 1.0);
}
