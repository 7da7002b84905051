//! A blocked stderr, with which log lines are dropped and counted but reviews are not delayed, and
//! changes of the log level at run time.

use crate::client::{Answer, Plain, request};
use crate::process::{FREE_PORTS, Server, drydock, eventually};
use crate::reviews::{RUNNER, assert_answers_runner, runner};
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::Read as _;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const DROPPED: &str = "drydock_log_lines_dropped_total";

/// Starts a server that logs to `stderr`.
fn logging_to(stderr: impl Into<Stdio>, format: &str) -> Server {
    let directory = TempDir::new().unwrap();
    let ca = directory.path().join("ca.crt");
    let mut command = drydock(&["serve", "--log-format", format, "--drain-seconds", "0"]);
    command.args(FREE_PORTS).arg("--write-ca").arg(&ca);
    let server = Server::spawn_with_stderr(command, stderr.into(), directory, &ca);
    assert_eq!(server.get("/readyz").0, 200);
    server
}

/// Sends reviews, and asserts that none is delayed.
#[track_caller]
fn review(server: &Server, times: u32) {
    let mut connection = server.connect();
    for _ in 0..times {
        let began = Instant::now();
        assert_answers_runner(&connection.review("/mutate", RUNNER).unwrap());
        let took = began.elapsed();
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
}

/// Stops a server, and asserts that the log does not delay its exit.
#[track_caller]
fn end(server: &mut Server) {
    server.signal("TERM");
    assert_eq!(server.wait_for_end(Duration::from_secs(5)).code(), Some(0));
}

/// Sends reviews, and asserts that their log lines are counted as dropped. In the text format, the
/// banner is not counted.
#[track_caller]
fn lose_every_line(mut server: Server) {
    review(&server, 20);
    server.wait_for_metric(DROPPED, 20.0);
    end(&mut server);
}

/// Returns a review whose log line has several thousand bytes.
fn with_a_long_line() -> Vec<u8> {
    let mut review = runner();
    let containers = review["request"]["object"]["spec"]["containers"].as_array_mut();
    // drydock reports a finding for each of these containers.
    containers.unwrap().extend((0..30).map(|number| {
        let name = format!("svc-{number}-{}", "u".repeat(50));
        json!({"name": name, "image": "docker:20.10.24"})
    }));
    review.to_string().into_bytes()
}

#[test]
fn log_lines_lost_to_a_full_disk_are_counted_and_reviews_are_answered() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    lose_every_line(logging_to(full, "text"));
}

#[test]
fn log_lines_without_a_reader_are_counted_and_reviews_are_answered() {
    let (reader, writer) = std::io::pipe().unwrap();
    let server = logging_to(writer, "text");
    drop(reader);
    lose_every_line(server);
}

#[test]
fn a_blocked_stderr_delays_neither_reviews_nor_shutdown() {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut server = logging_to(writer, "json");
    eventually("the pipe is full", || {
        review(&server, 10);
        server.metrics().value(DROPPED) > 0.0
    });
    review(&server, 50);
    assert!(server.metrics().value(DROPPED) >= 50.0);
    end(&mut server);
    drop(reader);
}

#[test]
fn log_lines_are_complete_after_stderr_was_blocked() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut server = logging_to(writer, "json");
    let long = with_a_long_line();
    let mut connection = server.connect();
    let mut sent = 0.0;
    eventually("the pipe is full", || {
        assert_eq!(connection.review("/mutate", &long).unwrap().status, 200);
        sent += 1.0;
        server.metrics().value(DROPPED) > 0.0
    });
    let goes_on = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    });
    review(&server, 3);
    let dropped = server.metrics().value(DROPPED);
    end(&mut server);
    let text = goes_on.join().unwrap();
    let reviews = |line: &&str| {
        let line = serde_json::from_str::<Value>(line);
        line.is_ok_and(|line| line["message"] == "review")
    };
    let whole = text.lines().filter(reviews).count();
    assert_eq!(whole as f64, sent + 3.0 - dropped);
    let is_json = |line: &str| serde_json::from_str::<Value>(line).is_ok();
    let cut = text
        .lines()
        .find(|line| line.starts_with('{') && !is_json(line));
    assert_eq!(cut, None);
}

fn put_log_level(server: &Server, level: &str) -> Answer {
    let mut ops = Plain::connect(server.ops).unwrap();
    ops.send(&request("PUT", "/log-level", &[], level.as_bytes()))
        .unwrap();
    ops.answer().unwrap()
}

const ALLOWED: [&str; 3] = ["--drain-seconds", "0", "--allow-log-level-changes"];

/// Returns the samples of the metric for levels in force.
fn levels(server: &Server) -> Vec<String> {
    let metrics = server.metrics();
    let in_force = metrics
        .beginning_with("drydock_log_level")
        .filter(|(_, value)| *value == 1.0);
    in_force.map(|(sample, _)| sample.to_owned()).collect()
}

#[test]
fn the_log_level_can_change_at_run_time_if_a_flag_allows_it() {
    let server = Server::start(&ALLOWED);
    review(&server, 1);
    assert_eq!(levels(&server), ["drydock_log_level{level=\"info\"}"]);
    let answer = put_log_level(&server, "error");
    assert_eq!((answer.status, answer.text()), (200, "error\n".to_owned()));
    assert_eq!(levels(&server), ["drydock_log_level{level=\"error\"}"]);
    review(&server, 7);
    assert_eq!(put_log_level(&server, "INFO\n").status, 200);
    review(&server, 1);
    let log = server.stop();
    let reviews = log.lines().filter(|line| line.contains("INFO review"));
    assert_eq!(reviews.count(), 2, "{log}");
}

#[test]
fn a_change_of_the_log_level_is_logged_at_every_level() {
    let mut flags = ALLOWED.to_vec();
    flags.extend(["--log-level", "off"]);
    let server = Server::start(&flags);
    let wanted = ["debug", "off", "error", "off"];
    for level in wanted {
        assert_eq!(put_log_level(&server, level).status, 200);
    }
    assert_eq!(levels(&server), ["drydock_log_level{level=\"off\"}"]);
    review(&server, 1);
    let log = server.stop();
    let changes = log
        .lines()
        .filter(|line| line.contains("log level changed"));
    let logged: Vec<&str> = changes
        .map(|line| line.rsplit("level=").next().unwrap().trim_matches('"'))
        .collect();
    assert_eq!(logged, wanted, "{log}");
    assert!(!log.contains("INFO review"), "{log}");
}

#[test]
fn without_the_flag_the_log_level_cannot_change_and_the_response_names_the_flag() {
    let server = Server::start(&["--drain-seconds", "0", "--log-level", "warn"]);
    for level in ["off", "debug", "verbose"] {
        let answer = put_log_level(&server, level);
        assert_eq!(answer.status, 403);
        assert!(answer.text().contains("--allow-log-level-changes"));
    }
    assert_eq!(levels(&server), ["drydock_log_level{level=\"warn\"}"]);
    let mut connection = server.connect();
    assert_eq!(connection.review("/mutate", b"{").unwrap().status, 400);
    let log = server.stop();
    assert!(
        log.contains("request refused"),
        "the log level changed: {log}"
    );
}

#[test]
fn an_invalid_log_level_is_refused_with_the_valid_levels() {
    let server = Server::start(&ALLOWED);
    for wrong in ["", "verbose", "info,hyper=trace", "\u{fffd}"] {
        let answer = put_log_level(&server, wrong);
        assert_eq!(answer.status, 400, "{wrong}");
        assert!(answer.text().contains("off, error, warn, info or debug"));
    }
    let answer = put_log_level(&server, &"x".repeat(100_000));
    assert_eq!(answer.status, 413, "{}", answer.text());
    let get = Plain::connect(server.ops).unwrap().get("/log-level");
    assert_eq!(get.unwrap().status, 405);
    review(&server, 1);
    let log = server.stop();
    assert!(log.contains("INFO review"), "the log level changed: {log}");
}
