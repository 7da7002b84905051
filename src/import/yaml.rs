//! YAML and JSON to located values, with the parser of `drydock check`.

use super::finding::Finding;
use super::located::{Entry, Lines, Node, Origin, Span, Value, large, small};
use super::messages;
use super::printable::{Kind, Printable, Sentence};
use super::template::Masks;
use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Span as Mark, StrInput};
use std::collections::HashMap;

/// Nodes that aliases may copy, in all.
const MOST_COPIES: usize = 200_000;
const DEEPEST: usize = 64;

/// Reads the documents of a text. Empty ones are left out. What the masks cover is unknown; blocks
/// get back their text, which is masked again when it is read.
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

    /// The next document.
    fn next(&mut self) -> Result<Option<Node>, Finding> {
        while let Some((event, mark)) = self.event()? {
            if let Some(node) = self.node(event, &mark, DEEPEST)? {
                return Ok(Some(node));
            }
        }
        Ok(None)
    }

    /// The value that begins with an event; none where the event begins none.
    fn node(
        &mut self,
        event: Event<'t>,
        mark: &Mark,
        depth: usize,
    ) -> Result<Option<Node>, Finding> {
        let span = self.origin.place(span(mark));
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_plain = style == ScalarStyle::Plain && tag.is_none();
                let mut node = Node::new(self.scalar(&text, is_plain, mark), span);
                if style == ScalarStyle::Literal {
                    self.block(&text, mark, &mut node);
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

    /// The values until the end of a collection.
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
        let mut keys: HashMap<String, u32> = HashMap::new();
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
                let key = Printable::or_hidden(Kind::Key, &key);
                return Err(messages::twice(key, first).at(key_span));
            }
            entries.push(Entry {
                key,
                key_span,
                node,
            });
        }
        // Keys that are written out win over those of the tables of `<<`.
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

    fn scalar(&self, text: &str, is_plain: bool, mark: &Mark) -> Value {
        let at = span(mark);
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

    /// Says where the lines of a literal block are in the file.
    fn block(&self, text: &str, mark: &Mark, node: &mut Node) {
        let Origin::Lines { file, line, column } = self.origin else {
            return;
        };
        let at = span(mark);
        let rest = self.lines.rest(at.line, at.column);
        let first = if rest.starts_with('|') {
            at.line
        } else {
            at.line - 1
        };
        let mut content = text.lines().enumerate();
        let content = content.find(|(_, line)| !line.trim().is_empty());
        let (index, content) = content.unwrap_or_default();
        let spaces = |text: &str| text.len() - text.trim_start_matches(' ').len();
        let line_of = self.lines.rest(first + 1 + small(index), 1);
        let indent = spaces(line_of).saturating_sub(spaces(content));
        let original = self
            .masks
            .text
            .lines()
            .skip(large(first))
            .take(text.lines().count());
        let unindented =
            original.map(|line| line.get(indent.min(spaces(line))..).unwrap_or_default());
        node.value = match self.masks.text {
            "" => Value::Text(text.to_owned()),
            _ => Value::Text(unindented.collect::<Vec<_>>().join("\n")),
        };
        node.text = Some(Origin::Lines {
            file,
            line: line + first,
            column: column + small(indent),
        });
    }

    fn error(&self, line: usize, column: usize, info: &str) -> Finding {
        // A tab in the indentation of the line, or of the last one that is not blank.
        let near = (1..=small(line))
            .rev()
            .map(|line| (line, self.lines.rest(line, 1)));
        let near = near.map(|(line, rest)| (line, rest.lines().next().unwrap_or_default()));
        let mut filled = near.filter(|(_, text)| !text.trim().is_empty());
        let (tab_line, text) = filled.next().unwrap_or_default();
        let indentation = text.len() - text.trim_start().len();
        let tab = text.get(..indentation).and_then(|blank| blank.find('\t'));
        let (message, line, column) = match tab {
            Some(at) => (messages::tab(), tab_line, small(at + 1)),
            None if text.contains("${") => {
                (messages::terraform_variable(), small(line), small(column))
            }
            None => (
                messages::no_yaml(Sentence::library(info)),
                small(line),
                small(column),
            ),
        };
        let at = Span {
            line,
            column,
            last: line,
            last_column: column,
            file: 0,
        };
        message.at(self.origin.place(at))
    }
}

fn span(mark: &Mark) -> Span {
    Span {
        file: 0,
        line: small(mark.start.line().max(1)),
        column: small(mark.start.col() + 1),
        last: small(mark.end.line().max(1)),
        last_column: small(mark.end.col().max(1)),
    }
}

fn count(node: &Node) -> usize {
    let items = node.items().iter();
    let below = items.chain(node.entries().iter().map(|entry| &entry.node));
    1 + below.map(count).sum::<usize>()
}
