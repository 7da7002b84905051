//! Writes the lines that a policy makes redundant as a diff that `patch` applies.
//!
//! The diff contains a line only if the whole line may be printed: it is the header of a table, or
//! a known key with a value that has the expected format. If a line to remove has anything else,
//! the setting is not in the diff, and the report asks for its removal by hand.

use super::config_value::Span;
use super::discovery::File;
use super::finding::Removal;
use super::safe_text::{Kind, SafeText};
use super::text::Encoding;
use std::collections::BTreeMap;
use toml::de::{DeTable, DeValue};

/// The maximum number of context lines.
const CONTEXT: usize = 3;
/// The number of digits of a line number.
const DIGITS: usize = 8;

/// The removal or the replacement of a range of lines. The start of the range is the key in
/// [`Diffs::edits`].
struct Edit {
    /// The index of the first line after the range.
    end: usize,
    replacement: Option<String>,
}

/// The diffs of the imported files.
pub(super) struct Diffs<'f> {
    files: &'f [File],
    /// Edits by the index of the file and the index of the first line.
    edits: BTreeMap<(usize, usize), Edit>,
}

impl<'f> Diffs<'f> {
    pub(super) fn of(files: &'f [File]) -> Self {
        Self {
            files,
            edits: BTreeMap::new(),
        }
    }

    /// Adds the removal of a setting's lines. Returns false, and adds nothing, if the diff cannot
    /// contain them.
    pub(super) fn remove(&mut self, span: Span, removal: &Removal) -> bool {
        let Some((start, edit)) = self.edit(span, removal) else {
            return false;
        };
        let mut others = self.edits.range((span.file, 0)..(span.file + 1, 0));
        let is_apart = others.all(|((_, from), other)| other.end <= start || edit.end <= *from);
        if is_apart {
            self.edits.insert((span.file, start), edit);
        }
        is_apart
    }

    fn edit(&self, span: Span, removal: &Removal) -> Option<(usize, Edit)> {
        let file = self.files.get(span.file)?;
        if file.is_stdin || file.encoding == Encoding::Utf16 {
            return None;
        }
        let lines = lines(&file.text);
        let start = span.line.checked_sub(1)?;
        // The diff does not remove an inline table, because it shares its lines with other values.
        if !lines.get(start)?.trim().starts_with("[[") {
            return None;
        }
        let (start, end, replacement) = match removal {
            Removal::All => (start, span.last_line, None),
            Removal::Except { kept, .. } if kept.is_empty() => (start, span.last_line, None),
            Removal::Except { list, kept } if list.line == list.last_line => {
                let start = list.line.checked_sub(1)?;
                let line: Vec<char> = lines.get(start)?.chars().collect();
                // Columns start at 1, and the range includes both ends.
                let part = |from: usize, to: usize| {
                    let part = line.get(from.checked_sub(1)?..to)?;
                    Some(part.iter().collect::<String>())
                };
                let kept = kept.iter().map(|it| part(it.column, it.last_column));
                let kept = kept.collect::<Option<Vec<String>>>()?.join(", ");
                let before = part(1, list.column.checked_sub(1)?)?;
                let after = part(list.last_column + 1, line.len())?;
                (start, start + 1, Some(format!("{before}[{kept}]{after}")))
            }
            _ => return None,
        };
        let mut shown = lines
            .get(start..end)?
            .iter()
            .copied()
            .chain(replacement.as_deref());
        let is_shown = shown.all(is_showable);
        is_shown.then_some((start, Edit { end, replacement }))
    }

    pub(super) fn render(&self) -> String {
        let files = self.files.iter().enumerate();
        files.map(|(index, file)| self.diff(index, file)).collect()
    }

    fn diff(&self, index: usize, file: &File) -> String {
        let mark = match file.encoding {
            Encoding::Utf8Bom => "\u{feff}",
            _ => "",
        };
        let text = format!("{mark}{}", file.text);
        // A number before each line makes equal lines different, so that each hunk removes whole
        // tables.
        let numbered = |number: usize, line: &str| format!("{number:0DIGITS$}{line}");
        let old = lines(&text).into_iter().enumerate();
        let old: Vec<String> = old.map(|(number, line)| numbered(number, line)).collect();
        let mut new = old.clone();
        // In reverse order, so that an edit does not move the lines of the next one.
        for ((_, start), edit) in self.edits.range((index, 0)..(index + 1, 0)).rev() {
            let replacement = edit.replacement.iter().map(|line| numbered(0, line));
            drop(new.splice(*start..edit.end, replacement));
        }
        if new == old {
            return String::new();
        }
        let (old, new) = (old.concat(), new.concat());
        let name = file.name.as_str().trim_start_matches('/');
        let with_context = |context: usize| {
            let diff = diffy::DiffOptions::new()
                .set_context_len(context)
                .set_original_filename(format!("a/{name}"))
                .set_modified_filename(format!("b/{name}"))
                .create_patch(&old, &new);
            without_numbers(&diff.to_string())
        };
        (0..=CONTEXT)
            .rev()
            .find_map(with_context)
            .unwrap_or_default()
    }
}

/// Removes the numbers from the lines of a diff. Returns `None` if a line may not be printed.
fn without_numbers(diff: &str) -> Option<String> {
    let mut text = String::new();
    for (index, line) in diff.split_inclusive('\n').enumerate() {
        let is_content = index > 1 && line.starts_with([' ', '-', '+']);
        match line.get(1 + DIGITS..).filter(|_| is_content) {
            Some(content) if !is_showable(content) => return None,
            Some(content) => text.extend([line.get(..1)?, content]),
            None => text.push_str(line),
        }
    }
    Some(text)
}

/// Splits text into lines with their line ends, as `patch` does.
fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

/// Returns whether a whole line may be printed.
fn is_showable(line: &str) -> bool {
    let (code, comment) = split_comment(line.trim());
    if code.starts_with("{{") && code.ends_with("}}") && is_simple_template(code) {
        return true;
    }
    // If a list of hostnames has several lines, each of them is parsed as a list.
    let inner = code.strip_prefix("hostnames = [").unwrap_or(code);
    let list = format!("hostnames = [{}]", inner.trim_end_matches([',', ']', ' ']));
    let table = DeTable::parse(code).or_else(|_| DeTable::parse(&list));
    comment.is_none_or(is_prose) && table.is_ok_and(|table| is_showable_table(table.get_ref()))
}

fn is_showable_table(table: &DeTable<'_>) -> bool {
    table.iter().all(|(key, value)| {
        super::schema::is_known(key.get_ref())
            && is_showable_value(&key.get_ref().to_lowercase(), value.get_ref())
    })
}

fn is_showable_value(key: &str, value: &DeValue<'_>) -> bool {
    match value {
        DeValue::Table(table) => is_showable_table(table),
        DeValue::Array(items) => items
            .iter()
            .all(|item| is_showable_value(key, item.get_ref())),
        DeValue::Boolean(_) | DeValue::Integer(_) => true,
        DeValue::String(text) => {
            let is = |kind| SafeText::new(kind, text).is_some();
            let is_plain = |char: char| char.is_ascii_alphanumeric() || "-._/:".contains(char);
            match key {
                "ip" => is(Kind::Address),
                "hostnames" => is(Kind::Hostname) && text.contains('.') || is_simple_template(text),
                "name" => is(Kind::Object),
                "mount_path" | "host_path" => is(Kind::Path) && text.chars().all(is_plain),
                "image" => is(Kind::Image) && text.contains([':', '/']),
                "medium" => matches!(text.as_ref(), "" | "Memory"),
                "size_limit" => SafeText::new(Kind::Size, text.trim()).is_some(),
                _ => false,
            }
        }
        _ => false,
    }
}

/// Returns whether text is a hostname with template expressions that contain only the names of
/// values.
fn is_simple_template(text: &str) -> bool {
    let is_good = |char: char| char.is_ascii_alphanumeric() || "{}. -".contains(char);
    text.contains("{{") && text.chars().all(is_good)
}

/// Splits a line of TOML into its code and its comment.
fn split_comment(line: &str) -> (&str, Option<&str>) {
    let mut quote = None;
    for (at, char) in line.char_indices() {
        match (quote, char) {
            (None, '#') => {
                let (code, comment) = line.split_at(at);
                return (code.trim_end(), comment.get(1..));
            }
            (None, '"' | '\'') => quote = Some(char),
            (Some(open), char) if open == char => quote = None,
            _ => {}
        }
    }
    (line, None)
}

/// Returns whether a comment contains only words, so that it cannot contain a credential.
fn is_prose(comment: &str) -> bool {
    comment.split_whitespace().all(|word| {
        let word = word.trim_matches(|char: char| ",.;:!?()'\"’“”。，".contains(char));
        let is_letter = |char: char| char.is_alphabetic() || matches!(char, '\'' | '-');
        // A capital letter inside a word is a sign of random text.
        let is_random =
            word.chars().skip(1).any(char::is_uppercase) && !word.chars().all(char::is_uppercase);
        word.chars().count() <= 20 && word.chars().all(is_letter) && !is_random
    })
}
