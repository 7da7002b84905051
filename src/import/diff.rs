//! The lines that a policy makes redundant, as a diff that `patch` applies.
//!
//! A line is shown only if everything on it may be printed: a table's header, or a key with a value
//! of the right form. Where a line to remove, or the text of its comment, is anything else, there
//! is no diff for it but words.

use super::discovery::File;
use super::finding::Removal;
use super::located::{Span, large};
use super::printable::{Kind, Printable};
use super::text::Encoding;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use toml::de::{DeTable, DeValue};

/// Lines around a change.
const CONTEXT: usize = 3;

/// A change of some lines.
struct Edit {
    /// The line behind the last; the first is the key of the edit.
    end: usize,
    with: Option<String>,
}

/// The diffs of some files.
pub(super) struct Diffs<'f> {
    files: &'f [File],
    /// Edits by file and first line, from 0.
    edits: BTreeMap<(usize, usize), Edit>,
}

impl<'f> Diffs<'f> {
    pub(super) fn of(files: &'f [File]) -> Self {
        Self {
            files,
            edits: BTreeMap::new(),
        }
    }

    /// Removes something from its file; not if a line of it may not be shown.
    pub(super) fn remove(&mut self, span: Span, removal: &Removal) -> bool {
        let Some((start, edit)) = self.edit(span, removal) else {
            return false;
        };
        let of_file = (span.file, 0)..(span.file + 1, 0);
        let mut others = self.edits.range(of_file);
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
        let lines: Vec<&str> = file.text.split_inclusive('\n').collect();
        let index = |line: u32| large(line).checked_sub(1);
        let start = index(span.line)?;
        // Only a table with a header has its lines for itself.
        lines
            .get(start)
            .filter(|line| line.trim().starts_with("[["))?;
        let (start, end, with) = match removal {
            Removal::All => (start, large(span.last), None),
            Removal::Except { kept, .. } if kept.is_empty() => (start, large(span.last), None),
            Removal::Except { list, kept } if list.line == list.last => {
                let start = index(list.line)?;
                let line: Vec<char> = lines.get(start)?.chars().collect();
                let part = |from: usize, to: usize| Some(line.get(from..to)?.iter().collect());
                let kept = kept
                    .iter()
                    .map(|it| part(index(it.column)?, large(it.last_column)));
                let kept: Vec<String> = kept.collect::<Option<_>>()?;
                let before: String = part(0, index(list.column)?)?;
                let after: String = part(large(list.last_column), line.len())?;
                let with = format!("{before}[{}]{after}", kept.join(", "));
                (start, start + 1, Some(with))
            }
            _ => return None,
        };
        let mut shown = lines
            .get(start..end)?
            .iter()
            .copied()
            .chain(with.as_deref());
        shown
            .all(is_showable)
            .then_some((start, Edit { end, with }))
    }

    /// Writes the diffs.
    pub(super) fn render(&self) -> String {
        let mut text = String::new();
        for (index, file) in self.files.iter().enumerate() {
            let of_file = self.edits.range((index, 0)..(index + 1, 0));
            let edits: Vec<(usize, &Edit)> = of_file.map(|((_, start), it)| (*start, it)).collect();
            if !edits.is_empty() {
                let name = file.name.as_str();
                let _ = write!(text, "--- {name}\n+++ {name}\n");
                hunks(file, &edits, &mut text);
            }
        }
        text
    }
}

fn hunks(file: &File, edits: &[(usize, &Edit)], text: &mut String) {
    let lines: Vec<&str> = file.text.split_inclusive('\n').collect();
    let part = |from: usize, to: usize| lines.get(from..to).unwrap_or_default();
    let is_shown = |line: &&&str| is_showable(line);
    // Changes that are near each other are one hunk, if what is between them may be shown.
    let is_near = |(_, one): &(usize, &Edit), (next, _): &(usize, &Edit)| {
        let between = part(one.end, *next);
        between.len() <= 2 * CONTEXT && between.iter().all(|line| is_showable(line))
    };
    let hunks: Vec<&[(usize, &Edit)]> = edits.chunk_by(is_near).collect();
    let end_of = |hunk: &[(usize, &Edit)]| hunk.last().map_or(0, |(_, edit)| edit.end);
    let start_of = |hunk: &[(usize, &Edit)]| hunk.first().map_or(0, |(start, _)| *start);
    let mut moved: isize = 0;
    // Behind the line with the byte order mark, which the text does not have.
    let mut floor = usize::from(file.encoding == Encoding::Marked);
    for (number, hunk) in hunks.iter().enumerate() {
        let (start, end) = (start_of(hunk), end_of(hunk));
        let next = hunks.get(number + 1).map(|next| start_of(next));
        // Half of what is between two hunks belongs to each.
        let ceiling = next.map_or(lines.len(), |next| end + (next - end) / 2);
        let before = part(floor, start).iter().rev().take(CONTEXT);
        let before = before.take_while(is_shown).count();
        let after = part(end, ceiling).iter().take(CONTEXT);
        let after = after.take_while(is_shown).count();
        // patch takes a hunk with less context on one side for one at an end of the file.
        let is_at_end = end + after == lines.len() && after <= before;
        let is_at_start = start == before && before <= after;
        let (before, after) = match before.min(after) {
            _ if is_at_end || is_at_start => (before, after),
            // git needs context behind a hunk, and patch forgives two lines more of it.
            0 => (0, after.min(2)),
            least => (least, least),
        };
        let mut body = String::new();
        let mut push = |sign: char, lines: &[&str]| {
            for line in lines {
                body.push(sign);
                body.push_str(line);
                if !line.ends_with('\n') {
                    body.push_str("\n\\ No newline at end of file\n");
                }
            }
        };
        let first = start - before;
        let (mut at, mut new) = (first, before + after);
        for (start, edit) in *hunk {
            let added: Vec<&str> = edit.with.iter().map(String::as_str).collect();
            push(' ', part(at, *start));
            push('-', part(*start, edit.end));
            push('+', &added);
            new += added.len() + start.saturating_sub(at.max(first + before));
            at = edit.end;
        }
        push(' ', part(end, end + after));
        let old = end + after - first;
        // A side without lines is named by the line before it.
        let position = |count: usize, at: usize| if count == 0 { at } else { at + 1 };
        let new_first = first.saturating_add_signed(moved);
        let (from, to) = (position(old, first), position(new, new_first));
        let _ = write!(text, "@@ -{from},{old} +{to},{new} @@\n{body}");
        moved += new.cast_signed() - old.cast_signed();
        floor = ceiling;
    }
}

/// Whether all of a line may be printed.
fn is_showable(line: &str) -> bool {
    let (code, comment) = split_comment(line.trim());
    if code.starts_with("{{") && code.ends_with("}}") && is_simple_template(code) {
        return true;
    }
    // A line of a list of hostnames is read as one of its own.
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
            let is = |kind| Printable::new(kind, text).is_some();
            let is_plain = |char: char| char.is_ascii_alphanumeric() || "-._/:".contains(char);
            match key {
                "ip" => is(Kind::Address),
                "hostnames" => is(Kind::Hostname) && text.contains('.') || is_simple_template(text),
                "name" => is(Kind::Object),
                "mount_path" | "host_path" => is(Kind::Path) && text.chars().all(is_plain),
                "image" => is(Kind::Image) && text.contains([':', '/']),
                "medium" => matches!(text.as_ref(), "" | "Memory"),
                "size_limit" => Printable::new(Kind::Size, text.trim()).is_some(),
                _ => false,
            }
        }
        _ => false,
    }
}

/// Whether a text is a hostname but for expressions that only name a value.
fn is_simple_template(text: &str) -> bool {
    let is_good = |char: char| char.is_ascii_alphanumeric() || "{}. -".contains(char);
    text.contains("{{") && text.chars().all(is_good)
}

/// Splits a line of TOML at its comment.
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

/// Whether a comment has words only: nothing that could be a credential or a value.
fn is_prose(comment: &str) -> bool {
    comment.split_whitespace().all(|word| {
        let word = word.trim_matches(|char: char| ",.;:!?()'\"’“”。，".contains(char));
        let is_letter = |char: char| char.is_alphabetic() || matches!(char, '\'' | '-');
        // Capitals within a word are how random text looks.
        let is_random =
            word.chars().skip(1).any(char::is_uppercase) && !word.chars().all(char::is_uppercase);
        word.chars().count() <= 20 && word.chars().all(is_letter) && !is_random
    })
}
