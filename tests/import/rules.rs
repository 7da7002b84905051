//! Single rules of the import, about paths, volumes, aliases, selectors and templates.

use crate::imported::{Imported, imported, one};
use rstest::rstest;

const CERTS: &str = "clientCerts: {onConflict: Replace, sizeLimit: 1Mi}";

/// Imports a runner with these lines in `[runners.kubernetes]`. The first one is line 5.
fn runner(lines: &str) -> Imported {
    one(
        "config.toml",
        &format!(
            "[[runners]]\nname = \"r\"\nexecutor = \"kubernetes\"\n[runners.kubernetes]\n{lines}"
        ),
    )
}

fn volume(kind: &str, path: &str, more: &str) -> Imported {
    runner(&format!(
        "privileged = true\n[[runners.kubernetes.volumes.{kind}]]\nname = \"v\"\nmount_path = \"{path}\"\n{more}\n"
    ))
}

#[rstest]
#[case("/certs/client")]
#[case("/certs/client/")]
#[case("//certs//client")]
#[case("certs/client")]
#[case("/a/../certs/./client")]
#[case("/certs")]
fn every_spelling_of_the_certificate_directory_becomes_client_certs(#[case] path: &str) {
    let it = volume("empty_dir", path, "medium = \"Memory\"");
    it.assert_policies(&[("imported", &format!("dind:\n  {CERTS}\n  volumes: []"))]);
    it.assert_finding("takenOver", 6, &["clientCerts", "see the diff"]);
}

#[rstest]
#[case::trailing_slash(
    "/var/lib/docker/",
    "size_limit = \"20Gi\"",
    "emptyDir: {sizeLimit: 20Gi}"
)]
#[case::doubled(
    "//var//lib/docker",
    "medium = \"Memory\"",
    "emptyDir: {medium: Memory}"
)]
#[case::no_quantity("/var/lib/docker", "size_limit = \"5 GB\"", "emptyDir: {}")]
#[case::empty_limit("/var/lib/docker", "size_limit = \"\"", "emptyDir: {}")]
#[case::template("/var/lib/docker", "size_limit = \"${size}\"", "emptyDir: {}")]
fn the_data_volume_keeps_a_valid_limit(
    #[case] path: &str,
    #[case] more: &str,
    #[case] source: &str,
) {
    let volume_of = format!("volumes: [{{name: v, mountPath: /var/lib/docker, {source}}}]");
    volume("empty_dir", path, more)
        .assert_policies(&[("imported", &format!("dind:\n  {CERTS}\n  {volume_of}"))]);
}

#[rstest]
#[case::docker_socket("host_path", "/var/run/docker.sock", "", "socket")]
#[case::other_place_in_the_pod(
    "host_path",
    "/tmp/d.sock",
    "host_path = \"/run/crio/crio.sock\"",
    "socket"
)]
#[case::run("host_path", "/run", "", "/run")]
#[case::below_run("host_path", "/x", "host_path = \"/var/run/containerd/\"", "/run")]
#[case::root("host_path", "/host", "host_path = \"/\"", "file system")]
#[case::cgroup("host_path", "/sys/fs/cgroup", "", "cgroup")]
#[case::claim("pvc", "/var/lib/docker", "", "share it")]
#[case::node_data("host_path", "/var/lib/docker", "", "shared")]
#[case::hosts("host_path", "/etc/hosts", "", "alias")]
#[case::kubeconfig("secret", "/root/.kube", "", "kubeconfig")]
fn a_dangerous_volume_is_not_in_the_policy(
    #[case] kind: &str,
    #[case] path: &str,
    #[case] more: &str,
    #[case] word: &str,
) {
    let it = volume(kind, path, more);
    it.assert_finding("dangerous", 6, &[word]);
    assert!(!it.policies.contains("mountPath"), "{}", it.policies);
}

#[rstest]
#[case::claim_per_build("pvc", "/var/lib/docker/$CI_JOB_ID", "")]
#[case::sub_path("empty_dir", "/var/lib/docker", "sub_path = \"a\"")]
#[case::of_the_build("empty_dir", "/builds", "")]
#[case::below_root("host_path", "/root/.m2", "")]
fn a_volume_that_is_not_for_dind_stays_in_the_file(
    #[case] kind: &str,
    #[case] path: &str,
    #[case] more: &str,
) {
    let it = volume(kind, path, more);
    it.assert_finding("notTakenOver", 6, &["keep it in the file"]);
    assert!(!it.policies.contains("mountPath"), "{}", it.policies);
}

#[test]
fn modules_have_no_host_path_type() {
    let it = volume("host_path", "/lib/modules", "read_only = true");
    it.assert_policies(&[("imported", &format!("dind:\n  {CERTS}\n  volumes: [{{name: v, mountPath: /lib/modules, readOnly: true, hostPath: {{path: /lib/modules}}}}]"))]);
}

#[test]
fn a_secret_below_certs_d_is_a_comment_with_the_command() {
    let it = volume(
        "secret",
        "/etc/docker/certs.d/registry.example:5000/",
        "[runners.kubernetes.volumes.secret.items]\n\"root.pem\" = \"ca.crt\"",
    );
    it.assert_policies(&[("imported", &format!("dind:\n  {CERTS}\n  volumes: []"))]);
    it.assert_finding(
        "notTakenOver",
        6,
        &["ConfigMap", "kubectl -n NAMESPACE get secret v", "root.pem"],
    );
    it.assert_comment(&["registryCAs:", "registry.example:5000", "key: root.pem"]);
}

#[test]
fn a_config_map_with_several_hosts_becomes_several_registry_cas() {
    let it = volume(
        "config_map",
        "/etc/docker/certs.d",
        "[runners.kubernetes.volumes.config_map.items]\n\"a.pem\" = \"a.example/ca.crt\"\n\"b.pem\" = \"b.example:5000/ca.crt\"",
    );
    let spec = &it.specs()[0].1["dind"]["registryCAs"];
    assert_eq!(spec.as_array().unwrap().len(), 2, "{}", it.policies);
}

#[rstest]
#[case::client_pair(
    "items = { \"cert.pem\" = \"cert.pem\", \"key.pem\" = \"key.pem\" }",
    ""
)]
#[case::tls_off("", "DOCKER_TLS_CERTDIR=")]
#[case::remote("", "DOCKER_HOST=tcp://dockerd.example:2376")]
fn a_correct_secret_at_the_certificate_directory_is_no_conflict(
    #[case] more: &str,
    #[case] variable: &str,
) {
    let it = one(
        "config.toml",
        &format!(
            "[[runners]]\nname = \"r\"\nenvironment = [\"{variable}\"]\n[runners.kubernetes]\nprivileged = true\n[[runners.kubernetes.volumes.secret]]\nname = \"v\"\nmount_path = \"/certs/client\"\n{more}\n"
        ),
    );
    it.assert_finding("notTakenOver", 6, &["is correct"]);
    assert_eq!(it.count("conflicts"), 0, "{}", it.text);
    assert!(!it.policies.contains("Replace"), "{}", it.policies);
}

#[rstest]
#[case::upper_case("10.0.0.1", "GitLab.Example", Some("10.0.0.1 gitlab.example"))]
#[case::blanks(" 10.0.0.1 ", " a.example ", Some("10.0.0.1 a.example"))]
#[case::ipv6("FD00:0::1", "a.example", Some("fd00::1 a.example"))]
#[case::leading_zeros("010.0.0.1", "a.example", None)]
#[case::port("10.0.0.1:443", "a.example", None)]
#[case::wildcard("10.0.0.1", "*.example", None)]
#[case::one_label("10.0.0.1", "registry", None)]
#[case::localhost("10.0.0.1", "localhost.localdomain", None)]
#[case::api_server("10.0.0.1", "kubernetes.default", None)]
#[case::service("10.0.0.1", "a.b.svc", None)]
#[case::whole_service("10.0.0.1", "a.b.svc.cluster.local", None)]
#[case::loopback("127.1.2.3", "a.example", None)]
#[case::mapped("::ffff:10.0.0.1", "a.example", None)]
#[case::unspecified("::", "a.example", None)]
#[case::link_local("fe80::1", "a.example", None)]
#[case::shell("${IP}", "a.example", None)]
#[case::expression("10.0.0.1", "a.{{ .Values.domain }}", None)]
fn an_alias_is_taken_over_only_if_every_job_may_have_it(
    #[case] ip: &str,
    #[case] hostname: &str,
    #[case] expected: Option<&str>,
) {
    let it = runner(&format!(
        "[[runners.kubernetes.host_aliases]]\nip = \"{ip}\"\nhostnames = [\"{hostname}\"]\n"
    ));
    let found = it.specs().into_iter().next().map(|(_, spec)| {
        let alias = &spec["hostAliases"][0];
        format!(
            "{} {}",
            alias["ip"].as_str().unwrap(),
            alias["hostnames"][0].as_str().unwrap()
        )
    });
    assert_eq!(found.as_deref(), expected, "{}", it.text);
    if expected.is_none() {
        it.assert_finding("notTakenOver", 5, &[]);
    }
}

/// Imports two runners with these lines in `[runners.kubernetes]`, and with different addresses for
/// a.example.
fn two(first: &str, second: &str) -> Imported {
    let alias = |ip: &str| {
        format!("[[runners.kubernetes.host_aliases]]\nip = \"{ip}\"\nhostnames = [\"a.example\"]\n")
    };
    let text = format!(
        "[[runners]]\nname = \"one\"\n[runners.kubernetes]\n{first}{}[[runners]]\nname = \"two\"\n[runners.kubernetes]\n{second}{}",
        alias("10.0.0.1"),
        alias("10.0.0.2")
    );
    one("config.toml", &text)
}

#[test]
fn pod_labels_have_precedence_over_names_as_selectors() {
    let it = two(
        "pod_labels = { team = \"a\" }\n",
        "pod_labels = { team = \"b\" }\n",
    );
    let selectors: Vec<String> = it
        .specs()
        .iter()
        .map(|(_, spec)| spec["podSelector"]["matchLabels"].to_string())
        .collect();
    assert_eq!(
        selectors,
        ["{\"team\":\"a\"}", "{\"team\":\"b\"}"],
        "{}",
        it.policies
    );
    it.assert_finding(
        "conflicts",
        5,
        &["a.example", "imported-one", "imported-two"],
    );
}

#[test]
fn runners_of_two_clusters_are_not_compared() {
    let it = two(
        "host = \"https://user:pass-EXAMPLE@one.example:6443\"\n",
        "host = \"https://two.example\"\n",
    );
    let names: Vec<String> = it.specs().into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        ["imported", "imported-two-example"],
        "{}",
        it.policies
    );
    assert_eq!(it.count("conflicts"), 0, "{}", it.text);
    it.assert_never(&["pass-EXAMPLE"]);
}

#[test]
fn a_name_that_two_runners_have_is_not_a_selector() {
    let file = |ip: &str| {
        format!(
            "[[runners]]\nname = \"same\"\n[runners.kubernetes]\n[[runners.kubernetes.host_aliases]]\nip = \"{ip}\"\nhostnames = [\"a.example\"]\n"
        )
    };
    let it = imported(&[
        ("one.toml", file("10.0.0.1").as_bytes()),
        ("two.toml", file("10.0.0.2").as_bytes()),
    ]);
    it.assert_policies(&[]);
    it.assert_finding(
        "conflicts",
        4,
        &["a.example", "10.0.0.1", "10.0.0.2", "same label value"],
    );
}

/// For a hostname, only the policy with the higher priority applies (M2), so it needs the addresses
/// of both families.
#[test]
fn one_policy_has_all_addresses_of_a_hostname() {
    let both =
        "[[runners.kubernetes.host_aliases]]\nip = \"10.0.0.1\"\nhostnames = [\"a.example\"]\n";
    let it = one(
        "config.toml",
        &format!(
            "[[runners]]\nname = \"one\"\n[runners.kubernetes]\n{both}[[runners.kubernetes.host_aliases]]\nip = \"fd00::1\"\nhostnames = [\"a.example\"]\n[[runners]]\nname = \"two\"\n[runners.kubernetes]\n{both}"
        ),
    );
    let own = &it.specs()[1];
    assert_eq!(own.0, "imported-one");
    assert_eq!(
        own.1["hostAliases"].as_array().unwrap().len(),
        2,
        "{}",
        it.policies
    );
}

#[test]
fn the_body_of_a_condition_is_read_and_the_body_of_a_loop_is_not() {
    let alias = |ip: &str, name: &str| {
        format!(
            "    [[runners.kubernetes.host_aliases]]\n      ip = \"{ip}\"\n      hostnames = [\"{name}\"]\n"
        )
    };
    let text = format!(
        "runners:\n  config: |\n    [[runners]]\n      image = {{{{ .Values.image }}}}\n    {{{{- if .Values.a }}}}\n{}    {{{{- else }}}}\n{}    {{{{- end }}}}\n    {{{{- range .Values.b }}}}\n{}    {{{{- end }}}}\n",
        alias("10.0.0.1", "a.example"),
        alias("10.0.0.2", "b.example"),
        alias("10.0.0.3", "c.example"),
    );
    let it = one("values.yaml", &text);
    it.assert_policies(&[(
        "imported",
        "hostAliases: [{ip: 10.0.0.1, hostnames: [a.example]}]",
    )]);
    it.assert_finding("takenOver", 6, &["only if a condition"]);
    it.assert_finding("notTakenOver", 9, &["range and else"]);
}

#[test]
fn windows_runners_are_named_and_skipped() {
    let it = runner(
        "node_selector = { \"kubernetes.io/os\" = \"windows\" }\n[[runners.kubernetes.host_aliases]]\nip = \"10.0.0.1\"\nhostnames = [\"a.example\"]\n",
    );
    it.assert_policies(&[]);
    it.assert_finding("notTakenOver", 5, &["Windows"]);
}

#[test]
fn a_daemon_without_tls_is_dangerous() {
    let it = one(
        "config.toml",
        "[[runners]]\nname = \"r\"\nenvironment = [\"DOCKER_TLS_CERTDIR=\", \"DOCKER_HOST=tcp://docker:2375\"]\n[runners.kubernetes]\nprivileged = true\n[[runners.kubernetes.services]]\nname = \"docker:27-dind\"\n",
    );
    it.assert_finding("dangerous", 6, &["without TLS"]);
}

#[test]
fn too_many_hostnames_become_several_policies() {
    let names: Vec<String> = (0..1500)
        .map(|number| format!("\"h{number}.example\""))
        .collect();
    let it = runner(&format!(
        "[[runners.kubernetes.host_aliases]]\nip = \"10.0.0.1\"\nhostnames = [{}]\n",
        names.join(", ")
    ));
    let count: usize = it
        .specs()
        .iter()
        .flat_map(|(_, spec)| spec["hostAliases"].as_array().unwrap().clone())
        .map(|alias| alias["hostnames"].as_array().unwrap().len())
        .sum();
    assert_eq!((it.specs().len(), count), (2, 1500));
}

#[rstest]
#[case::certain("docker:27-dind", "", true)]
#[case::mirror("registry.example:5000/hub/docker:27.1-dind-rootless", "", true)]
#[case::version("docker:24", "", true)]
#[case::other_name("registry.example/ci/dind:1", "", false)]
#[case::in_words("ghcr.io/acme/docker-in-docker", "", false)]
#[case::by_alias("registry.example/daemon:1", "docker", false)]
fn an_image_that_drydock_does_not_recognize_as_dind_is_reported(
    #[case] image: &str,
    #[case] alias: &str,
    #[case] is_known: bool,
) {
    let it = runner(&format!(
        "privileged = true\n[[runners.kubernetes.services]]\nname = \"{image}\"\nalias = \"{alias}\"\n"
    ));
    it.assert_policies(&[("imported", &format!("dind:\n  {CERTS}\n  volumes: []"))]);
    assert_eq!(
        it.policies.contains("images:"),
        !is_known,
        "{}",
        it.policies
    );
    assert_eq!(it.text.contains("dind.images"), !is_known, "{}", it.text);
}

#[rstest]
#[case::postgres("postgres:16", "db")]
#[case::client("docker:20.10", "")]
#[case::command_line("docker:27-cli", "")]
fn other_services_are_not_evidence_of_docker(#[case] image: &str, #[case] alias: &str) {
    let it = runner(&format!(
        "[[runners.kubernetes.services]]\nname = \"{image}\"\nalias = \"{alias}\"\n"
    ));
    it.assert_policies(&[]);
}

#[test]
fn a_condition_within_a_line_is_read() {
    let text = "runners:\n  config: |\n    [[runners]]\n      {{ if .Values.a }}executor = \"kubernetes\"{{ end }}\n      [runners.kubernetes]\n        [[runners.kubernetes.host_aliases]]\n          ip = \"10.0.0.1\"\n          {{ if .Values.b }}hostnames = [\"a.example\"]{{ else }}hostnames = [\"b.example\"]{{ end }}\n";
    let it = one("values.yaml", text);
    it.assert_policies(&[(
        "imported",
        "hostAliases: [{ip: 10.0.0.1, hostnames: [a.example]}]",
    )]);
}

#[test]
fn a_selector_has_the_label_value_that_the_runner_writes() {
    let it = two(
        "pod_labels = { team = \"web / shop\", pod = \"x\" }\n",
        "pod_labels = { team = \"$TEAM\" }\n",
    );
    let selector = &it.specs()[0].1["podSelector"]["matchLabels"];
    assert_eq!(selector.to_string(), "{\"team\":\"web___shop\"}");
}

#[rstest]
#[case::below_runners("[runners.host_aliases]")]
#[case::other_separator("[[runners.kubernetes.host-aliases]]")]
fn a_misplaced_table_becomes_a_comment_in_the_policy(#[case] header: &str) {
    let header = header.replace("[runners.host_aliases]", "[[runners.host_aliases]]");
    let text = format!(
        "[[runners]]\nname = \"r\"\n[runners.kubernetes]\n[[runners.kubernetes.host_aliases]]\nip = \"10.0.0.1\"\nhostnames = [\"a.example\"]\n{header}\nip = \"10.0.0.2\"\nhostnames = [\"b.example\"]\n"
    );
    let it = one("config.toml", &text);
    it.assert_policies(&[(
        "imported",
        "hostAliases: [{ip: 10.0.0.1, hostnames: [a.example]}]",
    )]);
    it.assert_finding("notTakenOver", 7, &["did you mean", "host_aliases"]);
    it.assert_comment(&["ignored this key so far", "10.0.0.2", "b.example"]);
}

#[test]
fn a_node_selector_for_a_windows_build_shows_a_windows_runner() {
    let it = runner(
        "node_selector = { \"node.kubernetes.io/windows-build\" = \"10.0.20348\" }\n[[runners.kubernetes.host_aliases]]\nip = \"10.0.0.1\"\nhostnames = [\"a.example\"]\n",
    );
    it.assert_policies(&[]);
    it.assert_finding("notTakenOver", 5, &["Windows"]);
}
