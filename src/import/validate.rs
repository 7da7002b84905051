//! Reads a `config.toml` as the runner does: settings in effect, settings that the runner ignores,
//! and settings for which it refuses the file.

use super::finding::Finding;
use super::messages;
use super::node::{Entry, Node, Value};
use super::safe_text::{Kind, Message, SafeText, message};
use super::schema::{DOCKER, ELSEWHERE, field, fields, is_near};

/// Types of the schema, their names in messages, and how to write them.
const WANTED: [(char, &str, &str); 6] = [
    ('{', "a table", "write its header in single brackets"),
    ('[', "a list of tables", ""),
    ('S', "a list of strings", "put it in brackets: [\"…\"]"),
    ('b', "true or false", "write it without quotes"),
    ('i', "a whole number", "write it without quotes"),
    ('s', "a string", "put it in quotes"),
];

/// A `config.toml` as the runner reads it.
pub(super) struct Validated {
    /// The settings in effect, with known keys in lower case.
    pub(super) node: Node,
    /// Settings that the runner ignores without a warning.
    pub(super) ignored: Vec<Finding>,
    pub(super) refused: Vec<Finding>,
    /// Whether misspelt keys are corrected.
    is_corrected: bool,
}

impl Validated {
    /// Reads a `config.toml` as the runner does. With `is_corrected`, misspelt keys are corrected.
    pub(super) fn of(config: &Node, is_corrected: bool) -> Self {
        let mut validated = Self {
            node: config.clone(),
            ignored: Vec::new(),
            refused: Vec::new(),
            is_corrected,
        };
        validated.node = validated.table(config, "config");
        validated
    }

    fn table(&mut self, node: &Node, table: &str) -> Node {
        let mut entries: Vec<Entry> = Vec::new();
        let mut below: Vec<Entry> = Vec::new();
        for entry in node.entries() {
            let known = field(table, &entry.key);
            let Some((name, kind)) = known.or_else(|| self.meant(entry, table)) else {
                continue;
            };
            let earlier = entries.iter_mut().find(|earlier| earlier.key == name);
            let read = Entry {
                key: name.to_owned(),
                key_span: entry.key_span,
                node: self.value(&entry.node, name, kind),
            };
            match earlier {
                // The key has two spellings, and the runner may use either.
                Some(earlier) if known.is_some() => {
                    let line = earlier.key_span.line;
                    (self.ignored).push(messages::two_spellings(name, line).at(entry.key_span));
                    earlier.node.value = Value::Unknown;
                }
                _ if field(table, name).is_none() => below.push(read),
                _ => add(&mut entries, read),
            }
        }
        let kubernetes = entries.iter_mut().find(|entry| entry.key == "kubernetes");
        if let Some(Value::Table(inner)) = kubernetes.map(|entry| &mut entry.node.value) {
            below.into_iter().for_each(|entry| add(inner, entry));
        }
        node.with(Value::Table(entries))
    }

    /// Reports an unknown key. Returns the key that was meant, if misspelt keys are corrected.
    fn meant(&mut self, entry: &Entry, table: &str) -> Option<(&'static str, &'static str)> {
        let near = fields(table).find(|(name, _)| is_near(name, &entry.key));
        let joined = |child: &Entry| field(table, &format!("{}_{}", entry.key, child.key));
        let mut elsewhere = ELSEWHERE.iter().filter(|(name, _)| *name != table);
        let elsewhere =
            elsewhere.find_map(|(name, words)| Some((*name, *words, field(name, &entry.key)?)));
        let is_key = |key: &str| key.eq_ignore_ascii_case(&entry.key);
        let is_docker = DOCKER.split(' ').any(is_key);
        let key = SafeText::or_hidden(Kind::Key, &entry.key);
        let todo = match (near, elsewhere) {
            (Some((name, _)), _) => message!("did you mean {}?", name),
            (None, Some(("kubernetes", _, (name, kind)))) if kind.starts_with(['{', '[', 'M']) => {
                message!("did you mean [runners.kubernetes.{}]?", name)
            }
            (None, Some((_, words, _))) => {
                message!("it belongs to {} and has no effect here", words)
            }
            _ if is_docker => message!("it belongs to [runners.docker] and has no effect here"),
            _ => match entry.node.entries().iter().find_map(joined) {
                Some((name, _)) => message!("did you mean {}?", name),
                None => message!("remove it, or see the runner's documentation"),
            },
        };
        let place = Node {
            span: entry.key_span,
            path: entry.node.path.clone(),
            ..Node::new(Value::Null, entry.key_span)
        };
        self.ignored
            .push(messages::unknown_key(key).with_todo(todo).at(&place));
        let moved = elsewhere.filter(|(name, ..)| table == "runner" && *name == "kubernetes");
        let moved = moved.map(|(.., field)| field);
        near.or(moved).filter(|_| self.is_corrected)
    }

    fn value(&mut self, node: &Node, name: &'static str, kind: &'static str) -> Node {
        let inner = kind.trim_matches(['{', '}', '[', ']']);
        let is = called(node);
        match (kind, &node.value) {
            (_, Value::Table(_)) if kind.starts_with('{') => return self.table(node, inner),
            (_, Value::List(items)) if kind.starts_with('[') => {
                let items = items.iter().map(|item| match item.value {
                    Value::Table(_) => self.table(item, inner),
                    Value::Unknown => item.clone(),
                    _ => self.refuse(item, messages::no_table(name, called(item))),
                });
                return node.with(Value::List(items.collect()));
            }
            ("M", Value::Table(entries)) => {
                for entry in entries {
                    let key = SafeText::or_hidden(Kind::Key, &entry.key);
                    let message = match &entry.node.value {
                        Value::Text(_) | Value::Unknown => continue,
                        Value::Table(_) => messages::dotted_key(name, key),
                        _ => messages::no_string_in_map(name, called(&entry.node), key),
                    };
                    self.refuse(&entry.node, message);
                }
            }
            ("S" | "O", Value::List(items)) => {
                for item in items {
                    if !matches!(item.value, Value::Text(_) | Value::Unknown) {
                        self.refuse(item, messages::no_string_in_list(name, called(item)));
                    }
                }
            }
            // Instead of a map, the runner ignores every value that is not a table.
            ("M", value) if !matches!(value, Value::Unknown) => {
                let meant: Vec<Entry> = as_map(node, name).collect();
                let todo = match name {
                    "node_tolerations" => tolerations(&meant),
                    _ => message!("write it as a table: \"KEY\" = \"PATH\""),
                };
                let message = messages::no_map(name, is).with_todo(todo);
                self.ignored.push(message.at(node));
                let entries = if self.is_corrected { meant } else { Vec::new() };
                return node.with(Value::Table(entries));
            }
            (_, Value::Unknown)
            | ("*", _)
            | ("s" | "O", Value::Text(_))
            | ("b", Value::Bool(_))
            | ("i", Value::Integer) => {}
            _ => {
                let mut wanted = WANTED.iter().filter(|(begin, ..)| kind.starts_with(*begin));
                let (_, wanted, todo) = wanted.next().unwrap_or(&('s', "a string", ""));
                let mut message = messages::wrong_type(name, is, *wanted, *todo);
                if kind.starts_with('[') {
                    message.todo = message!("write it as [[…{}]]", name);
                }
                return self.refuse(node, message);
            }
        }
        node.clone()
    }

    fn refuse(&mut self, node: &Node, message: Finding) -> Node {
        self.refused.push(message.at(node.span));
        node.with(Value::Unknown)
    }
}

/// Adds an entry to a table. Two lists or tables with the same key are joined.
fn add(entries: &mut Vec<Entry>, entry: Entry) {
    let earlier = entries.iter_mut().find(|earlier| earlier.key == entry.key);
    match (earlier.map(|it| &mut it.node.value), entry.node.value) {
        (Some(Value::List(items)), Value::List(more)) => items.extend(more),
        (Some(Value::Table(known)), Value::Table(more)) => known.extend(more),
        (Some(_), _) => {}
        (None, value) => entries.push(Entry {
            node: Node {
                value,
                ..entry.node
            },
            ..entry
        }),
    }
}

fn called(node: &Node) -> &'static str {
    match node.value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Integer => "an integer",
        Value::Other => "a number or date",
        Value::Text(_) => "a string",
        Value::Unknown => "a template",
        Value::List(_) => "a list",
        Value::Table(_) => "a table",
    }
}

/// Converts a list as in a Kubernetes manifest to the map that the runner expects.
fn as_map<'n>(node: &'n Node, name: &str) -> impl Iterator<Item = Entry> + use<'n> {
    let is_toleration = name == "node_tolerations";
    node.items().iter().filter_map(move |item| {
        let key = item.text_at("key")?;
        let (key, value) = match (is_toleration, item.text_at("value")) {
            (true, Some(value)) => (format!("{key}={value}"), item.text_at("effect")),
            (true, None) => (key.to_owned(), item.text_at("effect")),
            _ => (key.to_owned(), Some(item.text_at("path")?)),
        };
        let value = Value::Text(value.unwrap_or_default().to_owned());
        Some(Entry {
            key,
            key_span: item.span,
            node: Node::new(value, item.span),
        })
    })
}

/// How to write tolerations, without their values.
fn tolerations(entries: &[Entry]) -> Message {
    let written = entries.iter().filter_map(|entry| {
        let (key, value) = match entry.key.split_once('=') {
            Some((key, _)) => (key, "=…"),
            None => (entry.key.as_str(), ""),
        };
        let mut effects = super::scheduling::EFFECTS.into_iter();
        let effect = effects.find(|effect| entry.node.as_text() == Some(*effect));
        let key = SafeText::new(Kind::Key, key)?;
        Some(message!(
            "\"{}{}\" = \"{}\"",
            key,
            value,
            effect.unwrap_or_default()
        ))
    });
    let written = Message::list(written);
    message!(
        "write [runners.kubernetes.node_tolerations] and below it {}",
        written
    )
}
