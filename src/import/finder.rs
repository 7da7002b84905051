//! Finds the configurations of a file: a TOML, or a YAML with objects and values that hold them.

use super::located::{Entry, FILE, Lines, Node, Origin, Value};
use super::manager::Manager;
use super::places::{
    CHART_KEYS, CLUSTERS, DEEPEST, File, Holds, NAMESPACES, PLACES, Source, WORKLOADS, follow, host,
};
use super::printable::{Kind, Printable, Sentence, say};
use super::template::{self, Masks};
use super::text::{self, Fault, Format};
use super::{Input, toml, yaml};

/// Finds the configurations of a file.
pub(super) fn read(index: usize, input: &Input<'_>) -> Result<File, Vec<Fault>> {
    let one = |fault| vec![fault];
    let (text, encoding) = text::decode(input.bytes, input.is_stdin).map_err(one)?;
    let format = text::format(input.name, &text, input.is_stdin).map_err(one)?;
    let file = File {
        name: Printable::file(input.name),
        text: String::new(),
        encoding,
        is_stdin: input.is_stdin,
        masks: Vec::new(),
        sources: Vec::new(),
        managers: Vec::new(),
        secrets: Vec::new(),
        is_pipeline: false,
    };
    let mut finder = Finder {
        index,
        file,
        faults: Vec::new(),
    };
    match format {
        Format::Toml => {
            let is_template = input.name.contains("template");
            if let Some(config) = finder.toml(&text, FILE) {
                finder.add(Some(config), is_template, None, &Context::default());
            }
        }
        Format::Yaml => {
            let is_one_line = text.trim().lines().count() == 1;
            for mut document in finder.yaml(&text, FILE) {
                if is_one_line {
                    document.write_paths("");
                }
                finder.object(&document);
            }
        }
    }
    finder.file.text = text;
    finder.finish()
}
/// What an object says about all that is in it.
#[derive(Clone, Default)]
struct Context {
    namespace: Option<Printable>,
    cluster: Option<Printable>,
    config_map: Option<String>,
}
struct Finder {
    index: usize,
    file: File,
    faults: Vec<Fault>,
}
impl Finder {
    fn finish(mut self) -> Result<File, Vec<Fault>> {
        if self.faults.is_empty() && self.file.sources.is_empty() {
            self.faults.push(text::no_runner(self.seen()));
        }
        if self.faults.is_empty() {
            Ok(self.file)
        } else {
            Err(self.faults)
        }
    }

    /// What a file without a runner is instead, with the command to run.
    fn seen(&self) -> Sentence {
        if let Some(manager) = self.file.managers.first() {
            return manager.seen();
        }
        if self.file.is_pipeline {
            return say!(
                "looks like a pipeline (.gitlab-ci.yml), which says nothing about runners"
            );
        }
        match self.file.secrets.first() {
            Some(_) => say!("has a Secret, which is never read, and no other configuration"),
            None => Sentence::default(),
        }
    }

    fn add(
        &mut self,
        config: Option<Node>,
        is_template: bool,
        values: Option<&Node>,
        context: &Context,
    ) {
        let has_runners = |config: &Node| {
            config
                .entries()
                .iter()
                .any(|entry| entry.key.eq_ignore_ascii_case("runners"))
        };
        // The chart renders a config.toml without runners beside the template.
        let config = config.filter(has_runners);
        if config.is_none() && values.is_none() {
            return;
        }
        self.file.sources.push(Source {
            file: self.index,
            config,
            is_template,
            values: values.cloned(),
            cluster: context.cluster.clone(),
            namespace: context.namespace.clone(),
            config_map: context.config_map.clone(),
            lasts: !(is_template && values.is_none() && context.config_map.is_some()),
        });
    }

    /// Reads a TOML; where its text is a template, masked.
    fn toml(&mut self, text: &str, origin: Origin) -> Option<Node> {
        let faults = match toml::read(text, origin, &Masks::default()) {
            Ok(node) => return Some(node),
            Err(faults) => faults,
        };
        let lines_before = match origin {
            Origin::Lines { line, .. } => line,
            Origin::Inline(_) => 0,
        };
        if text.contains("{{") {
            match template::mask(text) {
                Ok((masked, masks)) => match toml::read(&masked, origin, &masks) {
                    Ok(node) => {
                        self.file.masks.push(masks.moved(lines_before));
                        return Some(node);
                    }
                    Err(faults) => {
                        let hint = say!("it is a template; import it rendered: {}", text::RENDERED);
                        self.faults
                            .extend(faults.into_iter().map(|fault| fault.with(hint.clone())));
                    }
                },
                Err(offset) => self.unclosed(text, origin, offset),
            }
            return None;
        }
        let explained = |fault: Fault| {
            let line = fault.line.saturating_sub(lines_before);
            text::explained(fault, text, line)
        };
        self.faults.extend(faults.into_iter().map(explained));
        None
    }

    fn yaml(&mut self, text: &str, origin: Origin) -> Vec<Node> {
        let fault = match yaml::read(text, origin) {
            Ok(documents) => return documents,
            Err(fault) => fault,
        };
        if text.contains("{{") {
            match template::mask(text) {
                Ok((masked, masks)) => {
                    if let Ok(mut documents) = yaml::read(&masked, origin) {
                        let lines = Lines::of(text);
                        documents
                            .iter_mut()
                            .for_each(|document| forget(document, text, &lines, &masks));
                        self.file.masks.push(masks);
                        return documents;
                    }
                    let hint = say!("it is a template; import it rendered: {}", text::RENDERED);
                    self.faults.push(fault.with(hint));
                }
                Err(offset) => self.unclosed(text, origin, offset),
            }
        } else {
            let line = fault.line;
            self.faults.push(text::explained(fault, text, line));
        }
        Vec::new()
    }

    fn unclosed(&mut self, text: &str, origin: Origin, offset: usize) {
        let span = origin.place(Lines::of(text).span(offset..offset + 1));
        let what = say!("a template's {{{{ has no }}}}");
        self.faults.push(
            Fault::at(span.line, span.column, what)
                .with(say!("import it rendered: {}", text::RENDERED)),
        );
    }

    fn object(&mut self, node: &Node) {
        let kind = node
            .text_at("kind")
            .filter(|_| node.at("apiVersion").is_some());
        let Some(kind) = kind else {
            self.values(node, &Context::default(), DEEPEST);
            let is_job = |entry: &Entry| entry.node.at("script").is_some();
            self.file.is_pipeline |=
                node.at("stages").is_some() || node.entries().iter().any(is_job);
            return;
        };
        if kind.ends_with("List") {
            node.at("items")
                .map(Node::items)
                .unwrap_or_default()
                .iter()
                .for_each(|item| self.object(item));
            return;
        }
        if kind == "Secret" {
            self.file.secrets.push(Node::new(Value::Null, node.span));
            return;
        }
        let name = |path: &&[&str]| {
            let text = node.find(path)?.as_text()?;
            Printable::new(Kind::Name, text)
        };
        // Where the object itself is applied.
        let is_own = |name: &Printable| {
            !["https://kubernetes.default.svc", "in-cluster"].contains(&name.as_str())
        };
        let cluster = CLUSTERS.iter().find_map(name).filter(is_own);
        let context = Context {
            namespace: NAMESPACES.iter().find_map(name),
            cluster: cluster
                .map(|cluster| Printable::or_hidden(Kind::Hostname, host(cluster.as_str()))),
            config_map: (kind == "ConfigMap").then(|| {
                node.find(&["metadata", "name"])
                    .and_then(Node::as_text)
                    .unwrap_or_default()
                    .to_owned()
            }),
        };
        if WORKLOADS.contains(&kind) {
            self.workload(node, kind, &context);
        }
        for (_, path, holds) in PLACES.iter().filter(|(of, ..)| *of == kind) {
            let mut places = Vec::new();
            follow(node, path, "", &mut places);
            for (key, place) in places {
                self.place(place, &key, *holds, &context);
            }
        }
    }

    fn place(&mut self, node: &Node, key: &str, holds: Holds, context: &Context) {
        let Some(text) = node.as_text() else {
            if holds != Holds::Toml {
                self.values(node, context, DEEPEST);
            }
            return;
        };
        let origin = node.text.unwrap_or(Origin::Inline(node.span));
        match holds {
            Holds::Toml => {
                if let Some(mut config) = self.toml(text, origin) {
                    inherit(&mut config, node);
                    self.add(Some(config), key.contains("template"), None, context);
                }
            }
            Holds::ValuesText | Holds::Values => {
                for document in self.yaml(text, origin) {
                    self.values(&document, context, DEEPEST);
                }
            }
        }
    }

    /// Finds values of the runner's chart, wherever those of other charts and tools have them.
    fn values(&mut self, node: &Node, context: &Context, depth: usize) {
        let is_chart = CHART_KEYS.iter().any(|key| {
            node.at(key)
                .is_some_and(|value| *key != "runners" || value.is_table())
        });
        if is_chart {
            let config = node.find(&["runners", "config"]);
            let text = config.and_then(Node::as_text);
            let origin = config.map(|config| config.text.unwrap_or(Origin::Inline(config.span)));
            let faults = self.faults.len();
            let toml = match (text, origin) {
                (Some(text), Some(origin)) if !text.trim().is_empty() => self.toml(text, origin),
                _ => None,
            };
            if let Some(config) =
                config.filter(|config| config.is_table() || !config.items().is_empty())
            {
                let what = say!("runners.config is not a string");
                self.faults.push(
                    Fault::at(config.span.line, config.span.column, what)
                        .with(say!("write it as a block: config: |")),
                );
            }
            if self.faults.len() == faults {
                let toml = toml.map(|mut toml| {
                    config
                        .into_iter()
                        .for_each(|config| inherit(&mut toml, config));
                    toml
                });
                self.add(toml, true, Some(node), context);
            }
            return;
        }
        if depth > 0 {
            let below = node.entries().iter().map(|entry| &entry.node);
            below
                .chain(node.items())
                .for_each(|node| self.values(node, context, depth - 1));
        }
    }

    fn workload(&mut self, node: &Node, kind: &str, context: &Context) {
        let spec = if kind == "Pod" {
            node.at("spec")
        } else {
            node.find(&["spec", "template", "spec"])
        };
        let Some(spec) = spec else { return };
        let name = node
            .find(&["metadata", "name"])
            .and_then(Node::as_text)
            .unwrap_or("gitlab-runner");
        let is_image = |container: &Node| {
            container
                .text_at("image")
                .is_some_and(|image| image.contains("gitlab-runner"))
        };
        if name.contains("runner")
            || spec
                .at("containers")
                .map(Node::items)
                .unwrap_or_default()
                .iter()
                .any(is_image)
        {
            self.file.managers.push(Manager {
                file: self.index,
                spec: spec.clone(),
                name: Printable::or_hidden(Kind::Name, name),
                namespace: context
                    .namespace
                    .clone()
                    .unwrap_or_else(|| Printable::or_hidden(Kind::Name, "NAMESPACE")),
            });
        }
    }
}
/// The keys of a TOML that has no lines of its own begin with those that lead to it.
fn inherit(config: &mut Node, at: &Node) {
    if let Some(path) = &at.path {
        config.write_paths(path);
    } else if at.text.is_none() && at.span.line == at.span.last {
        config.write_paths("");
    }
}
/// Makes unknown what a template decides in a YAML. Blocks get back their text, which is masked
/// again when it is read.
fn forget(node: &mut Node, text: &str, lines: &Lines<'_>, masks: &Masks) {
    let span = node.span;
    match (&mut node.value, node.text) {
        (Value::Text(block), Some(Origin::Lines { line, column })) => {
            let [from, column] =
                [line, column].map(|number| usize::try_from(number).unwrap_or(usize::MAX));
            let original = text.lines().skip(from).take(block.lines().count());
            let is_indented = |line: &str| line.chars().take(column).all(|char| char == ' ');
            let unindented = original.map(|line| {
                if is_indented(line) {
                    line.get(column..).unwrap_or_default()
                } else {
                    line.trim_start()
                }
            });
            *block = unindented.collect::<Vec<_>>().join("\n");
        }
        (Value::Text(_) | Value::Integer, _) => {
            let range =
                lines.offset(span.line, span.column)..lines.offset(span.last, span.last_column) + 1;
            if masks.cover(range) {
                node.value = Value::Unknown;
            }
        }
        (Value::List(items), _) => items
            .iter_mut()
            .for_each(|item| forget(item, text, lines, masks)),
        (Value::Table(entries), _) => entries
            .iter_mut()
            .for_each(|entry| forget(&mut entry.node, text, lines, masks)),
        _ => {}
    }
}
