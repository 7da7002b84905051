//! Values of the gitlab-runner chart except `runners.config`: settings of the runner manager, and
//! keys that the chart ignores.

use super::config_value::ConfigValue;
use super::discovery::Source;
use super::finding::{Finding, Place, Setting};
use super::messages;
use super::safe_text::{Kind, Message, SafeText, message};
use std::net::IpAddr;

/// Keys of `runners` that the chart has ignored since version 0.53.0, and their replacements.
const IGNORED_KEYS: [(&str, &str); 19] = [
    ("privileged", "privileged = true"),
    ("image", "image"),
    ("namespace", "namespace"),
    ("cache", "[runners.cache]"),
    ("imagePullPolicy", "pull_policy"),
    ("imagePullSecrets", "image_pull_secrets"),
    ("serviceAccountName", "service_account"),
    (
        "builds",
        "cpu_limit, cpu_request, memory_limit and memory_request",
    ),
    (
        "services",
        "service_cpu_limit and the other service_… settings",
    ),
    (
        "helpers",
        "helper_cpu_limit and the other helper_… settings",
    ),
    ("pollTimeout", "poll_timeout"),
    ("outputLimit", "output_limit in [[runners]]"),
    ("cloneUrl", "clone_url in [[runners]]"),
    ("requestConcurrency", "request_concurrency in [[runners]]"),
    ("nodeSelector", "[runners.kubernetes.node_selector]"),
    ("nodeTolerations", "[runners.kubernetes.node_tolerations]"),
    ("podLabels", "[runners.kubernetes.pod_labels]"),
    ("podAnnotations", "[runners.kubernetes.pod_annotations]"),
    ("env", "environment in [[runners]]"),
];

/// Returns the value of an environment variable that the chart sets in the runner manager.
pub(super) fn variable<'v>(values: &'v ConfigValue, name: &str) -> Option<&'v str> {
    let mut listed = values.items_at("envVars").iter();
    let listed = listed.find(|variable| variable.text_at("name") == Some(name));
    let listed = listed.and_then(|variable| variable.text_at("value"));
    let value = listed.or_else(|| values.at("extraEnv")?.text_at(name));
    value.filter(|value| !value.contains(['{', '$']))
}

/// Returns the name with which the chart registers its runner, if the values contain one.
pub(super) fn runner_name(values: &ConfigValue) -> Option<&str> {
    let name = values
        .at("runners")
        .and_then(|runners| runners.text_at("name"));
    name.filter(|name| !name.contains(['{', '$']))
        .or_else(|| variable(values, "RUNNER_NAME"))
}

/// Reports values that do not apply to job pods. `settings` are the settings of the chart's
/// own runner.
pub(super) fn read(source: &Source, settings: &[&Setting], findings: &mut Vec<Finding>) {
    let Some(values) = &source.values else {
        return;
    };
    if let Some(entry) = values.entry("hostAliases") {
        // The place also contains the line of the key.
        let place = Place::new(entry.key_span.with(entry.value.extent()), &entry.value);
        manager_aliases(&entry.value, place, settings, findings);
    }
    if let Some(value) = values.set_at("certsSecretName") {
        let name = SafeText::or_hidden(Kind::Name, value.as_text().unwrap_or_default());
        findings.push(messages::certs_secret_name(name).at(value));
    }
    for entry in values.entries_at("runners") {
        let ignored = IGNORED_KEYS.iter().find(|(key, _)| *key == entry.key);
        // The chart does not ignore `cache.secretName`.
        let mut fields = entry.value.entries().iter();
        let is_used = entry.key == "cache" && fields.all(|it| it.key == "secretName");
        if let Some((key, instead)) = ignored.filter(|_| entry.value.is_set() && !is_used) {
            let is_whole = instead.contains('[');
            let place = if is_whole {
                ""
            } else {
                " in [runners.kubernetes]"
            };
            findings.push(messages::ignored_chart_key(*key, *instead, place).at(&entry.value));
        }
    }
    let config = source.config.iter();
    for runner in config.flat_map(|config| config.items_at("runners")) {
        if let (Some(value), Some(name)) = (runner.at("name"), runner.text_at("name")) {
            let name = SafeText::or_hidden(Kind::Name, name);
            let todo = match runner_name(values) {
                Some(_) => "remove it",
                None => "set runners.name in the values: runners: {name: NAME}",
            };
            findings.push(messages::template_name(name, todo).at(value));
        }
    }
}

/// Reports the aliases of the manager's pod, which job pods do not have. A hostname with another
/// address in `settings` is a conflict.
pub(super) fn manager_aliases(
    aliases: &ConfigValue,
    place: Place,
    settings: &[&Setting],
    findings: &mut Vec<Finding>,
) {
    let mut missing = Vec::new();
    for entry in aliases.items() {
        let address: Option<IpAddr> = entry
            .text_at("ip")
            .and_then(|text| text.trim().parse().ok());
        for name in entry.items_at("hostnames") {
            let hostname = name.as_text().unwrap_or_default().to_lowercase();
            let shown = SafeText::or_hidden(Kind::Hostname, &hostname);
            let of_jobs = settings
                .iter()
                .find_map(|setting| Some((setting.address(&hostname, address)?, setting)));
            match (of_jobs, address) {
                (Some((other, setting)), Some(address)) if other != address => {
                    let [address, other] = [address, other].map(SafeText::trusted);
                    let place = Place::new(entry.span.with(name.span), entry);
                    let finding = messages::manager_conflict(shown, address, other);
                    findings.push(finding.at(place).at(setting.place.clone()));
                }
                (None, _) => missing.push(shown),
                _ => {}
            }
        }
    }
    if !aliases.items().is_empty() {
        let missing = match missing.is_empty() {
            true => Message::default(),
            false => message!("; host_aliases does not contain {}", Message::list(missing)),
        };
        findings.push(messages::manager_aliases(missing).at(place));
    }
}
