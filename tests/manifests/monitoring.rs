//! Each alert has a section in the runbook and a test case, and Prometheus and Grafana find their
//! objects. `tests/webhook/monitoring.rs` compares the queries with the metrics of a server.

use crate::objects::{component, folder, list, one, read, selects};
use serde_json::Value;

fn dashboard(objects: &[Value]) -> Value {
    let config_map = one(objects, "ConfigMap", "drydock-dashboard");
    serde_json::from_str(config_map["data"]["drydock.json"].as_str().unwrap()).unwrap()
}

fn alerts(objects: &[Value]) -> Vec<Value> {
    let groups = &one(objects, "PrometheusRule", "drydock")["spec"]["groups"];
    let rules = list(groups).iter().flat_map(|group| list(&group["rules"]));
    let alerts = rules.filter(|rule| rule["alert"].is_string());
    alerts.cloned().collect()
}

/// `.ci/run` runs the cases with promtool.
#[test]
fn every_alert_and_recording_rule_has_a_test_case() {
    let objects = component("monitoring");
    let folder = folder().join("../tests/promtool");
    let cases = |name: &str| list(&read(&folder.join(name))[0]["tests"]).to_vec();
    let tests = cases("alerts.yaml");
    let raised: Vec<&str> = tests
        .iter()
        .flat_map(|test| list(&test["alert_rule_test"]))
        .filter(|case| !list(&case["exp_alerts"]).is_empty())
        .filter_map(|case| case["alertname"].as_str())
        .collect();
    for alert in alerts(&objects) {
        let name = alert["alert"].as_str().unwrap();
        assert!(raised.contains(&name), "no test case raises {name}");
    }
    let slo = std::fs::read_to_string(folder.join("slo.yaml")).unwrap();
    let groups = &one(&objects, "PrometheusRule", "drydock")["spec"]["groups"];
    let rules = list(groups).iter().flat_map(|group| list(&group["rules"]));
    let mut records = 0;
    for name in rules.filter_map(|rule| rule["record"].as_str()) {
        assert!(slo.contains(name), "no test case reads {name}");
        records += 1;
    }
    assert_eq!(records, 8);
}

#[test]
fn every_alert_says_what_it_means_and_has_a_section_in_the_runbook() {
    let objects = component("monitoring");
    let runbook = std::fs::read_to_string("docs/runbook.md").unwrap();
    let sections: Vec<(&str, &str)> = runbook
        .split("\n## ")
        .skip(1)
        .filter_map(|section| section.split_once('\n'))
        .collect();
    let alerts = alerts(&objects);
    assert_eq!(
        sections.len(),
        alerts.len(),
        "not one section for each alert"
    );
    for rule in alerts {
        assert!(rule["alert"].as_str().unwrap().starts_with("Drydock"));
        assert!(matches!(
            rule["labels"]["severity"].as_str(),
            Some("critical" | "warning")
        ));
        let name = rule["alert"].as_str().unwrap();
        let section = sections.iter().find(|(title, _)| *title == name);
        let (_, text) = section.unwrap_or_else(|| panic!("no section {name}"));
        for part in ["\nMeaning: ", "\nImpact: ", "\n```sh\n"] {
            assert!(text.contains(part), "section {name} has no {part:?}");
        }
        let anchor = name.to_lowercase();
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
fn prometheus_selects_only_the_metrics_service() {
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
fn panels_do_not_overlap() {
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
