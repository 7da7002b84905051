//! Configurations inside of other files, such as a HelmRelease. They are found, and the report has
//! the positions in the file.

use crate::imported::one;
use rstest::rstest;

const TOML: &str = "[[runners]]\n  [runners.kubernetes]\n    [[runners.kubernetes.host_aliases]]\n      ip = \"10.0.0.1\"\n      hostnames = [\"a.example\"]\n";

fn indented(text: &str, spaces: usize) -> String {
    text.lines()
        .map(|line| format!("{}{line}\n", " ".repeat(spaces)))
        .collect()
}

/// Returns chart values, indented.
fn values(spaces: usize) -> String {
    indented(
        &format!("runners:\n  config: |\n{}", indented(TOML, 4)),
        spaces,
    )
}

#[rstest]
#[case::alone(values(0))]
#[case::below_gitlab_runner(format!("global: {{}}\ngitlab-runner:\n{}", values(2)))]
#[case::below_another_name(format!("gitlab:\n  gitlab-runner:\n{}", values(4)))]
#[case::helmfile(format!("releases:\n- name: runner\n  values:\n  -\n{}", values(4)))]
#[case::helm_release(format!("apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {{name: runner, namespace: ci}}\nspec:\n  values:\n{}", values(4)))]
#[case::application(format!("apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec:\n  destination: {{namespace: ci, server: https://kubernetes.default.svc}}\n  source:\n    helm:\n      values: |\n{}", values(8)))]
#[case::application_object(format!("apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec:\n  sources:\n  - helm:\n      valuesObject:\n{}", values(8)))]
#[case::helm_chart(format!("apiVersion: helm.cattle.io/v1\nkind: HelmChart\nspec:\n  targetNamespace: ci\n  valuesContent: |-\n{}", values(4)))]
#[case::config_map(format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata:\n  config.template.toml: |\n{}", indented(TOML, 4)))]
#[case::list(format!("apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Secret\n  data: {{config.toml: bm8=}}\n- apiVersion: v1\n  kind: ConfigMap\n  data:\n    config.toml: |\n{}", indented(TOML, 6)))]
#[case::rendered_chart(format!("---\n# Source: a\napiVersion: v1\nkind: ServiceAccount\n---\napiVersion: v1\nkind: ConfigMap\ndata:\n  config.toml: |\n    concurrent = 4\n  config.template.toml: |\n{}---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: gitlab-runner}}\nspec: {{template: {{spec: {{containers: []}}}}}}\n", indented(TOML, 4)))]
#[case::values_in_a_config_map(format!("apiVersion: v1\nkind: ConfigMap\ndata:\n  values.yaml: |\n{}", values(4)))]
#[case::list_of_a_chart(format!("runners:\n- name: a\n  config: |\n{}", indented(TOML, 4)))]
#[case::variables_of_a_playbook(format!("gitlab_runner_config: |\n{}", indented(TOML, 2)))]
#[case::crds_of_flux(format!("apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nspec:\n  targetNamespace: ci\n  values:\n    gitlab-runner:\n{}", values(6)))]
#[case::kustomize(format!("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nhelmCharts:\n- name: gitlab-runner\n  valuesInline:\n{}", values(4)))]
#[case::application_set(format!("apiVersion: argoproj.io/v1alpha1\nkind: ApplicationSet\nspec:\n  template:\n    spec:\n      sources:\n      - helm:\n          values: |\n{}", values(12)))]
#[case::plain(TOML.to_owned())]
fn a_configuration_is_found_in_its_wrapper(#[case] text: String) {
    let is_toml = text.starts_with("[[");
    let it = one(if is_toml { "config.toml" } else { "-" }, &text);
    it.assert_policies(&[(
        "imported",
        "hostAliases: [{ip: 10.0.0.1, hostnames: [a.example]}]",
    )]);
    let line = text
        .lines()
        .position(|line| line.contains("host_aliases"))
        .unwrap()
        + 1;
    let found = &it.report["takenOver"][0]["places"][0];
    assert_eq!(
        (found["line"].as_u64(), found["lastLine"].as_u64()),
        (Some(line as u64), Some(line as u64 + 2)),
        "{}",
        it.text
    );
}

#[test]
fn a_value_in_a_file_of_one_line_has_its_key_path() {
    let object = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "ci"}, "data": {"config.toml": TOML}});
    let it = one("-", &object.to_string());
    it.assert_policies(&[(
        "imported",
        "hostAliases: [{ip: 10.0.0.1, hostnames: [a.example]}]",
    )]);
    let path = &it.report["takenOver"][0]["places"][0]["path"];
    assert_eq!(
        path, "data.config.toml.runners[0].kubernetes.host_aliases[0]",
        "{}",
        it.text
    );
}

#[test]
fn a_deployment_gives_its_config_map_name_and_namespace() {
    let text = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: runner, namespace: ci}}\ndata:\n  config.template.toml: |\n{}---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: gitlab-runner, namespace: ci}}\nspec:\n  template:\n    spec:\n      hostAliases: [{{ip: 10.0.0.9, hostnames: [a.example, b.example]}}]\n      containers:\n      - name: gitlab-runner\n        env:\n        - {{name: RUNNER_NAME, value: stable}}\n        - {{name: KUBERNETES_NAMESPACE, value: jobs}}\n      volumes:\n      - name: all\n        projected: {{sources: [{{configMap: {{name: runner}}}}]}}\n",
        indented(TOML, 4)
    );
    let it = one("all.yaml", &text);
    it.assert_policies(&[(
        "imported",
        "hostAliases: [{ip: 10.0.0.1, hostnames: [a.example]}]",
    )]);
    it.assert_finding("conflicts", 18, &["a.example", "10.0.0.9", "10.0.0.1"]);
    it.assert_finding("notTakenOver", 18, &["manager", "b.example"]);
    assert!(it.text.contains("label namespace jobs"), "{}", it.text);
    assert!(
        it.text.contains("runner \\\"stable\\\"") || !it.text.contains("runner in line"),
        "{}",
        it.text
    );
}

#[test]
fn anchors_and_merge_keys_are_read() {
    let text = format!(
        "x-runner: &runner\n{}\nrunners:\n  <<: *runner\n  name: stable\n",
        indented(&format!("config: |\n{}", indented(TOML, 2)), 2)
    );
    let it = one("values.yaml", &text);
    it.assert_policies(&[(
        "imported",
        "hostAliases: [{ip: 10.0.0.1, hostnames: [a.example]}]",
    )]);
    it.assert_finding("takenOver", 5, &["a.example"]);
    assert_eq!(it.count("takenOver"), 1, "{}", it.text);
}
