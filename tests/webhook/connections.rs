//! Many connections: the API server gets responses while there are many idle connections, and at
//! the limit, the connection that was idle longest is evicted (rule F2).

use crate::client::{Plain, Tls, tcp};
use crate::metrics::limit;
use crate::process::Server;
use crate::reviews::{RUNNER, assert_answers_runner};
use std::net::TcpStream;

#[test]
fn f2_a_review_is_answered_among_500_idle_connections() {
    let server = Server::start(&[]);
    let mut idle: Vec<Tls> = (0..250).map(|_| server.connect()).collect();
    let silent: Vec<TcpStream> = (0..250).map(|_| tcp(server.webhook).unwrap()).collect();
    server.wait_for_metric("drydock_connections", 500.0);
    assert_answers_runner(&server.connect().review("/mutate", RUNNER).unwrap());
    // No connection was evicted.
    assert!(server.metrics().value(&limit("connections")) < 1.0);
    for connection in &mut idle {
        let answer = connection.review("/mutate", b"{").unwrap();
        assert_eq!(answer.status, 400);
    }
    drop((idle, silent));
    server.wait_for_metric("drydock_connections", 0.0);
}

#[test]
fn f2_at_max_connections_the_connection_that_was_idle_longest_is_closed() {
    let server = Server::start(&["--max-connections", "4"]);
    let mut first: Vec<Tls> = (0..4).map(|_| server.connect()).collect();
    // The first connection was just used, so the second one has been idle longest.
    assert_answers_runner(&first[0].review("/mutate", RUNNER).unwrap());
    let mut fifth = server.connect();
    assert_answers_runner(&fifth.review("/mutate", RUNNER).unwrap());
    first[1].wait_until_closed();
    for kept in [0, 2, 3] {
        assert_answers_runner(&first[kept].review("/mutate", RUNNER).unwrap());
    }
    let metrics = server.metrics();
    assert_eq!(metrics.value(&limit("connections")), 1.0);
    assert_eq!(metrics.value("drydock_connections"), 4.0);
}

#[test]
fn f2_the_api_server_is_answered_during_a_flood_of_silent_connections() {
    let server = Server::start(&["--max-connections", "50"]);
    let mut api_server = server.connect();
    assert_answers_runner(&api_server.review("/mutate", RUNNER).unwrap());
    let mut flood = Vec::new();
    for _ in 0..10 {
        flood.extend((0..50).map(|_| tcp(server.webhook).unwrap()));
        assert_answers_runner(&server.connect().review("/mutate", RUNNER).unwrap());
    }
    // This connection was idle during the flood, and is older than all connections of the flood.
    assert_answers_runner(&api_server.review("/mutate", RUNNER).unwrap());
    drop(api_server);
    let metrics = server.metrics();
    assert!(metrics.value(&limit("connections")) >= 450.0);
    assert!(metrics.value("drydock_connections") <= 50.0);
    drop(flood);
    server.wait_for_metric("drydock_connections", 0.0);
}

#[test]
fn f2_the_api_server_is_answered_with_fewer_open_files_than_max_connections() {
    // Time limits are so long that only evictions can free connections.
    let server = Server::start_with_open_files(100, &["--handshake-seconds", "100"]);
    let flood = [server.webhook, server.ops]
        .map(|port| -> Vec<TcpStream> { (0..300).map(|_| tcp(port).unwrap()).collect() });
    assert_answers_runner(&server.connect().review("/mutate", RUNNER).unwrap());
    assert_eq!(server.get("/readyz").0, 200);
    assert!(server.metrics().value(&limit("connections")) >= 400.0);
    server.wait_for_words(&["ulimit -n"]);
    drop(flood);
}

#[test]
fn f2_a_flood_of_the_ops_port_affects_neither_webhook_nor_probes() {
    let server = Server::start(&["--max-connections", "20"]);
    let flood: Vec<Plain> = (0..100)
        .map(|_| Plain::connect(server.ops).unwrap())
        .collect();
    assert_answers_runner(&server.connect().review("/mutate", RUNNER).unwrap());
    assert_eq!(server.get("/readyz").0, 200);
    assert_eq!(server.get("/livez").0, 200);
    drop(flood);
}
