//! What the chart's values say beside the TOML in them: settings of the manager, and keys that the
//! chart does not have any more.

use super::finding::{Finding, Group, Item, Place, Want};
use super::located::{Entry, Node};
use super::places::Source;
use super::printable::{Kind, Printable, say};
use std::net::IpAddr;

/// Keys of `runners` that ended with chart 0.53.0, and what is written instead.
const ENDED: [(&str, &str); 16] = [
    (
        "privileged",
        "privileged = true under [runners.kubernetes]; without it dind is not privileged at all",
    ),
    ("image", "image under [runners.kubernetes]"),
    ("namespace", "namespace under [runners.kubernetes]"),
    ("cache", "[runners.cache]"),
    ("imagePullPolicy", "pull_policy under [runners.kubernetes]"),
    ("builds", "cpu_limit and so on under [runners.kubernetes]"),
    (
        "services",
        "service_cpu_limit and so on under [runners.kubernetes]",
    ),
    (
        "helpers",
        "helper_cpu_limit and so on under [runners.kubernetes]",
    ),
    ("pollTimeout", "poll_timeout under [runners.kubernetes]"),
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
    let named = values.find(&["runners", "name"]).and_then(Node::as_text);
    let variables = values.at("envVars").map(Node::items).unwrap_or_default();
    let variable = variables
        .iter()
        .find(|variable| variable.text_at("name") == Some("RUNNER_NAME"))
        .and_then(|variable| variable.text_at("value"));
    let extra = values
        .at("extraEnv")
        .and_then(|extra| extra.text_at("RUNNER_NAME"));
    named
        .or(variable)
        .or(extra)
        .filter(|name| !name.is_empty() && !name.contains(['{', '$']))
}

/// Reports what of the values is not for jobs.
pub(super) fn read(
    source: &Source,
    values: &Node,
    has_stable_name: bool,
    wants: &[&Want],
    findings: &mut Vec<Finding>,
) {
    let place = |node: &Node| Place::of(source.file, node);
    let mut find = |group, places, what, todo| {
        findings.push(Finding {
            group,
            places,
            what,
            todo,
        })
    };
    let aliases = values
        .entries()
        .iter()
        .find(|entry| entry.key == "hostAliases");
    if let Some(Entry { key_span, node, .. }) = aliases {
        // With the line of the key.
        let aliases = Node {
            span: key_span.with(node.span),
            ..node.clone()
        };
        manager_aliases(source.file, &aliases, wants, &mut find);
    }
    if let Some(node) = values
        .at("certsSecretName")
        .filter(|node| node.as_text().is_some_and(|text| !text.is_empty()))
    {
        let name = Printable::or_hidden(Kind::Name, node.as_text().unwrap_or_default());
        let what = say!(
            "certsSecretName {}: the manager's trust in GitLab, not that of dind in a registry",
            name
        );
        find(
            Group::NotTaken,
            vec![place(node)],
            what,
            say!(
                "keep it; for a registry make a ConfigMap of the authority and write dind.registryCAs: [{{host: HOST, configMap: {{name: NAME, key: ca.crt}}}}]"
            ),
        );
    }
    let runners = values.at("runners").map(Node::entries).unwrap_or_default();
    for entry in runners {
        let ended = ENDED.iter().find(|(key, _)| *key == entry.key);
        let is_current = entry.key == "cache"
            && entry
                .node
                .entries()
                .iter()
                .all(|entry| entry.key == "secretName");
        let is_empty = entry.node.as_text() == Some("")
            || entry.node.is_table() && entry.node.entries().is_empty()
            || matches!(entry.node.value, super::located::Value::Null);
        if let Some((key, instead)) = ended.filter(|_| !is_current && !is_empty) {
            let what = say!(
                "runners.{}: the chart has ignored this key since 0.53.0 (GitLab Runner 16.0)",
                *key
            );
            find(
                Group::NotTaken,
                vec![place(&entry.node)],
                what,
                say!("if it is wanted, write {}", *instead),
            );
        }
    }
    let templates = source
        .config
        .as_ref()
        .and_then(|config| config.at("runners"))
        .map(Node::items)
        .unwrap_or_default();
    for runner in templates {
        if let Some(node) = runner
            .at("name")
            .filter(|node| node.as_text().is_some_and(|text| !text.is_empty()))
        {
            let name = Printable::or_hidden(Kind::Name, node.as_text().unwrap_or_default());
            let todo = if has_stable_name {
                say!("take it out")
            } else {
                say!(
                    "set runners.name in the values for a name that lasts, as in runners: {{name: NAME}}"
                )
            };
            find(
                Group::NotTaken,
                vec![place(node)],
                say!(
                    "name {} of a registration template has no effect: the registered name is the manager pod's, or runners.name",
                    name
                ),
                todo,
            );
        }
    }
}

/// Aliases of the manager's pod, which no job has; a hostname with another address for jobs is a
/// conflict.
pub(super) fn manager_aliases(
    file: usize,
    aliases: &Node,
    wants: &[&Want],
    find: &mut impl FnMut(Group, Vec<Place>, super::printable::Sentence, super::printable::Sentence),
) {
    let mut missing = Vec::new();
    for entry in aliases.items() {
        let address: Option<IpAddr> = entry.text_at("ip").and_then(|text| text.parse().ok());
        for name in entry.at("hostnames").map(Node::items).unwrap_or_default() {
            let hostname = name.as_text().unwrap_or_default().to_lowercase();
            let shown = Printable::or_hidden(Kind::Hostname, &hostname);
            let of_jobs = wants.iter().find_map(|want| match &want.item {
                Item::Alias {
                    hostname: known,
                    address: other,
                } if known.as_str() == hostname
                    && address.is_none_or(|address| address.is_ipv4() == other.is_ipv4()) =>
                {
                    Some((*other, &want.place))
                }
                _ => None,
            });
            match (of_jobs, address) {
                (Some((other, place)), Some(address)) if other != address => {
                    let what = say!(
                        "{} is {} for the manager and {} for jobs; the policy has the jobs'",
                        shown,
                        Printable::address(address),
                        Printable::address(other)
                    );
                    find(
                        Group::Conflict,
                        vec![
                            Place {
                                span: entry.span.with(name.span),
                                file,
                                path: entry.path.clone(),
                            },
                            place.clone(),
                        ],
                        what,
                        say!("one of the two is probably out of date: correct it"),
                    );
                }
                (None, _) => missing.push(shown),
                _ => {}
            }
        }
    }
    if !aliases.items().is_empty() {
        let what = say!("hostAliases of the manager's pod: they are in no job");
        let what = if missing.is_empty() {
            what
        } else {
            what.and(&say!("; jobs have no alias for {}", missing))
        };
        find(
            Group::NotTaken,
            vec![Place::of(file, aliases)],
            what,
            say!("keep them: drydock never touches the manager; add to the policy what jobs need"),
        );
    }
}
