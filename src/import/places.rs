//! Where the configuration of a runner is in a file: tables of paths through objects and values,
//! not a reader for each tool.

use super::located::Node;
use super::manager::Manager;
use super::printable::Printable;
use super::template::Masks;
use super::text::Encoding;

/// What sits at a place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Holds {
    Toml,
    Values,
    /// The same as the text of a string.
    ValuesText,
}

/// Places by the kind of their object. `[]` is every item of a list, `*` before an end is every key
/// with that end.
pub(super) const PLACES: &[(&str, &[&str], Holds)] = &[
    ("ConfigMap", &["data", "*.toml"], Holds::Toml),
    ("ConfigMap", &["data", "*.yaml"], Holds::ValuesText),
    ("ConfigMap", &["data", "*.yml"], Holds::ValuesText),
    ("HelmRelease", &["spec", "values"], Holds::Values),
    ("HelmChart", &["spec", "valuesContent"], Holds::ValuesText),
    (
        "HelmChartConfig",
        &["spec", "valuesContent"],
        Holds::ValuesText,
    ),
    (
        "Application",
        &["spec", "source", "helm", "values"],
        Holds::ValuesText,
    ),
    (
        "Application",
        &["spec", "source", "helm", "valuesObject"],
        Holds::Values,
    ),
    (
        "Application",
        &["spec", "sources", "[]", "helm", "values"],
        Holds::ValuesText,
    ),
    (
        "Application",
        &["spec", "sources", "[]", "helm", "valuesObject"],
        Holds::Values,
    ),
    (
        "ApplicationSet",
        &["spec", "template", "spec", "source", "helm", "values"],
        Holds::ValuesText,
    ),
    (
        "ApplicationSet",
        &["spec", "template", "spec", "source", "helm", "valuesObject"],
        Holds::Values,
    ),
    (
        "ApplicationSet",
        &[
            "spec", "template", "spec", "sources", "[]", "helm", "values",
        ],
        Holds::ValuesText,
    ),
    (
        "ApplicationSet",
        &[
            "spec",
            "template",
            "spec",
            "sources",
            "[]",
            "helm",
            "valuesObject",
        ],
        Holds::Values,
    ),
    (
        "Kustomization",
        &["helmCharts", "[]", "valuesInline"],
        Holds::Values,
    ),
    ("Release", &["spec", "forProvider", "values"], Holds::Values),
];

/// Where such objects say their namespace and their cluster.
pub(super) const NAMESPACES: &[&[&str]] = &[
    &["spec", "targetNamespace"],
    &["spec", "destination", "namespace"],
    &["spec", "template", "spec", "destination", "namespace"],
    &["metadata", "namespace"],
];
pub(super) const CLUSTERS: &[&[&str]] = &[
    &["spec", "destination", "server"],
    &["spec", "destination", "name"],
    &["spec", "template", "spec", "destination", "server"],
    &["spec", "template", "spec", "destination", "name"],
    &["spec", "kubeConfig", "secretRef", "name"],
    &["spec", "providerConfigRef", "name"],
];
/// Objects that have pods of a runner's manager.
pub(super) const WORKLOADS: [&str; 4] = ["Deployment", "StatefulSet", "DaemonSet", "Pod"];
/// What marks values of the runner's chart.
pub(super) const CHART_KEYS: [&str; 4] = [
    "runners",
    "gitlabUrl",
    "runnerToken",
    "runnerRegistrationToken",
];
/// How deep values may lie in those of other charts and tools.
pub(super) const DEEPEST: usize = 7;

/// One configuration that was found.
pub(super) struct Source {
    pub(super) file: usize,
    /// The TOML: a table with `runners`.
    pub(super) config: Option<Node>,
    /// Whether it is a registration template rather than a `config.toml` in force.
    pub(super) is_template: bool,
    /// Values of the chart around it.
    pub(super) values: Option<Node>,
    pub(super) cluster: Option<Printable>,
    pub(super) namespace: Option<Printable>,
    /// The ConfigMap that it is in.
    pub(super) config_map: Option<String>,
    /// Whether a chart or a person keeps the file, so that a change of it lasts.
    pub(super) lasts: bool,
}

/// What a file holds.
pub(super) struct File {
    pub(super) name: Printable,
    pub(super) text: String,
    pub(super) encoding: Encoding,
    pub(super) is_stdin: bool,
    pub(super) masks: Vec<Masks>,
    pub(super) sources: Vec<Source>,
    pub(super) managers: Vec<Manager>,
    /// Places of Secrets that were passed over.
    pub(super) secrets: Vec<Node>,
    pub(super) is_pipeline: bool,
}

/// The host of a URL, without what may stand before it (a user with a password) and behind it.
pub(super) fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host)
}

/// The values at the end of a path, each with the key that leads to it.
pub(super) fn follow<'n>(
    node: &'n Node,
    path: &[&str],
    key: &str,
    found: &mut Vec<(String, &'n Node)>,
) {
    let Some((step, rest)) = path.split_first() else {
        found.push((key.to_owned(), node));
        return;
    };
    if *step == "[]" {
        node.items()
            .iter()
            .for_each(|item| follow(item, rest, key, found));
        return;
    }
    let fits = |key: &str| {
        step.strip_prefix('*')
            .map_or(key == *step, |end| key.ends_with(end))
    };
    for entry in node.entries().iter().filter(|entry| fits(&entry.key)) {
        follow(&entry.node, rest, &entry.key, found);
    }
}
