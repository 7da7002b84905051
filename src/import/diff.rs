//! The lines that a policy makes redundant, as a diff that `patch` applies.
//!
//! A line is shown only if everything on it may be printed: a table's header, or a key with a value
//! of the right form. Where a line to remove, or the text of its comment, is anything else, there
//! is no diff for it but words.

use super::finding::Removal;
use super::located::Span;
use super::places::File;
use super::printable::{Kind, Printable};
use super::text::Encoding;
use crate::core::crd::format;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Lines around a change.
const CONTEXT: usize = 3;

/// A change of some lines.
struct Edit {
    /// The first line, from 0, and the line behind the last.
    lines: std::ops::Range<usize>,
    with: Option<String>,
}

/// Returns the diff of a file, and which of the removals it has.
pub(super) fn render(file: &File, removals: &[(Span, &Removal)]) -> (String, Vec<bool>) {
    let lines: Vec<&str> = file.text.split_inclusive('\n').collect();
    let is_text = !file.is_stdin && file.encoding != Encoding::Utf16;
    let mut edits: BTreeMap<usize, Edit> = BTreeMap::new();
    let mut done = Vec::new();
    for (span, removal) in removals {
        let edit = if is_text {
            edit(&lines, *span, removal)
        } else {
            None
        };
        let is_shown = |edit: &Edit| {
            let removed = lines.get(edit.lines.clone()).unwrap_or_default();
            removed.iter().all(|line| is_showable(line))
                && edit.with.as_deref().is_none_or(is_showable)
        };
        let edit = edit.filter(is_shown).filter(|edit| {
            let overlaps = |other: &Edit| {
                other.lines.start < edit.lines.end && edit.lines.start < other.lines.end
            };
            !edits.values().any(overlaps)
        });
        done.push(edit.is_some());
        edits.extend(edit.map(|edit| (edit.lines.start, edit)));
    }
    let edits: Vec<Edit> = edits.into_values().collect();
    (unified(file, &lines, &edits), done)
}

fn edit(lines: &[&str], span: Span, removal: &Removal) -> Option<Edit> {
    let index = |line: u32| usize::try_from(line).ok()?.checked_sub(1);
    match removal {
        Removal::None => None,
        Removal::All => {
            let range = index(span.line)?..index(span.last)? + 1;
            let first = lines.get(range.start)?.trim();
            // Only a table with a header has its lines for itself.
            first.starts_with("[[").then_some(Edit {
                lines: range,
                with: None,
            })
        }
        Removal::Except { list, kept } => {
            let at = index(list.line)?;
            let line = lines.get(at).filter(|_| list.line == list.last)?;
            let part = |from: u32, to: Option<u32>| -> Option<String> {
                let from = index(from)?;
                let count = match to {
                    Some(to) => usize::try_from(to).ok()?.checked_sub(from)?,
                    None => usize::MAX,
                };
                Some(line.chars().skip(from).take(count).collect())
            };
            let kept: Option<Vec<String>> = kept
                .iter()
                .map(|span| part(span.column, Some(span.last_column)))
                .collect();
            let (before, after) = (
                part(1, Some(list.column - 1))?,
                part(list.last_column + 1, None)?,
            );
            let header = lines.get(index(span.line)?)?.trim();
            let with = format!("{before}[{}]{after}", kept?.join(", "));
            header.starts_with("[[").then_some(Edit {
                lines: at..at + 1,
                with: Some(with),
            })
        }
    }
}

fn unified(file: &File, lines: &[&str], edits: &[Edit]) -> String {
    let mut text = String::new();
    let mut moved: isize = 0;
    let first_line = usize::from(file.encoding == Encoding::Marked);
    for (number, edit) in edits.iter().enumerate() {
        let floor = number
            .checked_sub(1)
            .and_then(|before| edits.get(before))
            .map_or(first_line, |before| {
                before.lines.end + CONTEXT.min((edit.lines.start - before.lines.end) / 2)
            });
        let ceiling = edits.get(number + 1).map_or(lines.len(), |after| {
            edit.lines.end + (after.lines.start - edit.lines.end) / 2
        });
        let shown = |index: &usize| lines.get(*index).is_some_and(|line| is_showable(line));
        let before = (floor..edit.lines.start)
            .rev()
            .take(CONTEXT)
            .take_while(shown)
            .count();
        let after = (edit.lines.end..ceiling)
            .take(CONTEXT)
            .take_while(shown)
            .count();
        // patch takes a hunk with less context on one side for one at an end of the file.
        let context = before.min(after);
        let removed = edit.lines.len();
        let added = usize::from(edit.with.is_some());
        let start = edit.lines.start - context;
        let (old, new) = (removed + 2 * context, added + 2 * context);
        // A side without lines is named by the line before it.
        let position = |count: usize, at: usize| if count == 0 { at } else { at + 1 };
        let new_start = start.saturating_add_signed(moved);
        if text.is_empty() {
            let _ = write!(
                text,
                "--- {}\n+++ {}\n",
                file.name.as_str(),
                file.name.as_str()
            );
        }
        let _ = writeln!(
            text,
            "@@ -{},{old} +{},{new} @@",
            position(old, start),
            position(new, new_start)
        );
        let mut push = |sign: char, line: &str| {
            text.push(sign);
            text.push_str(line);
            if !line.ends_with('\n') {
                text.push_str("\n\\ No newline at end of file\n");
            }
        };
        let range = |from: usize, to: usize| lines.get(from..to).unwrap_or_default();
        range(start, edit.lines.start)
            .iter()
            .for_each(|line| push(' ', line));
        range(edit.lines.start, edit.lines.end)
            .iter()
            .for_each(|line| push('-', line));
        edit.with.iter().for_each(|line| push('+', line));
        range(edit.lines.end, edit.lines.end + context)
            .iter()
            .for_each(|line| push(' ', line));
        moved += isize::try_from(added).unwrap_or_default()
            - isize::try_from(removed).unwrap_or_default();
    }
    text
}

/// Whether all of a line may be printed.
fn is_showable(line: &str) -> bool {
    let (code, comment) = split_comment(line.trim());
    if !comment.is_none_or(is_prose) {
        return false;
    }
    let is_header_word = |word: &str| super::schema::is_known(word);
    let header = code
        .strip_prefix("[[")
        .and_then(|rest| rest.strip_suffix("]]"))
        .or_else(|| {
            code.strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
        });
    if let Some(header) = header.filter(|header| !header.contains(['"', '\'', ',', '='])) {
        return header.split('.').all(|word| is_header_word(word.trim()));
    }
    let hostname = |text: &str| {
        Printable::new(Kind::Hostname, text).is_some() && text.contains('.')
            || is_simple_template(text)
    };
    let Some((key, value)) = code.split_once('=') else {
        // A line of a list of hostnames.
        return matches!(code, "" | "]" | "],")
            || code
                .strip_suffix(',')
                .unwrap_or(code)
                .strip_prefix('"')
                .and_then(|rest| rest.strip_suffix('"'))
                .is_some_and(hostname);
    };
    let key = key.trim().to_ascii_lowercase();
    let Some(values) = strings(value.trim()) else {
        return matches!(
            (key.as_str(), value.trim()),
            ("read_only", "true" | "false") | ("hostnames", "[")
        );
    };
    let path = |text: &str| {
        text.contains('/')
            && text
                .chars()
                .all(|char| char.is_ascii_alphanumeric() || "-._/:".contains(char))
    };
    let fits = |text: &String| match key.as_str() {
        "ip" => Printable::new(Kind::Address, text).is_some(),
        "hostnames" => hostname(text),
        "name" => {
            format::SUBDOMAIN.check(text).is_ok() && Printable::new(Kind::Name, text).is_some()
        }
        "mount_path" | "host_path" => path(text) && Printable::new(Kind::Path, text).is_some(),
        "image" => Printable::new(Kind::Image, text).is_some() && text.contains([':', '/']),
        "medium" => matches!(text.as_str(), "" | "Memory"),
        "size_limit" => Printable::quantity(text.trim()).is_some(),
        _ => false,
    };
    values.iter().all(fits)
}

/// The strings of a value that is one string or a list of strings on this line; none for anything
/// else.
fn strings(value: &str) -> Option<Vec<String>> {
    let text = format!("v = {value}");
    let table = toml::de::DeTable::parse(&text).ok()?.into_inner();
    let strings = table
        .into_iter()
        .map(|(_, value)| match value.into_inner() {
            toml::de::DeValue::String(text) => Some(vec![text.into_owned()]),
            toml::de::DeValue::Array(items) => items
                .iter()
                .map(|item| match item.get_ref() {
                    toml::de::DeValue::String(text) => Some(text.to_string()),
                    _ => None,
                })
                .collect(),
            _ => None,
        });
    strings
        .collect::<Option<Vec<_>>>()
        .map(|values| values.concat())
}

/// Whether a text is a hostname but for expressions that only name a value.
fn is_simple_template(text: &str) -> bool {
    text.contains("{{")
        && text
            .chars()
            .all(|char| char.is_ascii_alphanumeric() || "{}. -".contains(char))
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
        let is_word = word.chars().count() <= 20
            && word
                .chars()
                .all(|char| char.is_alphabetic() || matches!(char, '\'' | '-'));
        let is_capital = |char: char| char.is_uppercase();
        // Capitals within a word are how random text looks.
        let is_random = word.chars().skip(1).any(is_capital) && !word.chars().all(is_capital);
        is_word && !is_random
    })
}
