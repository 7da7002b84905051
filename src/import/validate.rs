//! Checks a `config.toml` against the schema as the runner does. Some settings take effect, the
//! runner ignores others, and for others it refuses the file.

use super::config_value::{ConfigValue, Data, Entry};
use super::finding::{Finding, Place};
use super::messages;
use super::safe_text::{Kind, Message, SafeText, message};
use super::schema::{DOCKER_KEYS, MISPLACED_KEY_TABLES, field, fields, is_misspelling};

/// The types of the schema, their names in messages, and how to write a value of the type.
const EXPECTED: [(char, &str, &str); 6] = [
    ('{', "a table", "write its header in single brackets"),
    ('[', "a list of tables", ""),
    ('S', "a list of strings", "put it in brackets: [\"…\"]"),
    ('b', "true or false", "write it without quotes"),
    ('i', "a whole number", "write it without quotes"),
    ('s', "a string", "put it in quotes"),
];

/// A `config.toml` as the runner reads it.
pub(super) struct Validated {
    /// The settings that take effect, with keys as in the schema.
    pub(super) config: ConfigValue,
    /// Findings about settings that the runner ignores without a warning.
    pub(super) ignored: Vec<Finding>,
    /// Findings about settings for which the runner refuses the file.
    pub(super) refused: Vec<Finding>,
    /// Whether misspelt keys are corrected in `config`.
    is_corrected: bool,
}

impl Validated {
    pub(super) fn of(config: &ConfigValue, is_corrected: bool) -> Self {
        let mut validated = Self {
            config: config.clone(),
            ignored: Vec::new(),
            refused: Vec::new(),
            is_corrected,
        };
        validated.config = validated.table(config, "config");
        validated
    }

    fn table(&mut self, value: &ConfigValue, table: &str) -> ConfigValue {
        let mut entries: Vec<Entry> = Vec::new();
        // Entries that belong to [runners.kubernetes].
        let mut misplaced: Vec<Entry> = Vec::new();
        for entry in value.entries() {
            let known = field(table, &entry.key);
            let Some((name, kind)) = known.or_else(|| self.unknown_key(entry, table)) else {
                continue;
            };
            let earlier = entries.iter_mut().find(|earlier| earlier.key == name);
            let read = Entry {
                key: name.to_owned(),
                key_span: entry.key_span,
                value: self.value(&entry.value, name, kind),
            };
            match earlier {
                // The same key in another letter case: the runner may use either value.
                Some(earlier) if known.is_some() => {
                    let line = earlier.key_span.line;
                    (self.ignored).push(messages::two_spellings(name, line).at(entry.key_span));
                    earlier.value.data = Data::Unknown;
                }
                _ if field(table, name).is_none() => misplaced.push(read),
                _ => add(&mut entries, read),
            }
        }
        let kubernetes = entries.iter_mut().find(|entry| entry.key == "kubernetes");
        if let Some(Data::Table(inner)) = kubernetes.map(|entry| &mut entry.value.data) {
            misplaced.into_iter().for_each(|entry| add(inner, entry));
        }
        value.with_data(Data::Table(entries))
    }

    /// Reports an unknown key. If misspelt keys are corrected, returns the intended key and its
    /// type.
    fn unknown_key(&mut self, entry: &Entry, table: &str) -> Option<(&'static str, &'static str)> {
        let similar = fields(table).find(|(name, _)| is_misspelling(name, &entry.key));
        let joined = |child: &Entry| field(table, &format!("{}_{}", entry.key, child.key));
        let mut elsewhere = MISPLACED_KEY_TABLES
            .iter()
            .filter(|(name, _)| *name != table);
        let elsewhere =
            elsewhere.find_map(|(name, words)| Some((*name, *words, field(name, &entry.key)?)));
        let is_key = |key: &str| key.eq_ignore_ascii_case(&entry.key);
        let is_docker = DOCKER_KEYS.split(' ').any(is_key);
        let key = SafeText::or_hidden(Kind::Key, &entry.key);
        let todo = match (similar, elsewhere) {
            (Some((name, _)), _) => message!("did you mean {}?", name),
            (None, Some(("kubernetes", _, (name, kind)))) if kind.starts_with(['{', '[', 'M']) => {
                message!("did you mean [runners.kubernetes.{}]?", name)
            }
            (None, Some((_, words, _))) => {
                message!("it belongs to {} and has no effect here", words)
            }
            _ if is_docker => message!("it belongs to [runners.docker] and has no effect here"),
            _ => match entry.value.entries().iter().find_map(joined) {
                Some((name, _)) => message!("did you mean {}?", name),
                None => message!("remove it, or look it up in the documentation of GitLab Runner"),
            },
        };
        let place = Place::new(entry.key_span, &entry.value);
        let finding = messages::unknown_key(key).with_todo(todo);
        self.ignored.push(finding.at(place));
        let moved = elsewhere.filter(|(name, ..)| table == "runner" && *name == "kubernetes");
        let moved = moved.map(|(.., field)| field);
        similar.or(moved).filter(|_| self.is_corrected)
    }

    fn value(
        &mut self,
        value: &ConfigValue,
        name: &'static str,
        kind: &'static str,
    ) -> ConfigValue {
        let inner = kind.trim_matches(['{', '}', '[', ']']);
        let found = type_name(value);
        match (kind, &value.data) {
            (_, Data::Table(_)) if kind.starts_with('{') => return self.table(value, inner),
            (_, Data::List(items)) if kind.starts_with('[') => {
                let items = items.iter().map(|item| match item.data {
                    Data::Table(_) => self.table(item, inner),
                    Data::Unknown => item.clone(),
                    _ => self.refuse(item, messages::no_table(name, type_name(item))),
                });
                return value.with_data(Data::List(items.collect()));
            }
            ("M", Data::Table(entries)) => {
                for entry in entries {
                    let key = SafeText::or_hidden(Kind::Key, &entry.key);
                    let message = match &entry.value.data {
                        Data::Text(_) | Data::Unknown => continue,
                        Data::Table(_) => messages::dotted_key(name, key),
                        _ => messages::no_string_in_map(name, type_name(&entry.value), key),
                    };
                    self.refuse(&entry.value, message);
                }
            }
            ("S" | "O", Data::List(items)) => {
                for item in items {
                    if !matches!(item.data, Data::Text(_) | Data::Unknown) {
                        self.refuse(item, messages::no_string_in_list(name, type_name(item)));
                    }
                }
            }
            // Where the runner expects a map, it ignores a value that is not a table.
            ("M", data) if !matches!(data, Data::Unknown) => {
                let intended: Vec<Entry> = as_map(value, name).collect();
                let todo = match name {
                    "node_tolerations" => tolerations(&intended),
                    _ => message!("write it as a table: \"KEY\" = \"PATH\""),
                };
                let message = messages::no_map(name, found).with_todo(todo);
                self.ignored.push(message.at(value));
                let entries = if self.is_corrected {
                    intended
                } else {
                    Vec::new()
                };
                return value.with_data(Data::Table(entries));
            }
            (_, Data::Unknown)
            | ("*", _)
            | ("s" | "O", Data::Text(_))
            | ("b", Data::Bool(_))
            | ("i", Data::Integer) => {}
            _ => {
                let mut expected = EXPECTED
                    .iter()
                    .filter(|(begin, ..)| kind.starts_with(*begin));
                let (_, expected, todo) = expected.next().unwrap_or(&('s', "a string", ""));
                let mut message = messages::wrong_type(name, found, *expected, *todo);
                if kind.starts_with('[') {
                    message.todo = message!("write it as [[…{}]]", name);
                }
                return self.refuse(value, message);
            }
        }
        value.clone()
    }

    /// Adds a finding to `refused`. Returns the value that replaces the wrong one.
    fn refuse(&mut self, value: &ConfigValue, message: Finding) -> ConfigValue {
        self.refused.push(message.at(value.span));
        value.with_data(Data::Unknown)
    }
}

/// Adds an entry to a table. Merges two lists or two tables with the same key.
fn add(entries: &mut Vec<Entry>, entry: Entry) {
    let earlier = entries.iter_mut().find(|earlier| earlier.key == entry.key);
    match (earlier.map(|it| &mut it.value.data), entry.value.data) {
        (Some(Data::List(items)), Data::List(more)) => items.extend(more),
        (Some(Data::Table(known)), Data::Table(more)) => known.extend(more),
        (Some(_), _) => {}
        (None, data) => entries.push(Entry {
            value: ConfigValue {
                data,
                ..entry.value
            },
            ..entry
        }),
    }
}

fn type_name(value: &ConfigValue) -> &'static str {
    match value.data {
        Data::Null => "nothing",
        Data::Bool(_) => "a boolean",
        Data::Integer => "an integer",
        Data::Other => "a number or date",
        Data::Text(_) => "a string",
        Data::Unknown => "a template",
        Data::List(_) => "a list",
        Data::Table(_) => "a table",
    }
}

/// Converts a list, as in a Kubernetes manifest, to the map that the runner expects.
fn as_map<'n>(value: &'n ConfigValue, name: &str) -> impl Iterator<Item = Entry> + use<'n> {
    let is_toleration = name == "node_tolerations";
    value.items().iter().filter_map(move |item| {
        let key = item.text_at("key")?;
        let (key, value) = match (is_toleration, item.text_at("value")) {
            (true, Some(value)) => (format!("{key}={value}"), item.text_at("effect")),
            (true, None) => (key.to_owned(), item.text_at("effect")),
            _ => (key.to_owned(), Some(item.text_at("path")?)),
        };
        let value = Data::Text(value.unwrap_or_default().to_owned());
        Some(Entry {
            key,
            key_span: item.span,
            value: ConfigValue::new(value, item.span),
        })
    })
}

/// Returns how to write tolerations as a table, without their values.
fn tolerations(entries: &[Entry]) -> Message {
    let written = entries.iter().filter_map(|entry| {
        let (key, value) = match entry.key.split_once('=') {
            Some((key, _)) => (key, "=…"),
            None => (entry.key.as_str(), ""),
        };
        let mut effects = super::scheduling::EFFECTS.into_iter();
        let effect = effects.find(|effect| entry.value.as_text() == Some(*effect));
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
