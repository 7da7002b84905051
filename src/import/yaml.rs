//! Parses YAML and JSON into nodes, with the parser of `drydock check`.

use super::finding::Finding;
use super::messages;
use super::node::{Entry, Lines, Node, Origin, Span, Value};
use super::safe_text::{Kind, Message, SafeText};
use super::template::Masks;
use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Span as Mark, StrInput};
use std::collections::HashMap;

/// The maximum number of nodes that aliases may copy.
const MOST_COPIES: usize = 200_000;
const DEEPEST: usize = 64;

/// Parses the documents of a text, without empty ones. Masked scalars are unknown. Block scalars
/// get their original text, because TOML in them is masked when it is parsed.
pub(super) fn read(
    text: &str,
    origin: Origin,
    masks: &Masks<'_>,
) -> Result<Vec<Node>, Vec<Finding>> {
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
            Ok(Some(node)) if matches!(node.value, Value::Null) => {}
            Ok(Some(node)) => documents.push(node),
            Err(error) => return Err(vec![error]),
        }
    }
}

struct Reader<'t> {
    lines: Lines<'t>,
    origin: Origin,
    masks: &'t Masks<'t>,
    events: Parser<'t, StrInput<'t>>,
    anchors: HashMap<usize, Node>,
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
    fn next(&mut self) -> Result<Option<Node>, Finding> {
        while let Some((event, mark)) = self.event()? {
            if let Some(node) = self.node(event, &mark, DEEPEST)? {
                return Ok(Some(node));
            }
        }
        Ok(None)
    }

    /// Reads the value that starts with an event; none if the event starts no value.
    fn node(
        &mut self,
        event: Event<'t>,
        mark: &Mark,
        depth: usize,
    ) -> Result<Option<Node>, Finding> {
        let at = span(mark);
        let span = self.origin.place(at);
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_plain = style == ScalarStyle::Plain && tag.is_none();
                let mut node = Node::new(self.scalar(&text, is_plain, at), span);
                if style == ScalarStyle::Literal {
                    self.block(&text, at, &mut node);
                }
                return Ok(Some(self.known(node, anchor)));
            }
            Event::SequenceStart(_, anchor, _) => (Value::List(self.items(span, depth)?), anchor),
            Event::MappingStart(_, anchor, _) => (Value::Table(self.entries(span, depth)?), anchor),
            Event::Alias(id) => {
                let node = self.anchors.get(&id).cloned();
                let node = node.unwrap_or_else(|| Node::new(Value::Unknown, span));
                self.copies += count(&node);
                if self.copies > MOST_COPIES {
                    return Err(messages::too_many_aliases(MOST_COPIES).at(span));
                }
                return Ok(Some(node));
            }
            _ => return Ok(None),
        };
        Ok(Some(self.known(Node::new(value, span), anchor)))
    }

    fn known(&mut self, node: Node, anchor: usize) -> Node {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        node
    }

    /// Reads values until the end of a collection.
    fn items(&mut self, span: Span, depth: usize) -> Result<Vec<Node>, Finding> {
        let Some(deeper) = depth.checked_sub(1) else {
            return Err(messages::too_deep(DEEPEST).at(span));
        };
        let mut items = Vec::new();
        while let Some((event, mark)) = self.event()? {
            if matches!(event, Event::SequenceEnd | Event::MappingEnd) {
                break;
            }
            items.extend(self.node(event, &mark, deeper)?);
        }
        Ok(items)
    }

    fn entries(&mut self, span: Span, depth: usize) -> Result<Vec<Entry>, Finding> {
        let mut keys: HashMap<String, usize> = HashMap::new();
        let mut entries: Vec<Entry> = Vec::new();
        let mut bases: Vec<Node> = Vec::new();
        let mut items = self.items(span, depth)?.into_iter();
        while let (Some(key_node), Some(node)) = (items.next(), items.next()) {
            let key = key_node.as_text().unwrap_or_default().to_owned();
            let key_span = key_node.span;
            if key == "<<" {
                bases.push(node);
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
                node,
            });
        }
        // Keys of the table itself override keys of merged tables.
        let tables = bases
            .iter()
            .flat_map(|base| std::iter::once(base).chain(base.items()));
        for entry in tables.flat_map(Node::entries) {
            if keys.insert(entry.key.clone(), 0).is_none() {
                entries.push(entry.clone());
            }
        }
        Ok(entries)
    }

    fn scalar(&self, text: &str, is_plain: bool, at: Span) -> Value {
        let end = self.lines.offset(at.last, at.last_column) + 1;
        if self.masks.cover(self.lines.offset(at.line, at.column)..end) {
            return Value::Unknown;
        }
        match text {
            _ if !is_plain => Value::Text(text.to_owned()),
            "" | "~" | "null" | "Null" | "NULL" => Value::Null,
            "true" | "True" | "TRUE" => Value::Bool(true),
            "false" | "False" | "FALSE" => Value::Bool(false),
            _ if text.parse::<i64>().is_ok() => Value::Integer,
            _ => Value::Text(text.to_owned()),
        }
    }

    /// Sets the position of a block scalar, and restores its original text.
    fn block(&self, text: &str, at: Span, node: &mut Node) {
        let Origin::Lines { file, line, column } = self.origin else {
            return;
        };
        // The parser reports a block at its `|` or at its first line.
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
            node.value = Value::Text(lines.collect::<Vec<_>>().join("\n"));
        }
        node.text = Some(Origin::Lines {
            file,
            line: line + header,
            column: column + indent,
        });
    }

    fn error(&self, line: usize, column: usize, info: &str) -> Finding {
        // A tab in the indentation of this line, or of the last line above it that is not blank.
        let mut above = (1..=line).rev().map(|line| (line, self.lines.line(line)));
        let filled = above.find(|(_, text)| !text.trim().is_empty());
        let (filled, text) = filled.unwrap_or_default();
        let indentation = text.len() - text.trim_start().len();
        let tab = text.get(..indentation).and_then(|blank| blank.find('\t'));
        let (message, line, column) = match tab {
            Some(at) => (messages::tab(), filled, at + 1),
            None if text.contains("${") => (messages::terraform_variable(), line, column),
            None => (messages::no_yaml(Message::library(info)), line, column),
        };
        message.at(self.origin.place(Span::at(line, column)))
    }
}

fn span(mark: &Mark) -> Span {
    Span {
        file: 0,
        line: mark.start.line().max(1),
        column: mark.start.col() + 1,
        last: mark.end.line().max(1),
        last_column: mark.end.col().max(1),
    }
}

fn count(node: &Node) -> usize {
    let items = node.items().iter();
    let below = items.chain(node.entries().iter().map(|entry| &entry.node));
    1 + below.map(count).sum::<usize>()
}
