//! Shutdown: readiness fails, every request gets a response with `Connection: close`, and no
//! request is lost (rule F5).

use crate::certificates::Authority;
use crate::client::{Client, Plain, Tls, post, request};
use crate::kubelet_mount::Mount;
use crate::process::{EndOnDrop, Server, eventually};
use crate::reviews::{RUNNER, assert_answers_runner};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The longest time from the end of the drain to the exit.
const LAST: Duration = Duration::from_secs(3);

#[track_caller]
fn wait_until_not_ready(server: &Server) {
    eventually("/readyz is 503", || server.get("/readyz").0 == 503);
}

#[test]
fn f5_after_sigterm_all_requests_are_answered_with_connection_close() {
    let server = &mut Server::start(&["--drain-seconds", "3"]);
    assert_eq!(server.get("/readyz"), (200, "ok\n".to_owned()));
    let mut kept: Vec<Tls> = (0..3).map(|_| server.connect()).collect();
    for connection in &mut kept {
        let answer = connection.review("/mutate", RUNNER).unwrap();
        assert!(!answer.says_close());
    }

    let began = Instant::now();
    server.signal("TERM");
    wait_until_not_ready(server);
    // The kubelet must not restart a draining server, and its last metrics must be readable.
    assert_eq!(server.get("/livez").0, 200);
    let _ = server.metrics();

    let (reviewed, rest) = kept.split_first_mut().unwrap();
    let (refused, audited) = rest.split_first_mut().unwrap();
    let mut new = server.connect();
    for connection in [reviewed, &mut new] {
        let answer = connection.review("/mutate", RUNNER).unwrap();
        assert_answers_runner(&answer);
        assert!(answer.says_close());
        connection.wait_until_closed();
    }
    let answer = refused.review("/mutate", b"{").unwrap();
    assert_eq!((answer.status, answer.says_close()), (400, true));
    refused.wait_until_closed();
    let answer = audited[0].review("/audit", RUNNER).unwrap();
    assert_eq!((answer.status, answer.says_close()), (200, true));
    for bytes in [
        request("GET", "/mutate", &[], b""),
        post("/nowhere", RUNNER),
    ] {
        let mut new = server.connect();
        new.send(&bytes).unwrap();
        assert!(new.answer().unwrap().says_close());
    }
    assert!(server.is_running());
    let end = server.wait_for_end(LAST + Duration::from_secs(3));
    assert_eq!(end.code(), Some(0), "{}", server.stderr());
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(3), "only {took:?}");
    assert!(took <= Duration::from_secs(3) + LAST, "{took:?}");
}

#[test]
fn ctrl_c_and_a_closed_terminal_stop_the_server() {
    for signal in ["INT", "HUP"] {
        let mut server = Server::start(&["--drain-seconds", "0"]);
        let file = example_file(&server);
        server.signal(signal);
        assert_eq!(server.wait_for_end(LAST).code(), Some(0), "{signal}");
        assert!(!std::fs::exists(&file).unwrap(), "{signal}: {file}");
    }
}

#[test]
fn a_second_ctrl_c_stops_the_server_immediately() {
    let mut server = Server::start(&["--drain-seconds", "600"]);
    let file = example_file(&server);
    server.signal("INT");
    wait_until_not_ready(&server);
    server.signal("INT");
    assert_eq!(server.wait_for_end(LAST).code(), Some(0));
    assert!(!std::fs::exists(&file).unwrap(), "{file}");
}

#[test]
fn without_a_cluster_the_server_exits_without_draining() {
    let mut server = Server::start(&[]);
    server.signal("TERM");
    assert_eq!(server.wait_for_end(LAST).code(), Some(0));
}

#[test]
fn f5_idle_and_silent_connections_do_not_delay_shutdown() {
    let mut server = Server::start(&["--drain-seconds", "0.1"]);
    let idle: Vec<Tls> = (0..20).map(|_| server.connect()).collect();
    let silent: Vec<TcpStream> = (0..20)
        .map(|_| TcpStream::connect(server.webhook).unwrap())
        .collect();
    server.signal("TERM");
    let end = server.wait_for_end(Duration::from_millis(100) + LAST);
    assert_eq!(end.code(), Some(0));
    for mut connection in idle {
        connection.wait_until_closed();
    }
    drop(silent);
}

#[test]
fn f5_a_review_in_progress_when_the_drain_ends_gets_a_response() {
    let mut server = Server::start(&["--drain-seconds", "0.1"]);
    let mut underway = server.incomplete_review();
    server.signal("TERM");
    eventually("the end of the drain", || {
        TcpStream::connect(server.webhook).is_err()
    });
    underway.send(RUNNER).unwrap();
    let answer = underway.answer().unwrap();
    assert_answers_runner(&answer);
    assert!(answer.says_close());
    assert_eq!(server.wait_for_end(LAST).code(), Some(0));
}

#[test]
fn f5_an_incomplete_body_does_not_delay_shutdown() {
    let mut server = Server::start(&["--drain-seconds", "0.1"]);
    let mut underway = server.incomplete_review();
    server.signal("TERM");
    let end = server.wait_for_end(Duration::from_millis(100) + LAST);
    assert_eq!(end.code(), Some(0));
    underway.wait_until_closed();
}

#[test]
fn the_files_of_the_curl_command_are_removed_when_the_server_ends() {
    let mut server = Server::start(&["--drain-seconds", "0"]);
    let file = example_file(&server);
    assert!(std::fs::exists(&file).unwrap(), "{file}");
    server.signal("TERM");
    assert_eq!(server.wait_for_end(LAST).code(), Some(0));
    assert!(!std::fs::exists(&file).unwrap(), "{file}");
}

/// Returns the path of the file in the curl command.
fn example_file(server: &Server) -> String {
    let line = server.curl_line();
    let file = line.split('\'').find(|word| word.ends_with("review.json"));
    file.unwrap().to_owned()
}

/// Replaces a Service: the address for new connections.
struct Endpoint {
    client: Client,
    address: Mutex<SocketAddr>,
    answered: AtomicU32,
    closes: AtomicU32,
    lost: Mutex<Vec<String>>,
}

impl Endpoint {
    /// Sends reviews like the API server: it uses a connection until a response has `Connection:
    /// close`, and does not retry.
    fn call_until(&self, done: &AtomicBool, pause: Duration) {
        let mut kept = None;
        while !done.load(Ordering::Relaxed) {
            let address = *self.address.lock().unwrap();
            let connection = match kept.take() {
                Some(connection) => Ok(connection),
                None => self.client.connect(address),
            };
            let outcome = connection.and_then(|mut connection| {
                let answer = connection.review("/mutate", RUNNER)?;
                Ok((connection, answer))
            });
            match outcome {
                Ok((connection, answer)) => {
                    assert_answers_runner(&answer);
                    self.answered.fetch_add(1, Ordering::Relaxed);
                    if answer.says_close() {
                        self.closes.fetch_add(1, Ordering::Relaxed);
                    } else {
                        kept = Some(connection);
                    }
                }
                Err(error) => self
                    .lost
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(format!("{address}: {error}")),
            }
            thread::sleep(pause);
        }
    }
}

#[test]
fn f5_rolling_restarts_under_load_lose_no_review() {
    let authority = Authority::new();
    let mount = Mount::new(&authority.sign(2030).files());
    let start = || authority.serve_with(&mount, &["--drain-seconds", "1.5"]);
    let mut old = start();
    let endpoint = Endpoint {
        client: old.client(),
        address: Mutex::new(old.webhook),
        answered: AtomicU32::new(0),
        closes: AtomicU32::new(0),
        lost: Mutex::default(),
    };
    let done = AtomicBool::new(false);
    let at_least = |count: &AtomicU32, more: u32| {
        let before = count.load(Ordering::Relaxed);
        eventually("reviews are answered", || {
            count.load(Ordering::Relaxed) >= before + more
        });
    };
    thread::scope(|scope| {
        let _end = EndOnDrop(&done);
        // One client sends reviews without a pause. Three leave their connection idle for a while,
        // as at low load.
        for pause in [0, 3, 7, 40] {
            let (endpoint, done) = (&endpoint, &done);
            scope.spawn(move || endpoint.call_until(done, Duration::from_millis(pause)));
        }
        for _ in 0..2 {
            at_least(&endpoint.answered, 20);
            let new = start();
            old.signal("TERM");
            wait_until_not_ready(&old);
            // The endpoint is removed some time after readiness fails, so there are still new
            // connections until then.
            at_least(&endpoint.closes, 8);
            *endpoint.address.lock().unwrap() = new.webhook;
            let end = old.wait_for_end(Duration::from_millis(1500) + LAST);
            assert_eq!(end.code(), Some(0));
            at_least(&endpoint.answered, 20);
            old = new;
        }
    });
    let lost = endpoint.lost.lock().unwrap();
    assert!(lost.is_empty(), "{lost:?}");
}

#[test]
fn f5_the_ops_port_answers_until_the_end_of_the_drain() {
    let mut server = Server::start(&["--drain-seconds", "0.5"]);
    let mut kept = Plain::connect(server.ops).unwrap();
    assert_eq!(kept.get("/readyz").unwrap().status, 200);
    server.signal("TERM");
    wait_until_not_ready(&server);
    let answer = kept.get("/readyz").unwrap();
    assert_eq!((answer.status, answer.says_close()), (503, true));
    assert_eq!(answer.text(), "draining\n");
    let end = server.wait_for_end(Duration::from_millis(500) + LAST);
    assert_eq!(end.code(), Some(0));
}
