//! The values of a YAML, JSON or TOML file, or of TOML in a YAML string, with their positions.

use std::rc::Rc;

/// A range in a file. Lines and columns are numbered from 1. Line 0 stands for the whole file.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Span {
    /// The index of the file among the imported files.
    pub(super) file: usize,
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) last_line: usize,
    pub(super) last_column: usize,
}

impl Span {
    /// Returns the span of a whole file.
    pub(super) fn file(file: usize) -> Self {
        Self {
            file,
            ..Self::default()
        }
    }

    /// Returns the span of one character.
    pub(super) fn at(line: usize, column: usize) -> Self {
        Self {
            file: 0,
            line,
            column,
            last_line: line,
            last_column: column,
        }
    }

    /// Returns the smallest span that contains both spans.
    pub(super) fn with(self, other: Self) -> Self {
        let (line, column) = (self.line, self.column).min((other.line, other.column));
        let (last_line, last_column) =
            (self.last_line, self.last_column).max((other.last_line, other.last_column));
        Self {
            file: self.file,
            line,
            column,
            last_line,
            last_column,
        }
    }

    /// Returns whether this span contains all lines of the other one.
    pub(super) fn has_lines_of(self, other: Self) -> bool {
        self.file == other.file && self.line <= other.line && other.last_line <= self.last_line
    }
}

/// The position of a text in its file. The text may be a part of the file, such as TOML in a YAML
/// string.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin {
    /// Each line of the text is a line of the file. `line` and `column` are added to its position.
    Lines {
        file: usize,
        line: usize,
        column: usize,
    },
    /// The lines of the text are escaped or folded, so every position in the text is
    /// converted to this span.
    Inline(Span),
}

impl Origin {
    /// Returns the origin of the text of a whole file.
    pub(super) fn file(file: usize) -> Self {
        Self::Lines {
            file,
            line: 0,
            column: 0,
        }
    }

    /// Converts a position in the text to a position in the file.
    pub(super) fn span_in_file(self, at: Span) -> Span {
        match self {
            Self::Lines { file, line, column } => Span {
                file,
                line: at.line + line,
                column: at.column + column,
                last_line: at.last_line + line,
                last_column: at.last_column + column,
            },
            Self::Inline(span) => span,
        }
    }
}

/// A value of a configuration file, with its position.
#[derive(Clone, Debug)]
pub(super) struct ConfigValue {
    pub(super) data: Data,
    pub(super) span: Span,
    /// The origin of the text of a YAML block scalar.
    pub(super) text: Option<Origin>,
    /// The path of keys to the value. `None` if the line identifies the value.
    pub(super) path: Option<Rc<str>>,
}

#[derive(Clone, Debug)]
pub(super) enum Data {
    Null,
    Bool(bool),
    Integer,
    /// A float or a date.
    Other,
    Text(String),
    /// A value that is not in the file, for example because a template or a variable sets it.
    Unknown,
    List(Vec<ConfigValue>),
    Table(Vec<Entry>),
}

/// A key of a table and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Span,
    pub(super) value: ConfigValue,
}

impl ConfigValue {
    pub(super) fn new(data: Data, span: Span) -> Self {
        Self {
            data,
            span,
            text: None,
            path: None,
        }
    }

    /// Returns a value with the same position and other data.
    pub(super) fn with_data(&self, data: Data) -> Self {
        Self {
            data,
            ..self.clone()
        }
    }

    /// Returns the value of a key of a table.
    pub(super) fn at(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// Returns the value of a key, if [`Self::is_set`] is true for the value.
    pub(super) fn set_at(&self, key: &str) -> Option<&Self> {
        self.at(key).filter(|value| value.is_set())
    }

    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// Returns the value at a path of keys that are separated by dots.
    pub(super) fn find(&self, path: &str) -> Option<&Self> {
        path.split('.').try_fold(self, |value, key| value.at(key))
    }

    pub(super) fn entries(&self) -> &[Entry] {
        match &self.data {
            Data::Table(entries) => entries,
            _ => &[],
        }
    }

    pub(super) fn items(&self) -> &[Self] {
        match &self.data {
            Data::List(items) => items,
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
        match &self.data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the text at a key. Returns `None` if the text is empty.
    pub(super) fn text_at(&self, key: &str) -> Option<&str> {
        self.at(key)
            .and_then(Self::as_text)
            .filter(|text| !text.is_empty())
    }

    pub(super) fn is_table(&self) -> bool {
        matches!(self.data, Data::Table(_))
    }

    pub(super) fn is_unknown(&self) -> bool {
        matches!(self.data, Data::Unknown)
    }

    pub(super) fn is_true(&self) -> bool {
        matches!(self.data, Data::Bool(true))
    }

    /// Returns whether the value is neither null, empty nor `false`.
    pub(super) fn is_set(&self) -> bool {
        match &self.data {
            Data::Null | Data::Bool(false) => false,
            Data::Text(text) => !text.is_empty(),
            Data::List(items) => !items.is_empty(),
            Data::Table(entries) => !entries.is_empty(),
            _ => true,
        }
    }

    /// Returns the span of the value and of all keys and values in it.
    pub(super) fn extent(&self) -> Span {
        let mut span = self.span;
        for item in self.items() {
            span = span.with(item.extent());
        }
        for entry in self.entries() {
            span = span.with(entry.key_span).with(entry.value.extent());
        }
        span
    }

    /// Calls a function for every entry of every table in this value.
    pub(super) fn each_entry(&self, call: &mut impl FnMut(&Entry)) {
        self.items().iter().for_each(|item| item.each_entry(call));
        for entry in self.entries() {
            call(entry);
            entry.value.each_entry(call);
        }
    }

    /// Sets `path` in this value and in every value in it.
    pub(super) fn set_paths(&mut self, path: &str) {
        self.path = Some(path.into());
        match &mut self.data {
            Data::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    item.set_paths(&format!("{path}[{index}]"));
                }
            }
            Data::Table(entries) => {
                for entry in entries {
                    let before = if path.is_empty() { "" } else { "." };
                    let key = &entry.key;
                    entry.value.set_paths(&format!("{path}{before}{key}"));
                }
            }
            _ => {}
        }
    }
}

/// Converts byte offsets to lines and columns, and back. Columns count characters.
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

    /// Returns the line and the column of a byte offset.
    fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= offset);
        let before = self.text.get(self.start(line)..offset).unwrap_or_default();
        (line, before.chars().count() + 1)
    }

    /// Returns the byte offset of the start of a line.
    fn start(&self, line: usize) -> usize {
        let start = line.checked_sub(1).and_then(|index| self.starts.get(index));
        start.copied().unwrap_or(self.text.len())
    }

    /// Returns the byte offset of a line and a column.
    pub(super) fn offset(&self, line: usize, column: usize) -> usize {
        let before = self.line(line).chars().take(column.saturating_sub(1));
        self.start(line) + before.map(char::len_utf8).sum::<usize>()
    }

    /// Returns the text of a line without its line end.
    pub(super) fn line(&self, line: usize) -> &'t str {
        let rest = self.text.get(self.start(line)..).unwrap_or_default();
        rest.lines().next().unwrap_or_default()
    }

    /// Extends a byte range to whole lines.
    pub(super) fn whole_lines(&self, range: std::ops::Range<usize>) -> std::ops::Range<usize> {
        let span = self.span(range);
        self.start(span.line)..self.start(span.last_line + 1)
    }

    pub(super) fn span(&self, range: std::ops::Range<usize>) -> Span {
        let (line, column) = self.position(range.start);
        let (last_line, last_column) = self.position(range.end.max(range.start + 1) - 1);
        Span {
            file: 0,
            line,
            column,
            last_line,
            last_column,
        }
    }
}
