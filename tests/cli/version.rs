//! `drydock version` without a cluster, and drydock as a plugin of kubectl. With a cluster:
//! `tests/cluster/doctor.rs`.

use super::sandbox::Sandbox;
use assert_cmd::cargo::cargo_bin;
use std::process::Command;

#[test]
fn the_version_of_the_program_needs_no_cluster() {
    let ran = Sandbox::new().run("version --client").succeeded();
    assert_eq!(
        ran.stdout,
        format!("client:     {}\n", env!("CARGO_PKG_VERSION"))
    );
    let ran = Sandbox::new().run("version --kubeconfig gone");
    assert_eq!(ran.code, 2, "{ran}");
    assert!(
        ran.stdout.starts_with("client: ") && ran.stderr.contains("--kubeconfig gone"),
        "{ran}"
    );
}

/// Runs the binary through a symbolic link with this name.
fn by_link(name: &str, arguments: &[&str]) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join(name);
    std::os::unix::fs::symlink(cargo_bin!("drydock"), &link).unwrap();
    let output = Command::new(link).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

#[test]
fn a_link_named_kubectl_drydock_is_a_plugin_of_kubectl() {
    let (help, _) = by_link("kubectl-drydock", &["check", "--help"]);
    assert!(help.contains("Usage: kubectl drydock check"), "{help}");
    let (completions, _) = by_link("kubectl_complete-drydock", &["doctor", "--time"]);
    assert_eq!(completions, "--time-limit\n:4\n");
}
