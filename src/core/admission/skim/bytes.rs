//! Finds the end of a string, list or object with vector instructions.
//!
//! The technique is from simdjson (Langdale and Lemire, "Parsing Gigabytes of JSON per Second",
//! §3.1): bit masks mark the quotes, brackets and backslashes of a block, and arithmetic on the
//! masks finds the brackets inside strings. The crate `wide` uses the vector instructions of the
//! target, so this module needs no unsafe code.

use wide::{u8x16, u8x64};

const STEP: usize = 16;
const BLOCK: usize = 64;
/// The last control character. JSON does not allow control characters in strings.
const LAST_CONTROL: u8 = 0x1f;

/// Returns the position of the first byte from `at` on that a JSON string must escape: a quote, a
/// backslash or a control character.
#[inline]
pub(super) fn find_special(bytes: &[u8], mut at: usize) -> Option<usize> {
    while let Some(chunk) = bytes.get(at..)?.first_chunk() {
        match special_in(chunk) {
            Some(special) => return Some(at + special),
            None => at += STEP,
        }
    }
    find_special_in_tail(bytes, at)
}

#[cold]
fn find_special_in_tail(bytes: &[u8], at: usize) -> Option<usize> {
    let tail = bytes.get(at..)?;
    special_in(&padded(tail, 0))
        .filter(|special| *special < tail.len())
        .map(|special| at + special)
}

#[inline]
fn special_in(chunk: &[u8; STEP]) -> Option<usize> {
    let chunk = u8x16::from(*chunk);
    let specials = chunk.simd_eq(u8x16::splat(b'"'))
        | chunk.simd_eq(u8x16::splat(b'\\'))
        | chunk.min(u8x16::splat(LAST_CONTROL)).simd_eq(chunk);
    let specials = specials.to_bitmask();
    (specials != 0).then(|| specials.trailing_zeros() as usize)
}

/// Returns the position after the list or object at `start`; `None` if it does not end, or ends
/// with the other kind of bracket. The kinds of nested brackets are not checked.
pub(super) fn container_end(bytes: &[u8], start: usize) -> Option<usize> {
    let end = end_of_nesting(bytes, start + 1)?;
    let brackets = (bytes.get(start)?, bytes.get(end - 1)?);
    matches!(brackets, (b'{', b'}') | (b'[', b']')).then_some(end)
}

/// Returns the position after the bracket that closes the bracket before `at`.
fn end_of_nesting(bytes: &[u8], mut at: usize) -> Option<usize> {
    let mut nesting = Nesting::default();
    let (blocks, rest) = bytes.get(at..)?.as_chunks::<BLOCK>();
    for block in blocks {
        if let Some(length) = nesting.end(block) {
            return Some(at + length);
        }
        at += BLOCK;
    }
    nesting.end(&padded(rest, b' ')).map(|length| at + length)
}

fn padded<const SIZE: usize>(rest: &[u8], padding: u8) -> [u8; SIZE] {
    let mut padded = [padding; SIZE];
    for (to, from) in padded.iter_mut().zip(rest) {
        *to = *from;
    }
    padded
}

/// The state of the scan at the start of a block.
#[derive(Default)]
struct Nesting {
    /// The number of open nested brackets.
    depth: u32,
    /// All bits are set if the block starts inside a string; otherwise none.
    in_string: u64,
    /// 1 if the first byte of the block is escaped.
    escaped: u64,
}

impl Nesting {
    /// Scans a block. Returns the position after the end of the list or object, if it ends in the
    /// block.
    #[inline]
    fn end(&mut self, block: &[u8; BLOCK]) -> Option<usize> {
        let bytes = u8x64::from(*block);
        let are = |bytes: u8x64, byte: u8| bytes.simd_eq(u8x64::splat(byte)).to_bitmask();
        let escaped = self.escapes(are(bytes, b'\\'));
        let quotes = are(bytes, b'"') & !escaped;
        // The opening quote counts as inside the string, the closing quote as outside.
        let inside = prefix_xor(quotes) ^ self.in_string;
        self.in_string = 0u64.wrapping_sub(inside >> 63);
        // Square brackets differ from curly ones in one bit. Setting it makes all brackets curly.
        let curly = bytes | u8x64::splat(b'{' ^ b'[');
        let opens = are(curly, b'{') & !inside;
        let closes = are(curly, b'}') & !inside;
        // Empty objects need no count. Half of all objects are empty.
        let empty = opens & (closes >> 1);
        self.brackets(opens ^ empty, closes ^ (empty << 1))
    }

    /// Counts the brackets. Visits each bracket only if the list or object may end in this block.
    #[inline]
    fn brackets(&mut self, opens: u64, closes: u64) -> Option<usize> {
        if closes.count_ones() <= self.depth {
            self.depth = self.depth + opens.count_ones() - closes.count_ones();
            return None;
        }
        let mut left = opens | closes;
        while left != 0 {
            let at = left.trailing_zeros();
            if (opens >> at) & 1 == 1 {
                self.depth += 1;
            } else if self.depth == 0 {
                return Some(at as usize + 1);
            } else {
                self.depth -= 1;
            }
            left &= left - 1;
        }
        None
    }

    /// Returns a mask of the escaped bytes: each follows a backslash that is not escaped itself.
    #[inline]
    fn escapes(&mut self, backslashes: u64) -> u64 {
        const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
        if backslashes == 0 {
            return std::mem::take(&mut self.escaped);
        }
        let candidates = backslashes & !self.escaped;
        // The subtraction borrows through a run of backslashes, so every second one is marked.
        let runs = ((candidates << 1) | ODD).wrapping_sub(candidates) ^ ODD;
        let escaped = runs ^ (backslashes | self.escaped);
        self.escaped = (runs & backslashes) >> 63;
        escaped
    }
}

/// Returns a mask in which each bit is the exclusive or of all bits up to its position.
#[inline]
fn prefix_xor(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}
