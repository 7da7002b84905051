//! Go templates around a TOML or a YAML: made readable without being rendered.
//!
//! What an expression stands for is masked by digits, which are a key, a value and a part of a
//! string alike, so that every other character keeps its place. A line of actions only is blank.
//! The body of `if` and `with` is read as if its condition held, that of `range` and of `else` is
//! not.

use super::located::Lines;
use std::ops::Range;

/// What a template decides in a text.
#[derive(Debug, Default)]
pub(super) struct Masks {
    /// Bytes that stand for an expression, in order.
    masked: Vec<Range<usize>>,
    /// Lines of the text, from 1, that were not read.
    pub(super) skipped: Vec<(u32, u32)>,
    /// Lines that count only if a condition holds.
    pub(super) conditional: Vec<(u32, u32)>,
}

impl Masks {
    /// Whether an expression is in some bytes.
    pub(super) fn cover(&self, range: Range<usize>) -> bool {
        let after = self.masked.partition_point(|mask| mask.end <= range.start);
        self.masked
            .get(after)
            .is_some_and(|mask| mask.start < range.end)
    }

    /// Moves lines to where they are in the file.
    pub(super) fn moved(mut self, lines: u32) -> Self {
        for (first, last) in self.skipped.iter_mut().chain(&mut self.conditional) {
            *first += lines;
            *last += lines;
        }
        self
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

struct Action {
    range: Range<usize>,
    word: Word,
    /// Whether only actions are on its line.
    alone: bool,
}

/// Masks the actions of a text. An action without an end is the offset of the error.
pub(super) fn mask(text: &str) -> Result<(String, Masks), usize> {
    let actions = actions(text)?;
    let lines = Lines::of(text);
    let line = |offset: usize| lines.position(offset).0;
    let mut masks = Masks::default();
    let mut bytes = text.as_bytes().to_vec();
    let mut fill = |range: Range<usize>, with: u8| {
        for byte in bytes.iter_mut().take(range.end).skip(range.start) {
            if !matches!(*byte, b'\n' | b'\r') {
                *byte = with;
            }
        }
    };
    // Blocks that are open: the word, the offset of their action, whether they began within a line,
    // and where a part that is not read began.
    let mut open: Vec<(Word, usize, bool, Option<usize>)> = Vec::new();
    for action in &actions {
        let Range { start, end } = action.range.clone();
        let within = open.iter().any(|block| block.2);
        if action.alone && !within {
            fill(start..end, b' ');
            masks.skipped.push((line(start), line(end - 1)));
        }
        match action.word {
            Word::If | Word::Range => {
                let unread = (action.word == Word::Range).then_some(end);
                open.push((action.word, start, !action.alone && !within, unread));
            }
            Word::Else => {
                if let Some(block) = open.last_mut() {
                    block.3 = block.3.or(Some(end));
                }
            }
            Word::End => match open.pop() {
                Some((_, begin, true, _)) => {
                    let first = text
                        .get(begin..end)
                        .and_then(|text| text.find('\n'))
                        .map_or(end, |at| begin + at);
                    fill(begin..end, b' ');
                    fill(begin..first, b'1');
                    masks.masked.push(begin..end);
                }
                Some((_, begin, false, unread)) => {
                    if let Some(from) = unread.filter(|_| !within) {
                        fill(from..start, b' ');
                        masks.skipped.push((line(from), line(start)));
                    }
                    masks.conditional.push((line(begin), line(end - 1)));
                }
                None => {}
            },
            Word::Plain if !action.alone && !within => {
                fill(start..end, b'1');
                masks.masked.push(start..end);
            }
            Word::Plain => {}
        }
    }
    masks.masked.sort_by_key(|mask| mask.start);
    masks.skipped.sort_unstable();
    // Filling may have cut a character of several bytes only as a whole.
    let text = String::from_utf8(bytes).map_err(|error| error.utf8_error().valid_up_to())?;
    Ok((text, masks))
}

fn actions(text: &str) -> Result<Vec<Action>, usize> {
    let mut actions: Vec<Action> = Vec::new();
    let mut from = 0;
    while let Some(start) = text
        .get(from..)
        .and_then(|rest| rest.find("{{"))
        .map(|at| from + at)
    {
        let end = end(text, start + 2).ok_or(start)?;
        let inner = text.get(start + 2..end - 2).unwrap_or_default();
        let inner = inner.trim_start_matches('-').trim_start();
        let word: String = inner
            .chars()
            .take_while(|char| char.is_ascii_alphabetic())
            .collect();
        let word = match word.as_str() {
            "if" | "with" => Word::If,
            "range" | "define" | "block" => Word::Range,
            "else" => Word::Else,
            "end" => Word::End,
            _ => Word::Plain,
        };
        actions.push(Action {
            range: start..end,
            word,
            alone: false,
        });
        from = end;
    }
    // An action is alone if nothing but actions and blanks is on its lines.
    let ranges: Vec<Range<usize>> = actions.iter().map(|action| action.range.clone()).collect();
    for (index, action) in actions.iter_mut().enumerate() {
        let is_blank = |from: usize, to: usize| {
            text.get(from..to)
                .is_some_and(|text| text.trim().is_empty())
        };
        let line_start = text
            .get(..action.range.start)
            .and_then(|before| before.rfind('\n'))
            .map_or(0, |at| at + 1);
        let rest = text.get(action.range.end..).unwrap_or_default();
        let line_end = action.range.end + rest.find('\n').unwrap_or(rest.len());
        let (mut left, mut right) = (action.range.start, action.range.end);
        for range in ranges.iter().take(index).rev() {
            if range.end <= line_start || !is_blank(range.end, left) {
                break;
            }
            left = range.start;
        }
        for range in ranges.iter().skip(index + 1) {
            if range.start >= line_end || !is_blank(right, range.start) {
                break;
            }
            right = range.end;
        }
        action.alone = (left <= line_start || is_blank(line_start, left))
            && (right >= line_end || is_blank(right, line_end));
    }
    Ok(actions)
}

/// The offset behind the `}}` of an action: not one in a string or a comment of it.
fn end(text: &str, from: usize) -> Option<usize> {
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
