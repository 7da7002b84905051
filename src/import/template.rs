//! Masks Go templates, so that TOML and YAML with templates can be parsed without rendering.
//!
//! Digits replace an expression: they are valid as a key, as a value and in a string, and all other
//! characters keep their positions. Blanks replace a line that has only actions. The body of `if`
//! and `with` stays; the body of `range` and `else` becomes blank.

use super::node::{Lines, Origin, Span};
use std::ops::Range;

/// The masked parts of a text.
#[derive(Debug, Default)]
pub(super) struct Masks<'t> {
    /// The original text; empty if nothing is masked.
    pub(super) text: &'t str,
    /// The bytes of masked expressions, in order.
    masked: Vec<Range<usize>>,
    /// The lines that became blank.
    pub(super) skipped: Vec<Span>,
    /// The lines that apply only if a condition holds.
    pub(super) conditional: Vec<Span>,
}

impl Masks<'_> {
    /// Whether a range has a masked expression.
    pub(super) fn cover(&self, range: Range<usize>) -> bool {
        let after = self.masked.partition_point(|mask| mask.end <= range.start);
        let mask = self.masked.get(after);
        mask.is_some_and(|mask| mask.start < range.end)
    }
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Word {
    If,
    Range,
    Else,
    End,
    Plain,
}

/// A block whose `end` is not reached yet.
struct Block {
    start: usize,
    /// Whether the block is a part of a value: then all of it is masked as one expression.
    is_value: bool,
    /// The start of a part that becomes blank.
    unread: Option<usize>,
}

/// Masks the actions of a text. Errors with the offset of an action that is not closed.
pub(super) fn mask(text: &str, origin: Origin) -> Result<(String, Masks<'_>), usize> {
    let actions = actions(text)?;
    let lines = Lines::of(text);
    let span = |range: Range<usize>| origin.place(lines.span(range));
    let mut masks = Masks {
        text,
        ..Masks::default()
    };
    let mut bytes = text.as_bytes().to_vec();
    let without = {
        let mut bytes = bytes.clone();
        for (range, _) in &actions {
            fill(&mut bytes, range.clone(), b' ');
        }
        bytes
    };
    // Whether the lines of a range have only actions and blanks outside of the range.
    let is_alone = |range: &Range<usize>| {
        let whole = lines.whole(range.clone());
        let around = [whole.start..range.start, range.end..whole.end];
        let is_blank = |part: Range<usize>| {
            let part = without.get(part).unwrap_or_default();
            part.iter().all(u8::is_ascii_whitespace)
        };
        around.into_iter().all(is_blank)
    };
    let mut open: Vec<Block> = Vec::new();
    for (index, (range, word)) in actions.iter().enumerate() {
        let Range { start, end } = range.clone();
        let within = open.iter().any(|block| block.is_value);
        let of_block = match word {
            Word::If | Word::Range => start..end_of(actions.get(index..).unwrap_or_default()),
            _ => range.clone(),
        };
        let is_own = is_alone(range) || is_alone(&of_block);
        // `else` and `end` belong to a block with lines of its own.
        let is_part = matches!(word, Word::Else | Word::End);
        if (is_own || is_part) && !within {
            fill(&mut bytes, range.clone(), b' ');
            masks.skipped.push(span(range.clone()));
        }
        match word {
            Word::If | Word::Range => open.push(Block {
                start,
                is_value: !is_own && !within,
                unread: (*word == Word::Range).then_some(end),
            }),
            Word::Else => {
                if let Some(block) = open.last_mut() {
                    block.unread = block.unread.or(Some(end));
                }
            }
            Word::End => match open.pop() {
                Some(block) if block.is_value => {
                    let rest = text.get(block.start..end).unwrap_or_default();
                    let first = rest.find('\n').unwrap_or(rest.len());
                    fill(&mut bytes, block.start..end, b' ');
                    fill(&mut bytes, block.start..block.start + first, b'1');
                    masks.masked.push(block.start..end);
                }
                Some(block) if !within => {
                    if let Some(from) = block.unread {
                        fill(&mut bytes, from..start, b' ');
                        masks.skipped.push(span(from..start));
                    }
                    masks.conditional.push(span(block.start..end));
                }
                _ => {}
            },
            Word::Plain if !is_own && !within => {
                fill(&mut bytes, range.clone(), b'1');
                masks.masked.push(range.clone());
            }
            Word::Plain => {}
        }
    }
    masks.masked.sort_by_key(|mask| mask.start);
    // All ranges end at characters, so the bytes are still UTF-8.
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

/// The offset after the block that starts with the first of these actions.
fn end_of(actions: &[(Range<usize>, Word)]) -> usize {
    let mut depth = 0_usize;
    for (range, word) in actions {
        match word {
            Word::If | Word::Range => depth += 1,
            Word::End => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return range.end;
        }
    }
    actions.last().map_or(0, |(range, _)| range.end)
}

fn actions(text: &str) -> Result<Vec<(Range<usize>, Word)>, usize> {
    let mut actions = Vec::new();
    let mut from = 0;
    let next = |from: usize| Some(from + text.get(from..)?.find("{{")?);
    while let Some(start) = next(from) {
        let end = end(text, start + 2).ok_or(start)?;
        let inner = text.get(start + 2..end - 2).unwrap_or_default();
        let inner = inner.trim_start_matches('-').trim_start();
        let word = inner.split(|char: char| !char.is_ascii_alphabetic()).next();
        let word = match word.unwrap_or_default() {
            "if" | "with" => Word::If,
            "range" | "define" | "block" => Word::Range,
            "else" => Word::Else,
            "end" => Word::End,
            _ => Word::Plain,
        };
        actions.push((start..end, word));
        from = end;
    }
    Ok(actions)
}

/// The offset after the `}}` of an action. A `}}` in a string or comment does not close it.
fn end(text: &str, from: usize) -> Option<usize> {
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
