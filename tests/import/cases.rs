//! Imports the published configurations in `tests/fixtures/config`, and checks the policies, the
//! findings with their lines, and that no secret is printed.

use crate::imported::{Imported, imported};

const CERTS: &str = "clientCerts: {onConflict: Replace, sizeLimit: 1Mi}";

#[track_caller]
fn case(name: &str, files: &[&str]) -> Imported {
    let folder = format!(
        "{}/tests/fixtures/config/{name}",
        env!("CARGO_MANIFEST_DIR")
    );
    let read: Vec<Vec<u8>> = files
        .iter()
        .map(|file| std::fs::read(format!("{folder}/{file}")).unwrap())
        .collect();
    let inputs: Vec<(&str, &[u8])> = files
        .iter()
        .copied()
        .zip(read.iter().map(Vec::as_slice))
        .collect();
    let imported = imported(&inputs);
    imported.assert_never(&[
        "EXAMPLEtoken",
        "notreal",
        "glrt-",
        "GR1348941",
        "eyJ",
        "squ_",
    ]);
    imported
}

#[test]
fn c01_jobs_do_not_have_the_aliases_of_the_manager() {
    let it = case("01-helm-manager-aliases", &["values.yaml"]);
    it.assert_policies(&[("imported", "hostAliases: [{ip: 10.20.0.32, hostnames: [gitlab.corp.example, minio.corp.example, registry.corp.example]}]")]);
    it.assert_finding(
        "takenOver",
        20,
        &["gitlab.corp.example", "redundant", "enforce"],
    );
    it.assert_finding(
        "conflicts",
        5,
        &["gitlab.corp.example", "10.20.0.16", "10.20.0.32"],
    );
    it.assert_finding("conflicts", 21, &["registry.corp.example", "10.20.0.16"]);
    it.assert_finding("notTakenOver", 4, &["manager", "corp.example"]);
    it.assert_finding("notTakenOver", 10, &["certsSecretName", "registryCAs"]);
    assert_eq!(it.count("dangerous"), 0, "{}", it.text);
    assert!(
        it.text
            .contains("lines with credentials, which are not printed: 3, 17"),
        "{}",
        it.text
    );
}

#[test]
fn c02_the_documented_volume_becomes_client_certs() {
    let it = case("02-gitlab-recipe-tls", &["values.yaml"]);
    it.assert_policies(&[("imported", &format!("dind:\n  {CERTS}\n  volumes: []"))]);
    it.assert_finding("takenOver", 19, &["clientCerts"]);
    it.assert_finding("notTakenOver", 9, &["environment"]);
    it.assert_finding("notTakenOver", 24, &["node_selector", "all jobs"]);
    it.assert_finding(
        "notTakenOver",
        6,
        &["runners.privileged", "0.53.0", "privileged = true"],
    );
    it.assert_finding("dangerous", 9, &["without privileged"]);
    assert_eq!(it.count("conflicts"), 0, "{}", it.text);
}

#[test]
fn c03_a_config_map_below_certs_d_becomes_a_registry_ca() {
    let it = case("03-registry-ca-configmap", &["config.toml"]);
    it.assert_policies(&[(
        "imported",
        &format!("dind:\n  {CERTS}\n  volumes: []\n  registryCAs:\n  - {{host: registry.corp.example, configMap: {{name: registry-crt, key: registry.corp.example.crt}}}}\n  - {{host: 'mirror.corp.example:5000', configMap: {{name: mirror-ca, key: tls-chain.pem}}}}"),
    )]);
    it.assert_finding(
        "takenOver",
        14,
        &["registry-crt", "keep the line", "only to dind"],
    );
    it.assert_finding("takenOver", 19, &["mirror.corp.example:5000"]);
    it.assert_finding("notTakenOver", 25, &["legacy-ca", "*.cert"]);
    it.assert_comment(&["registryCAs:", "host: legacy.corp.example", "key: ca.crt"]);
    assert_eq!(
        it.count("dangerous") + it.count("conflicts"),
        0,
        "{}",
        it.text
    );
    assert!(
        it.text
            .contains("kubectl label namespace ci drydock.dev/job-pods=audit"),
        "{}",
        it.text
    );
}

#[test]
fn c05_a_ca_at_the_certificate_directory_of_dind_is_a_conflict() {
    let it = case("05-secret-at-certs-client", &["values.yaml"]);
    it.assert_policies(&[(
        "imported",
        &format!("hostAliases: [{{ip: 10.20.0.17, hostnames: [gitlab.corp.example, registry.corp.example]}}]\ndind:\n  {CERTS}\n  volumes: [{{name: dind-storage, mountPath: /var/lib/docker, emptyDir: {{sizeLimit: 30Gi}}}}]"),
    )]);
    it.assert_finding(
        "conflicts",
        17,
        &["corp-ca-pem", "/certs/client", "registryCAs", "kubectl"],
    );
    it.assert_finding("takenOver", 23, &["/var/lib/docker"]);
    it.assert_finding("notTakenOver", 2, &["certsSecretName"]);
    it.assert_finding("notTakenOver", 6, &["team-specific", "no effect"]);
    it.assert_comment(&[
        "host: registry.corp.example",
        "name: corp-ca-pem",
        "key: corp-root.pem",
    ]);
    assert_eq!(it.count("dangerous"), 0, "{}", it.text);
}

#[test]
fn c06_certificates_for_a_remote_daemon_are_correct() {
    let it = case("06-remote-daemon-certs", &["config.toml"]);
    it.assert_policies(&[(
        "imported",
        "hostAliases: [{ip: 10.30.0.5, hostnames: [dockerd.corp.example]}]",
    )]);
    it.assert_finding("notTakenOver", 12, &["dockerd.corp.example", "is correct"]);
    assert_eq!(
        it.count("dangerous") + it.count("conflicts"),
        0,
        "{}",
        it.text
    );
    it.assert_never(&["registryCAs", "registry CA"]);
}

#[test]
fn c10_a_runtime_socket_and_a_kubeconfig_are_dangerous() {
    let it = case("10-containerd-sock-kubeconfig", &["values.yaml"]);
    it.assert_policies(&[(
        "imported",
        "hostAliases: [{ip: 10.50.10.150, hostnames: [gitlab.corp.example]}]",
    )]);
    it.assert_finding("takenOver", 19, &["gitlab.corp.example"]);
    it.assert_finding("dangerous", 24, &["containerd.sock", "root on the node"]);
    it.assert_finding("dangerous", 16, &["privileged"]);
    it.assert_finding("dangerous", 29, &["deploy-kubeconfig", "every job"]);
    it.assert_finding("notTakenOver", 34, &["ci-cache"]);
    assert_eq!(it.count("conflicts"), 0, "{}", it.text);
}

#[test]
fn c12_scheduling_is_taken_over_if_every_pod_is_a_dind_pod() {
    let it = case("12-tolerations-map", &["config.toml"]);
    it.assert_policies(&[(
        "imported",
        &format!("dind:\n  {CERTS}\n  volumes: []\n  scheduling:\n    nodeSelector: {{node.corp.example/pool: dind}}\n    tolerations:\n    - {{key: gpu-node, operator: Exists}}\n    - {{key: odd, operator: Equal, value: a, effect: NoExecute}}\n    - {{key: reserved-for/team, operator: Equal, value: ci, effect: NoSchedule}}\n    - {{key: spot, operator: Equal, value: '', effect: PreferNoSchedule}}"),
    )]);
    it.assert_finding("takenOver", 17, &["node_selector", "keep the line"]);
    it.assert_finding("takenOver", 24, &["toleration of odd", "second ="]);
    it.assert_finding("notTakenOver", 18, &["arch"]);
    it.assert_finding("notTakenOver", 9, &["namespace_overwrite_allowed"]);
    it.assert_finding("dangerous", 20, &["control-plane"]);
    it.assert_comment(&[
        "tolerations:",
        "key: node-role.kubernetes.io/master",
        "effect: NoSchedule",
    ]);
}

#[test]
fn c13_a_list_in_place_of_a_map_has_no_effect() {
    let it = case("13-configmap-tolerations-array", &["configmap.yaml"]);
    it.assert_policies(&[(
        "imported",
        "hostAliases: [{ip: 10.70.0.2, hostnames: [gitlab.corp.example]}]",
    )]);
    it.assert_finding("takenOver", 37, &["gitlab.corp.example"]);
    it.assert_finding(
        "notTakenOver",
        27,
        &[
            "node_tolerations",
            "ignores this value",
            "\"corp.example/ci-only=…\" = \"NoSchedule\"",
        ],
    );
    it.assert_finding("notTakenOver", 36, &["items", "ignores this value"]);
    it.assert_finding("notTakenOver", 35, &["readOnly", "read_only"]);
    it.assert_finding("notTakenOver", 24, &["node_selector"]);
    assert!(
        it.text.contains("label namespace gitlab-runner"),
        "{}",
        it.text
    );
    assert!(!it.text.contains("label namespace ci "), "{}", it.text);
}

#[test]
fn c15_runners_have_a_shared_policy_and_own_policies() {
    let it = case("15-three-runners-conflict", &["config.toml"]);
    it.assert_policies(&[
        ("imported", &format!("hostAliases: [{{ip: 10.80.0.1, hostnames: [gitlab.corp.example]}}]\ndind:\n  {CERTS}\n  volumes: []")),
        (
            "imported-amd64",
            "priority: 10\npodSelector: {matchLabels: {manager.runner.gitlab.com/name: amd64}}\nhostAliases: [{ip: 10.80.0.1, hostnames: [registry.corp.example]}, {ip: 10.80.0.9, hostnames: [nexus.corp.example]}]",
        ),
        (
            "imported-arm64-edge-site-2",
            &format!("priority: 10\npodSelector: {{matchLabels: {{manager.runner.gitlab.com/name: arm64_edge___site-2}}}}\nhostAliases: [{{ip: 10.81.0.1, hostnames: [registry.corp.example]}}]\ndind:\n  {CERTS}\n  volumes: [{{name: dind-storage, mountPath: /var/lib/docker, emptyDir: {{sizeLimit: 10Gi}}}}]"),
        ),
    ]);
    it.assert_finding(
        "conflicts",
        17,
        &["registry.corp.example", "10.80.0.1", "10.81.0.1", "17.9"],
    );
    it.assert_finding("conflicts", 38, &["registry.corp.example"]);
    it.assert_finding("notTakenOver", 52, &["vm-01", "docker"]);
    it.assert_finding("notTakenOver", 63, &["shell-01", "shell"]);
    assert_eq!(it.count("conflicts"), 1, "{}", it.text);
    it.assert_never(&["10.99.9.9"]);
}

#[test]
fn c17_the_name_in_a_template_is_no_selector() {
    let it = case(
        "17-two-releases-name",
        &["values-team-a.yaml", "values-team-b.yaml"],
    );
    it.assert_policies(&[
        ("imported", "hostAliases: [{ip: 10.20.0.32, hostnames: [gitlab.corp.example]}]"),
        ("imported-team-b", "priority: 10\npodSelector: {matchLabels: {manager.runner.gitlab.com/name: team-b}}\nhostAliases: [{ip: 10.77.0.5, hostnames: [nexus.corp.example]}]"),
    ]);
    it.assert_finding(
        "conflicts",
        10,
        &[
            "nexus.corp.example",
            "10.20.0.32",
            "10.77.0.5",
            "runners.name",
            "17.9",
        ],
    );
    it.assert_finding("notTakenOver", 6, &["team-a", "no effect", "runners.name"]);
}

#[test]
fn c20_the_umbrella_charts_template_is_read() {
    let it = case("20-gitlab-umbrella-template", &["values.yaml"]);
    it.assert_policies(&[(
        "imported",
        "hostAliases: [{ip: 10.20.0.32, hostnames: [gitlab.corp.example]}]",
    )]);
    it.assert_finding("takenOver", 21, &["gitlab.corp.example"]);
    it.assert_finding(
        "notTakenOver",
        23,
        &[
            "template",
            "helm -n NAMESPACE get manifest RELEASE | drydock import -",
        ],
    );
    it.assert_finding("notTakenOver", 24, &["template"]);
    assert_eq!(
        it.count("dangerous") + it.count("conflicts"),
        0,
        "{}",
        it.text
    );
    let diff = it.report["diff"].as_str().unwrap();
    assert!(
        diff.contains("+        hostnames = [\"minio.{{ .Values.global.hosts.domain }}\"]\n"),
        "{diff}"
    );
    assert!(!diff.contains("-        [[runners"), "{diff}");
}

#[test]
fn c23_misspelt_keys_have_no_effect() {
    let it = case("23-misspelt-keys", &["config.toml"]);
    it.assert_policies(&[]);
    for (line, words) in [
        (11, ["privilaged", "privileged"]),
        (12, ["tls_verify", "[runners.docker]"]),
        (13, ["environment", "[[runners]]"]),
        (14, ["hostaliases", "host_aliases"]),
        (19, ["hostname", "hostnames"]),
        (15, ["dns", "dns_config"]),
        (23, ["volume", "volumes"]),
        (28, ["empty_dirs", "empty_dir"]),
        (31, ["volumes", "[runners.kubernetes.volumes]"]),
    ] {
        it.assert_finding("notTakenOver", line, &words);
    }
    it.assert_finding("notTakenOver", 20, &["x.x.x.x", "refuses every pod"]);
    assert_eq!(
        it.count("dangerous") + it.count("conflicts") + it.count("takenOver"),
        0,
        "{}",
        it.text
    );
    assert!(it.text.contains("nothing to import"), "{}", it.text);
}

#[test]
fn c24_keys_match_without_case_after_a_byte_order_mark() {
    let it = case("24-bom-crlf-capitals", &["config.toml"]);
    it.assert_policies(&[("imported", &format!("hostAliases: [{{ip: 10.20.0.32, hostnames: [gitlab.corp.example]}}]\ndind:\n  {CERTS}\n  volumes: []"))]);
    it.assert_finding("takenOver", 10, &["gitlab.corp.example"]);
    it.assert_finding("takenOver", 13, &["clientCerts"]);
    assert!(it.text.contains("byte order mark"), "{}", it.text);
}

#[test]
fn c28_a_storage_limit_keeps_the_lines_of_the_data_volume() {
    let it = case("28-builds-cache-memory", &["values.yaml"]);
    it.assert_policies(&[("imported", &format!("dind:\n  {CERTS}\n  volumes: [{{name: dind-storage, mountPath: /var/lib/docker, emptyDir: {{sizeLimit: 20Gi}}}}]"))]);
    it.assert_finding("takenOver", 14, &["clientCerts"]);
    it.assert_finding("takenOver", 17, &["20Gi", "keep the line", "V7"]);
    it.assert_finding("notTakenOver", 21, &["/builds"]);
    it.assert_finding("notTakenOver", 25, &["/cache"]);
    it.assert_finding("notTakenOver", 29, &["/nix"]);
    it.assert_finding("notTakenOver", 33, &["read_only"]);
    assert_eq!(
        it.count("dangerous") + it.count("conflicts"),
        0,
        "{}",
        it.text
    );
}

#[test]
fn c29_names_of_services_are_never_in_a_policy() {
    let it = case("29-loopback-and-docker-alias", &["config.toml"]);
    // The runner has a dind service, so the policy has dind.clientCerts too.
    it.assert_policies(&[("imported", &format!("hostAliases: [{{ip: 10.20.0.32, hostnames: [gitlab.corp.example]}}]\ndind:\n  {CERTS}\n  volumes: []"))]);
    it.assert_finding(
        "notTakenOver",
        14,
        &["127.0.0.1", "loopback", "alias = \"docker\""],
    );
    it.assert_finding("notTakenOver", 17, &["localhost6", "loopback"]);
    it.assert_finding("notTakenOver", 20, &["db", "postgres", "service"]);
    it.assert_finding(
        "notTakenOver",
        23,
        &["telemetry.vendor.example", "unspecified"],
    );
    it.assert_finding(
        "notTakenOver",
        26,
        &["metadata.google.internal", "link-local"],
    );
    it.assert_finding(
        "notTakenOver",
        29,
        &["kubernetes.default.svc", "inside the cluster"],
    );
    it.assert_finding("notTakenOver", 29, &["localhost", "never"]);
    it.assert_finding("conflicts", 16, &["docker", "127.0.0.1", "10.30.0.5"]);
    it.assert_comment(&["169.254.169.254", "metadata.google.internal"]);
}

#[test]
fn c34_only_aliases_of_a_patch_are_reported() {
    let it = case("34-pod-spec-patches", &["config.toml"]);
    it.assert_policies(&[(
        "imported",
        "hostAliases: [{ip: 10.20.0.32, hostnames: [gitlab.corp.example]}]",
    )]);
    it.assert_finding(
        "conflicts",
        12,
        &["gitlab.corp.example", "10.20.0.32", "10.20.0.99"],
    );
    it.assert_finding("conflicts", 33, &["10.20.0.99"]);
    it.assert_finding(
        "notTakenOver",
        14,
        &["build envvars", "certificate directory"],
    );
    it.assert_finding("notTakenOver", 42, &["from file", "file of the manager"]);
    it.assert_finding("notTakenOver", 46, &["ttlSecondsAfterFinished"]);
    it.assert_finding("notTakenOver", 59, &["selector", "is off"]);
    it.assert_finding("dangerous", 41, &["hostNetwork"]);
    it.assert_finding("dangerous", 10, &["privileged"]);
    it.assert_never(&["SONARQUBE", "corp-ca"]);
}

#[test]
fn c36_inline_tables_are_read_and_no_line_with_a_token_is_shown() {
    let it = case("36-inline-and-dotted", &["config.toml"]);
    it.assert_policies(&[
        ("imported", &format!("hostAliases: [{{ip: 10.20.0.32, hostnames: [gitlab.corp.example]}}]\ndind:\n  {CERTS}\n  volumes: []")),
        ("imported-dotted", "priority: 10\npodSelector: {matchLabels: {manager.runner.gitlab.com/name: dotted}}\nhostAliases: [{ip: 10.20.0.32, hostnames: [registry.corp.example]}]"),
    ]);
    it.assert_finding("takenOver", 4, &["gitlab.corp.example", "by hand"]);
    it.assert_finding(
        "takenOver",
        5,
        &["registry.corp.example", "remove the podSelector"],
    );
    assert_eq!(it.report["diff"], "");
}

#[test]
fn c40_a_label_without_quotes_is_a_syntax_error_with_its_position() {
    let it = case("40-bad-bare-slash-key", &["config.toml"]);
    it.assert_refused(18, &["quotes", "\"kubernetes.io/arch\" ="]);
    assert!(it.text.contains("config.toml:18:20: "), "{}", it.text);
}

#[test]
fn c43_a_deployment_is_refused_with_the_command_to_run() {
    let it = case("43-bad-deployment", &["deployment.yaml"]);
    it.assert_refused(0, &["manager", "Secret ci/gitlab-runner-config", "kubectl -n ci exec deploy/gitlab-runner -- cat /etc/gitlab-runner/config.toml | drydock import -"]);
}

#[test]
fn c45_an_empty_file_is_an_error() {
    case("45-bad-empty", &["config.toml"]).assert_refused(0, &["is empty", "config.toml"]);
    case("45-bad-empty", &["values.yaml"]).assert_refused(0, &["only comments"]);
    case("45-bad-empty", &["blank.yaml"]).assert_refused(0, &["only whitespace"]);
    imported(&[("-", b"")]).assert_refused(0, &["is empty", "before the pipe"]);
}

#[test]
fn c49_all_values_that_the_runner_refuses_are_reported() {
    let it = case("49-bad-types-runner-refuses", &["config.toml"]);
    it.assert_refused(6, &["environment is a table", "list of strings"]);
    it.assert_refused(8, &["privileged is a string", "true or false"]);
    it.assert_refused(9, &["services", "list of tables"]);
    it.assert_refused(10, &["host_aliases is a table", "[[…host_aliases]]"]);
    it.assert_refused(14, &["node_selector", "quotes"]);
    it.assert_refused(15, &["node_selector", "boolean"]);
    it.assert_refused(16, &["empty_dir is a table", "[[…empty_dir]]"]);
    it.assert_refused(19, &["pod_spec is a table"]);
    it.assert_refused(0, &["refuses this file"]);
}

#[test]
fn c53_a_registered_config_has_the_name_of_a_pod() {
    let it = case("53-registered-config-pod-name", &["config.toml"]);
    it.assert_policies(&[("imported", &format!("hostAliases: [{{ip: 10.20.0.32, hostnames: [gitlab.corp.example]}}]\ndind:\n  {CERTS}\n  volumes: []"))]);
    it.assert_finding("takenOver", 66, &["gitlab.corp.example", "runners.config"]);
    it.assert_finding("takenOver", 61, &["clientCerts"]);
    it.assert_finding("notTakenOver", 37, &["node_selector"]);
    it.assert_finding("notTakenOver", 16, &["environment"]);
    it.assert_finding("dangerous", 16, &["without privileged"]);
    assert_eq!(it.report["diff"], "");
    assert!(it.text.contains("label namespace NAMESPACE"), "{}", it.text);
    let findings =
        ["takenOver", "conflicts", "notTakenOver", "dangerous"].map(|group| it.count(group));
    assert_eq!(findings, [2, 0, 2, 1], "{}", it.text);
}
