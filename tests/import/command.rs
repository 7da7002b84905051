//! The command `drydock import`: its streams and exit codes, and `drydock check` of its policies.

use assert_cmd::Command;
use assert_cmd::cargo::cargo_bin_cmd;
use std::path::{Path, PathBuf};

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/config")
        .join(path)
}

fn drydock() -> Command {
    cargo_bin_cmd!("drydock")
}

struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn ran(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn policies_are_printed_to_stdout_and_check_accepts_them() {
    for report in ["text", "md", "json"] {
        let it = ran(drydock()
            .arg("import")
            .arg(fixture("15-three-runners-conflict/config.toml"))
            .args(["--report", report]));
        assert_eq!(it.code, Some(0), "{}", it.stderr);
        assert!(it.stderr.contains("registry.corp.example"), "{}", it.stderr);
        let check = ran(drydock()
            .args(["check", "-"])
            .write_stdin(it.stdout.clone()));
        assert_eq!(
            (check.code, check.stdout.contains("error")),
            (Some(0), false),
            "{}{}",
            check.stdout,
            it.stdout
        );
    }
}

#[test]
fn stdin_and_several_files_are_read() {
    let values = std::fs::read(fixture("01-helm-manager-aliases/values.yaml")).unwrap();
    let it = ran(drydock()
        .args(["import", "-"])
        .arg(fixture("06-remote-daemon-certs/config.toml"))
        .write_stdin(values));
    assert_eq!(it.code, Some(0), "{}", it.stderr);
    assert!(
        it.stderr.contains("-:20-22") && it.stderr.contains("config.toml:12-19"),
        "{}",
        it.stderr
    );
}

#[test]
fn nothing_to_import_is_a_success_with_a_message() {
    let it = ran(drydock()
        .arg("import")
        .arg(fixture("23-misspelt-keys/config.toml")));
    assert_eq!((it.code, it.stdout.as_str()), (Some(0), ""));
    assert!(it.stderr.contains("nothing to import"), "{}", it.stderr);
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_without_output() {
    let good = fixture("06-remote-daemon-certs/config.toml");
    let folder = fixture("06-remote-daemon-certs");
    for (path, words) in [
        (folder.clone(), "is a directory"),
        (folder.join("missing.toml"), "cannot be opened"),
        (fixture("45-bad-empty/config.toml"), "is empty"),
    ] {
        let it = ran(drydock().arg("import").args([&good, &path]));
        assert_eq!(
            (it.code, it.stdout.as_str()),
            (Some(2), ""),
            "{}",
            it.stderr
        );
        assert!(it.stderr.contains(words), "{}", it.stderr);
    }
    let it = ran(drydock().args(["import", "-", "-"]).write_stdin(""));
    assert_eq!(it.code, Some(2));
    assert!(it.stderr.contains("twice"), "{}", it.stderr);
}

#[test]
fn from_cluster_without_a_kubeconfig_is_an_error() {
    let it = ran(drydock()
        .args(["import", "--from-cluster"])
        .env("KUBECONFIG", "/nonexistent")
        .env("HOME", "/nonexistent"));
    assert_eq!((it.code, it.stdout.as_str()), (Some(2), ""));
    assert!(it.stderr.contains("KUBECONFIG"), "{}", it.stderr);
}
