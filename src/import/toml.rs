//! TOML to located values.

use super::finding::Finding;
use super::located::{Entry, Lines, Node, Origin, Span, Value};
use super::messages;
use super::printable::{Kind, Printable, Sentence};
use super::template::Masks;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Reads a TOML whose lines are at an origin. What the masks cover, and strings with an expression
/// of a template or shell in them, are unknown.
pub(super) fn read(text: &str, origin: Origin, masks: &Masks<'_>) -> Result<Node, Vec<Finding>> {
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
    let errors = errors.iter();
    let mut findings: Vec<Finding> = errors
        .map(|error| reader.error(text, table.get_ref(), error))
        .collect();
    let line = |finding: &mut Finding| finding.places.first().map(|place| place.span.line);
    findings.dedup_by_key(line);
    Err(findings)
}

struct Reader<'t> {
    lines: Lines<'t>,
    origin: Origin,
    masks: &'t Masks<'t>,
}

impl Reader<'_> {
    fn table(&self, table: &DeTable<'_>, span: Span) -> Node {
        let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| Entry {
            key: std::borrow::Cow::to_string(key.get_ref()),
            key_span: self.span(key.span()),
            node: if self.masks.cover(key.span()) {
                Node::new(Value::Unknown, self.span(value.span()))
            } else {
                self.node(value)
            },
        };
        let mut entries: Vec<Entry> = table.iter().map(entry).collect();
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

    fn error(&self, text: &str, table: &DeTable<'_>, error: &toml::de::Error) -> Finding {
        let range = error.span().unwrap_or_default();
        let whole = self.lines.whole(range.clone());
        let line = text.get(whole.clone()).unwrap_or_default();
        let line = line.lines().next().unwrap_or_default();
        if error.message().starts_with("duplicate key") {
            let found = text.get(range.clone()).unwrap_or_default();
            let key = found.trim_matches(['"', '\'']);
            let mut earlier = None;
            last_key(table, key, range.start, &mut earlier);
            // Of a table that is there twice only the second is left; the first one has the same
            // header.
            let header = || text.get(..whole.start)?.rfind(line.trim());
            if let Some(first) = earlier.or_else(header) {
                let first = self.span(first..first + 1);
                let key = Printable::or_hidden(Kind::Key, key);
                return messages::twice(key, first.line).at(self.span(range));
            }
        }
        let key = line.split('=').next().unwrap_or_default().trim();
        if key.contains('/') && !key.contains(['"', '\'', '[', ' ', '#', '{', '$']) {
            let at = whole.start + line.find('/').unwrap_or_default();
            let key = Printable::or_hidden(Kind::Key, key);
            return messages::bare_label(key).at(self.span(at..at + 1));
        }
        if line.contains("${") {
            return messages::terraform_variable().at(self.span(range));
        }
        messages::no_toml(Sentence::library(error.message())).at(self.span(range))
    }
}

/// The last offset of a key before an offset.
fn last_key(table: &DeTable<'_>, name: &str, before: usize, found: &mut Option<usize>) {
    for (key, value) in table {
        if key.get_ref() == name && key.span().start < before {
            *found = (*found).max(Some(key.span().start));
        }
        below(value, name, before, found);
    }
}

fn below(value: &Spanned<DeValue<'_>>, name: &str, before: usize, found: &mut Option<usize>) {
    match value.get_ref() {
        DeValue::Table(table) => last_key(table, name, before, found),
        DeValue::Array(items) => {
            (items.iter()).for_each(|item| below(item, name, before, found));
        }
        _ => {}
    }
}
