//! The start of the server: invalid flags are refused with the reason, and the banner is correct.

use crate::client::Answer;
use crate::kubelet_mount::Mount;
use crate::output_lines::Lines;
use crate::process::{FREE_PORTS, Server, drydock, run};
use crate::reviews::{addresses, assert_repaired, patched, policy, runner};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Runs `drydock serve` with invalid flags, and asserts that it exits with code 2 and that its
/// output contains these words.
#[track_caller]
pub(crate) fn refused(flags: &[&str], words: &[&str]) {
    let mut command = drydock(&["serve"]);
    if !flags.contains(&"--listen") {
        command.args(&FREE_PORTS[..2]);
    }
    command.args(&FREE_PORTS[2..]).args(flags);
    let (code, log) = run(command);
    assert_eq!(code, Some(2), "{flags:?}: {log}");
    for word in words {
        assert!(log.contains(word), "{word:?} in {log}");
    }
    assert!(!log.contains("panicked"), "{log}");
    assert!(!log.contains("curl "), "the banner was printed: {log}");
}

#[test]
fn a_certificate_without_key_or_a_key_without_certificate_is_refused() {
    refused(&["--tls-cert-file", "tls.crt"], &["--tls-key-file"]);
    refused(&["--tls-key-file", "tls.key"], &["--tls-cert-file"]);
}

#[test]
fn unusable_certificate_files_are_refused_by_name() {
    let pair = crate::certificates::Authority::new().sign(2030);
    let other = crate::certificates::Authority::new().sign(2030);
    let mount = Mount::new(&[
        ("tls.crt", &pair.certificate),
        ("tls.key", &pair.key),
        ("other.key", &other.key),
        ("empty", ""),
    ]);
    let refused = |certificate: &str, key: &str, words: &[&str]| {
        let (certificate, key) = (mount.text(certificate), mount.text(key));
        let flags = ["--tls-cert-file", &certificate, "--tls-key-file", &key];
        refused(&flags, words);
    };
    refused("tls.crt", "other.key", &["tls.crt", "together"]);
    refused("empty", "tls.key", &["empty", "BEGIN CERTIFICATE"]);
    refused("tls.crt", "empty", &["empty", "PRIVATE KEY"]);
    refused("tls.crt", "missing", &["missing", "cannot be read"]);
}

#[test]
fn write_ca_is_refused_with_certificate_files_or_without_a_directory() {
    let files = ["--tls-cert-file", "a", "--tls-key-file", "b"];
    refused(
        &[&files[..], &["--write-ca", "ca.crt"]].concat(),
        &["--write-ca"],
    );
    refused(
        &["--write-ca", "/nowhere/at/all/ca.crt"],
        &["--write-ca", "/nowhere/at/all/ca.crt"],
    );
}

#[test]
fn f3_a_policy_file_that_cannot_be_read_is_refused_by_name() {
    refused(
        &["--policy", "/nowhere/policy.yaml"],
        &["--policy", "/nowhere/policy.yaml", "cannot be read"],
    );
}

#[test]
fn f3_files_with_only_invalid_policies_are_refused_with_every_file_field_and_value() {
    let mount = Mount::new(&[
        ("one.yaml", &policy("one", "10.0.0")),
        (
            "two.yaml",
            &policy("two", "127.0.0.1").replace("gitlab.mylab.com", "git_lab"),
        ),
        ("three.yaml", ""),
        ("good.yaml", &policy("good", "10.0.0.1")),
    ]);
    let paths = ["one.yaml", "two.yaml", "three.yaml", "good.yaml"].map(|name| mount.text(name));
    let flags: Vec<&str> = paths.iter().flat_map(|path| ["--policy", path]).collect();
    let words = [
        "one.yaml",
        "\"one\"",
        "spec.hostAliases[0].ip",
        "\"10.0.0\"",
        "two.yaml",
        "\"two\"",
        "127.0.0.1",
        "spec.hostAliases[0].hostnames[0]",
        "\"git_lab\"",
        "three.yaml",
    ];
    refused(&flags, &words);
}

#[test]
fn a_port_in_use_is_refused_with_its_flag() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    refused(&["--listen", &address], &["--listen", &address, "in use"]);
    let mut command = drydock(&["serve", "--ops-listen", &address]);
    command.args(&FREE_PORTS[..2]);
    let (code, log) = run(command);
    assert_eq!(code, Some(2), "{log}");
    assert!(log.contains("--ops-listen") && log.contains(&address));
}

#[test]
fn invalid_values_are_refused_with_their_flag() {
    for (flag, value) in [
        ("--listen", "nonsense"),
        ("--listen", "127.0.0.1"),
        ("--header-seconds", "0"),
        ("--body-seconds", "soon"),
        ("--handshake-seconds", "NaN"),
        ("--idle-seconds", "inf"),
        ("--drain-seconds", "90000"),
        ("--reload-seconds", "0"),
        ("--max-connections", "0"),
        ("--max-body-bytes", "8Mi"),
        ("--max-body-memory-bytes", "0"),
        ("--worker-threads", "0"),
        ("--log-format", "xml"),
        ("--log-level", "loud"),
    ] {
        refused(&[flag, value], &[flag, value]);
    }
    refused(&["--drain-seconds=-1"], &["--drain-seconds", "-1"]);
    let (one, all) = ("--max-body-bytes", "--max-body-memory-bytes");
    refused(&[one, "2000", all, "1000"], &[one, "2000", all, "1000"]);
    refused(&["--polcy", "x"], &["--polcy", "--policy"]);
}

#[test]
fn an_invalid_address_is_refused_with_the_valid_form() {
    for (value, right) in [
        ("8443", "127.0.0.1:8443 for this machine only, or [::]:8443"),
        (
            ":8443",
            "127.0.0.1:8443 for this machine only, or [::]:8443",
        ),
        (
            "localhost:8443",
            "hostnames are not resolved; use 127.0.0.1:8443",
        ),
        ("*:8443", "use [::]:8443"),
        (
            "127.0.0.1",
            "the port is missing; use an address with a port, such as 127.0.0.1:8443",
        ),
        (
            "::1",
            "the port is missing; use an address with a port, such as [::1]:8443",
        ),
        (
            "webhook",
            "use an IP address and a port, such as 127.0.0.1:8443",
        ),
        ("127.0.0.1:99999", "use an IP address and a port"),
    ] {
        refused(&["--listen", value], &["--listen", value, right]);
    }
    let (code, log) = run(drydock(&["serve", "--ops-listen", "9090"]));
    assert_eq!(code, Some(2), "{log}");
    assert!(log.contains("127.0.0.1:9090 for this machine"), "{log}");
}

#[test]
fn an_encrypted_key_is_refused_with_the_command_to_decrypt_it() {
    let pair = crate::certificates::Authority::new().sign(2030);
    let pem = |kind: &str, header: &str| {
        format!("-----BEGIN {kind} KEY-----\n{header}AAAA\n-----END {kind} KEY-----\n")
    };
    for key in [
        pem("ENCRYPTED PRIVATE", ""),
        pem("EC PRIVATE", "Proc-Type: 4,ENCRYPTED\n\n"),
    ] {
        let mount = Mount::new(&[("tls.crt", &pair.certificate), ("tls.key", &key)]);
        let (certificate, key) = (mount.text("tls.crt"), mount.text("tls.key"));
        let flags = ["--tls-cert-file", &certificate, "--tls-key-file", &key];
        refused(
            &flags,
            &["--tls-key-file", "tls.key", "encrypted", "openssl pkey"],
        );
    }
}

#[test]
fn the_kubeconfig_flags_need_the_flag_cluster() {
    for flag in ["--kubeconfig", "--context"] {
        refused(&[flag, "x"], &[flag, "--cluster"]);
    }
    refused(
        &["--cluster", "--kubeconfig", "/nowhere/config"],
        &["--cluster", "/nowhere/config", "cannot be read"],
    );
}

/// The user must notice when the server uses a production cluster.
#[test]
fn the_banner_names_the_api_server_the_context_and_the_user() {
    let kubeconfig = "
apiVersion: v1
kind: Config
current-context: lab
clusters: [{name: c, cluster: {server: 'http://127.0.0.1:9'}}]
users: [{name: admin, user: {token: t}}]
contexts:
- {name: lab, context: {cluster: c, user: nobody}}
- {name: prod, context: {cluster: c, user: admin}}
";
    let mount = Mount::new(&[("config", kubeconfig)]);
    let config = mount.text("config");
    let mut command = drydock(&["serve", "--cluster", "--kubeconfig", &config]);
    command.args(["--context", "prod"]).args(FREE_PORTS);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let lines = Lines::of(child.stderr.take().unwrap());
    let named = "policies in force: the JobPodPolicy objects of http://127.0.0.1:9 (context prod), read as user admin";
    let banner = lines.wait_for("the banner", |lines| lines.iter().any(|line| line == named));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(banner.is_some(), "{}", lines.text());
}

#[test]
fn the_banner_obeys_log_format_and_log_level() {
    let server = Server::start(&["--log-level", "warn"]);
    assert_eq!(server.get("/readyz").0, 200);
    assert_eq!(server.stop(), "");

    let server = Server::start(&["--log-format", "json"]);
    let log = server.stop();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line is not JSON"))
        .collect();
    let first = &lines[0];
    let message = first["message"].as_str().unwrap();
    assert!(
        message.contains("answers AdmissionReviews at https://"),
        "{log}"
    );
    assert_eq!(first["policies"], "\"gitlab\" (built-in sample policy)");
    assert!(
        first["curl"].as_str().unwrap().starts_with("curl -sS"),
        "{log}"
    );
}

#[test]
fn every_flag_of_serve_has_an_environment_variable_of_its_name() {
    let output = drydock(&["serve", "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let flags: Vec<&str> = help
        .split_whitespace()
        .filter(|word| word.starts_with("--") && word.len() > 2 && *word != "--help")
        .map(|word| word.trim_end_matches(|c: char| !c.is_alphanumeric()))
        .collect();
    assert!(flags.len() > 15, "{help}");
    // The help text is wrapped, so line breaks are replaced by spaces.
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for flag in flags {
        if flag == "--cacert" {
            continue;
        }
        let name = flag.trim_start_matches('-').replace('-', "_");
        let variable = format!("[env: DRYDOCK_{}=", name.to_uppercase());
        assert!(help.contains(&variable), "{variable} in {help}");
    }
}

#[test]
fn a_server_can_be_configured_by_environment_variables_alone() {
    let directory = TempDir::new().unwrap();
    let ca = directory.path().join("ca.crt");
    let one = policy("one", "10.0.0.1");
    let two = policy("two", "10.0.0.2").replace("gitlab.mylab", "other.mylab");
    let mount = Mount::new(&[("one.yaml", &one), ("two.yaml", &two)]);
    let policies = [mount.text("one.yaml"), mount.text("two.yaml")].join(",");
    let mut command = drydock(&["serve"]);
    let variables = BTreeMap::from([
        ("DRYDOCK_LISTEN", "127.0.0.1:0"),
        ("DRYDOCK_OPS_LISTEN", "127.0.0.1:0"),
        ("DRYDOCK_POLICY", policies.as_str()),
        ("DRYDOCK_WRITE_CA", ca.to_str().unwrap()),
        ("DRYDOCK_OWN_NAMESPACE", "ship-repair"),
        ("DRYDOCK_DRAIN_SECONDS", "0"),
        ("DRYDOCK_MAX_BODY_BYTES", "100000"),
        ("DRYDOCK_LOG_FORMAT", "json"),
        ("DRYDOCK_LOG_LEVEL", "info"),
    ]);
    command.envs(variables);
    let server = Server::spawn(command, directory, &ca);
    let mut connection = server.connect();
    let body = runner().to_string();
    let answer = connection.review("/mutate", body.as_bytes()).unwrap();
    let pod = patched(&runner(), &crate::reviews::response(&answer));
    assert_eq!(addresses(&pod, "gitlab.mylab.com"), ["10.0.0.1"]);
    assert_eq!(addresses(&pod, "other.mylab.com"), ["10.0.0.2"]);
    let announced = [crate::client::JSON, ("Content-Length", "100001")];
    let head = crate::client::request("POST", "/mutate", &announced, b"");
    connection.send(&head).unwrap();
    assert_eq!(connection.answer().unwrap().status, 413);
    let mut review = runner();
    review["request"]["namespace"] = "ship-repair".into();
    let body = review.to_string();
    let answer = server.connect().review("/mutate", body.as_bytes()).unwrap();
    let annotations = &crate::reviews::response(&answer)["auditAnnotations"];
    assert_eq!(annotations["reason"], "excluded-namespace");
    let log = server.stop();
    let line = log.lines().find(|line| line.contains("ship-repair"));
    let line: Value = serde_json::from_str(line.unwrap()).expect("a log line is not JSON");
    assert_eq!(line["outcome"], "skipped");
}

/// Runs the `curl` command of the banner in a shell, and returns the pod with the patch of the
/// response.
#[track_caller]
fn pod_of_curl_line(server: &Server) -> Value {
    let curl = Command::new("curl").arg("--version").output();
    assert!(
        curl.is_ok(),
        "this test runs the curl command of the banner; install curl"
    );
    let line = server.curl_line();
    let output = Command::new("sh").args(["-c", &line]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {stderr}");
    let mut review: Value = serde_json::from_slice(&output.stdout).unwrap();
    patched(&runner(), &review["response"].take())
}

#[test]
fn the_curl_command_of_the_banner_returns_a_patch() {
    let server = Server::start(&[]);
    assert_repaired(&pod_of_curl_line(&server));
    server.wait_for_words(&["built-in sample policy", "/audit", "http://127.0.0.1:"]);
}

#[test]
fn the_curl_command_works_with_spaces_in_paths_all_listen_addresses_and_certificate_files() {
    let odd = TempDir::with_prefix("it's $HOME; \"odd\" ").unwrap();
    let ca = odd.path().join("c a.crt");
    let mut command = drydock(&["serve", "--listen", "0.0.0.0:0"]);
    command.args(&FREE_PORTS[2..]).arg("--write-ca").arg(&ca);
    let server = Server::spawn(command, odd, &ca);
    assert_repaired(&pod_of_curl_line(&server));

    let authority = crate::certificates::Authority::new();
    let mount = Mount::new(&authority.sign(2030).files());
    let server = authority.serve_with(&mount, &[]);
    assert_repaired(&pod_of_curl_line(&server));
}

#[test]
fn the_ops_port_serves_only_health_metrics_and_log_level() {
    let server = Server::start(&[]);
    assert_eq!(server.get("/livez"), (200, "ok\n".to_owned()));
    assert_eq!(server.get("/readyz"), (200, "ok\n".to_owned()));
    assert_eq!(server.get("/mutate").0, 404);
    let mut ops = crate::client::Plain::connect(server.ops).unwrap();
    let answer: Answer = ops.review("/mutate", b"{}").unwrap();
    assert_eq!(answer.status, 404);
    let metrics = ops.get("/metrics").unwrap();
    let content_type = metrics.header("content-type").unwrap();
    assert!(content_type.starts_with("text/plain; version=0.0.4"));
    let declared = "\n# TYPE drydock_reviews_total counter\n";
    assert!(metrics.text().contains(declared), "{}", metrics.text());
    let accept = [("Accept", "text/html, application/openmetrics-text;q=0.5")];
    let scrape = crate::client::request("GET", "/metrics", &accept, b"");
    ops.send(&scrape).unwrap();
    let metrics = ops.answer().unwrap();
    let content_type = metrics.header("content-type").unwrap();
    assert!(content_type.starts_with("application/openmetrics-text"));
}
