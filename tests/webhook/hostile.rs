//! Hostile reviews through the real server: each is answered, and so is the next good one (F2, F6).

use crate::cgroup::Cgroup;
use crate::process::{FREE_PORTS, Server, drydock};
use crate::refusals::assert_is_for_a_jobs_author;
use crate::reviews::{RUNNER, assert_answers_runner};
use crate::shapes::{SHAPES, long_name};
use std::process::Command;
use std::thread;
use tempfile::TempDir;

/// More than what is judged beside the connections.
const MODERATE: usize = 400 << 10;

/// As large as a body may be.
const LARGEST: usize = 8 << 20;

/// The limit of the Deployment, less what the watches of a large cluster hold.
const MEMORY: usize = (128 - 16) << 20;

#[test]
fn f6_every_hostile_shape_is_answered_and_so_is_the_next_good_review() {
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

/// Starts a server in a cgroup from its first instruction on.
fn in_cgroup(cgroup: &Cgroup) -> Server {
    let directory = TempDir::new().unwrap();
    let ca = directory.path().join("ca.crt");
    let serve = drydock(&["serve"]);
    let mut command = Command::new("sh");
    let script = format!(
        "echo $$ > '{}' && exec \"$@\"",
        cgroup.processes().display()
    );
    command.args(["-c", &script, "sh"]).arg(serve.get_program());
    command.args(serve.get_args()).args(FREE_PORTS);
    command
        .args(["--log-level", "error", "--write-ca"])
        .arg(&ca);
    Server::spawn(command, directory, ca)
}

#[test]
fn f6_four_of_the_largest_side_by_side_stay_within_the_deployments_memory() {
    let cgroup = match Cgroup::with_memory("hostile", MEMORY) {
        Ok(cgroup) => cgroup,
        Err(problem) => {
            println!("skipped, no cgroup can be made: {problem}");
            return;
        }
    };
    let mut server = in_cgroup(&cgroup);
    let shapes = SHAPES.iter().map(|shape| shape.of_size(LARGEST));
    for body in shapes.chain([long_name(LARGEST)]) {
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    // One that is evicted while it sends may not see why.
                    let _ = server.connect().review("/mutate", &body);
                });
            }
        });
        assert_answers_runner(&server.connect().review("/mutate", RUNNER).unwrap());
    }
    println!("most resident: {} KiB ({cgroup})", server.most_resident());
    assert!(server.is_running());
    drop(server);
}
