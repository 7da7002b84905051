//! Alerts and dashboard speak of metrics that drydock has.

use crate::objects::{component, list, one, selects};
use drydock::telemetry::metrics::Metrics;
use serde_json::Value;

/// Every expression of the rules and the dashboard.
fn expressions() -> Vec<String> {
    let objects = component("monitoring");
    let rules = &one(&objects, "PrometheusRule", "drydock")["spec"]["groups"][0]["rules"];
    let dashboard = dashboard(&objects);
    let targets = list(&dashboard["panels"])
        .iter()
        .flat_map(|panel| list(&panel["targets"]));
    let expressions: Vec<String> = list(rules)
        .iter()
        .chain(targets)
        .map(|holder| holder["expr"].as_str().unwrap().to_owned())
        .collect();
    assert!(expressions.len() > 15);
    expressions
}

fn dashboard(objects: &[Value]) -> Value {
    let config_map = one(objects, "ConfigMap", "drydock-dashboard");
    serde_json::from_str(config_map["data"]["drydock.json"].as_str().unwrap()).unwrap()
}

/// The words of an expression that name metrics of drydock, each with the matchers behind it.
fn metrics_of(expression: &str) -> Vec<(&str, &str)> {
    expression
        .match_indices("drydock_")
        .map(|(at, _)| {
            let rest = &expression[at..];
            let end = rest
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            let (name, rest) = rest.split_at(end);
            let matchers = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
            (name, matchers.map_or("", |(matchers, _)| matchers))
        })
        .collect()
}

#[test]
fn every_metric_of_an_alert_or_panel_exists_with_its_labels() {
    let metrics = Metrics::new();
    // They have no sample before there is a certificate.
    metrics.certificate_expiry_timestamp.set(1);
    metrics.ca_expiry_timestamp.set(1);
    let exported = metrics.encode();
    let lines: Vec<&str> = exported
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    for expression in expressions() {
        let metrics = metrics_of(&expression);
        assert!(!metrics.is_empty(), "{expression}");
        for (name, matchers) in metrics {
            let of_metric: Vec<&&str> = lines
                .iter()
                .filter(|line| {
                    line.strip_prefix(name)
                        .is_some_and(|rest| rest.starts_with([' ', '{']))
                })
                .collect();
            assert!(!of_metric.is_empty(), "there is no metric {name}");
            let matchers = matchers.split(',').filter(|matcher| !matcher.is_empty());
            // The Prometheus operator gives each metric the name of its Service as job.
            for matcher in matchers.filter(|matcher| *matcher != "job=\"drydock-metrics\"") {
                let (label, values) = matcher.split_once('=').unwrap();
                for value in values.trim_start_matches('~').trim_matches('"').split('|') {
                    let pair = format!("{label}=\"{value}\"");
                    assert!(
                        of_metric.iter().any(|line| line.contains(&pair)),
                        "{name} has no {pair}"
                    );
                }
            }
        }
    }
}

#[test]
fn every_alert_says_what_it_means_and_has_a_section_in_the_runbook() {
    let objects = component("monitoring");
    let rules = &one(&objects, "PrometheusRule", "drydock")["spec"]["groups"][0]["rules"];
    let runbook = std::fs::read_to_string("docs/runbook.md").unwrap();
    for rule in list(rules) {
        assert!(rule["alert"].as_str().unwrap().starts_with("Drydock"));
        assert!(matches!(
            rule["labels"]["severity"].as_str(),
            Some("critical" | "warning")
        ));
        let section = format!("## {}", rule["alert"].as_str().unwrap());
        assert!(runbook.lines().any(|line| line == section), "{section}");
        let anchor = section.trim_start_matches("## ").to_lowercase();
        assert_eq!(
            rule["annotations"]["runbook_url"],
            format!("docs/runbook.md#{anchor}")
        );
        for text in ["summary", "description"] {
            assert!(
                rule["annotations"][text].as_str().unwrap().len() > 25,
                "{rule}"
            );
        }
    }
}

#[test]
fn prometheus_finds_the_metrics_service_and_not_the_webhook_s() {
    let objects = [crate::objects::base(), component("monitoring")].concat();
    let monitor = one(&objects, "ServiceMonitor", "drydock");
    let selector = &monitor["spec"]["selector"]["matchLabels"];
    let metrics = one(&objects, "Service", "drydock-metrics");
    assert!(selects(selector, &metrics["metadata"]["labels"]));
    let webhook = one(&objects, "Service", "drydock");
    assert!(!selects(selector, &webhook["metadata"]["labels"]));
    assert_eq!(
        monitor["spec"]["endpoints"][0]["port"],
        metrics["spec"]["ports"][0]["name"]
    );
}

#[test]
fn panels_lie_side_by_side() {
    let objects = component("monitoring");
    let dashboard = dashboard(&objects);
    let mut places: Vec<(u64, u64)> = list(&dashboard["panels"])
        .iter()
        .map(|panel| {
            (
                panel["gridPos"]["x"].as_u64().unwrap(),
                panel["gridPos"]["y"].as_u64().unwrap(),
            )
        })
        .collect();
    let panels = places.len();
    places.sort_unstable();
    places.dedup();
    assert_eq!(places.len(), panels);
}
