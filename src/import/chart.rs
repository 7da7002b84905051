//! What the chart's values say beside the TOML in them: settings of the manager, and keys that the
//! chart does not have any more.

use super::discovery::Source;
use super::finding::{Field, Finding, Item, Place, Want};
use super::located::Node;
use super::messages;
use super::printable::{Kind, Printable, Sentence, say};
use std::net::IpAddr;

/// Keys of `runners` that ended with chart 0.53.0, and what is written instead.
const ENDED: [(&str, &str); 16] = [
    ("privileged", "privileged = true"),
    ("image", "image"),
    ("namespace", "namespace"),
    ("cache", "[runners.cache]"),
    ("imagePullPolicy", "pull_policy"),
    ("builds", "cpu_limit and so on"),
    ("services", "service_cpu_limit and so on"),
    ("helpers", "helper_cpu_limit and so on"),
    ("pollTimeout", "poll_timeout"),
    ("outputLimit", "output_limit under [[runners]]"),
    ("cloneUrl", "clone_url under [[runners]]"),
    ("nodeSelector", "[runners.kubernetes.node_selector]"),
    ("nodeTolerations", "[runners.kubernetes.node_tolerations]"),
    ("podLabels", "[runners.kubernetes.pod_labels]"),
    ("podAnnotations", "[runners.kubernetes.pod_annotations]"),
    ("env", "environment under [[runners]]"),
];

/// The name that a chart gives its runner, if it gives one.
pub(super) fn stable_name(values: &Node) -> Option<&str> {
    let named = values.at("runners").and_then(|it| it.text_at("name"));
    let mut variables = values.items_at("envVars").iter();
    let variable = variables.find(|variable| variable.text_at("name") == Some("RUNNER_NAME"));
    let extra = values
        .at("extraEnv")
        .and_then(|extra| extra.text_at("RUNNER_NAME"));
    named
        .or(variable.and_then(|variable| variable.text_at("value")))
        .or(extra)
        .filter(|name| !name.contains(['{', '$']))
}

/// Reports what of the values is not for jobs. `wants` are those of its own runner.
pub(super) fn read(source: &Source, wants: &[&Want], findings: &mut Vec<Finding>) {
    let Some(values) = &source.values else {
        return;
    };
    if let Some(entry) = values.entry("hostAliases") {
        // With the line of the key.
        let place = Place {
            span: entry.key_span.with(entry.node.extent()),
            path: entry.node.path.clone(),
        };
        manager_aliases(&entry.node, place, wants, findings);
    }
    if let (Some(node), Some(name)) = (
        values.at("certsSecretName"),
        values.text_at("certsSecretName"),
    ) {
        let name = Printable::or_hidden(Kind::Name, name);
        findings.push(messages::certs_secret_name(name).at(node));
    }
    for entry in values.entries_at("runners") {
        let ended = ENDED.iter().find(|(key, _)| *key == entry.key);
        // Of the cache only the name of its Secret is left.
        let mut fields = entry.node.entries().iter();
        let is_current = entry.key == "cache" && fields.all(|it| it.key == "secretName");
        if let Some((key, instead)) = ended.filter(|_| entry.node.is_set() && !is_current) {
            let message = match *key {
                "privileged" => messages::ended_privileged(),
                key if instead.contains('[') => messages::ended_key(key, *instead, ""),
                key => messages::ended_key(key, *instead, " under [runners.kubernetes]"),
            };
            findings.push(message.at(&entry.node));
        }
    }
    let runners = source
        .config
        .iter()
        .flat_map(|config| config.items_at("runners"));
    for runner in runners {
        if let (Some(node), Some(name)) = (runner.at("name"), runner.text_at("name")) {
            let name = Printable::or_hidden(Kind::Name, name);
            findings.push(match stable_name(values) {
                Some(_) => messages::template_name_beside_another(name).at(node),
                None => messages::template_name(name).at(node),
            });
        }
    }
}

/// Aliases of the manager's pod, which no job has; a hostname with another address for jobs is a
/// conflict.
pub(super) fn manager_aliases(
    aliases: &Node,
    place: Place,
    wants: &[&Want],
    findings: &mut Vec<Finding>,
) {
    let mut missing = Vec::new();
    for entry in aliases.items() {
        let address: Option<IpAddr> = entry
            .text_at("ip")
            .and_then(|text| text.trim().parse().ok());
        for name in entry.items_at("hostnames") {
            let hostname = name.as_text().unwrap_or_default().to_lowercase();
            let shown = Printable::or_hidden(Kind::Hostname, &hostname);
            let is_it = |item: &Item| item.field == Field::Alias && item.key.as_str() == hostname;
            let mut of_jobs = wants.iter().flat_map(|want| {
                let items = want.items.iter().filter(|item| is_it(item));
                items.filter_map(move |item| Some((item.address()?, want)))
            });
            let of_jobs = of_jobs.find(|(other, _)| {
                address.is_none_or(|address| address.is_ipv4() == other.is_ipv4())
            });
            match (of_jobs, address) {
                (Some((other, want)), Some(address)) if other != address => {
                    let [address, other] = [address, other].map(Printable::own);
                    let here = Place {
                        span: entry.span.with(name.span),
                        path: entry.path.clone(),
                    };
                    let message = messages::manager_conflict(shown, address, other);
                    findings.push(message.at(here).at(want.place.clone()));
                }
                (None, _) => missing.push(shown),
                _ => {}
            }
        }
    }
    if !aliases.items().is_empty() {
        let missing = match missing.is_empty() {
            true => Sentence::default(),
            false => say!("; jobs have no alias for {}", Sentence::list(missing)),
        };
        findings.push(messages::manager_aliases(missing).at(place));
    }
}
