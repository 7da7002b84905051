//! The output contains no value that may not be printed, in any format and for any file.

use crate::imported::{Imported, imported};
use proptest::prelude::*;
use std::fs;
use std::path::PathBuf;

/// Keys whose values may be printed, or whose change would change how the file is read.
const PRINTED: [&str; 30] = [
    "ip",
    "hostnames",
    "hostname",
    "name",
    "alias",
    "mount_path",
    "host_path",
    "sub_path",
    "image",
    "namespace",
    "certssecretname",
    "kind",
    "apiversion",
    "executor",
    "size_limit",
    "medium",
    "patch_type",
    "secretname",
    "mountpath",
    "host",
    "hostaliases",
    "key",
    "effect",
    "service_account",
    "app",
    "operator",
    "hostnames = [",
    "imagepullpolicy",
    "helper_image",
    "pull_policy",
];

fn fixtures() -> Vec<(String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/config");
    let files = fs::read_dir(folder)
        .unwrap()
        .filter_map(|case| fs::read_dir(case.unwrap().path()).ok())
        .flatten();
    let files = files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end != "md"));
    let mut read: Vec<(String, String)> = files
        .map(|path| {
            (
                path.file_name().unwrap().to_str().unwrap().to_owned(),
                fs::read_to_string(path).unwrap(),
            )
        })
        .collect();
    read.sort();
    assert!(read.len() > 20, "the cases are not found");
    read
}

/// Appends a secret to every comment and to every string that may not be printed. Returns the text,
/// and the number of changes.
fn with_secret(text: &str, secret: &str) -> (String, usize) {
    let mut key = String::new();
    let mut changed = 0;
    let mut lines = Vec::new();
    for line in text.lines() {
        let trimmed = line.trim();
        let is_comment = trimmed.starts_with('#');
        let first = trimmed
            .trim_start_matches(['-', ' ', '"'])
            .split(['=', ':'])
            .next()
            .unwrap()
            .trim()
            .trim_end_matches('"');
        if !is_comment
            && (trimmed.contains('=') || trimmed.contains(": "))
            && !trimmed.starts_with('"')
        {
            key = first.to_lowercase();
        }
        let is_printed =
            PRINTED.contains(&key.as_str()) || trimmed.contains('{') || key.contains('.');
        if is_comment {
            changed += 1;
            lines.push(format!("{line} {secret}"));
        } else if !is_printed && trimmed.ends_with('"') && !trimmed.ends_with("\"\"\"") {
            changed += 1;
            lines.push(format!(
                "{}{secret}\"",
                line.trim_end().strip_suffix('"').unwrap()
            ));
        } else {
            lines.push(line.to_owned());
        }
    }
    (lines.join("\n") + "\n", changed)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24,
        failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_secret_in_any_string_or_comment_is_never_printed(secret in "[A-Za-z]{4}[0-9][A-Za-z0-9_+]{10,30}") {
        let mut changed = 0;
        for (name, text) in fixtures() {
            let (text, count) = with_secret(&text, &secret);
            changed += count;
            let it = imported(&[(&name, text.as_bytes())]);
            prop_assert!(!it.output().contains(&secret), "{name}\n{text}\n{}", it.output());
        }
        prop_assert!(changed > 80, "{changed}");
    }

    /// The runner has the secret in every string that may not be printed.
    #[test]
    fn no_secret_of_a_runner_is_printed(secret in "[a-z]{3}[0-9][A-Za-z0-9]{12,30}", is_on in any::<bool>()) {
        let text = full_of(&secret, is_on);
        let it = imported(&[("config.toml", text.as_bytes())]);
        prop_assert!(it.is_complete, "{}", it.text);
        prop_assert!(!it.output().contains(&secret), "{}", it.output());
    }

    #[test]
    fn any_bytes_are_imported_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for name in ["config.toml", "values.yaml", "-"] {
            let it = imported(&[(name, &bytes)]);
            prop_assert!(it.is_complete || it.policies.is_empty());
        }
    }

    /// The file consists of lines of the fixtures, in any order.
    #[test]
    fn any_mixture_of_lines_is_imported_or_refused(picks in proptest::collection::vec(any::<proptest::sample::Index>(), 1..60), cut in any::<proptest::sample::Index>()) {
        let all: Vec<String> = fixtures().into_iter().flat_map(|(_, text)| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
        let mut text: String = picks.iter().map(|pick| format!("{}\n", pick.get(&all))).collect();
        let at = cut.index(text.len());
        if text.is_char_boundary(at) {
            text.truncate(at);
        }
        for name in ["config.toml", "values.yaml", "-"] {
            check(&imported(&[(name, text.as_bytes())]));
        }
    }
}

fn check(it: &Imported) {
    if it.is_complete {
        it.specs();
    } else {
        assert!(it.policies.is_empty() && !it.report["errors"].as_array().unwrap().is_empty());
    }
    it.assert_never(&["EXAMPLEtoken", "EXAMPLEnotreal"]);
}

fn full_of(secret: &str, is_on: bool) -> String {
    format!(
        r#"
log_format = "{secret}"
sentry_dsn = "https://{secret}@sentry.example/1"
[[runners]]
  name = "r"
  url = "https://{secret}@gitlab.example"
  token = "{secret}"
  tls-ca-file = "{secret}"
  environment = ["A={secret}", "DOCKER_HOST=tcp://docker:2376", "FF_USE_ADVANCED_POD_SPEC_CONFIGURATION={is_on}", "DOCKER_AUTH_CONFIG={secret}"]
  pre_build_script = "{secret}"
  clone_url = "https://{secret}@gitlab.example"
  [runners.cache]
    Type = "s3"
    [runners.cache.s3]
      AccessKey = "{secret}"
      SecretKey = "{secret}"
  [runners.kubernetes]
    host = "https://user:{secret}@api.example:6443/{secret}?{secret}#{secret}"
    bearer_token = "{secret}"
    unknown = "{secret}"
    namespace_overwrite_allowed = "{secret}.*"
    privileged = true
    cpu_limit = "{secret}"
    affinity = {{ a = "{secret}" }}
    [runners.kubernetes.pod_annotations]
      "vault.example/role" = "{secret}"
    [runners.kubernetes.pod_labels]
      "a.example/b" = "$SECRET_{secret}"
    [runners.kubernetes.node_selector]
      "pool.example/a" = "{secret}!"
    [runners.kubernetes.node_tolerations]
      "a=b" = "{secret}"
    [[runners.kubernetes.services]]
      name = "docker:27-dind"
      command = ["--label={secret}"]
      environment = ["{secret}={secret}"]
    [[runners.kubernetes.pod_spec]]
      name = "p"
      patch = """
      containers: [{{name: build, env: [{{name: A, value: {secret}}}]}}]
      hostAliases: [{{ip: {secret}, hostnames: [a.example]}}]
      """
    [[runners.kubernetes.volumes.csi]]
      name = "csi"
      mount_path = "/var/lib/docker"
      driver = "{secret}"
      [runners.kubernetes.volumes.csi.volume_attributes]
        a = "{secret}"
    [[runners.kubernetes.volumes.empty_dir]]
      name = "cache"
      mount_path = "/cache"
      medium = "{secret}"
      size_limit = "{secret}"
    [[runners.kubernetes.volumes.nfs]]
      name = "nfs"
      mount_path = "/nfs"
      server = "{secret}"
      path = "{secret}"
    [[runners.kubernetes.host_aliases]]
      ip = "{secret}"
      hostnames = ["a.example"]
    [[runners.kubernetes.host_aliases]]
      ip = "10.0.0.1" # {secret}
      hostnames = ["b.example"]
    [[runners.kubernetes.host_aliases]]
      ip = "10.0.0.2"
      hostnames = ["c.example"]
      {secret} = "{secret}"
"#
    )
    .replace(&format!("      {secret} = "), "      other = ")
}
