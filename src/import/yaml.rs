//! YAML and JSON to located values, with the parser of `drydock check`.

use super::located::{Entry, Node, Origin, Span, Value, small};
use super::printable::{Kind, Printable, say};
use super::text::Fault;
use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Span as Mark};
use std::collections::HashMap;

/// Nodes that aliases may copy, in all.
const MOST_COPIES: usize = 200_000;
const DEEPEST: usize = 64;

/// Reads the documents of a text. Empty ones are left out.
pub(super) fn read(text: &str, origin: Origin) -> Result<Vec<Node>, Fault> {
    let lines: Vec<&str> = text.lines().collect();
    let mut reader = Reader {
        lines,
        origin,
        frames: Vec::new(),
        anchors: HashMap::new(),
        copies: 0,
        documents: Vec::new(),
    };
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, mark)) => reader.take(event, &mark)?,
            Err(error) => {
                let marker = error.marker();
                let at = (small(marker.line().max(1)), small(marker.col() + 1));
                return Err(reader.syntax(at, &error.info()));
            }
        }
    }
    Ok(reader.documents)
}

/// A collection that is not complete yet, and the anchor that it has.
struct Frame {
    node: Node,
    anchor: usize,
    /// Of a table: the key whose value is awaited, and the keys so far.
    key: Option<(String, Span)>,
    keys: HashMap<String, Span>,
}

struct Reader<'t> {
    lines: Vec<&'t str>,
    origin: Origin,
    frames: Vec<Frame>,
    anchors: HashMap<usize, Node>,
    copies: usize,
    documents: Vec<Node>,
}

impl Reader<'_> {
    fn take(&mut self, event: Event<'_>, mark: &Mark) -> Result<(), Fault> {
        let span = self.span(mark);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_plain = style == ScalarStyle::Plain && tag.is_none();
                let value = if is_plain {
                    plain(&text)
                } else {
                    Value::Text(text.to_string())
                };
                let mut node = Node::new(value, span);
                if style == ScalarStyle::Literal {
                    node.text = self.block(&text, mark);
                }
                self.finish(node, anchor)
            }
            Event::SequenceStart(_, anchor, _) => self.open(Value::List(Vec::new()), span, anchor),
            Event::MappingStart(_, anchor, _) => self.open(Value::Table(Vec::new()), span, anchor),
            Event::SequenceEnd | Event::MappingEnd => match self.frames.pop() {
                Some(frame) => self.finish(merged(frame.node), frame.anchor),
                None => Ok(()),
            },
            Event::Alias(id) => {
                let node = self.anchors.get(&id).cloned();
                let node = node.unwrap_or_else(|| Node::new(Value::Unknown, span));
                self.copies += count(&node);
                if self.copies > MOST_COPIES {
                    let what = say!(
                        "its aliases stand for more than {} values; write them out",
                        MOST_COPIES
                    );
                    return Err(Fault::at(span.line, span.column, what));
                }
                self.finish(node, 0)
            }
            _ => Ok(()),
        }
    }

    fn open(&mut self, value: Value, span: Span, anchor: usize) -> Result<(), Fault> {
        if self.frames.len() >= DEEPEST {
            return Err(Fault::at(
                span.line,
                span.column,
                say!("is nested more than {} deep", DEEPEST),
            ));
        }
        self.frames.push(Frame {
            node: Node::new(value, span),
            anchor,
            key: None,
            keys: HashMap::new(),
        });
        Ok(())
    }

    fn finish(&mut self, node: Node, anchor: usize) -> Result<(), Fault> {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(frame) = self.frames.last_mut() else {
            if !matches!(node.value, Value::Null) {
                self.documents.push(node);
            }
            return Ok(());
        };
        match &mut frame.node.value {
            Value::List(items) => items.push(node),
            Value::Table(entries) => match frame.key.take() {
                Some((key, key_span)) => entries.push(Entry {
                    key,
                    key_span,
                    node,
                }),
                None => {
                    let key = node.as_text().unwrap_or_default().to_owned();
                    let first = frame.keys.insert(key.clone(), node.span);
                    if let Some(first) = first.filter(|_| key != "<<" && !key.is_empty()) {
                        return Err(twice(&key, first, node.span));
                    }
                    frame.key = Some((key, node.span));
                }
            },
            _ => {}
        }
        Ok(())
    }

    fn span(&self, mark: &Mark) -> Span {
        let (line, last) = (mark.start.line().max(1), mark.end.line().max(1));
        self.origin.place(Span {
            line: small(line),
            column: small(mark.start.col() + 1),
            last: small(last),
            last_column: small(mark.end.col().max(1)),
        })
    }

    /// Where the lines of a literal block are in the file.
    fn block(&self, text: &str, mark: &Mark) -> Option<Origin> {
        let Origin::Lines { line, column } = self.origin else {
            return None;
        };
        let header = mark.start.line().checked_sub(1)?;
        let rest: String = self
            .lines
            .get(header)?
            .chars()
            .skip(mark.start.col())
            .collect();
        let first = if rest.starts_with('|') {
            header + 1
        } else {
            header
        };
        let (index, content) = text
            .lines()
            .enumerate()
            .find(|(_, line)| !line.trim().is_empty())?;
        let spaces = |text: &str| text.chars().take_while(|char| *char == ' ').count();
        let indent = spaces(self.lines.get(first + index)?).checked_sub(spaces(content))?;
        Some(Origin::Lines {
            line: line + small(first),
            column: column + small(indent),
        })
    }

    fn syntax(&self, at: (u32, u32), info: &str) -> Fault {
        let (line, column) = at;
        let index = usize::try_from(line).unwrap_or_default();
        let has_tab = |line: &&str| {
            line.starts_with([' ', '\t']) && line.trim_start_matches(' ').starts_with('\t')
        };
        let near = self
            .lines
            .iter()
            .take(index)
            .rposition(|line| !line.trim().is_empty());
        let tab = [index.checked_sub(1), near]
            .into_iter()
            .flatten()
            .find(|line| self.lines.get(*line).is_some_and(has_tab));
        let (span, what) = match tab {
            Some(line) => {
                let before = self.lines.get(line).map_or(0, |text| {
                    text.chars().take_while(|char| *char == ' ').count()
                });
                let at = (small(line + 1), small(before + 1));
                (
                    at,
                    say!("a tab in the indentation; YAML takes spaces only: replace it with two"),
                )
            }
            None => (at, say!("is not valid YAML{}", Fault::library(info))),
        };
        let span = self.origin.place(Span {
            line: span.0,
            column: span.1,
            last: span.0,
            last_column: span.1,
        });
        Fault::at(span.line, span.column, what).with(say!("column {}", column))
    }
}

/// A key that is there twice, with both lines.
pub(super) fn twice(key: &str, first: Span, second: Span) -> Fault {
    let key = Printable::or_hidden(Kind::Key, key);
    let what = say!(
        "the key {} is here and in line {}; keep one of them",
        key,
        first.line
    );
    Fault::at(second.line, second.column, what)
}

fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ if text.parse::<i64>().is_ok() => Value::Integer,
        _ => Value::Text(text.to_owned()),
    }
}

fn count(node: &Node) -> usize {
    let below = node.items().iter().map(count).sum::<usize>();
    1 + below
        + node
            .entries()
            .iter()
            .map(|entry| count(&entry.node))
            .sum::<usize>()
}

/// Takes in the tables of `<<`; keys that are written out win.
fn merged(mut node: Node) -> Node {
    let Value::Table(entries) = &mut node.value else {
        return node;
    };
    let Some(position) = entries.iter().position(|entry| entry.key == "<<") else {
        return node;
    };
    let base = entries.remove(position).node;
    let bases = if base.is_table() {
        vec![base]
    } else {
        base.items().to_vec()
    };
    for entry in bases.iter().flat_map(Node::entries) {
        if !entries.iter().any(|known| known.key == entry.key) {
            entries.push(entry.clone());
        }
    }
    node
}
