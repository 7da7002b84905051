//! Environment variables of the manager and of jobs, namespaces, and labels that a job can change.

use crate::imported::{Imported, one};
use rstest::rstest;

const CERTS: &str =
    "[[runners.kubernetes.volumes.empty_dir]]\nname = \"c\"\nmount_path = \"/certs/client\"\n";

fn indented(text: &str, spaces: usize) -> String {
    text.lines()
        .map(|line| format!("{}{line}\n", " ".repeat(spaces)))
        .collect()
}

/// Imports chart values: `values`, and `runners.config` with these lines in `[runners.kubernetes]`.
fn chart(values: &str, toml: &str) -> Imported {
    let toml = indented(&format!("[[runners]]\n[runners.kubernetes]\n{toml}"), 4);
    one(
        "values.yaml",
        &format!("{values}runners:\n  config: |\n{toml}"),
    )
}

/// Imports a runner with job variables and these lines in `[runners.kubernetes]`.
fn with_variables(variables: &str, lines: &str) -> Imported {
    one(
        "config.toml",
        &format!(
            "[[runners]]\nname = \"r\"\nenvironment = [{variables}]\n[runners.kubernetes]\n{lines}"
        ),
    )
}

#[test]
fn a_variable_of_the_manager_makes_jobs_privileged() {
    let it = chart("", CERTS);
    it.assert_finding("dangerous", 4, &["without privileged"]);
    let it = chart(
        "envVars:\n- {name: KUBERNETES_PRIVILEGED, value: \"true\"}\n",
        CERTS,
    );
    assert_eq!(it.count("dangerous"), 0, "{}", it.text);
}

#[test]
fn a_variable_of_the_manager_sets_the_namespace() {
    let values = "extraEnv:\n  KUBERNETES_NAMESPACE: jobs\n";
    let it = chart(values, CERTS);
    assert!(it.text.contains("label namespace jobs"), "{}", it.text);
    assert!(it.text.contains("drydock doctor -n jobs"), "{}", it.text);
    assert!(!it.text.contains("NAMESPACE"), "{}", it.text);
}

#[test]
fn commands_have_the_known_namespace() {
    let it = with_variables(
        "",
        "namespace = \"ci\"\nprivileged = true\nservice_account = \"deploy\"\n[[runners.kubernetes.volumes.secret]]\nname = \"v\"\nmount_path = \"/etc/docker/certs.d/registry.example\"\n",
    );
    it.assert_finding("notTakenOver", 8, &["kubectl -n ci create configmap v"]);
    it.assert_finding("dangerous", 7, &["system:serviceaccount:ci:deploy"]);
    assert!(!it.text.contains("NAMESPACE"), "{}", it.text);
}

#[rstest]
#[case::dind("\"DOCKER_HOST=tcp://docker:2376\"", true)]
#[case::socket("\"DOCKER_HOST=unix:///var/run/docker.sock\"", false)]
#[case::remote("\"DOCKER_HOST=ssh://ci@build.example\"", false)]
#[case::kaniko("\"DOCKER_CONFIG=/kaniko/.docker\", \"DOCKER_AUTH_CONFIG={}\"", false)]
fn dind_needs_privileged_only_if_jobs_use_it(#[case] variables: &str, #[case] uses_dind: bool) {
    let it = with_variables(variables, "image = \"alpine\"\n");
    assert_eq!(
        it.text.contains("without privileged"),
        uses_dind,
        "{}",
        it.text
    );
}

#[test]
fn a_policy_with_a_label_that_a_job_can_change_has_a_comment() {
    let runner = |name: &str| {
        format!(
            "[[runners]]\nname = \"{name}\"\n[runners.kubernetes]\npod_labels_overwrite_allowed = \".*\"\npod_labels = {{ team = \"{name}\" }}\n[[runners.kubernetes.host_aliases]]\nip = \"10.0.0.{}\"\nhostnames = [\"a.example\"]\n",
            name.len()
        )
    };
    let it = one("config.toml", &format!("{}{}", runner("a"), runner("bb")));
    it.assert_comment(&["pod_labels_overwrite_allowed"]);
    let it = one("config.toml", &runner("a"));
    assert!(!it.policies.contains("pod_labels"), "{}", it.policies);
}

#[test]
fn a_parameter_of_an_application_has_a_configuration() {
    let toml = "# of the team\nconcurrent = 3\n[[runners]]\n[runners.kubernetes]\n[[runners.kubernetes.host_aliases]]\nip = \"10.0.0.1\"\nhostnames = [\"a.example\"]\n";
    let text = format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec:\n  source:\n    helm:\n      parameters:\n      - name: runners.config\n        value: |\n{}",
        indented(toml, 10)
    );
    let it = one("app.yaml", &text);
    it.assert_policies(&[(
        "imported",
        "hostAliases: [{ip: 10.0.0.1, hostnames: [a.example]}]",
    )]);
    it.assert_finding("takenOver", 13, &["a.example"]);
}

/// The namespace of a HelmChartConfig is not the namespace of its release; that of a HelmRelease
/// is.
#[rstest]
#[case::helm_chart_config("helm.cattle.io/v1", "HelmChartConfig", "NAMESPACE")]
#[case::helm_release("helm.toolkit.fluxcd.io/v2", "HelmRelease", "system")]
fn the_namespace_of_the_release_is_in_the_commands(
    #[case] api: &str,
    #[case] kind: &str,
    #[case] expected: &str,
) {
    let toml = format!("[[runners]]\n[runners.kubernetes]\n{CERTS}");
    let values = format!("runners:\n  config: |\n{}", indented(&toml, 4));
    let field = match kind {
        "HelmRelease" => format!("values:\n{}", indented(&values, 4)),
        _ => format!("valuesContent: |\n{}", indented(&values, 4)),
    };
    let text = format!(
        "apiVersion: {api}\nkind: {kind}\nmetadata: {{name: r, namespace: system}}\nspec:\n  {field}"
    );
    let it = one("object.yaml", &text);
    let command = format!("kubectl label namespace {expected} ");
    assert!(it.text.contains(&command), "{}", it.text);
}

#[test]
fn an_address_that_the_api_server_refuses_must_be_corrected() {
    let it = with_variables(
        "",
        "[[runners.kubernetes.host_aliases]]\nip = \"x.x.x.x\"\nhostnames = [\"a.example\"]\n",
    );
    it.assert_finding("notTakenOver", 5, &["refuses every pod", "correct it"]);
}

/// Without `sub_path` the mount path is a directory, and the keys of the ConfigMap are unknown.
#[test]
fn a_config_map_mounted_at_a_file_name_is_a_comment() {
    let it = with_variables(
        "",
        "privileged = true\n[[runners.kubernetes.volumes.config_map]]\nname = \"v\"\nmount_path = \"/etc/docker/certs.d/registry.example/ca.crt\"\n",
    );
    it.assert_finding("notTakenOver", 6, &["which key of the ConfigMap"]);
    it.assert_comment(&["host: registry.example"]);
    assert!(
        !it.specs()[0].1["dind"]["registryCAs"].is_array(),
        "{}",
        it.policies
    );
}
