//! Finds the configurations in a file: TOML, or YAML that has TOML in objects or chart values.

use super::finding::{Finding, Group};
use super::node::{Lines, Node, Origin, Span};
use super::runner_manager::Manager;
use super::safe_text::{Kind, SafeText};
use super::template::{self, Masks};
use super::text::{self, Encoding, Format};
use super::{Input, messages, toml, yaml};

/// The content of a string.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Content {
    Toml,
    Values,
}

/// Strings with a configuration: the kind of the object (empty for any) and the end of the key.
/// Chart values that are not in a string are found at any place.
const TEXTS: [(&str, &str, Content); 5] = [
    ("ConfigMap", ".toml", Content::Toml),
    ("ConfigMap", ".yaml", Content::Values),
    ("ConfigMap", ".yml", Content::Values),
    // Application and ApplicationSet.
    ("", "values", Content::Values),
    // HelmChart and HelmChartConfig.
    ("", "valuesContent", Content::Values),
];

/// Fields with the namespace and the cluster of a release.
const NAMESPACES: [&[&str]; 5] = [
    &["spec", "targetNamespace"],
    &["spec", "destination", "namespace"],
    &["spec", "template", "spec", "destination", "namespace"],
    &["spec", "forProvider", "namespace"],
    &["metadata", "namespace"],
];
/// Objects in a namespace of their own, which is not that of the release.
const APART: [&str; 4] = [
    "Application",
    "ApplicationSet",
    "HelmChart",
    "HelmChartConfig",
];
const CLUSTERS: [&[&str]; 6] = [
    &["spec", "destination", "server"],
    &["spec", "destination", "name"],
    &["spec", "template", "spec", "destination", "server"],
    &["spec", "template", "spec", "destination", "name"],
    &["spec", "kubeConfig", "secretRef", "name"],
    &["spec", "providerConfigRef", "name"],
];
/// Names of the cluster that has the object itself.
const OWN_CLUSTER: [&str; 2] = ["https://kubernetes.default.svc", "in-cluster"];
/// Objects whose pods may be those of a runner manager.
const WORKLOADS: [&str; 4] = ["Deployment", "StatefulSet", "DaemonSet", "Pod"];
/// Keys by which values of the runner's chart are recognized.
const CHART_KEYS: &str = "runners gitlabUrl runnerToken runnerRegistrationToken";
/// The maximum depth at which chart values are searched.
const DEEPEST: usize = 24;

/// A reader of one of the formats.
type Read<T> = fn(&str, Origin, &Masks<'_>) -> Result<T, Vec<Finding>>;

/// A configuration of runners, and its surroundings.
#[derive(Clone, Default)]
pub(super) struct Source {
    pub(super) file: usize,
    /// The root table of the TOML.
    pub(super) config: Option<Node>,
    /// Whether it is a registration template rather than a `config.toml` in force.
    pub(super) is_template: bool,
    /// The chart values that contain the TOML.
    pub(super) values: Option<Node>,
    pub(super) cluster: Option<SafeText>,
    pub(super) namespace: Option<SafeText>,
    /// The name of the ConfigMap that contains the TOML.
    pub(super) config_map: Option<String>,
    kind: String,
}

/// One of the given files.
pub(super) struct File {
    pub(super) name: SafeText,
    pub(super) text: String,
    pub(super) encoding: Encoding,
    pub(super) is_stdin: bool,
}

/// The content of all files.
#[derive(Default)]
pub(super) struct Reading {
    pub(super) files: Vec<File>,
    pub(super) sources: Vec<Source>,
    pub(super) managers: Vec<Manager>,
    pub(super) findings: Vec<Finding>,
    /// Template lines that are skipped, and template lines that apply only if a condition holds.
    pub(super) skipped: Vec<Span>,
    pub(super) conditional: Vec<Span>,
}

impl Reading {
    /// Reads a file.
    pub(super) fn read(&mut self, input: &Input<'_>) {
        let file = self.files.len();
        let mut read = File {
            name: SafeText::own(input.name),
            text: String::new(),
            encoding: Encoding::Utf8,
            is_stdin: input.is_stdin,
        };
        let decoded = text::decode(file, input.bytes).and_then(|(text, encoding)| {
            let format = text::format(file, input.name, &text, input.is_stdin)?;
            Ok((text, encoding, format))
        });
        match decoded {
            Ok((text, encoding, format)) => {
                let (sources, findings) = (self.sources.len(), self.findings.len());
                self.text(file, input.name, &text, format);
                let mut new = self.findings.iter().skip(findings);
                let manager = self.managers.iter().find(|it| it.spec.span.file == file);
                let message = match (new.next_back().map(|it| it.group), manager) {
                    (Some(Group::Error), _) => None,
                    (_, Some(manager)) => Some(manager.seen()),
                    (Some(_), None) => Some(messages::only_secrets()),
                    (None, None) => Some(messages::no_runner()),
                };
                let message = message.filter(|_| self.sources.len() == sources);
                (self.findings).extend(message.map(|it| it.at(Span::file(file))));
                (read.text, read.encoding) = (text, encoding);
            }
            Err(error) => self.findings.push(error),
        }
        self.files.push(read);
    }

    fn text(&mut self, file: usize, name: &str, text: &str, format: Format) {
        let source = Source {
            file,
            is_template: format == Format::Toml && name.contains("template"),
            ..Source::default()
        };
        let origin = Origin::file(file);
        if format == Format::Toml {
            let config = self.parse(text, origin, toml::read);
            self.add(source, config);
            return;
        }
        let sources = self.sources.len();
        let is_one_line = text.trim().lines().count() == 1;
        let mut documents = self.parse(text, origin, yaml::read).unwrap_or_default();
        for document in &mut documents {
            if is_one_line {
                document.write_paths("");
            }
            self.walk(document, &source, DEEPEST);
        }
        let is_job = |node: &Node| node.at("script").is_some() || node.at("stage").is_some();
        let is_pipeline = |document: &Node| {
            document.at("stages").is_some()
                || document.entries().iter().any(|entry| is_job(&entry.node))
        };
        if self.sources.len() == sources && documents.iter().any(is_pipeline) {
            self.findings
                .push(messages::pipeline().at(Span::file(file)));
        }
    }

    fn add(&mut self, source: Source, config: Option<Node>) {
        let is_runners = |key: &str| key.eq_ignore_ascii_case("runners");
        // Beside the template, the chart renders a config.toml without runners.
        let has_runners = |node: &Node| node.entries().iter().any(|it| is_runners(&it.key));
        let config = config.filter(has_runners);
        let source = Source { config, ..source };
        // An anchor and its aliases are one configuration; one with chart values says more.
        let start = |source: &Source| Some(source.config.as_ref()?.entries().first()?.key_span);
        let is_same =
            |other: &&mut Source| start(&source).is_some() && start(other) == start(&source);
        match self.sources.iter_mut().find(is_same) {
            Some(other) if other.values.is_none() => *other = source,
            Some(_) => {}
            None if source.config.is_some() || source.values.is_some() => self.sources.push(source),
            None => {}
        }
    }

    /// Parses a text. If that fails and the text is a template, parses the masked template.
    fn parse<T>(&mut self, text: &str, origin: Origin, read: Read<T>) -> Option<T> {
        let errors = match read(text, origin, &Masks::default()) {
            Ok(read) => return Some(read),
            Err(errors) if !text.contains("{{") => errors,
            Err(_) => match template::mask(text, origin) {
                Ok((masked, masks)) => match read(&masked, origin, &masks) {
                    Ok(read) => {
                        self.skipped.extend(masks.skipped);
                        self.conditional.extend(masks.conditional);
                        return Some(read);
                    }
                    Err(mut errors) => {
                        let todo = messages::rendered();
                        errors
                            .iter_mut()
                            .for_each(|error| error.todo = todo.clone());
                        errors
                    }
                },
                Err(offset) => {
                    let span = Lines::of(text).span(offset..offset + 1);
                    vec![messages::unclosed_template().at(origin.place(span))]
                }
            },
        };
        self.findings.extend(errors);
        None
    }

    /// Finds configurations in a node and below.
    fn walk(&mut self, node: &Node, around: &Source, depth: usize) {
        let Some(deeper) = depth.checked_sub(1) else {
            return;
        };
        let kind = node
            .text_at("kind")
            .filter(|_| node.at("apiVersion").is_some());
        let source = kind.map_or_else(|| around.clone(), |kind| around.within(node, kind));
        if let Some(kind) = WORKLOADS.into_iter().find(|kind| source.kind == *kind) {
            self.managers.extend(Manager::of(node, kind, &source));
            return;
        }
        match source.kind.as_str() {
            "Secret" => {
                self.findings.push(messages::secret().at(node));
                return;
            }
            "ConfigMap" => {}
            _ if is_chart(node) => {
                self.chart(node, source);
                return;
            }
            _ => {}
        }
        for item in node.items() {
            self.walk(item, &source, deeper);
        }
        for entry in node.entries() {
            let is_it = |(kind, end, _): &&(&str, &str, Content)| match *kind {
                "" => entry.key == *end,
                kind => source.kind == kind && entry.key.ends_with(end),
            };
            let holds = TEXTS.iter().find(is_it).map(|(.., holds)| *holds);
            // Other tools have the TOML under keys of their own.
            let text = entry.node.as_text().unwrap_or_default();
            let is_config = text.contains("[[runners]]")
                && matches!(text::format(0, "", text, false), Ok(Format::Toml));
            let holds = holds.or(is_config.then_some(Content::Toml));
            let at = origin(&entry.node);
            match (holds, entry.node.as_text()) {
                (Some(Content::Values), Some(text)) => {
                    let mut source = source.clone();
                    source.kind.clear();
                    for document in self.parse(text, at, yaml::read).unwrap_or_default() {
                        self.walk(&document, &source, deeper);
                    }
                }
                (Some(Content::Toml), Some(text)) => {
                    let mut source = source.clone();
                    let is_map = source.kind == "ConfigMap";
                    source.is_template = !is_map || entry.key.contains("template");
                    if let Some(mut config) = self.parse(text, at, toml::read) {
                        inherit(&mut config, &entry.node);
                        self.add(source, Some(config));
                    }
                }
                // The annotation last-applied-configuration is a second copy of the object.
                _ if entry.key != "annotations" => self.walk(&entry.node, &source, deeper),
                _ => {}
            }
        }
    }

    /// Reads values of the runner's chart.
    fn chart(&mut self, values: &Node, source: Source) {
        let config = values.find(&["runners", "config"]);
        let errors = self.findings.len();
        let mut toml = None;
        if let Some(config) = config {
            match config.as_text() {
                Some(text) if !text.trim().is_empty() => {
                    toml = self.parse(text, origin(config), toml::read);
                    toml.iter_mut().for_each(|toml| inherit(toml, config));
                }
                None if config.is_set() && !config.is_unknown() => {
                    self.findings
                        .push(messages::config_is_no_text().at(config.span));
                }
                _ => {}
            }
        }
        if self.findings.len() == errors {
            let values = Some(values.clone());
            self.add(
                Source {
                    values,
                    is_template: true,
                    ..source
                },
                toml,
            );
        }
    }
}

impl Source {
    /// The surroundings of what is in an object.
    fn within(&self, object: &Node, kind: &str) -> Self {
        let name = |path: &&[&str]| SafeText::new(Kind::Name, object.find(path)?.as_text()?);
        let is_own = |name: &SafeText| OWN_CLUSTER.contains(&name.as_str());
        let cluster = CLUSTERS.iter().find_map(name).filter(|name| !is_own(name));
        let host = |name: SafeText| SafeText::or_hidden(Kind::Hostname, host(name.as_str()));
        let config_map = object.find(&["metadata", "name"]).and_then(Node::as_text);
        Self {
            namespace: NAMESPACES
                .iter()
                .filter(|path| path.first() == Some(&"spec") || !APART.contains(&kind))
                .find_map(name)
                .or_else(|| self.namespace.clone()),
            cluster: cluster.map(host).or_else(|| self.cluster.clone()),
            config_map: config_map
                .filter(|_| kind == "ConfigMap")
                .map(str::to_owned),
            kind: kind.to_owned(),
            ..self.clone()
        }
    }

    /// Whether a change of the file lasts, because no program generates the file.
    pub(super) fn lasts(&self) -> bool {
        self.values.is_some() || !self.is_template || self.config_map.is_none()
    }
}

/// The host and port of a URL, without user, password and path.
pub(super) fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@');
    host.map_or(authority, |(_, host)| host)
}

fn is_chart(node: &Node) -> bool {
    CHART_KEYS.split(' ').any(|key| {
        let value = node.at(key);
        value.is_some_and(|value| key != "runners" || value.is_table())
    })
}

fn origin(node: &Node) -> Origin {
    node.text.unwrap_or(Origin::Inline(node.span))
}

/// Writes key paths into a TOML that has no lines of its own in the file.
fn inherit(config: &mut Node, at: &Node) {
    if let Some(path) = &at.path {
        config.write_paths(path);
    } else if at.text.is_none() && at.span.line == at.span.last {
        config.write_paths("");
    }
}
