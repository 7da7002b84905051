//! Policy files that change while the server runs: an invalid policy does not affect a valid one
//! (rule F3), and no edit loses an admission (rule F5).

use crate::kubelet_mount::Mount;
use crate::process::{EndOnDrop, Server, eventually};
use crate::reviews::{RUNNER, addresses, patch, patched, policy, response, runner};
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

const GOOD: &str = "drydock_reloads_total{what=\"policies\",result=\"good\"}";
const BAD: &str = "drydock_reloads_total{what=\"policies\",result=\"bad\"}";
const LOADED: &str = "drydock_policies{state=\"loaded\"}";
const REFUSED: &str = "drydock_policies{state=\"refused\"}";

/// Starts a server with policy files and a short reload interval.
fn start(files: &[&str]) -> Server {
    let mut flags = vec!["--reload-seconds", "0.02"];
    flags.extend(files.iter().flat_map(|file| ["--policy", file]));
    Server::start(&flags)
}

/// Returns the addresses that the policy in force sets for a hostname.
#[track_caller]
fn now(server: &Server, hostname: &str) -> Vec<String> {
    let answer = server.connect().review("/mutate", RUNNER).unwrap();
    addresses(&patched(&runner(), &response(&answer)), hostname)
}

/// Waits until the metrics count this number of good and bad reloads, and asserts the numbers of
/// loaded and refused policies.
#[track_caller]
fn wait(server: &Server, good: f64, bad: f64, loaded: f64, refused: f64) {
    server.wait_for_metric(GOOD, good);
    server.wait_for_metric(BAD, bad);
    let metrics = server.metrics();
    assert_eq!(
        [metrics.value(LOADED), metrics.value(REFUSED)],
        [loaded, refused]
    );
}

/// Returns an invalid policy.
fn bad(name: &str) -> String {
    policy(name, "10.0.0")
}

#[test]
fn f3_a_mounted_policy_is_reloaded_and_an_invalid_one_leaves_the_last_valid_one_in_force() {
    let mut mount = Mount::new(&[("policy.yaml", &policy("one", "10.0.0.1"))]);
    let server = start(&[&mount.text("policy.yaml")]);
    wait(&server, 0.0, 0.0, 1.0, 0.0);
    assert_eq!(now(&server, "gitlab.mylab.com"), ["10.0.0.1"]);

    mount.swap(&[("policy.yaml", &policy("one", "10.0.0.2"))]);
    wait(&server, 1.0, 0.0, 1.0, 0.0);
    assert_eq!(now(&server, "gitlab.mylab.com"), ["10.0.0.2"]);

    mount.swap(&[("policy.yaml", &bad("one"))]);
    wait(&server, 1.0, 1.0, 1.0, 1.0);
    assert_eq!(now(&server, "gitlab.mylab.com"), ["10.0.0.2"]);
    server.wait_for_words(&["policy.yaml", "spec.hostAliases[0].ip", "\"10.0.0\""]);

    mount.swap(&[("policy.yaml", &policy("one", "10.0.0.3"))]);
    wait(&server, 2.0, 1.0, 1.0, 0.0);
    assert_eq!(now(&server, "gitlab.mylab.com"), ["10.0.0.3"]);
}

#[test]
fn f3_unchanged_content_is_not_reloaded() {
    let text = policy("one", "10.0.0.1");
    let mut mount = Mount::new(&[("policy.yaml", &text), ("other.yaml", &bad("other"))]);
    let server = start(&[&mount.text("policy.yaml")]);
    for address in ["10.0.0.2", "10.0.0.3"] {
        mount.swap(&[("policy.yaml", &text), ("other.yaml", &bad("other"))]);
        mount.swap(&[
            ("policy.yaml", &policy("one", address)),
            ("other.yaml", &bad("other")),
        ]);
        eventually("the change is in force", || {
            now(&server, "gitlab.mylab.com") == [address]
        });
    }
    assert!(server.metrics().value(GOOD) <= 4.0);
    assert!(server.metrics().value(BAD) < 1.0);
}

#[test]
fn f3_an_invalid_policy_does_not_affect_a_valid_one_in_the_same_file() {
    let two = |one: &str, two: &str| format!("{one}---\n{two}");
    let other = |address| policy("other", address).replace("gitlab.mylab", "other.mylab");
    let mut mount = Mount::new(&[(
        "policy.yaml",
        &two(&policy("one", "10.0.0.1"), &other("10.0.0.1")),
    )]);
    let server = start(&[&mount.text("policy.yaml")]);

    // The valid policy changes. The last valid version of the invalid one stays in force.
    mount.swap(&[(
        "policy.yaml",
        &two(&policy("one", "10.0.0.2"), &other("10.0.0")),
    )]);
    wait(&server, 0.0, 1.0, 2.0, 1.0);
    assert_eq!(now(&server, "gitlab.mylab.com"), ["10.0.0.2"]);
    assert_eq!(now(&server, "other.mylab.com"), ["10.0.0.1"]);

    // A policy that is removed from a file is no longer in force, even if the file has an invalid
    // policy.
    mount.swap(&[("policy.yaml", &two(&bad("new"), &other("10.0.0.3")))]);
    wait(&server, 0.0, 2.0, 1.0, 1.0);
    assert_eq!(now(&server, "gitlab.mylab.com"), ["10.0.0.216"]);
    assert_eq!(now(&server, "other.mylab.com"), ["10.0.0.3"]);
}

#[test]
fn f3_the_server_starts_with_an_invalid_policy_beside_a_valid_one() {
    let text = format!("{}---\n{}", bad("bad"), policy("one", "10.0.0.1"));
    let mount = Mount::new(&[("policy.yaml", &text)]);
    let server = start(&[&mount.text("policy.yaml")]);
    wait(&server, 0.0, 0.0, 1.0, 1.0);
    assert_eq!(now(&server, "gitlab.mylab.com"), ["10.0.0.1"]);
    server.wait_for_words(&["spec.hostAliases[0].ip"]);
}

#[test]
fn f3_an_invalid_file_does_not_affect_another_file() {
    let other = policy("other", "10.0.0.5").replace("gitlab.mylab", "other.mylab");
    let mut mount = Mount::new(&[
        ("one.yaml", &policy("one", "10.0.0.1")),
        ("two.yaml", &other),
    ]);
    let server = start(&[&mount.text("one.yaml"), &mount.text("two.yaml")]);
    let other = other.replace("10.0.0.5", "10.0.0.6");
    mount.swap(&[("one.yaml", "{"), ("two.yaml", &other)]);
    wait(&server, 1.0, 1.0, 2.0, 1.0);
    assert_eq!(now(&server, "gitlab.mylab.com"), ["10.0.0.1"]);
    assert_eq!(now(&server, "other.mylab.com"), ["10.0.0.6"]);
}

#[test]
fn f3_an_unreadable_file_keeps_its_last_valid_policies() {
    for nothing in [
        "",
        "# all of it commented out\n",
        "{",
        "\u{0}\u{1}",
        "just a text\n",
        "metadata: {name: one}\n",
        "kind: JobPodPolicies\nmetadata: {name: one}\n",
        "kind: JobPodPolicy\nmetadata: {}\n",
        "- kind: JobPodPolicy\n",
    ] {
        let mut mount = Mount::new(&[("policy.yaml", &policy("one", "10.0.0.1"))]);
        let server = start(&[&mount.text("policy.yaml")]);
        mount.swap(&[("policy.yaml", nothing)]);
        server.wait_for_metric(BAD, 1.0);
        assert_eq!(
            now(&server, "gitlab.mylab.com"),
            ["10.0.0.1"],
            "{nothing:?}"
        );
        wait(&server, 0.0, 1.0, 1.0, 1.0);
    }
}

#[test]
fn f3_a_deleted_file_keeps_its_last_valid_policies_until_it_exists_again() {
    let mut mount = Mount::new(&[("policy.yaml", &policy("one", "10.0.0.1"))]);
    let server = start(&[&mount.text("policy.yaml")]);
    fs::remove_file(mount.path("..data")).unwrap();
    server.wait_for_metric(BAD, 1.0);
    assert_eq!(now(&server, "gitlab.mylab.com"), ["10.0.0.1"]);
    server.wait_for_words(&["policy.yaml cannot be read"]);
    mount.swap(&[("policy.yaml", &policy("one", "10.0.0.2"))]);
    wait(&server, 1.0, 1.0, 1.0, 0.0);
    assert_eq!(now(&server, "gitlab.mylab.com"), ["10.0.0.2"]);
}

#[test]
fn an_empty_list_of_policies_is_valid_and_changes_nothing() {
    let mut mount = Mount::new(&[("policy.yaml", &policy("one", "10.0.0.1"))]);
    let server = start(&[&mount.text("policy.yaml")]);
    mount.swap(&[("policy.yaml", "kind: List\napiVersion: v1\nitems: []\n")]);
    wait(&server, 1.0, 0.0, 0.0, 0.0);
    let response = response(&server.connect().review("/mutate", RUNNER).unwrap());
    assert_eq!(patch(&response), None);
    assert_eq!(response["auditAnnotations"]["reason"], "no-policy");
}

#[test]
fn f5_policy_edits_under_load_lose_no_admission() {
    let mut mount = Mount::new(&[("policy.yaml", &policy("one", "10.0.0.1"))]);
    let server = start(&[&mount.text("policy.yaml")]);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut connection = server.connect();
            while !done.load(Ordering::Relaxed) {
                let answer = connection.review("/mutate", RUNNER).unwrap();
                let pod = patched(&runner(), &response(&answer));
                let addresses = addresses(&pod, "gitlab.mylab.com");
                assert_eq!(addresses.len(), 1);
                assert!(["10.0.0.1", "10.0.0.2"].contains(&addresses[0].as_str()));
            }
        });
        let _end = EndOnDrop(&done);
        for edit in 0..20_u32 {
            let text = match edit % 4 {
                0 => policy("one", "10.0.0.2"),
                2 => policy("one", "10.0.0.1"),
                _ => bad("one"),
            };
            mount.swap(&[("policy.yaml", &text)]);
            let edits = f64::from(edit + 1);
            eventually("the edit is loaded", || {
                let metrics = server.metrics();
                load.is_finished() || metrics.value(GOOD) + metrics.value(BAD) == edits
            });
        }
    });
}
