//! What the Prometheus operator is told to scrape and to watch for.
//! Source: <https://prometheus-operator.dev/docs/api-reference/api/>

use super::dashboard;
use crate::manifests::kustomization::Kustomization;
use crate::manifests::network::{self, OPS_PORT};
use crate::manifests::yaml::{self, Unwritable};
use crate::manifests::{File, namespaced, selector, text_map, texts};
use crate::names::NAME;
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};

const METRICS: &str = "drydock-metrics";
/// What only the metrics Service has, so that the ServiceMonitor finds no other.
const COMPONENT: (&str, &str) = ("app.kubernetes.io/component", "metrics");

/// Something to be told of.
struct Alert {
    name: &'static str,
    severity: &'static str,
    expression: &'static str,
    lasting: &'static str,
    summary: &'static str,
    /// What it means, and the next thing to try.
    description: &'static str,
}

const ALERTS: [Alert; 12] = [
    Alert {
        name: "DrydockDown",
        severity: "critical",
        expression: "absent(drydock_build_info)",
        lasting: "5m",
        summary: "No replica of drydock answers.",
        description: "Job pods of namespaces that opted in with enforce cannot be created. See why with: kubectl -n drydock get pods; kubectl -n drydock logs deployment/drydock",
    },
    Alert {
        name: "DrydockNotRedundant",
        severity: "warning",
        expression: "count(drydock_build_info) < 2",
        lasting: "15m",
        summary: "Only one replica of drydock answers.",
        description: "The next node that fails may take it away. See what keeps the others with: kubectl -n drydock describe pods",
    },
    Alert {
        name: "DrydockFailing",
        severity: "critical",
        // Only what drydock itself could not do: a caller can send whatever it likes, and a pod
        // beyond the bounds is refused as it should be.
        expression: "sum by (reason) (rate(drydock_reviews_total{outcome=\"failed\",reason=~\"bug|namespace-not-read|not-ready|overload\"}[5m])) > 0",
        lasting: "5m",
        summary: "drydock answers reviews with errors ({{ $labels.reason }}).",
        description: "Where the failurePolicy is Fail, these pods are not created. The log has a line for each: kubectl -n drydock logs deployment/drydock",
    },
    Alert {
        name: "DrydockNotTrusted",
        severity: "critical",
        // not-trusted: the client refused the certificate. A port scan or a client without TLS is
        // counted by other reasons.
        expression: "sum(rate(drydock_tls_handshake_failures_total{reason=\"not-trusted\"}[5m])) > 0 and sum(rate(drydock_review_duration_seconds_count[5m])) == 0",
        lasting: "10m",
        summary: "Clients refuse drydock's certificate, and no review gets through.",
        description: "The API server may not trust the certificate: compare caBundle of mutatingwebhookconfiguration/drydock with the authority in use, and look for what else writes it.",
    },
    Alert {
        name: "DrydockCertificateExpires",
        severity: "critical",
        // A self-managed certificate lives for 24 h and is renewed 8 h before its end.
        expression: "min(drydock_certificate_expiry_timestamp_seconds) - time() < 4 * 3600",
        lasting: "5m",
        summary: "A certificate of drydock expires within four hours and was not renewed.",
        description: "Self-managed: the log says what keeps it (API server, Secret drydock-ca). cert-manager: kubectl -n drydock describe certificate",
    },
    Alert {
        name: "DrydockAuthorityExpires",
        severity: "warning",
        // It lives for a year and its successor is made known four months before its end; 0 is for no authority of drydock's own.
        expression: "min(drydock_ca_expiry_timestamp_seconds > 0) - time() < 60 * 24 * 3600",
        lasting: "1h",
        summary: "drydock's own authority expires within two months and was not renewed.",
        description: "The log says what keeps it (API server, Secret drydock-ca): kubectl -n drydock logs deployment/drydock",
    },
    Alert {
        name: "DrydockCaBundleContested",
        severity: "warning",
        // A single change by hand is healed once and is no contest.
        expression: "sum(increase(drydock_certificate_events_total{event=\"bundle-overwritten\"}[1h])) > 3",
        lasting: "5m",
        summary: "Something else keeps changing the caBundle that drydock writes.",
        description: "Until drydock writes it again, job pods are refused. managedFields says who: kubectl get mutatingwebhookconfiguration drydock --show-managed-fields -o yaml. A GitOps tool has to ignore webhooks[].clientConfig.caBundle; cert-manager's injector needs the component cert-manager",
    },
    Alert {
        name: "DrydockNoPolicyInForce",
        severity: "critical",
        expression: "max(drydock_policies{state=\"loaded\"}) == 0",
        lasting: "10m",
        summary: "No JobPodPolicy is in force: every job pod is admitted unrepaired.",
        description: "There is none, or none was ever accepted, or its definition was deleted: kubectl get jobpodpolicies; kubectl get crd jobpodpolicies.drydock.dev. Until there is one, take the label drydock.dev/job-pods off the namespaces",
    },
    Alert {
        name: "DrydockWatchSilent",
        severity: "warning",
        // A healthy watch is opened again every 290 s at the latest; 0 is for one that is not
        // needed.
        expression: "time() - min by (watch) (drydock_watch_last_contact_timestamp_seconds > 0) > 600",
        lasting: "5m",
        summary: "A replica has heard nothing from the API server about {{ $labels.watch }} for over ten minutes.",
        description: "It goes on with what it knew, so changes since then are not in force there. The log says what keeps it: kubectl -n drydock logs deployment/drydock --all-pods",
    },
    Alert {
        name: "DrydockPolicyRefused",
        severity: "warning",
        expression: "max(drydock_policies{state=\"refused\"}) > 0",
        lasting: "10m",
        summary: "A JobPodPolicy is not in force as it is written.",
        description: "Its last good version is, if there was one. The condition Accepted says why: kubectl describe jobpodpolicies",
    },
    Alert {
        name: "DrydockAddressUnknown",
        severity: "warning",
        expression: "max by (state) (drydock_address_sources{state=~\"stale|unresolved\"}) > 0",
        lasting: "15m",
        summary: "A Service, Ingress or Gateway that a policy takes an address from has none ({{ $labels.state }}).",
        description: "stale: the last known address is still given out; unresolved: there never was one. The condition AddressesResolved says which: kubectl describe jobpodpolicies",
    },
    Alert {
        name: "DrydockSlow",
        severity: "warning",
        expression: "histogram_quantile(0.99, sum by (le) (rate(drydock_review_duration_seconds_bucket[5m]))) > 0.1",
        lasting: "10m",
        summary: "One review of a hundred takes more than 100 ms.",
        description: "It takes about a ten-thousandth of that unless the processor is short: look at the CPU throttling and the node's load.",
    },
];

/// Where Prometheus usually runs, and on OpenShift the one for what users install.
const PROMETHEUS: [&str; 2] = ["monitoring", "openshift-user-workload-monitoring"];

pub(super) fn files() -> Result<Vec<File>, Unwritable> {
    let access = yaml::file(
        "components/monitoring/network-policy.yaml",
        "Prometheus reaches the ops port from these namespaces. Where yours has another name, change the values in your kustomization.",
        &[yaml::document(&network::metrics_policy(
            METRICS,
            texts(PROMETHEUS),
        ))?],
    )?;
    let monitor = yaml::file(
        "components/monitoring/monitor.yaml",
        "A Service of its own for the metrics, so that the webhook's has nothing but the webhook.",
        &[yaml::document(&service())?, yaml::document(&monitor())?],
    )?;
    let rules = yaml::file(
        "components/monitoring/rules.yaml",
        "Each alert says what it means for jobs, and what to look at next.",
        &[yaml::document(&rules())?],
    )?;
    let dashboard = dashboard::file()?;
    let kustomization = Kustomization::component()
        .with(&access)
        .with(&monitor)
        .with(&rules)
        .with(&dashboard)
        .file(
            "components/monitoring/kustomization.yaml",
            "For clusters with the Prometheus operator (ServiceMonitor, PrometheusRule) and Grafana's sidecar (ConfigMaps labelled grafana_dashboard).\n\
             If the operator looks only at objects with a label of its own, as release: …, give it to them in your kustomization.",
        )?;
    Ok(vec![kustomization, access, monitor, rules, dashboard])
}

fn service() -> Service {
    let mut metadata: ObjectMeta = namespaced(METRICS);
    let labels = metadata.labels.get_or_insert_default();
    labels.extend(text_map([COMPONENT]));
    Service {
        metadata,
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            selector: Some(selector()),
            ports: Some(vec![ServicePort {
                name: Some(OPS_PORT.1.to_owned()),
                port: OPS_PORT.0,
                target_port: Some(IntOrString::String(OPS_PORT.1.to_owned())),
                protocol: Some("TCP".to_owned()),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

fn monitor() -> Value {
    let (label, value) = COMPONENT;
    json!({
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": namespaced(NAME),
        "spec": {
            "selector": {"matchLabels": {"app.kubernetes.io/name": NAME, label: value}},
            "endpoints": [{"port": OPS_PORT.1, "path": "/metrics"}],
        },
    })
}

fn rules() -> Value {
    let rules: Vec<Value> = ALERTS.iter().map(Alert::rule).collect();
    json!({
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": namespaced(NAME),
        "spec": {"groups": [{"name": NAME, "rules": rules}]},
    })
}

impl Alert {
    fn rule(&self) -> Value {
        json!({
            "alert": self.name,
            "expr": self.expression,
            "for": self.lasting,
            "labels": {"severity": self.severity},
            "annotations": {"summary": self.summary, "description": self.description},
        })
    }
}
