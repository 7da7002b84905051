//! The files under `manifests/`, which are part of the program.

/// A file: its path below `manifests/`, and its text.
pub(super) type File = (&'static str, &'static str);

macro_rules! files {
    ($($path:literal,)+) => {
        &[$(($path, include_str!(concat!("../../../manifests/", $path)))),+]
    };
}

/// The objects of an installation without components, in the order in which they are to be made.
pub(super) const BASE: &[File] = files![
    "namespace.yaml",
    "chart/crds/jobpodpolicies.yaml",
    "guard.yaml",
    "access.yaml",
    "secret.yaml",
    "service.yaml",
    "network-policy.yaml",
    "priority-class.yaml",
    "deployment.yaml",
    "disruption-budget.yaml",
    "webhook.yaml",
];

/// Everything else: kustomizations, components, the chart, the sample policy.
pub(super) const OTHERS: &[File] = files![
    "chart/.helmignore",
    "chart/Chart.yaml",
    "chart/README.md",
    "chart/files/rules.yaml",
    "chart/files/dashboard.json",
    "chart/templates/NOTES.txt",
    "chart/templates/_helpers.tpl",
    "chart/templates/access.yaml",
    "chart/templates/certificates.yaml",
    "chart/templates/dashboard.yaml",
    "chart/templates/deployment.yaml",
    "chart/templates/disruption-budget.yaml",
    "chart/templates/guard.yaml",
    "chart/templates/live-addresses.yaml",
    "chart/templates/metrics.yaml",
    "chart/templates/network-policy.yaml",
    "chart/templates/policies.yaml",
    "chart/templates/priority-class.yaml",
    "chart/templates/rules.yaml",
    "chart/templates/secret.yaml",
    "chart/templates/service.yaml",
    "chart/templates/tests/job-pod.yaml",
    "chart/templates/webhook.yaml",
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
    "components/live-addresses/live-addresses.yaml",
    "components/monitoring/dashboard.yaml",
    "components/monitoring/kustomization.yaml",
    "components/monitoring/metrics.yaml",
    "components/monitoring/rules.yaml",
    "components/namespace-per-job/kustomization.yaml",
    "components/openshift/kustomization.yaml",
    "components/own-certificate/kustomization.yaml",
    "kustomization.yaml",
    "sample-policy.yaml",
];
