//! A `config.toml` as the runner understands it: what is in force, what it ignores without a word,
//! what it refuses.

use super::located::{Entry, Node, Span, Value};
use super::printable::{Kind, Printable, Sentence, say};
use super::schema::{DOCKER, ELSEWHERE, field, fields, is_near};
use super::text::Fault;
use std::rc::Rc;

/// Something in a file that the runner takes without a word and ignores.
#[derive(Clone, Debug)]
pub(super) struct Ignored {
    pub(super) span: Span,
    pub(super) path: Option<Rc<str>>,
    pub(super) what: Sentence,
    pub(super) todo: Sentence,
}
/// A file as the runner understands it.
pub(super) struct Understood {
    /// What is in force: known keys in lower case.
    pub(super) node: Node,
    pub(super) ignored: Vec<Ignored>,
    pub(super) refused: Vec<Fault>,
}
/// Reads a `config.toml` as the runner does; with `repair` misspelt keys are what was meant by
/// them.
pub(super) fn understand(config: &Node, repair: bool) -> Understood {
    let mut reader = Reader {
        repair,
        ignored: Vec::new(),
        refused: Vec::new(),
    };
    let node = reader.table(config, "config");
    Understood {
        node,
        ignored: reader.ignored,
        refused: reader.refused,
    }
}
struct Reader {
    repair: bool,
    ignored: Vec<Ignored>,
    refused: Vec<Fault>,
}
impl Reader {
    fn table(&mut self, node: &Node, table: &str) -> Node {
        let mut entries: Vec<Entry> = Vec::new();
        let mut elsewhere: Vec<&Entry> = Vec::new();
        for entry in node.entries() {
            let known = field(table, &entry.key);
            let meant = known.or_else(|| self.meant(entry, table));
            if known.is_none() && table == "runner" && entry.key.eq_ignore_ascii_case("volumes") {
                elsewhere.push(entry);
            }
            let Some((name, kind)) = meant else { continue };
            let value = self.value(&entry.node, name, kind);
            match entries.iter_mut().find(|earlier| earlier.key == name) {
                None => entries.push(Entry {
                    key: name.to_owned(),
                    key_span: entry.key_span,
                    node: value,
                }),
                // Two spellings of one key: the runner takes either, as it happens.
                Some(earlier) if known.is_some() => {
                    self.ignored.push(Ignored {
                        span: entry.key_span,
                        path: entry.node.path.clone(),
                        what: say!("the key {} is here and in line {}, in other letters: which one counts is left to chance", name, earlier.key_span.line),
                        todo: say!("keep one of them"),
                    });
                    earlier.node.value = Value::Unknown;
                }
                Some(earlier) => {
                    if let (Value::List(items), Value::List(more)) =
                        (&mut earlier.node.value, value.value)
                    {
                        items.extend(more);
                    }
                }
            }
        }
        if self.repair {
            for entry in elsewhere {
                let volumes = self.table(&entry.node, "volumes");
                if let Some(kubernetes) = entries.iter_mut().find(|entry| entry.key == "kubernetes")
                    && let Value::Table(inner) = &mut kubernetes.node.value
                {
                    let place = inner.iter_mut().find(|entry| entry.key == "volumes");
                    match place.map(|place| &mut place.node.value) {
                        Some(Value::Table(known)) => {
                            known.extend(volumes.entries().iter().cloned())
                        }
                        _ => inner.push(Entry {
                            key: "volumes".to_owned(),
                            key_span: entry.key_span,
                            node: volumes,
                        }),
                    }
                }
            }
        }
        Node {
            value: Value::Table(entries),
            ..node.clone()
        }
    }

    /// Says that a key is not known, and which one was meant; that one counts only for a repair.
    fn meant(&mut self, entry: &Entry, table: &str) -> Option<(&'static str, &'static str)> {
        let near = fields(table).find(|(name, _)| is_near(name, &entry.key));
        let below = || {
            let joined = |child: &Entry| format!("{}_{}", entry.key, child.key);
            entry
                .node
                .entries()
                .iter()
                .find_map(|child| field(table, &joined(child)))
        };
        let other = ELSEWHERE
            .iter()
            .find(|(name, _)| *name != table && field(name, &entry.key).is_some())
            .map(|(_, words)| *words);
        let is_docker =
            || table == "kubernetes" && DOCKER.contains(&entry.key.to_ascii_lowercase().as_str());
        let key = Printable::or_hidden(Kind::Key, &entry.key);
        let todo = match (near.or_else(below), other) {
            (Some((name, _)), _) => say!("did you mean {}?", name),
            _ if table == "runner" && entry.key.eq_ignore_ascii_case("volumes") => {
                say!("did you mean [runners.kubernetes.volumes]?")
            }
            (None, Some(words)) => say!("it belongs to {}, and does nothing here", words),
            _ if is_docker() => say!("it belongs to [runners.docker], and does nothing here"),
            _ => say!("take it out, or look it up: gitlab-runner lint (19.3) lists such keys"),
        };
        self.ignored.push(Ignored {
            span: entry.key_span,
            path: entry.node.path.clone(),
            what: say!(
                "the runner does not know the key {} here and ignores it",
                key
            ),
            todo,
        });
        near.filter(|_| self.repair)
    }

    fn value(&mut self, node: &Node, name: &'static str, kind: &'static str) -> Node {
        if node.is_unknown() {
            return node.clone();
        }
        let of = |with: [char; 2]| {
            kind.strip_prefix(with[0])
                .and_then(|kind| kind.strip_suffix(with[1]))
        };
        if let Some(table) = of(['{', '}']) {
            if !node.is_table() {
                return self.refuse(
                    node,
                    say!("{} is {}, the runner wants a table", name, called(node)),
                    say!(""),
                );
            }
            return self.table(node, table);
        }
        if let Some(table) = of(['[', ']']) {
            let Value::List(items) = &node.value else {
                let what = say!(
                    "{} is {}, the runner wants a list of tables",
                    name,
                    called(node)
                );
                return self.refuse(node, what, say!("write it as [[…{}]]", name));
            };
            let items = items.iter().map(|item| match item.value {
                Value::Table(_) => self.table(item, table),
                Value::Unknown => item.clone(),
                _ => self.refuse(
                    item,
                    say!(
                        "{} has {}, the runner wants a list of tables",
                        name,
                        called(item)
                    ),
                    say!("write it as [[…{}]] with keys of its own", name),
                ),
            });
            return Node {
                value: Value::List(items.collect()),
                ..node.clone()
            };
        }
        match (kind, &node.value) {
            ("M", Value::Table(entries)) => {
                for entry in entries {
                    let key = Printable::or_hidden(Kind::Key, &entry.key);
                    match &entry.node.value {
                        Value::Text(_) | Value::Unknown => {}
                        Value::Table(_) => {
                            let what = say!(
                                "{} has a table {}: a dot in a bare key begins a table",
                                name,
                                key
                            );
                            self.refuse(&entry.node, what, say!("put the whole key in quotes"));
                        }
                        _ => {
                            let what = say!(
                                "{} has {} for {}, the runner wants a string",
                                name,
                                called(&entry.node),
                                key
                            );
                            self.refuse(&entry.node, what, say!("put it in quotes"));
                        }
                    }
                }
            }
            // Whatever is no table is nothing to the runner where it has a map.
            ("M", _) => {
                let todo = match name {
                    "node_tolerations" => say!(
                        "write [runners.kubernetes.node_tolerations] and below it {}",
                        tolerations(node)
                    ),
                    _ => say!("write it as a table: \"KEY\" = \"PATH\""),
                };
                let what = say!(
                    "{} is {}, the runner wants a map and ignores it",
                    name,
                    called(node)
                );
                self.ignored.push(Ignored {
                    span: node.span,
                    path: node.path.clone(),
                    what,
                    todo,
                });
                let map = if self.repair {
                    as_map(node, name)
                } else {
                    Vec::new()
                };
                return Node {
                    value: Value::Table(map),
                    ..node.clone()
                };
            }
            ("*", _)
            | ("s" | "O", Value::Text(_))
            | ("b", Value::Bool(_))
            | ("i", Value::Integer) => {}
            ("S" | "O", Value::List(items)) => {
                for item in items
                    .iter()
                    .filter(|item| !matches!(item.value, Value::Text(_) | Value::Unknown))
                {
                    self.refuse(
                        item,
                        say!("{} has {}, the runner wants strings", name, called(item)),
                        say!("put it in quotes"),
                    );
                }
            }
            ("S", value) => {
                let todo = if matches!(value, Value::Text(_)) {
                    say!("put it in brackets: {} = [\"…\"]", name)
                } else {
                    say!("write {} = [\"…\"]", name)
                };
                return self.refuse(
                    node,
                    say!(
                        "{} is {}, the runner wants a list of strings",
                        name,
                        called(node)
                    ),
                    todo,
                );
            }
            (kind, _) => {
                let (wanted, todo) = match kind {
                    "b" => (say!("true or false"), say!("write it without quotes")),
                    "i" => (say!("a whole number"), say!("write it without quotes")),
                    _ => (say!("a string"), say!("put it in quotes")),
                };
                return self.refuse(
                    node,
                    say!("{} is {}, the runner wants {}", name, called(node), wanted),
                    todo,
                );
            }
        }
        node.clone()
    }

    fn refuse(&mut self, node: &Node, what: Sentence, todo: Sentence) -> Node {
        self.refused
            .push(Fault::at(node.span.line, node.span.column, what).with(todo));
        Node {
            value: Value::Unknown,
            ..node.clone()
        }
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
fn as_map(node: &Node, name: &str) -> Vec<Entry> {
    let map = node.items().iter().filter_map(|item| {
        let key = item.text_at("key")?;
        let (key, value) = if name == "node_tolerations" {
            let value = item
                .text_at("value")
                .map(|value| format!("={value}"))
                .unwrap_or_default();
            (
                format!("{key}{value}"),
                item.text_at("effect").unwrap_or_default(),
            )
        } else {
            (key.to_owned(), item.text_at("path")?)
        };
        let node = Node::new(Value::Text(value.to_owned()), item.span);
        Some(Entry {
            key,
            key_span: item.span,
            node,
        })
    });
    map.collect()
}
/// How to write tolerations, without their values.
fn tolerations(node: &Node) -> Vec<Sentence> {
    let written = node.items().iter().filter_map(|item| {
        let key = Printable::new(Kind::Key, item.text_at("key")?)?;
        let value = if item.text_at("value").is_some() {
            "=…"
        } else {
            ""
        };
        let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
        let effect = effects
            .into_iter()
            .find(|effect| item.text_at("effect") == Some(*effect))
            .unwrap_or_default();
        Some(say!("\"{}{}\" = \"{}\"", key, value, effect))
    });
    written.collect()
}
