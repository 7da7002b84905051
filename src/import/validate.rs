//! A `config.toml` as the runner understands it: what is in force, what it ignores without a word,
//! what it refuses.

use super::finding::Finding;
use super::located::{Entry, Node, Value};
use super::messages;
use super::printable::{Kind, Printable, Sentence, say};
use super::schema::{DOCKER, ELSEWHERE, field, fields, is_near};

/// Types of the schema, what the runner wants of them, and how to write it.
const WANTED: [(char, &str, &str); 6] = [
    ('{', "a table", ""),
    ('[', "a list of tables", ""),
    ('S', "a list of strings", "put it in brackets: [\"…\"]"),
    ('b', "true or false", "write it without quotes"),
    ('i', "a whole number", "write it without quotes"),
    ('s', "a string", "put it in quotes"),
];

/// A file as the runner understands it.
pub(super) struct Understood {
    /// What is in force: known keys in lower case.
    pub(super) node: Node,
    /// What the runner takes without a word and ignores.
    pub(super) ignored: Vec<Finding>,
    pub(super) refused: Vec<Finding>,
    /// Whether misspelt keys are what was meant by them.
    is_repaired: bool,
}

impl Understood {
    /// Reads a `config.toml` as the runner does; with `is_repaired` misspelt keys are what was
    /// meant by them.
    pub(super) fn of(config: &Node, is_repaired: bool) -> Self {
        let mut understood = Self {
            node: config.clone(),
            ignored: Vec::new(),
            refused: Vec::new(),
            is_repaired,
        };
        understood.node = understood.table(config, "config");
        understood
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
                // Two spellings of one key: the runner takes either, as it happens.
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

    /// Says that a key is not known, and which one was meant; that one counts only for a repair.
    fn meant(&mut self, entry: &Entry, table: &str) -> Option<(&'static str, &'static str)> {
        let near = fields(table).find(|(name, _)| is_near(name, &entry.key));
        let joined = |child: &Entry| field(table, &format!("{}_{}", entry.key, child.key));
        let mut elsewhere = ELSEWHERE.iter().filter(|(name, _)| *name != table);
        let elsewhere =
            elsewhere.find_map(|(name, words)| Some((*name, *words, field(name, &entry.key)?)));
        let is_key = |key: &str| key.eq_ignore_ascii_case(&entry.key);
        let is_docker = DOCKER.split(' ').any(is_key);
        let key = Printable::or_hidden(Kind::Key, &entry.key);
        let todo = match (near, elsewhere) {
            (Some((name, _)), _) => say!("did you mean {}?", name),
            (None, Some(("kubernetes", _, (name, kind)))) if kind.starts_with(['{', '[', 'M']) => {
                say!("did you mean [runners.kubernetes.{}]?", name)
            }
            (None, Some((_, words, _))) => {
                say!("it belongs to {}, and does nothing here", words)
            }
            _ if is_docker => say!("it belongs to [runners.docker], and does nothing here"),
            _ => match entry.node.entries().iter().find_map(joined) {
                Some((name, _)) => say!("did you mean {}?", name),
                None => say!("take it out, or look it up in the runner's documentation"),
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
        near.or(moved).filter(|_| self.is_repaired)
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
                    let key = Printable::or_hidden(Kind::Key, &entry.key);
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
            // Whatever is no table is nothing to the runner where it has a map.
            ("M", value) if !matches!(value, Value::Unknown) => {
                let todo = match name {
                    "node_tolerations" => tolerations(node),
                    _ => say!("write it as a table: \"KEY\" = \"PATH\""),
                };
                let ignored = messages::no_map(name, is).with_todo(todo);
                self.ignored.push(ignored.at(node));
                let map = as_map(node, name).filter(|_| self.is_repaired);
                return node.with(Value::Table(map.collect()));
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
                    message.todo = say!("write it as [[…{}]]", name);
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

/// Adds an entry to a table; what is in a list or a table twice comes together.
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

/// A list as people write it in Kubernetes, as the map that the runner has for it.
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
fn tolerations(node: &Node) -> Sentence {
    let written = node.items().iter().filter_map(|item| {
        let key = Printable::new(Kind::Key, item.text_at("key")?)?;
        let value = item.text_at("value").map_or("", |_| "=…");
        let mut effects = super::scheduling::EFFECTS.into_iter();
        let effect = effects.find(|effect| item.text_at("effect") == Some(*effect));
        Some(say!(
            "\"{}{}\" = \"{}\"",
            key,
            value,
            effect.unwrap_or_default()
        ))
    });
    let written = Sentence::list(written);
    say!(
        "write [runners.kubernetes.node_tolerations] and below it {}",
        written
    )
}
