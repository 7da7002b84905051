//! Masks the actions of Go templates, so that TOML and YAML can be parsed without rendering.
//!
//! Digits replace an action that prints a value: digits are valid as a key, as a value and in a
//! string, and all other characters keep their positions. Blanks replace a line that contains only
//! actions. The body of `if` and `with` is kept; blanks replace the body of `range` and `else`.

use super::config_value::{Lines, Origin, Span};
use std::ops::Range;

/// The masked parts of a text.
#[derive(Debug, Default)]
pub(super) struct Masks<'t> {
    /// The original text. Empty if nothing is masked.
    pub(super) text: &'t str,
    /// The byte ranges that digits replace, in order.
    masked: Vec<Range<usize>>,
    /// The parts that blanks replace.
    pub(super) skipped: Vec<Span>,
    /// The blocks of `if`, `with` and `range`.
    pub(super) conditional: Vec<Span>,
}

impl Masks<'_> {
    /// Returns whether a byte range overlaps with a masked action.
    pub(super) fn overlap(&self, range: Range<usize>) -> bool {
        let after = self.masked.partition_point(|mask| mask.end <= range.start);
        let mask = self.masked.get(after);
        mask.is_some_and(|mask| mask.start < range.end)
    }
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Action {
    /// Starts a block whose body is kept: `if` or `with`.
    If,
    /// Starts a block whose body is skipped: `range`, `define` or `block`.
    Range,
    Else,
    End,
    /// Prints a value, or is a comment or an assignment.
    Other,
}

/// A block whose `end` is not read yet.
struct Block {
    start: usize,
    /// Whether the block is a part of a value. If true, the whole block is masked.
    is_value: bool,
    /// The start of the part that is skipped.
    skipped_from: Option<usize>,
}

/// Masks the actions of a text. Returns the offset of an action without `}}` as an error.
pub(super) fn mask(text: &str, origin: Origin) -> Result<(String, Masks<'_>), usize> {
    let actions = actions(text)?;
    let lines = Lines::of(text);
    let span = |range: Range<usize>| origin.span_in_file(lines.span(range));
    let mut masks = Masks {
        text,
        ..Masks::default()
    };
    let mut bytes = text.as_bytes().to_vec();
    let without_actions = {
        let mut bytes = bytes.clone();
        for (range, _) in &actions {
            fill(&mut bytes, range.clone(), b' ');
        }
        bytes
    };
    // Returns whether the lines of a range contain only actions and blanks outside of the range.
    let is_alone = |range: &Range<usize>| {
        let whole = lines.whole_lines(range.clone());
        let around = [whole.start..range.start, range.end..whole.end];
        let is_blank = |part: Range<usize>| {
            let part = without_actions.get(part).unwrap_or_default();
            part.iter().all(u8::is_ascii_whitespace)
        };
        around.into_iter().all(is_blank)
    };
    let mut open: Vec<Block> = Vec::new();
    for (index, (range, action)) in actions.iter().enumerate() {
        let Range { start, end } = range.clone();
        let within = open.iter().any(|block| block.is_value);
        let block = match action {
            Action::If | Action::Range => {
                start..block_end(actions.get(index..).unwrap_or_default())
            }
            _ => range.clone(),
        };
        let has_own_lines = is_alone(range) || is_alone(&block);
        // In a block that is part of a value, the whole block is masked when its `end` is read.
        let is_else_or_end = matches!(action, Action::Else | Action::End);
        if (has_own_lines || is_else_or_end) && !within {
            fill(&mut bytes, range.clone(), b' ');
            masks.skipped.push(span(range.clone()));
        }
        match action {
            Action::If | Action::Range => open.push(Block {
                start,
                is_value: !has_own_lines && !within,
                skipped_from: (*action == Action::Range).then_some(end),
            }),
            Action::Else => {
                if let Some(block) = open.last_mut() {
                    block.skipped_from = block.skipped_from.or(Some(end));
                }
            }
            Action::End => match open.pop() {
                Some(block) if block.is_value => {
                    let rest = text.get(block.start..end).unwrap_or_default();
                    let first = rest.find('\n').unwrap_or(rest.len());
                    fill(&mut bytes, block.start..end, b' ');
                    fill(&mut bytes, block.start..block.start + first, b'1');
                    masks.masked.push(block.start..end);
                }
                Some(block) if !within => {
                    if let Some(from) = block.skipped_from {
                        fill(&mut bytes, from..start, b' ');
                        masks.skipped.push(span(from..start));
                    }
                    masks.conditional.push(span(block.start..end));
                }
                _ => {}
            },
            Action::Other if !has_own_lines && !within => {
                fill(&mut bytes, range.clone(), b'1');
                masks.masked.push(range.clone());
            }
            Action::Other => {}
        }
    }
    masks.masked.sort_by_key(|mask| mask.start);
    // All ranges start and end at characters, so the bytes are valid UTF-8.
    let text = String::from_utf8(bytes).map_err(|error| error.utf8_error().valid_up_to())?;
    Ok((text, masks))
}

fn fill(bytes: &mut [u8], range: Range<usize>, with: u8) {
    for byte in bytes.get_mut(range).unwrap_or_default() {
        if !matches!(*byte, b'\n' | b'\r') {
            *byte = with;
        }
    }
}

/// Returns the offset after the block that the first of these actions starts.
fn block_end(actions: &[(Range<usize>, Action)]) -> usize {
    let mut depth = 0_usize;
    for (range, action) in actions {
        match action {
            Action::If | Action::Range => depth += 1,
            Action::End => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return range.end;
        }
    }
    actions.last().map_or(0, |(range, _)| range.end)
}

fn actions(text: &str) -> Result<Vec<(Range<usize>, Action)>, usize> {
    let mut actions = Vec::new();
    let mut from = 0;
    let next = |from: usize| Some(from + text.get(from..)?.find("{{")?);
    while let Some(start) = next(from) {
        let end = action_end(text, start + 2).ok_or(start)?;
        let inner = text.get(start + 2..end - 2).unwrap_or_default();
        let inner = inner.trim_start_matches('-').trim_start();
        let keyword = inner.split(|char: char| !char.is_ascii_alphabetic()).next();
        let action = match keyword.unwrap_or_default() {
            "if" | "with" => Action::If,
            "range" | "define" | "block" => Action::Range,
            "else" => Action::Else,
            "end" => Action::End,
            _ => Action::Other,
        };
        actions.push((start..end, action));
        from = end;
    }
    Ok(actions)
}

/// Returns the offset after the `}}` of an action. A `}}` in a string or comment does not close it.
fn action_end(text: &str, from: usize) -> Option<usize> {
    let inner = text.get(from..).unwrap_or_default();
    if inner.trim_start_matches(['-', ' ']).starts_with("/*") {
        let comment = inner.find("*/")?;
        return Some(from + comment + inner.get(comment..)?.find("}}")? + 2);
    }
    let bytes = text.as_bytes();
    let mut quote = None;
    let mut at = from;
    while let Some(byte) = bytes.get(at) {
        match (quote, byte) {
            (None, b'}') if bytes.get(at + 1) == Some(&b'}') => return Some(at + 2),
            (None, b'"' | b'`') => quote = Some(*byte),
            (Some(b'"'), b'\\') => at += 1,
            (Some(open), byte) if open == *byte => quote = None,
            _ => {}
        }
        at += 1;
    }
    None
}
