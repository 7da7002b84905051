//! Parses TOML into configuration values.

use super::config_value::{ConfigValue, Data, Entry, Lines, Origin, Span};
use super::finding::Finding;
use super::messages;
use super::safe_text::{Kind, Message, SafeText};
use super::template::Masks;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Parses TOML. Masked values and strings that contain `{{` or `${` become [`Data::Unknown`].
pub(super) fn read(
    text: &str,
    origin: Origin,
    masks: &Masks<'_>,
) -> Result<ConfigValue, Vec<Finding>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let reader = Reader {
        lines: Lines::of(text),
        origin,
        masks,
    };
    if errors.is_empty() {
        let mut value = reader.table(table.get_ref(), reader.lines.span(0..0));
        if matches!(origin, Origin::Inline(_)) {
            value.set_paths("");
        }
        return Ok(value);
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
    fn table(&self, table: &DeTable<'_>, span: Span) -> ConfigValue {
        let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| Entry {
            key: std::borrow::Cow::to_string(key.get_ref()),
            key_span: self.span(key.span()),
            value: if self.masks.overlap(key.span()) {
                ConfigValue::new(Data::Unknown, self.span(value.span()))
            } else {
                self.value(value)
            },
        };
        let mut entries: Vec<Entry> = table.iter().map(entry).collect();
        entries.sort_by_key(|entry| entry.key_span);
        ConfigValue::new(Data::Table(entries), span)
    }

    fn value(&self, value: &Spanned<DeValue<'_>>) -> ConfigValue {
        let span = self.span(value.span());
        let is_masked = self.masks.overlap(value.span());
        let data = match value.get_ref() {
            DeValue::Table(table) => return self.table(table, span),
            DeValue::Array(items) => {
                Data::List(items.iter().map(|item| self.value(item)).collect())
            }
            _ if is_masked => Data::Unknown,
            DeValue::String(text) if text.contains("{{") || text.contains("${") => Data::Unknown,
            DeValue::String(text) => Data::Text(text.to_string()),
            DeValue::Boolean(value) => Data::Bool(*value),
            DeValue::Integer(_) => Data::Integer,
            DeValue::Float(_) | DeValue::Datetime(_) => Data::Other,
        };
        ConfigValue::new(data, span)
    }

    fn span(&self, range: std::ops::Range<usize>) -> Span {
        self.origin.span_in_file(self.lines.span(range))
    }

    fn error(&self, text: &str, error: &toml::de::Error) -> Finding {
        let range = error.span().unwrap_or_default();
        let at = self.lines.span(range.clone());
        let line = self.lines.line(at.line);
        let key = key(line);
        let (message, at) = if error.message().starts_with("duplicate key") {
            let found = text.get(range).unwrap_or_default();
            let found = found.trim_matches(['"', '\'']);
            let first = self
                .origin
                .span_in_file(Span::at(self.earlier_line(at.line, found), 1));
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
            (messages::no_toml(Message::from_parser(error.message())), at)
        };
        message.at(self.origin.span_in_file(at))
    }

    /// Returns the number of an earlier line that sets the same key or has the same table header.
    /// Returns `line` if there is none.
    fn earlier_line(&self, line: usize, found: &str) -> usize {
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

/// Returns the part of a line before `=`.
fn key(line: &str) -> &str {
    line.split('=').next().unwrap_or_default().trim()
}
