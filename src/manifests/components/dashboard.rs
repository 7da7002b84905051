//! A Grafana dashboard: what becomes of job pods, how fast, and what needs a look.
//! Source: <https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/>

use crate::manifests::yaml::{self, Unwritable};
use crate::manifests::{File, namespaced, text_map};
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};

/// A panel: its title, its unit, and what it draws, each with the name of its lines.
type Panel = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

/// Two a row.
const PANELS: [Panel; 10] = [
    (
        "Reviews by outcome",
        "reqps",
        &[(
            "sum by (outcome) (rate(drydock_reviews_total[$__rate_interval]))",
            "{{outcome}}",
        )],
    ),
    (
        "Changes of pods",
        "short",
        &[(
            "sum by (change, mode) (increase(drydock_changes_total[$__range])) > 0",
            "{{change}} ({{mode}})",
        )],
    ),
    (
        "Skipped and failed, by reason",
        "reqps",
        &[(
            "sum by (outcome, reason) (rate(drydock_reviews_total{outcome=~\"skipped|failed|denied\"}[$__rate_interval])) > 0",
            "{{outcome}}: {{reason}}",
        )],
    ),
    (
        "Time of a review",
        "s",
        &[
            (
                "histogram_quantile(0.5, sum by (le) (rate(drydock_review_duration_seconds_bucket[$__rate_interval])))",
                "half are faster",
            ),
            (
                "histogram_quantile(0.99, sum by (le) (rate(drydock_review_duration_seconds_bucket[$__rate_interval])))",
                "99 of 100 are faster",
            ),
        ],
    ),
    (
        "Policies",
        "short",
        &[("max by (state) (drydock_policies)", "{{state}}")],
    ),
    (
        "Live addresses",
        "short",
        &[("max by (state) (drydock_address_sources)", "{{state}}")],
    ),
    (
        "Certificate: time left",
        "s",
        &[(
            "drydock_certificate_expiry_timestamp_seconds - time()",
            "{{pod}}",
        )],
    ),
    (
        "Failed handshakes",
        "reqps",
        &[(
            "sum by (pod) (rate(drydock_tls_handshake_failures_total[$__rate_interval]))",
            "{{pod}}",
        )],
    ),
    (
        "Connections",
        "short",
        &[("drydock_connections", "{{pod}}")],
    ),
    (
        "Bounds that clients ran into",
        "reqps",
        &[(
            "sum by (limit) (rate(drydock_limit_hits_total[$__rate_interval])) > 0",
            "{{limit}}",
        )],
    ),
];

pub(super) fn file() -> Result<File, Unwritable> {
    let mut metadata = namespaced("drydock-dashboard");
    let labels = metadata.labels.get_or_insert_default();
    labels.extend(text_map([("grafana_dashboard", "1")]));
    let config_map = ConfigMap {
        metadata,
        data: Some([("drydock.json".to_owned(), format!("{:#}\n", dashboard()))].into()),
        ..ConfigMap::default()
    };
    yaml::file(
        "components/monitoring/dashboard.yaml",
        "Grafana's sidecar takes it by its label; by hand, import the JSON.",
        &[yaml::document(&config_map)?],
    )
}

fn dashboard() -> Value {
    let panels: Vec<Value> = PANELS
        .iter()
        .enumerate()
        .map(|(index, panel)| draw(index, panel))
        .collect();
    json!({
        "uid": "drydock",
        "title": "drydock",
        "tags": ["drydock"],
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [
            {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
        ]},
        "panels": panels,
    })
}

fn draw(index: usize, (title, unit, lines): &Panel) -> Value {
    const HEIGHT: usize = 8;
    const WIDTH: usize = 12;
    let targets: Vec<Value> = lines
        .iter()
        .zip('A'..)
        .map(|((expression, legend), id)| json!({"refId": id, "expr": expression, "legendFormat": legend}))
        .collect();
    json!({
        "id": index + 1,
        "title": title,
        "type": "timeseries",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "gridPos": {"h": HEIGHT, "w": WIDTH, "x": index % 2 * WIDTH, "y": index / 2 * HEIGHT},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": targets,
    })
}
