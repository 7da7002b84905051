//! TOML to located values.

use super::located::{Entry, Lines, Node, Origin, Span, Value};
use super::printable::say;
use super::template::Masks;
use super::text::Fault;
use super::yaml;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Reads a TOML whose lines are at an origin. What the masks cover, and strings with an expression
/// of a template or shell in them, are unknown.
pub(super) fn read(text: &str, origin: Origin, masks: &Masks) -> Result<Node, Vec<Fault>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let reader = Reader {
        lines: Lines::of(text),
        origin,
        masks,
    };
    if errors.is_empty() {
        let mut node = reader.table(table.get_ref(), reader.lines.span(0..0));
        if matches!(origin, Origin::Inline(_)) {
            node.write_paths("");
        }
        return Ok(node);
    }
    let faults = errors
        .iter()
        .map(|error| reader.fault(text, table.get_ref(), error));
    let mut faults: Vec<Fault> = faults.collect();
    faults.dedup_by_key(|fault| fault.line);
    Err(faults)
}

struct Reader<'t> {
    lines: Lines<'t>,
    origin: Origin,
    masks: &'t Masks,
}

impl Reader<'_> {
    fn table(&self, table: &DeTable<'_>, span: Span) -> Node {
        let mut entries: Vec<Entry> = Vec::new();
        for (key, value) in table {
            let node = if self.masks.cover(key.span()) {
                Node::new(Value::Unknown, self.span(value.span()))
            } else {
                self.node(value)
            };
            entries.push(Entry {
                key: key.get_ref().to_string(),
                key_span: self.span(key.span()),
                node,
            });
        }
        entries.sort_by_key(|entry| entry.key_span);
        Node::new(Value::Table(entries), span)
    }

    fn node(&self, value: &Spanned<DeValue<'_>>) -> Node {
        let span = self.span(value.span());
        let is_masked = self.masks.cover(value.span());
        let value = match value.get_ref() {
            DeValue::Table(table) => return self.table(table, span),
            DeValue::Array(items) => {
                Value::List(items.iter().map(|item| self.node(item)).collect())
            }
            _ if is_masked => Value::Unknown,
            DeValue::String(text) if text.contains("{{") || text.contains("${") => Value::Unknown,
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Boolean(value) => Value::Bool(*value),
            DeValue::Integer(_) => Value::Integer,
            DeValue::Float(_) | DeValue::Datetime(_) => Value::Other,
        };
        Node::new(value, span)
    }

    fn span(&self, range: std::ops::Range<usize>) -> Span {
        self.origin.place(self.lines.span(range))
    }

    fn fault(&self, text: &str, table: &DeTable<'_>, error: &toml::de::Error) -> Fault {
        let range = error.span().unwrap_or_default();
        let found = text.get(range.clone()).unwrap_or_default();
        let span = self.span(range.clone());
        let start = text
            .get(..range.start)
            .and_then(|before| before.rfind('\n'))
            .map_or(0, |at| at + 1);
        let line = text
            .get(start..)
            .and_then(|rest| rest.lines().next())
            .unwrap_or_default();
        if error.message().starts_with("duplicate key") {
            let key = found.trim_matches(['"', '\'']);
            let mut earlier = Vec::new();
            keys(table, key, range.start, &mut earlier);
            // Of a table that is there twice only the second is left; the first one has the same
            // header.
            let header = || text.get(..start)?.rfind(line.trim());
            if let Some(first) = earlier.into_iter().max().or_else(header) {
                return yaml::twice(key, self.span(first..first + 1), span);
            }
        }
        let key = line.split('=').next().unwrap_or_default().trim();
        let is_label = key.contains('/') && !key.contains(['"', '\'', '[', ' ', '#', '{', '$']);
        let what = if is_label {
            // The key of a label is printable; the value beside it is not.
            let key = super::printable::Printable::or_hidden(super::printable::Kind::Key, key);
            let column = line.find('/').map_or(1, |at| at + 1);
            let span = self.span(start + column - 1..start + column);
            let what = say!(
                "\"/\" cannot be in a bare key; put the label in quotes: \"{}\" = …",
                key
            );
            return Fault::at(span.line, span.column, what);
        } else {
            say!("is not valid TOML{}", Fault::library(error.message()))
        };
        Fault::at(span.line, span.column, what)
    }
}

/// Offsets of the keys of one name before an offset.
fn keys(table: &DeTable<'_>, name: &str, before: usize, found: &mut Vec<usize>) {
    for (key, value) in table {
        if key.get_ref() == name && key.span().start < before {
            found.push(key.span().start);
        }
        below(value, name, before, found);
    }
}

fn below(value: &Spanned<DeValue<'_>>, name: &str, before: usize, found: &mut Vec<usize>) {
    match value.get_ref() {
        DeValue::Table(table) => keys(table, name, before, found),
        DeValue::Array(items) => items
            .iter()
            .for_each(|item| below(item, name, before, found)),
        _ => {}
    }
}
