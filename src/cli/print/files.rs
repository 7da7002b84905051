//! The files under `manifests/`, embedded in the binary.

/// The path of a file below `manifests/`, and its content.
pub(super) type File = (&'static str, &'static str);

macro_rules! files {
    ($($path:literal,)+) => {
        &[$(($path, include_str!(concat!("../../../manifests/", $path)))),+]
    };
}

/// The objects of an installation without components, in the order in which they are applied.
pub(super) const BASE: &[File] = files![
    "namespace.yaml",
    "chart/crds/jobpodpolicies.yaml",
    "validating-admission-policy.yaml",
    "rbac.yaml",
    "secret.yaml",
    "service.yaml",
    "network-policy.yaml",
    "priority-class.yaml",
    "deployment.yaml",
    "pod-disruption-budget.yaml",
    "mutating-webhook-configuration.yaml",
];

/// The other files: kustomizations, components, the chart, the sample policy.
pub(super) const OTHERS: &[File] = files![
    "chart/.helmignore",
    "chart/Chart.yaml",
    "chart/README.md",
    "chart/files/rules.yaml",
    "chart/files/dashboard.json",
    "chart/templates/NOTES.txt",
    "chart/templates/_helpers.tpl",
    "chart/templates/rbac.yaml",
    "chart/templates/certificates.yaml",
    "chart/templates/dashboard-config-map.yaml",
    "chart/templates/deployment.yaml",
    "chart/templates/pod-disruption-budget.yaml",
    "chart/templates/validating-admission-policy.yaml",
    "chart/templates/live-addresses-role-binding.yaml",
    "chart/templates/service-monitor.yaml",
    "chart/templates/network-policy.yaml",
    "chart/templates/job-pod-policies.yaml",
    "chart/templates/priority-class.yaml",
    "chart/templates/prometheus-rule.yaml",
    "chart/templates/secret.yaml",
    "chart/templates/service.yaml",
    "chart/templates/tests/job-pod.yaml",
    "chart/templates/mutating-webhook-configuration.yaml",
    "chart/values.schema.json",
    "chart/values.yaml",
    "components/cert-manager/certificates.yaml",
    "components/cert-manager/kustomization.yaml",
    "components/client-ca/api-server/admission.yaml",
    "components/client-ca/api-server/webhooks.kubeconfig",
    "components/client-ca/kustomization.yaml",
    "components/fail-open/kustomization.yaml",
    "components/host-network/kustomization.yaml",
    "components/live-addresses/kustomization.yaml",
    "components/live-addresses/live-addresses-role-binding.yaml",
    "components/monitoring/dashboard-config-map.yaml",
    "components/monitoring/kustomization.yaml",
    "components/monitoring/service-monitor.yaml",
    "components/monitoring/prometheus-rule.yaml",
    "components/namespace-per-job/kustomization.yaml",
    "components/openshift/kustomization.yaml",
    "components/own-certificate/kustomization.yaml",
    "kustomization.yaml",
    "sample-policy.yaml",
];
