//! One reading of a file: values with their lines, whether they were written in YAML, JSON or TOML,
//! or in a TOML inside of a YAML.

use std::rc::Rc;

/// Lines and columns of the given file, from 1.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Span {
    pub(super) line: u32,
    pub(super) column: u32,
    pub(super) last: u32,
    pub(super) last_column: u32,
}

impl Span {
    /// The smallest span around both.
    pub(super) fn with(self, other: Self) -> Self {
        let (line, column) = (self.line, self.column).min((other.line, other.column));
        let (last, last_column) =
            (self.last, self.last_column).max((other.last, other.last_column));
        Self {
            line,
            column,
            last,
            last_column,
        }
    }
}

/// Where the lines of an embedded text are in the file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin {
    /// Line for line, so many lines and columns further.
    Lines { line: u32, column: u32 },
    /// All of it is here: a string with escapes, or a folded one.
    Inline(Span),
}

/// The whole file.
pub(super) const FILE: Origin = Origin::Lines { line: 0, column: 0 };

impl Origin {
    /// Returns the place in the file of a place in the text, which counts from 1.
    pub(super) fn place(self, at: Span) -> Span {
        match self {
            Self::Lines { line, column } => Span {
                line: at.line + line,
                column: at.column + column,
                last: at.last + line,
                last_column: at.last_column + column,
            },
            Self::Inline(span) => span,
        }
    }
}

/// A value with its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) span: Span,
    /// Where the text of a string is, line for line.
    pub(super) text: Option<Origin>,
    /// Where it is by its keys: only where lines do not say it.
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
    /// What a template or a shell decides.
    Unknown,
    List(Vec<Node>),
    Table(Vec<Entry>),
}

/// A key with its value.
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

    /// Returns the value of a key of a table.
    pub(super) fn at(&self, key: &str) -> Option<&Self> {
        self.entries()
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.node)
    }

    /// Returns the value at the end of some keys.
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

    pub(super) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the text of a key of a table, where it is there and not empty.
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

    /// Returns the lines of the value and of all that is in it.
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

    /// Writes the keys that lead to each value into it.
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

/// Line starts of a text, to turn offsets of bytes into lines and columns of characters.
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
    pub(super) fn position(&self, offset: usize) -> (u32, u32) {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = line.checked_sub(1).and_then(|index| self.starts.get(index));
        let before = self.text.get(start.copied().unwrap_or_default()..offset);
        (
            small(line),
            small(before.map_or(0, |text| text.chars().count()) + 1),
        )
    }

    /// Returns the offset of a line and a column, both from 1.
    pub(super) fn offset(&self, line: u32, column: u32) -> usize {
        let [line, column] =
            [line, column].map(|number| usize::try_from(number).unwrap_or(usize::MAX));
        let start = line.checked_sub(1).and_then(|index| self.starts.get(index));
        let start = start.copied().unwrap_or(self.text.len());
        let rest = self.text.get(start..).unwrap_or_default();
        let before: usize = rest
            .chars()
            .take(column.saturating_sub(1))
            .map(char::len_utf8)
            .sum();
        start + before
    }

    pub(super) fn span(&self, range: std::ops::Range<usize>) -> Span {
        let (line, column) = self.position(range.start);
        let (last, last_column) = self.position(range.end.max(range.start + 1) - 1);
        Span {
            line,
            column,
            last,
            last_column,
        }
    }
}

/// A count of lines or characters of a text of at most some MiB.
pub(super) fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
