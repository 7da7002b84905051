//! `--help`, `--version`, and arguments that clap rejects.

use super::sandbox::Sandbox;
use drydock::telemetry::metrics::{COMMIT, Metrics};
use rstest::rstest;

#[rstest]
#[case::of_the_program("--help")]
#[case::of_mutate("mutate --help")]
#[case::of_check("check --help")]
#[case::of_test("test --help")]
#[case::of_doctor("doctor --help")]
#[case::of_version("version --help")]
#[case::of_print("print --help")]
#[case::of_rules("rules --help")]
#[case::of_certs("certs --help")]
fn help_fits_a_screen(#[case] args: &str) {
    let ran = Sandbox::new().run(args).succeeded();
    assert!(ran.stdout.lines().count() <= 50, "{ran}");
    insta::assert_snapshot!(args.replace(" --", "_").replace("--", ""), ran);
}

#[test]
fn help_of_serve_names_the_variable_of_each_flag() {
    let help = Sandbox::new().run("serve --help").succeeded().stdout;
    assert!(
        help.contains("Without flags, it uses the built-in sample policy"),
        "{help}"
    );
    // Counts all flags except --help.
    let flags = help
        .lines()
        .filter(|line| line.starts_with("      --"))
        .count();
    assert!(flags > 10, "{help}");
    assert_eq!(help.matches("[env: DRYDOCK_").count(), flags, "{help}");
}

/// Without a terminal, clap takes the width from `COLUMNS`.
#[rstest]
#[case::of_the_program("--help")]
#[case::of_serve("serve --help")]
#[case::of_mutate("mutate --help")]
#[case::of_doctor("doctor --help")]
#[case::of_check("check --help")]
#[case::of_rules("rules")]
#[case::of_a_rule("rules D7 F6")]
fn help_wraps_to_the_terminal(#[case] args: &str) {
    let output = assert_cmd::cargo::cargo_bin_cmd!("drydock")
        .args(args.split(' '))
        .env("COLUMNS", "80")
        .output()
        .unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    // A URL cannot be wrapped.
    let mut lines = help.lines().filter(|line| !line.contains("https://"));
    let too_long = lines.find(|line| line.chars().count() > 80);
    assert_eq!(too_long, None, "{help}");
}

#[test]
fn version_prints_package_version_and_commit() {
    let ran = Sandbox::new().run("--version").succeeded();
    let (version, commit) = (env!("CARGO_PKG_VERSION"), COMMIT);
    assert_eq!(ran.stdout, format!("drydock {version} (commit {commit})\n"));
    let build = Metrics::new().encode();
    let sample = format!("drydock_build_info{{version=\"{version}\",commit=\"{commit}\"}} 1");
    assert!(build.lines().any(|line| line == sample), "{build}");
}

#[rstest]
#[case::nothing("", "Usage: drydock <COMMAND>")]
#[case::command("deploy", "unrecognized subcommand 'deploy'")]
#[case::flag("--verbose", "unexpected argument '--verbose'")]
#[case::flag_of_mutate("mutate -f pod.yaml --force", "unexpected argument '--force'")]
#[case::flag_of_check("check --strict aliases.yaml", "unexpected argument '--strict'")]
#[case::flag_of_print("print crd --json", "unexpected argument '--json'")]
#[case::flag_of_rules("rules --json", "unexpected argument '--json'")]
#[case::flag_of_certs("certs --days 5", "unexpected argument '--days'")]
#[case::flag_of_serve("serve --port 5", "unexpected argument '--port'")]
#[case::no_file("mutate", "--filename <FILE>")]
#[case::no_policy("check", "<FILE>...")]
#[case::file_without_flag("mutate pod.yaml", "unexpected argument 'pod.yaml'")]
fn an_unknown_argument_exits_2_with_an_error_on_stderr(#[case] args: &str, #[case] message: &str) {
    let ran = Sandbox::new().run(args);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran}");
    assert!(ran.stderr.contains(message), "{ran}");
}
