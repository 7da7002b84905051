//! Go templates around a TOML or a YAML: made readable without being rendered.
//!
//! What an expression stands for is masked by digits, which are a key, a value and a part of a
//! string alike, so that every other character keeps its place. A line of actions only is blank.
//! The body of `if` and `with` is read as if its condition held, that of `range` and of `else` is
//! not.

use super::located::{Lines, Origin, Span};
use std::ops::Range;

/// What a template decides in a text.
#[derive(Debug, Default)]
pub(super) struct Masks<'t> {
    /// The text with its expressions; empty where none is masked.
    pub(super) text: &'t str,
    /// Bytes that stand for an expression, in order.
    masked: Vec<Range<usize>>,
    /// Lines that were not read.
    pub(super) skipped: Vec<Span>,
    /// Lines that count only if a condition holds.
    pub(super) conditional: Vec<Span>,
}

impl Masks<'_> {
    /// Whether an expression is in some bytes.
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

/// A block that is open.
struct Block {
    start: usize,
    /// Whether it is a part of a value, so that all of it stands for an expression.
    is_value: bool,
    /// Where a part of it that is not read began.
    unread: Option<usize>,
}

/// Masks the actions of a text. An action without an end is the offset of the error.
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
    // Whether nothing but actions and blanks is on the lines of a range, outside of it.
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
        // The parts of a block that has its lines for itself are its own too.
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
    // Filling may have cut a character of several bytes only as a whole.
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

/// The offset behind the block that some actions begin with.
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

/// The offset behind the `}}` of an action: not one in a string or a comment of it.
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
