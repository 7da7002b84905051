//! Slow clients and floods of connections: valid reviews get a response during the attack, and none
//! is lost (rules F2, F5).
//!
//! The attack opens connections during the whole test, and holds more connections than the limit.

use crate::client::{JSON, Plain, Tls, post, request, tcp};
use crate::metrics::{failed, limit};
use crate::process::{EndOnDrop, Server, eventually};
use crate::refusals::assert_is_for_a_jobs_author;
use crate::reviews::{RUNNER, assert_answers_runner};
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

/// The limit of connections to the webhook port, and the number that an attack holds.
const CONNECTIONS: usize = 100;
const HELD: usize = 150;
/// The time between two new connections of a full attack. It is so long that a connection with a
/// valid review of up to a second does not become the oldest one.
const PACE: Duration = Duration::from_millis(10);

/// The time limits are so long that only evictions can free connections.
const FLAGS: [&str; 16] = [
    "--max-connections",
    "100",
    "--handshake-seconds",
    "100",
    "--header-seconds",
    "100",
    "--body-seconds",
    "100",
    "--max-body-bytes",
    "4194304",
    "--max-body-memory-bytes",
    "8388608",
    "--drain-seconds",
    "1",
    "--log-level",
    "warn",
];
/// The drain time, and a margin.
const END: Duration = Duration::from_secs(1 + 3);

/// An open connection of an attacker.
type Held = Box<dyn Send>;

/// Attacks a server and sends reviews: first 100, then more while the server shuts down. Asserts
/// that all get a response.
#[track_caller]
fn review_under(
    mut server: Server,
    attack: impl Fn(&Server) -> io::Result<Held> + Sync,
    hits: &str,
) {
    let (is_over, answered) = (AtomicBool::new(false), AtomicU32::new(0));
    let (webhook, client) = (server.webhook, server.client());
    let mut held = Vec::new();
    thread::scope(|scope| {
        let end_attack = EndOnDrop(&is_over);
        let (ready, attacked) = std::sync::mpsc::channel();
        let (server_now, attack, is_over) = (&server, &attack, &is_over);
        let held = &mut held;
        scope.spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                // A client whose connection is refused tries again.
                held.extend(attack(server_now));
                if held.len() >= HELD {
                    let _ = ready.send(());
                    held.remove(0);
                    thread::sleep(PACE);
                }
            }
        });
        attacked.recv_timeout(Duration::from_secs(60)).unwrap();

        // A server that waited for a time limit would exceed the time limit of the client.
        for _ in 0..100 {
            assert_answers_runner(&server.connect().review("/mutate", RUNNER).unwrap());
        }
        // On a busy machine, a scrape may be evicted before it is read, so it is retried.
        let metrics = (0..5).find_map(|_| server.try_metrics().ok()).unwrap();
        assert!(metrics.value(hits) >= 1.0);
        assert!(metrics.value("drydock_connections") <= CONNECTIONS as f64 + 1.0);

        for _ in 0..2 {
            scope.spawn(|| {
                while let Ok(mut connection) = client.connect(webhook) {
                    connection.send(&post("/mutate", RUNNER)).unwrap();
                    let answer = connection.answer().expect("a review got no response");
                    assert_answers_runner(&answer);
                    answered.fetch_add(1, Ordering::Relaxed);
                    if answer.says_close() {
                        break;
                    }
                }
            });
        }
        eventually("ten reviews have a response", || {
            answered.load(Ordering::Relaxed) >= 10
        });
        server.signal("TERM");
        eventually("readiness fails", || {
            server
                .try_get("/readyz")
                .is_ok_and(|(status, _)| status == 503)
        });
        drop(end_attack);
    });
    let end = server.wait_for_end(END);
    assert_eq!(end.code(), Some(0), "{}", server.stderr());
}

/// Opens a connection, completes the handshake and sends bytes.
fn sending(server: &Server, bytes: &[u8]) -> io::Result<Held> {
    let mut connection = server.client().connect(server.webhook)?;
    connection.send(bytes)?;
    Ok(Box::new(connection))
}

/// Returns the headers of a review and the beginning of its body.
fn body_of(bytes: usize, sent: usize) -> Vec<u8> {
    let length = bytes.to_string();
    let head = request("POST", "/mutate", &[JSON, ("Content-Length", &length)], b"");
    [head, vec![b' '; sent]].concat()
}

fn connections() -> String {
    limit("connections")
}

#[test]
fn reviews_are_answered_among_silent_clients() {
    let silent = |server: &Server| Ok(Box::new(tcp(server.webhook)?) as Held);
    review_under(Server::start(&FLAGS), silent, &connections());
}

#[test]
fn reviews_are_answered_among_incomplete_handshakes() {
    let half = |server: &Server| {
        let (mut hello, mut stream) = (Vec::new(), tcp(server.webhook)?);
        server.client().session().write_tls(&mut hello)?;
        stream.write_all(&hello[..hello.len() / 2])?;
        Ok(Box::new(stream) as Held)
    };
    review_under(Server::start(&FLAGS), half, &connections());
}

#[test]
fn reviews_are_answered_among_incomplete_headers() {
    let half = |server: &Server| sending(server, b"POST /mutate HTTP/1.1\r\nHost: ");
    review_under(Server::start(&FLAGS), half, &connections());
}

#[test]
fn reviews_are_answered_among_incomplete_bodies() {
    let half = body_of(50_000, 20_000);
    review_under(
        Server::start(&FLAGS),
        |server| sending(server, &half),
        &connections(),
    );
}

#[test]
fn reviews_are_answered_among_large_bodies() {
    let large = body_of(4 << 20, 2 << 20);
    review_under(
        Server::start(&FLAGS),
        |server| sending(server, &large),
        &limit("body-memory"),
    );
}

#[test]
fn reviews_and_metrics_are_answered_among_clients_that_do_not_read_responses() {
    let scrape = request("GET", "/metrics", &[], b"");
    let number = AtomicU32::new(0);
    let deaf = |server: &Server| {
        let mut ops = tcp(server.ops)?;
        ops.set_write_timeout(Some(PACE))?;
        // Most clients leave one response unread, some as many as the socket can buffer.
        let is_greedy = number.fetch_add(1, Ordering::Relaxed).is_multiple_of(50);
        let _ = ops.write_all(&scrape.repeat(if is_greedy { 1000 } else { 1 }));
        Ok(Box::new(ops) as Held)
    };
    review_under(Server::start(&FLAGS), deaf, &connections());
}

#[test]
fn reviews_are_answered_among_incomplete_bodies_on_the_ops_port() {
    let half = request("PUT", "/log-level", &[("Content-Length", "9")], b"in");
    let slow = |server: &Server| {
        let mut ops = Plain::connect(server.ops)?;
        ops.send(&half)?;
        Ok(Box::new(ops) as Held)
    };
    let mut flags = FLAGS.to_vec();
    flags.push("--allow-log-level-changes");
    review_under(Server::start(&flags), slow, &connections());
}

#[test]
fn reviews_are_answered_with_fewer_open_files_than_connections() {
    let half = |server: &Server| sending(server, b"POST /mutate HTTP/1.1\r\nHost: ");
    let server = Server::start_with_open_files(100, &FLAGS);
    review_under(server, half, &connections());
}

#[test]
fn f2_a_client_that_sends_no_body_is_evicted_with_an_error() {
    let server = Server::start(&["--max-connections", "4"]);
    let mut slow: Vec<Tls> = (0..10).map(|_| server.incomplete_review()).collect();
    server.wait_for_metric("drydock_connections", 4.0);
    for connection in &mut slow[..6] {
        let answer = connection.answer().unwrap();
        assert_eq!((answer.status, answer.says_close()), (500, true));
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_is_for_a_jobs_author(&answer);
        connection.wait_until_closed();
    }
    let metrics = server.metrics();
    assert_eq!(metrics.value(&limit("connections")), 6.0);
    assert_eq!(metrics.value(&failed("body-evicted")), 6.0);
    for connection in &mut slow[6..] {
        connection.send(RUNNER).unwrap();
        assert_answers_runner(&connection.answer().unwrap());
    }
}
