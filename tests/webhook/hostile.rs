//! Hostile reviews sent to the real server: each gets a response, and so does the next valid review
//! (rules F2, F6).

use crate::bounds::{self, AT_BOUNDS};
use crate::cgroup::Cgroup;
use crate::hostile_reviews::{SHAPES, long_name};
use crate::metrics::failed;
use crate::process::Server;
use crate::refusals::assert_is_for_a_jobs_author;
use crate::reviews::{RUNNER, assert_answers_runner, patch, response};
use std::thread;
use tempfile::TempDir;

/// Larger than the reviews that are processed on the connection's thread.
const MODERATE: usize = 400 << 10;

/// The largest body that drydock accepts, in bytes.
const LARGEST: usize = 8 << 20;

/// The largest response: the largest patch as base64, and some notes.
const MOST_OF_AN_ANSWER: usize = (2 << 20) / 3 * 4 + (64 << 10);

/// The memory limit of the Deployment, without the memory for watches of a large cluster.
const MEMORY: usize = (128 - 16) << 20;

#[test]
fn f6_every_hostile_review_and_the_next_valid_review_get_a_response() {
    let server = Server::start(&[]);
    for shape in &SHAPES {
        let body = shape.of_size(MODERATE);
        let mut connection = server.connect();
        let answer = connection.review("/mutate", &body).unwrap();
        println!("{}: {}", shape.name, answer.status);
        if answer.status != 200 {
            assert_eq!(answer.status, 422, "{}: {}", shape.name, answer.text());
            assert_is_for_a_jobs_author(&answer);
        }
        assert_answers_runner(&connection.review("/mutate", RUNNER).unwrap());
        assert_eq!(server.get("/livez").0, 200);
    }
}

#[test]
fn f6_each_review_at_the_bounds_and_the_next_valid_review_get_a_response() {
    let directory = TempDir::new().unwrap();
    for shape in &AT_BOUNDS {
        let server = Server::start(&["--policy", &write_policy(&directory, shape.policy)]);
        let body = (shape.review)();
        let answer = server.connect().review("/mutate", &body).unwrap();
        let (name, sent, came) = (shape.name, body.len(), answer.body.len());
        println!("{name}: {sent} bytes, {} with {came} bytes", answer.status);
        if shape.has_patch {
            assert!(patch(&response(&answer)).is_some(), "{name}");
        } else {
            assert_eq!(answer.status, 422, "{name}");
            assert_is_for_a_jobs_author(&answer);
            assert_eq!(server.metrics().value(&failed("patch-size")), 1.0);
        }
        assert!(came <= MOST_OF_AN_ANSWER, "{name}: {came} bytes");
        let good = server.connect().review("/mutate", RUNNER).unwrap();
        assert!(patch(&response(&good)).is_some());
    }
}

/// Writes a policy to a file.
fn write_policy(directory: &TempDir, policy: fn() -> String) -> String {
    let path = directory.path().join("policy.json");
    std::fs::write(&path, policy()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn f6_four_concurrent_largest_reviews_stay_within_the_deployments_memory() {
    let cgroup = match Cgroup::with_memory("hostile", MEMORY) {
        Ok(cgroup) => cgroup,
        Err(problem) => {
            println!("skipped: cannot create a cgroup: {problem}");
            return;
        }
    };
    let policies = TempDir::new().unwrap();
    let policy = write_policy(&policies, bounds::policy);
    let mut server = Server::start_in(&cgroup, &["--log-level", "error", "--policy", &policy]);
    let shapes = SHAPES.iter().map(|shape| shape.of_size(LARGEST));
    let at_bounds = AT_BOUNDS.iter().map(|shape| (shape.review)());
    for body in shapes.chain([long_name(LARGEST)]).chain(at_bounds) {
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    // A client that is evicted while it sends may not get the response.
                    let _ = server.connect().review("/mutate", &body);
                });
            }
        });
        let good = server.connect().review("/mutate", RUNNER).unwrap();
        assert!(patch(&response(&good)).is_some());
    }
    println!(
        "peak resident memory: {} KiB ({cgroup})",
        server.most_resident()
    );
    assert!(server.is_running());
    drop(server);
}
