//! Parses YAML and JSON into configuration values, with the parser that `drydock check` uses.

use super::config_value::{ConfigValue, Data, Entry, Lines, Origin, Span};
use super::finding::Finding;
use super::messages;
use super::safe_text::{Kind, Message, SafeText};
use super::template::Masks;
use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Span as Mark, StrInput};
use std::collections::HashMap;

/// The maximum number of values that YAML aliases may copy.
const MAX_COPIES: usize = 200_000;
/// The maximum depth of nested values.
const MAX_DEPTH: usize = 64;

/// Parses the documents of a text, except empty ones. Masked scalars become [`Data::Unknown`].
/// Block scalars get their text without masks, because TOML in them is masked when it is parsed.
pub(super) fn read(
    text: &str,
    origin: Origin,
    masks: &Masks<'_>,
) -> Result<Vec<ConfigValue>, Vec<Finding>> {
    let mut reader = Reader {
        lines: Lines::of(text),
        origin,
        masks,
        events: Parser::new_from_str(text),
        anchors: HashMap::new(),
        copies: 0,
    };
    let mut documents = Vec::new();
    loop {
        match reader.next() {
            Ok(None) => return Ok(documents),
            Ok(Some(value)) if matches!(value.data, Data::Null) => {}
            Ok(Some(value)) => documents.push(value),
            Err(error) => return Err(vec![error]),
        }
    }
}

struct Reader<'t> {
    lines: Lines<'t>,
    origin: Origin,
    masks: &'t Masks<'t>,
    events: Parser<'t, StrInput<'t>>,
    anchors: HashMap<usize, ConfigValue>,
    copies: usize,
}

impl<'t> Reader<'t> {
    fn event(&mut self) -> Result<Option<(Event<'t>, Mark)>, Finding> {
        let event = self.events.next().transpose();
        event.map_err(|error| {
            let marker = error.marker();
            self.error(marker.line().max(1), marker.col() + 1, &error.info())
        })
    }

    /// Returns the next document.
    fn next(&mut self) -> Result<Option<ConfigValue>, Finding> {
        while let Some((event, mark)) = self.event()? {
            if let Some(value) = self.value(event, &mark, MAX_DEPTH)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// Reads the value that an event starts. Returns `None` if the event does not start a value.
    fn value(
        &mut self,
        event: Event<'t>,
        mark: &Mark,
        depth: usize,
    ) -> Result<Option<ConfigValue>, Finding> {
        let at = span(mark);
        let span = self.origin.span_in_file(at);
        let (data, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_plain = style == ScalarStyle::Plain && tag.is_none();
                let mut value = ConfigValue::new(self.scalar(&text, is_plain, at), span);
                if style == ScalarStyle::Literal {
                    self.block(&text, at, &mut value);
                }
                return Ok(Some(self.anchored(value, anchor)));
            }
            Event::SequenceStart(_, anchor, _) => (Data::List(self.items(span, depth)?), anchor),
            Event::MappingStart(_, anchor, _) => (Data::Table(self.entries(span, depth)?), anchor),
            Event::Alias(id) => {
                let value = self.anchors.get(&id).cloned();
                let value = value.unwrap_or_else(|| ConfigValue::new(Data::Unknown, span));
                self.copies += count(&value);
                if self.copies > MAX_COPIES {
                    return Err(messages::too_many_aliases(MAX_COPIES).at(span));
                }
                return Ok(Some(value));
            }
            _ => return Ok(None),
        };
        Ok(Some(self.anchored(ConfigValue::new(data, span), anchor)))
    }

    /// Saves a value for aliases of its anchor. Returns the value.
    fn anchored(&mut self, value: ConfigValue, anchor: usize) -> ConfigValue {
        if anchor > 0 {
            self.anchors.insert(anchor, value.clone());
        }
        value
    }

    /// Reads the values of a sequence, or the keys and values of a mapping.
    fn items(&mut self, span: Span, depth: usize) -> Result<Vec<ConfigValue>, Finding> {
        let Some(deeper) = depth.checked_sub(1) else {
            return Err(messages::too_deep(MAX_DEPTH).at(span));
        };
        let mut items = Vec::new();
        while let Some((event, mark)) = self.event()? {
            if matches!(event, Event::SequenceEnd | Event::MappingEnd) {
                break;
            }
            items.extend(self.value(event, &mark, deeper)?);
        }
        Ok(items)
    }

    fn entries(&mut self, span: Span, depth: usize) -> Result<Vec<Entry>, Finding> {
        let mut keys: HashMap<String, usize> = HashMap::new();
        let mut entries: Vec<Entry> = Vec::new();
        let mut bases: Vec<ConfigValue> = Vec::new();
        let mut items = self.items(span, depth)?.into_iter();
        while let (Some(key_value), Some(value)) = (items.next(), items.next()) {
            let key = key_value.as_text().unwrap_or_default().to_owned();
            let key_span = key_value.span;
            if key == "<<" {
                bases.push(value);
                continue;
            }
            let first = keys.insert(key.clone(), key_span.line);
            if let Some(first) = first.filter(|_| !key.is_empty()) {
                let key = SafeText::or_hidden(Kind::Key, &key);
                return Err(messages::twice(key, first).at(key_span));
            }
            entries.push(Entry {
                key,
                key_span,
                value,
            });
        }
        // Keys of the table itself override keys of merged tables.
        let tables = bases
            .iter()
            .flat_map(|base| std::iter::once(base).chain(base.items()));
        for entry in tables.flat_map(ConfigValue::entries) {
            if keys.insert(entry.key.clone(), 0).is_none() {
                entries.push(entry.clone());
            }
        }
        Ok(entries)
    }

    fn scalar(&self, text: &str, is_plain: bool, at: Span) -> Data {
        let end = self.lines.offset(at.last_line, at.last_column) + 1;
        if self
            .masks
            .overlap(self.lines.offset(at.line, at.column)..end)
        {
            return Data::Unknown;
        }
        match text {
            _ if !is_plain => Data::Text(text.to_owned()),
            "" | "~" | "null" | "Null" | "NULL" => Data::Null,
            "true" | "True" | "TRUE" => Data::Bool(true),
            "false" | "False" | "FALSE" => Data::Bool(false),
            _ if text.parse::<i64>().is_ok() => Data::Integer,
            _ => Data::Text(text.to_owned()),
        }
    }

    /// Sets the origin of the text of a block scalar, and restores the text without masks.
    fn block(&self, text: &str, at: Span, value: &mut ConfigValue) {
        let Origin::Lines { file, line, column } = self.origin else {
            return;
        };
        // The parser reports a block scalar at its `|` or at its first line.
        let is_header = self.lines.line(at.line).chars().nth(at.column - 1) == Some('|');
        let header = at.line - usize::from(!is_header);
        let spaces = |text: &str| text.len() - text.trim_start_matches(' ').len();
        let mut filled = text.lines().enumerate();
        let filled = filled.find(|(_, line)| !line.trim().is_empty());
        let (index, content) = filled.unwrap_or_default();
        let written = self.lines.line(header + 1 + index);
        let indent = spaces(written).saturating_sub(spaces(content));
        if !self.masks.text.is_empty() {
            let lines = self.masks.text.lines().skip(header);
            let lines = lines.take(text.lines().count());
            let lines = lines.map(|line| line.get(indent.min(spaces(line))..).unwrap_or_default());
            value.data = Data::Text(lines.collect::<Vec<_>>().join("\n"));
        }
        value.text = Some(Origin::Lines {
            file,
            line: line + header,
            column: column + indent,
        });
    }

    fn error(&self, line: usize, column: usize, info: &str) -> Finding {
        // Look for a tab in the indentation of this line or, if it is blank, of the last line above
        // that is not blank.
        let mut above = (1..=line).rev().map(|line| (line, self.lines.line(line)));
        let filled = above.find(|(_, text)| !text.trim().is_empty());
        let (filled, text) = filled.unwrap_or_default();
        let indentation = text.len() - text.trim_start().len();
        let tab = text.get(..indentation).and_then(|blank| blank.find('\t'));
        let (message, line, column) = match tab {
            Some(at) => (messages::tab(), filled, at + 1),
            None if text.contains("${") => (messages::terraform_variable(), line, column),
            None => (messages::no_yaml(Message::from_parser(info)), line, column),
        };
        message.at(self.origin.span_in_file(Span::at(line, column)))
    }
}

fn span(mark: &Mark) -> Span {
    Span {
        file: 0,
        line: mark.start.line().max(1),
        column: mark.start.col() + 1,
        last_line: mark.end.line().max(1),
        last_column: mark.end.col().max(1),
    }
}

/// Returns the number of values in a value, including the value itself.
fn count(value: &ConfigValue) -> usize {
    let items = value.items().iter();
    let below = items.chain(value.entries().iter().map(|entry| &entry.value));
    1 + below.map(count).sum::<usize>()
}
