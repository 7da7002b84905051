//! Finds the configurations of runners in a file. A file is TOML, or YAML with TOML in Kubernetes
//! objects or in chart values.

use super::config_value::{ConfigValue, Lines, Origin, Span};
use super::finding::{Finding, Group};
use super::runner_manager::Manager;
use super::safe_text::{Kind, SafeText};
use super::template::{self, Masks};
use super::text::{self, Encoding, Format};
use super::{Input, messages, toml, yaml};

/// The content of a YAML string.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Content {
    /// A `config.toml`.
    Toml,
    /// Chart values.
    Values,
}

/// The YAML strings that are parsed: the kind of the object and the suffix of the key. If the kind
/// is empty, the object can have any kind, and the suffix is the whole key.
const EMBEDDED: [(&str, &str, Content); 5] = [
    ("ConfigMap", ".toml", Content::Toml),
    ("ConfigMap", ".yaml", Content::Values),
    ("ConfigMap", ".yml", Content::Values),
    // Application and ApplicationSet.
    ("", "values", Content::Values),
    // HelmChart and HelmChartConfig.
    ("", "valuesContent", Content::Values),
];

/// Fields of GitOps objects that contain the namespace of the Helm release.
const NAMESPACES: &str = "spec.targetNamespace spec.destination.namespace \
    spec.template.spec.destination.namespace spec.forProvider.namespace metadata.namespace";
/// Kinds of objects whose own namespace is not the namespace of the Helm release.
const NOT_IN_RELEASE_NAMESPACE: &str = "Application ApplicationSet HelmChart HelmChartConfig";
/// Fields of GitOps objects that contain the cluster of the Helm release.
const CLUSTERS: &str = "spec.destination.server spec.destination.name \
    spec.template.spec.destination.server spec.template.spec.destination.name \
    spec.kubeConfig.secretRef.name spec.providerConfigRef.name";
/// Values of these fields that stand for the cluster of the GitOps object itself.
const OWN_CLUSTER: [&str; 2] = ["https://kubernetes.default.svc", "in-cluster"];
/// Kinds of objects that may be a runner manager.
const WORKLOADS: [&str; 4] = ["Deployment", "StatefulSet", "DaemonSet", "Pod"];
/// Keys that only values of the gitlab-runner chart have.
const CHART_KEYS: &str = "runners gitlabUrl runnerToken runnerRegistrationToken";
/// The maximum depth of nested values that are searched.
const MAX_DEPTH: usize = 24;

/// The `read` function of the module `toml` or `yaml`.
type Read<T> = fn(&str, Origin, &Masks<'_>) -> Result<T, Vec<Finding>>;

/// A configuration of runners, with details from the object or the chart values around it.
#[derive(Clone, Default)]
pub(super) struct Source {
    /// The index of the file.
    pub(super) file: usize,
    /// The root table of the TOML.
    pub(super) config: Option<ConfigValue>,
    /// Whether the TOML is a template for the registration of a runner, not the `config.toml` of a
    /// registered runner.
    pub(super) is_template: bool,
    /// The chart values that contain the TOML.
    pub(super) values: Option<ConfigValue>,
    /// The cluster of the Helm release.
    pub(super) cluster: Option<SafeText>,
    /// The namespace of the Helm release.
    pub(super) namespace: Option<SafeText>,
    /// The name of the ConfigMap that contains the TOML.
    pub(super) config_map: Option<String>,
    /// The kind of the Kubernetes object that contains the TOML.
    kind: String,
}

/// An imported file.
pub(super) struct File {
    pub(super) name: SafeText,
    pub(super) text: String,
    pub(super) encoding: Encoding,
    pub(super) is_stdin: bool,
}

/// The content of all imported files.
#[derive(Default)]
pub(super) struct Reading {
    pub(super) files: Vec<File>,
    pub(super) sources: Vec<Source>,
    pub(super) managers: Vec<Manager>,
    pub(super) findings: Vec<Finding>,
    /// Template lines that are not read.
    pub(super) skipped: Vec<Span>,
    /// Template lines in a block of `if`, `with` or `range`.
    pub(super) conditional: Vec<Span>,
}

impl Reading {
    /// Reads a file and adds its content.
    pub(super) fn read(&mut self, input: &Input<'_>) {
        let file = self.files.len();
        let mut read = File {
            name: SafeText::trusted(input.name),
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
                    (_, Some(manager)) => Some(manager.finding_without_config()),
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
                document.set_paths("");
            }
            self.walk(document, &source, MAX_DEPTH);
        }
        let is_job =
            |value: &ConfigValue| value.at("script").is_some() || value.at("stage").is_some();
        let is_pipeline = |document: &ConfigValue| {
            document.at("stages").is_some()
                || document.entries().iter().any(|entry| is_job(&entry.value))
        };
        if self.sources.len() == sources && documents.iter().any(is_pipeline) {
            self.findings
                .push(messages::pipeline().at(Span::file(file)));
        }
    }

    fn add(&mut self, source: Source, config: Option<ConfigValue>) {
        let is_runners = |key: &str| key.eq_ignore_ascii_case("runners");
        // The chart also renders a config.toml without runners, which is skipped.
        let has_runners =
            |value: &ConfigValue| value.entries().iter().any(|it| is_runners(&it.key));
        let config = config.filter(has_runners);
        let source = Source { config, ..source };
        // A YAML anchor and its aliases are the same configuration. Keep the one with chart values.
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

    /// Parses a text. If that fails and the text is a template, masks the template expressions and
    /// parses the result.
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
                    vec![messages::unclosed_template().at(origin.span_in_file(span))]
                }
            },
        };
        self.findings.extend(errors);
        None
    }

    /// Finds configurations in a value, down to `depth` levels. `parent` is the source of the value
    /// that contains it.
    fn walk(&mut self, value: &ConfigValue, parent: &Source, depth: usize) {
        let Some(deeper) = depth.checked_sub(1) else {
            return;
        };
        let kind = value
            .text_at("kind")
            .filter(|_| value.at("apiVersion").is_some());
        let source = kind.map_or_else(|| parent.clone(), |kind| parent.in_object(value, kind));
        if let Some(kind) = WORKLOADS.into_iter().find(|kind| source.kind == *kind) {
            self.managers.extend(Manager::of(value, kind, &source));
            return;
        }
        match source.kind.as_str() {
            "Secret" => {
                self.findings.push(messages::secret().at(value));
                return;
            }
            "ConfigMap" => {}
            _ if is_chart(value) => {
                self.chart(value, source);
                return;
            }
            _ => {}
        }
        for item in value.items() {
            self.walk(item, &source, deeper);
        }
        for entry in value.entries() {
            let is_embedded = |(kind, end, _): &&(&str, &str, Content)| match *kind {
                "" => entry.key == *end,
                kind => source.kind == kind && entry.key.ends_with(end),
            };
            let embedded = EMBEDDED.iter().find(is_embedded);
            // Other tools have the TOML at other keys, so its content is checked too.
            let text = entry.value.as_text().unwrap_or_default();
            let is_config = text.contains("[[runners]]")
                && matches!(text::format(0, "", text, false), Ok(Format::Toml));
            let content = embedded.map(|(.., content)| *content);
            let content = content.or(is_config.then_some(Content::Toml));
            let at = origin(&entry.value);
            match (content, entry.value.as_text()) {
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
                        set_toml_paths(&mut config, &entry.value);
                        self.add(source, Some(config));
                    }
                }
                // Annotations are skipped, because `last-applied-configuration` is a copy of the
                // object.
                _ if entry.key != "annotations" => self.walk(&entry.value, &source, deeper),
                _ => {}
            }
        }
    }

    /// Reads values of the gitlab-runner chart.
    fn chart(&mut self, values: &ConfigValue, source: Source) {
        let config = values.find("runners.config");
        let errors = self.findings.len();
        let mut toml = None;
        if let Some(config) = config {
            match config.as_text() {
                Some(text) if !text.trim().is_empty() => {
                    toml = self.parse(text, origin(config), toml::read);
                    toml.iter_mut()
                        .for_each(|toml| set_toml_paths(toml, config));
                }
                None if config.is_set() && !config.is_unknown() => {
                    self.findings
                        .push(messages::config_is_not_text().at(config.span));
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
    /// Returns the source for the content of a Kubernetes object.
    fn in_object(&self, object: &ConfigValue, kind: &str) -> Self {
        let name = |path: &str| SafeText::new(Kind::Name, object.find(path)?.as_text()?);
        let is_own = |name: &SafeText| OWN_CLUSTER.contains(&name.as_str());
        let cluster = CLUSTERS.split(' ').find_map(name).filter(|it| !is_own(it));
        let host = |name: SafeText| SafeText::or_hidden(Kind::Hostname, host(name.as_str()));
        let has_other_namespace = NOT_IN_RELEASE_NAMESPACE.split(' ').any(|it| it == kind);
        let mut namespaces = NAMESPACES.split(' ');
        let namespace = namespaces.find_map(|path| {
            let is_release = path.starts_with("spec") || !has_other_namespace;
            name(path).filter(|_| is_release)
        });
        let config_map = object.find("metadata.name").and_then(ConfigValue::as_text);
        Self {
            namespace: namespace.or_else(|| self.namespace.clone()),
            cluster: cluster.map(host).or_else(|| self.cluster.clone()),
            config_map: config_map
                .filter(|_| kind == "ConfigMap")
                .map(str::to_owned),
            kind: kind.to_owned(),
            ..self.clone()
        }
    }

    /// Returns whether the file is a rendered chart, so that an edit of it would be overwritten.
    pub(super) fn is_generated(&self) -> bool {
        self.values.is_none() && self.is_template && self.config_map.is_some()
    }
}

/// Returns the host and port of a URL, without user, password and path.
pub(super) fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@');
    host.map_or(authority, |(_, host)| host)
}

fn is_chart(value: &ConfigValue) -> bool {
    CHART_KEYS.split(' ').any(|key| {
        let found = value.at(key);
        found.is_some_and(|found| key != "runners" || found.is_table())
    })
}

fn origin(value: &ConfigValue) -> Origin {
    value.text.unwrap_or(Origin::Inline(value.span))
}

/// Sets paths of keys in TOML whose lines are not lines of the file.
fn set_toml_paths(config: &mut ConfigValue, at: &ConfigValue) {
    if let Some(path) = &at.path {
        config.set_paths(path);
    } else if at.text.is_none() && at.span.line == at.span.last_line {
        config.set_paths("");
    }
}
