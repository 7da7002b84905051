//! Where a string, a list or an object ends, found with vectors rather than byte by byte.
//!
//! The technique is simdjson's (Langdale and Lemire, "Parsing Gigabytes of JSON per Second", §3.1): one bit for each byte of a block says
//! whether it is a quote, a bracket and so on, and arithmetic on those bits says which of them are inside strings.
//! `wide` makes vectors of what the build may use, without unsafe code here.

use wide::{u8x16, u8x64};

const STEP: usize = 16;
const BLOCK: usize = 64;
/// The last control character: JSON allows none of them in a string, and none but white space elsewhere.
const LAST_CONTROL: u8 = 0x1f;

/// Returns the position, at or behind `at`, of the first byte that a string cannot hold as it is: a quote, a backslash, a control character.
#[inline]
pub(super) fn plain_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    while let Some(chunk) = bytes.get(at..)?.first_chunk() {
        match stop(chunk) {
            Some(stop) => return Some(at + stop),
            None => at += STEP,
        }
    }
    plain_end_in_tail(bytes, at)
}

#[cold]
fn plain_end_in_tail(bytes: &[u8], at: usize) -> Option<usize> {
    let tail = bytes.get(at..)?;
    stop(&padded(tail, 0))
        .filter(|stop| *stop < tail.len())
        .map(|stop| at + stop)
}

#[inline]
fn stop(chunk: &[u8; STEP]) -> Option<usize> {
    let chunk = u8x16::from(*chunk);
    let stops = chunk.simd_eq(u8x16::splat(b'"'))
        | chunk.simd_eq(u8x16::splat(b'\\'))
        | chunk.min(u8x16::splat(LAST_CONTROL)).simd_eq(chunk);
    let stops = stops.to_bitmask();
    (stops != 0).then(|| stops.trailing_zeros() as usize)
}

/// Returns the position behind the list or object that starts at `start`. Nothing where it does not end, or ends with the other kind of
/// bracket. Of the brackets within only the number counts.
pub(super) fn container_end(bytes: &[u8], start: usize) -> Option<usize> {
    let end = end_of_nesting(bytes, start + 1)?;
    let brackets = (bytes.get(start)?, bytes.get(end - 1)?);
    matches!(brackets, (b'{', b'}') | (b'[', b']')).then_some(end)
}

/// Returns the position behind the bracket that closes what was opened before `at`.
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

/// Where in a container a block begins.
#[derive(Default)]
struct Nesting {
    /// How many brackets are open within it.
    depth: u32,
    /// All bits where a string is open.
    in_string: u64,
    /// 1 where the block's first byte is escaped.
    escaped: u64,
}

impl Nesting {
    /// Reads a block; returns how much of it the container takes, where it ends there.
    #[inline]
    fn end(&mut self, block: &[u8; BLOCK]) -> Option<usize> {
        let bytes = u8x64::from(*block);
        let are = |bytes: u8x64, byte: u8| bytes.simd_eq(u8x64::splat(byte)).to_bitmask();
        let escaped = self.escapes(are(bytes, b'\\'));
        let quotes = are(bytes, b'"') & !escaped;
        // A quote that opens is inside, one that closes is not.
        let inside = prefix_xor(quotes) ^ self.in_string;
        self.in_string = 0u64.wrapping_sub(inside >> 63);
        // One bit is all that tells the square brackets from the curly ones.
        let curly = bytes | u8x64::splat(b'{' ^ b'[');
        let opens = are(curly, b'{') & !inside;
        let closes = are(curly, b'}') & !inside;
        // Half of all objects are empty.
        let empty = opens & (closes >> 1);
        self.brackets(opens ^ empty, closes ^ (empty << 1))
    }

    /// Counts the brackets, and goes from one to the next only where the container may end.
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

    /// Returns which bytes follow a backslash that is not escaped itself.
    #[inline]
    fn escapes(&mut self, backslashes: u64) -> u64 {
        const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
        if backslashes == 0 {
            return std::mem::take(&mut self.escaped);
        }
        let candidates = backslashes & !self.escaped;
        // Subtraction carries along a run of backslashes, so that every other one stays.
        let runs = ((candidates << 1) | ODD).wrapping_sub(candidates) ^ ODD;
        let escaped = runs ^ (backslashes | self.escaped);
        self.escaped = (runs & backslashes) >> 63;
        escaped
    }
}

/// Returns at each bit whether the number of bits up to it is odd.
#[inline]
fn prefix_xor(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}
