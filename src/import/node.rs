//! Values with their positions in a file, for YAML, JSON, TOML, and TOML within YAML.

use std::rc::Rc;

/// Lines and columns of a file, which count from 1. Line 0 is the whole file.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Span {
    /// The index of the file.
    pub(super) file: usize,
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) last: usize,
    pub(super) last_column: usize,
}

impl Span {
    /// A whole file.
    pub(super) fn file(file: usize) -> Self {
        Self {
            file,
            ..Self::default()
        }
    }

    /// One character of a text.
    pub(super) fn at(line: usize, column: usize) -> Self {
        Self {
            file: 0,
            line,
            column,
            last: line,
            last_column: column,
        }
    }

    /// The smallest span that contains both.
    pub(super) fn with(self, other: Self) -> Self {
        let (line, column) = (self.line, self.column).min((other.line, other.column));
        let (last, last_column) =
            (self.last, self.last_column).max((other.last, other.last_column));
        Self {
            file: self.file,
            line,
            column,
            last,
            last_column,
        }
    }

    /// Whether this span has all lines of another one.
    pub(super) fn has(self, other: Self) -> bool {
        self.file == other.file && self.line <= other.line && other.last <= self.last
    }
}

/// The position of a text in a file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin {
    /// Each line of the text is a line of the file, at this offset.
    Lines {
        file: usize,
        line: usize,
        column: usize,
    },
    /// The whole text has this position, because its lines are escaped or folded.
    Inline(Span),
}

impl Origin {
    /// A whole file.
    pub(super) fn file(file: usize) -> Self {
        Self::Lines {
            file,
            line: 0,
            column: 0,
        }
    }

    /// Converts a position in the text to a position in the file.
    pub(super) fn place(self, at: Span) -> Span {
        match self {
            Self::Lines { file, line, column } => Span {
                file,
                line: at.line + line,
                column: at.column + column,
                last: at.last + line,
                last_column: at.last_column + column,
            },
            Self::Inline(span) => span,
        }
    }
}

/// A value with its position.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) span: Span,
    /// The position of the lines of a block scalar.
    pub(super) text: Option<Origin>,
    /// The path of keys, if lines do not identify the value.
    pub(super) path: Option<Rc<str>>,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Integer,
    /// A float or a date.
    Other,
    Text(String),
    /// A template or a shell sets the value.
    Unknown,
    List(Vec<Node>),
    Table(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Span,
    pub(super) node: Node,
}

impl Node {
    pub(super) fn new(value: Value, span: Span) -> Self {
        Self {
            value,
            span,
            text: None,
            path: None,
        }
    }

    /// Another value at the same position.
    pub(super) fn with(&self, value: Value) -> Self {
        Self {
            value,
            ..self.clone()
        }
    }

    /// Returns the value of a key of a table.
    pub(super) fn at(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.node)
    }

    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// Returns the value at a path of keys.
    pub(super) fn find(&self, keys: &[&str]) -> Option<&Self> {
        keys.iter().try_fold(self, |node, key| node.at(key))
    }

    pub(super) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Table(entries) => entries,
            _ => &[],
        }
    }

    pub(super) fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// Returns the items of the list at a key.
    pub(super) fn items_at(&self, key: &str) -> &[Self] {
        self.at(key).map(Self::items).unwrap_or_default()
    }

    /// Returns the entries of the table at a key.
    pub(super) fn entries_at(&self, key: &str) -> &[Entry] {
        self.at(key).map(Self::entries).unwrap_or_default()
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the text at a key, unless it is empty.
    pub(super) fn text_at(&self, key: &str) -> Option<&str> {
        self.at(key)
            .and_then(Self::as_text)
            .filter(|text| !text.is_empty())
    }

    pub(super) fn is_table(&self) -> bool {
        matches!(self.value, Value::Table(_))
    }

    pub(super) fn is_unknown(&self) -> bool {
        matches!(self.value, Value::Unknown)
    }

    pub(super) fn is_true(&self) -> bool {
        matches!(self.value, Value::Bool(true))
    }

    /// Whether the value is neither empty nor `false`.
    pub(super) fn is_set(&self) -> bool {
        match &self.value {
            Value::Null | Value::Bool(false) => false,
            Value::Text(text) => !text.is_empty(),
            Value::List(items) => !items.is_empty(),
            Value::Table(entries) => !entries.is_empty(),
            _ => true,
        }
    }

    /// Returns the span of the value and of everything in it.
    pub(super) fn extent(&self) -> Span {
        let mut span = self.span;
        for item in self.items() {
            span = span.with(item.extent());
        }
        for entry in self.entries() {
            span = span.with(entry.key_span).with(entry.node.extent());
        }
        span
    }

    /// Calls a function for every entry of every table.
    pub(super) fn each_entry(&self, call: &mut impl FnMut(&Entry)) {
        self.items().iter().for_each(|item| item.each_entry(call));
        for entry in self.entries() {
            call(entry);
            entry.node.each_entry(call);
        }
    }

    /// Sets the path of keys of every value.
    pub(super) fn write_paths(&mut self, path: &str) {
        self.path = Some(path.into());
        match &mut self.value {
            Value::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    item.write_paths(&format!("{path}[{index}]"));
                }
            }
            Value::Table(entries) => {
                for entry in entries {
                    let before = if path.is_empty() { "" } else { "." };
                    let key = &entry.key;
                    entry.node.write_paths(&format!("{path}{before}{key}"));
                }
            }
            _ => {}
        }
    }
}

/// Converts offsets in bytes to lines and columns in characters.
pub(super) struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = std::iter::once(0)
            .chain(ends.map(|(at, _)| at + 1))
            .collect();
        Self { text, starts }
    }

    /// Returns line and column of an offset, both from 1.
    fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= offset);
        let before = self.text.get(self.start(line)..offset).unwrap_or_default();
        (line, before.chars().count() + 1)
    }

    /// Returns the offset of a line, from 1.
    fn start(&self, line: usize) -> usize {
        let start = line.checked_sub(1).and_then(|index| self.starts.get(index));
        start.copied().unwrap_or(self.text.len())
    }

    /// Returns the offset of a line and a column, both from 1.
    pub(super) fn offset(&self, line: usize, column: usize) -> usize {
        let before = self.line(line).chars().take(column.saturating_sub(1));
        self.start(line) + before.map(char::len_utf8).sum::<usize>()
    }

    /// Returns a line, which counts from 1.
    pub(super) fn line(&self, line: usize) -> &'t str {
        let rest = self.text.get(self.start(line)..).unwrap_or_default();
        rest.lines().next().unwrap_or_default()
    }

    /// Extends a range to whole lines.
    pub(super) fn whole(&self, range: std::ops::Range<usize>) -> std::ops::Range<usize> {
        let span = self.span(range);
        self.start(span.line)..self.start(span.last + 1)
    }

    pub(super) fn span(&self, range: std::ops::Range<usize>) -> Span {
        let (line, column) = self.position(range.start);
        let (last, last_column) = self.position(range.end.max(range.start + 1) - 1);
        Span {
            file: 0,
            line,
            column,
            last,
            last_column,
        }
    }
}
