//! The alerting rules and the dashboard query only metrics, labels and values that a running server
//! has.

use crate::metrics::Metrics;
use crate::process::Server;
use drydock::core::document;
use regex::Regex;
use serde_json::Value;
use std::fs;

/// Labels that Prometheus adds to each series.
const OF_PROMETHEUS: [&str; 3] = ["job", "namespace", "pod"];
/// Labels of the API server's metrics about webhooks.
const OF_API_SERVER: [&str; 2] = ["name", "error_type"];

/// Returns all expressions, each with the labels in its legend.
fn queries() -> Vec<(String, Vec<String>)> {
    let rules = fs::read_to_string("manifests/chart/files/rules.yaml").unwrap();
    let rules = document::split(&rules).remove(0).content.unwrap();
    let dashboard = fs::read_to_string("manifests/chart/files/dashboard.json").unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let list = |value: &Value| value.as_array().unwrap().clone();
    let legend = Regex::new(r"\{\{(\w+)\}\}").unwrap();
    let mut queries = Vec::new();
    for rule in list(&rules["groups"])
        .iter()
        .flat_map(|group| list(&group["rules"]))
    {
        queries.push((rule["expr"].as_str().unwrap().to_owned(), Vec::new()));
    }
    for panel in list(&dashboard["panels"]) {
        assert!(panel["description"].as_str().unwrap().len() > 40, "{panel}");
        for target in list(&panel["targets"]) {
            let names = legend.captures_iter(target["legendFormat"].as_str().unwrap());
            let names = names.map(|found| found[1].to_owned()).collect();
            let query = target["expr"].as_str().unwrap().to_owned();
            // A query over the whole time range must be an instant query, not a graph.
            assert!(
                !query.contains("$__range]") || target["instant"] == true,
                "{query}"
            );
            queries.push((query, names));
        }
    }
    assert!(queries.len() > 45, "{}", queries.len());
    queries
}

#[test]
fn every_rule_and_panel_queries_metrics_labels_and_values_that_exist() {
    let server = Server::start(&[]);
    let metrics = server.metrics();
    let metric = Regex::new(r"\b((?:drydock|apiserver)_\w+)(?:\{([^}]*)\})?").unwrap();
    let grouping = Regex::new(r"(?:by|on) \(([^)]*)\)").unwrap();
    for (query, legend) in queries() {
        let mut known: Vec<String> = OF_PROMETHEUS.map(str::to_owned).into();
        for found in metric.captures_iter(&query) {
            let matchers = found.get(2).map_or("", |matchers| matchers.as_str());
            known.extend(labels(&metrics, &query, &found[1], matchers));
        }
        let grouped = grouping.captures_iter(&query);
        let grouped: Vec<String> = grouped.map(|found| found[1].to_owned()).collect();
        let grouped = grouped.iter().flat_map(|names| names.split(", "));
        let used = grouped.filter(|name| !name.is_empty());
        for name in used.chain(legend.iter().map(String::as_str)) {
            let is_known = known.iter().any(|label| label == name);
            assert!(
                is_known,
                "{query}: no metric has the label {name}: {known:?}"
            );
        }
    }
}

/// Asserts that the labels and values of the matchers exist, and returns the labels of the metric.
fn labels(metrics: &Metrics, query: &str, name: &str, matchers: &str) -> Vec<String> {
    let matcher = Regex::new(r#"(\w+)(=~|!=|!~|=)"([^"]*)""#).unwrap();
    if name.starts_with("apiserver_") {
        for found in matcher.captures_iter(matchers) {
            assert!(OF_API_SERVER.contains(&&found[1]), "{query}");
        }
        return OF_API_SERVER.map(str::to_owned).into();
    }
    let is_of_it = |sample: &&str| {
        sample
            .strip_prefix(name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('{'))
    };
    let samples: Vec<&str> = metrics
        .beginning_with(name)
        .map(|(sample, _)| sample)
        .filter(is_of_it)
        .collect();
    // Without a cluster, drydock manages no CA, so there is no sample of its expiry.
    assert!(
        !samples.is_empty() || name == "drydock_ca_expiry_timestamp_seconds",
        "{query}: there is no metric {name}"
    );
    for found in matcher.captures_iter(matchers) {
        let (label, values) = (&found[1], &found[3]);
        if OF_PROMETHEUS.contains(&label) {
            continue;
        }
        for value in values.split('|') {
            let pair = format!("{label}=\"{value}\"");
            assert!(
                samples.iter().any(|sample| sample.contains(&pair)),
                "{query}: {name} has no {pair}"
            );
        }
    }
    let name = Regex::new(r#"(\w+)="#).unwrap();
    let named = samples.iter().flat_map(|sample| name.captures_iter(sample));
    named.map(|found| found[1].to_owned()).collect()
}
