//! Parses TOML into nodes.

use super::finding::Finding;
use super::messages;
use super::node::{Entry, Lines, Node, Origin, Span, Value};
use super::safe_text::{Kind, Message, SafeText};
use super::template::Masks;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Parses TOML. Masked values are unknown, and so are strings with `{{` or `${`.
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
    let mut findings: Vec<Finding> = errors.map(|error| reader.error(text, error)).collect();
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

    fn error(&self, text: &str, error: &toml::de::Error) -> Finding {
        let range = error.span().unwrap_or_default();
        let at = self.lines.span(range.clone());
        let line = self.lines.line(at.line);
        let key = key(line);
        let (message, at) = if error.message().starts_with("duplicate key") {
            let found = text.get(range).unwrap_or_default();
            let found = found.trim_matches(['"', '\'']);
            let first = self.origin.place(Span::at(self.earlier(at.line, found), 1));
            let shown = SafeText::or_hidden(Kind::Key, found);
            (messages::twice(shown, first.line), at)
        } else if key.contains('/') && !key.contains(['"', '\'', '[', ' ', '#', '{', '$']) {
            let before = line.split('/').next().unwrap_or_default();
            let shown = SafeText::or_hidden(Kind::Key, key);
            let slash = Span::at(at.line, before.chars().count() + 1);
            (messages::bare_label(shown), slash)
        } else if line.contains("${") {
            (messages::terraform_variable(), at)
        } else {
            (messages::no_toml(Message::library(error.message())), at)
        };
        message.at(self.origin.place(at))
    }

    /// Returns an earlier line that sets the same key or starts the same table, or the line itself.
    fn earlier(&self, line: usize, found: &str) -> usize {
        let text = self.lines.line(line).trim();
        let header = text.strip_prefix('[').and(text.rfind(']'));
        let header = header.and_then(|end| text.get(..=end));
        let above = (1..line)
            .rev()
            .map(|line| (line, self.lines.line(line).trim()));
        let mut above = above.take_while(|(_, it)| header.is_some() || !it.starts_with('['));
        let earlier = above.find(|(_, it)| match header {
            Some(header) => it.starts_with(header) || key(it) == found,
            None => key(it) == key(text),
        });
        earlier.map_or(line, |(earlier, _)| earlier)
    }
}

/// The part of a line before `=`.
fn key(line: &str) -> &str {
    line.split('=').next().unwrap_or_default().trim()
}
