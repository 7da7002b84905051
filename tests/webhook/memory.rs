//! The resident memory of the real server is bounded under attack, and is reused afterwards (rule
//! F2).
//!
//! The memory of a connection and leaks are measured by comparing the resident memory of a server
//! before and after. For many bodies, a cgroup limits the memory and kills a server that exceeds
//! it.

use crate::cgroup::Cgroup;
use crate::client::{JSON, Tls, request};
use crate::metrics::{failed, limit, other, reviews};
use crate::process::Server;
use crate::refusals::assert_is_for_a_jobs_author;
use crate::reviews::{RUNNER, assert_answers_runner, padded, response, runner, small};
use std::thread;

const MIB: u64 = 1 << 10;

/// Enough memory for the program and two bodies of 8 MiB, but not for the twenty that are sent.
const MEMORY: usize = 64 << 20;

/// Starts a server and sends a review. Returns the server and its resident memory in KiB.
fn warm(flags: &[&str]) -> (Server, u64) {
    let server = Server::start(flags);
    assert_answers_runner(&server.connect().review("/mutate", RUNNER).unwrap());
    server.wait_for_metric("drydock_connections", 0.0);
    let resident = server.resident();
    (server, resident)
}

/// Opens connections and sends a review on each.
fn answered(server: &Server, number: u64) -> Vec<Tls> {
    let connection = |_| {
        let mut connection = server.connect();
        assert_answers_runner(&connection.review("/mutate", RUNNER).unwrap());
        connection
    };
    (0..number).map(connection).collect()
}

#[test]
fn a_connection_uses_at_most_48_kib_and_its_memory_is_reused() {
    let (server, before) = warm(&[]);
    let open = answered(&server, 400);
    let with_400 = server.resident();
    let each = (with_400 - before) / 400;
    println!("{each} KiB for each connection, {before} KiB without");
    assert!(each <= 48, "{each} KiB for each connection");
    drop(open);
    server.wait_for_metric("drydock_connections", 0.0);
    let open = answered(&server, 400);
    let again = server.resident();
    assert!(again <= with_400 + MIB, "{with_400} KiB, then {again} KiB");
    drop(open);
}

#[test]
fn f2_large_bodies_share_the_memory_limit_and_small_ones_are_answered() {
    let flags = ["--max-body-memory-bytes", "16777216"];
    let cgroup = Cgroup::with_memory("bodies", MEMORY);
    let mut server = match &cgroup {
        Ok(cgroup) => Server::start_in(cgroup, &flags),
        Err(problem) => {
            println!("without a memory limit: cannot create a cgroup: {problem}");
            Server::start(&flags)
        }
    };
    let body = padded(runner(), (8 << 20) - RUNNER.len() - 1000);
    let length = body.len().to_string();
    let head = request("POST", "/mutate", &[JSON, ("Content-Length", &length)], b"");
    let (most, rest) = body.split_at(body.len() - 1000);
    let mut large: Vec<Tls> = (0..20).map(|_| server.connect()).collect();
    thread::scope(|scope| {
        for connection in &mut large {
            let head = &head;
            scope.spawn(move || {
                // The server may evict the connection before the body is sent completely.
                let _ = connection.send(head).and_then(|()| connection.send(most));
            });
        }
        assert_answers_runner(&server.connect().review("/mutate", RUNNER).unwrap());
    });
    println!("peak resident memory: {} KiB", server.most_resident());
    assert_answers_runner(&server.connect().review("/mutate", RUNNER).unwrap());
    let mut whole = 0;
    for connection in &mut large {
        if connection.send(rest).is_err() {
            continue;
        }
        match connection.answer() {
            Ok(answer) if answer.status == 200 => whole += 1,
            Ok(answer) => {
                assert_eq!((answer.status, answer.says_close()), (500, true));
                assert_eq!(answer.header("retry-after"), Some("1"));
                assert_is_for_a_jobs_author(&answer);
            }
            Err(_) => {}
        }
    }
    assert!((1..=2).contains(&whole), "{whole} of 8 MiB fit into 16 MiB");
    drop(large);
    server.wait_for_metric("drydock_connections", 0.0);
    let metrics = server.metrics();
    let made_room = f64::from(20 - whole);
    assert_eq!(metrics.value(&limit("body-memory")), made_room);
    let evicted = metrics.value(&failed("body-evicted")) + metrics.value(&failed("overload"));
    assert_eq!(evicted, made_room);
    assert_eq!(
        metrics.value(&reviews("mutated", "")),
        f64::from(whole) + 2.0
    );
    assert!(server.is_running());
    // The server must exit before its cgroup can be removed.
    drop(server);
}

#[test]
fn f2_endless_headers_use_at_most_16_kib_and_are_counted() {
    let server = Server::start(&[]);
    let mut endless = b"POST /mutate HTTP/1.1\r\nX: ".to_vec();
    endless.resize(20_000, b'x');
    let mut connection = server.connect();
    connection.send(&endless).unwrap();
    assert_eq!(connection.answer().unwrap().status, 431);
    connection.wait_until_closed();
    server.wait_for_metric(&other("not-http"), 1.0);
    assert_answers_runner(&server.connect().review("/mutate", RUNNER).unwrap());
}

#[test]
fn twenty_thousand_reviews_leak_no_memory() {
    let (server, _) = warm(&["--log-level", "warn"]);
    let half = || {
        thread::scope(|scope| {
            for name in ["a", "b", "c", "d"] {
                let server = &server;
                scope.spawn(move || {
                    let mut connection = server.connect();
                    for number in 0..2500 {
                        // All reviews differ.
                        let uid = format!("{name}-{number}");
                        let review = small(&uid, &uid.repeat(number % 50));
                        let body = review.to_string();
                        let answer = connection.review("/mutate", body.as_bytes());
                        assert_eq!(response(&answer.unwrap())["uid"], uid);
                    }
                });
            }
        });
        server.resident()
    };
    let (first, second) = (half(), half());
    println!("{first} KiB after 10,000 reviews, {second} KiB after 20,000");
    assert!(second <= first + 512, "{first} KiB, then {second} KiB");
    let answered = server.metrics().value(&reviews("mutated", ""));
    assert_eq!(answered, 20_001.0);
}
