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

/// Returns the position behind the list or object that starts at `start`. Nothing where it does not end.
pub(super) fn container_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut nesting = Nesting::new(*bytes.get(start)?);
    let mut at = start + 1;
    let (blocks, rest) = bytes.get(at..)?.as_chunks::<BLOCK>();
    for block in blocks {
        match nesting.read(block) {
            Reading::Inside => at += BLOCK,
            Reading::End(length) => return Some(at + length),
            Reading::Odd => return None,
        }
    }
    match nesting.read(&padded(rest, b' ')) {
        Reading::End(length) => Some(at + length),
        Reading::Inside | Reading::Odd => None,
    }
}

fn padded<const SIZE: usize>(rest: &[u8], padding: u8) -> [u8; SIZE] {
    let mut padded = [padding; SIZE];
    for (to, from) in padded.iter_mut().zip(rest) {
        *to = *from;
    }
    padded
}

/// What a block says.
enum Reading {
    /// The container goes on behind it.
    Inside,
    /// The container takes so many bytes of it.
    End(usize),
    /// The text is not JSON.
    Odd,
}

/// Where in a container a block begins.
struct Nesting {
    /// The brackets that are open, the last one lowest: a 1 is a square one. A 1 above all of them says how many there are.
    open: u64,
    /// All bits where a string is open.
    in_string: u64,
    /// 1 where the block's first byte is escaped.
    escaped: u64,
}

impl Nesting {
    fn new(bracket: u8) -> Self {
        Self {
            open: 0b10 | u64::from(bracket == b'['),
            in_string: 0,
            escaped: 0,
        }
    }

    #[inline]
    fn read(&mut self, block: &[u8; BLOCK]) -> Reading {
        let bytes = u8x64::from(*block);
        let are = |byte: u8| bytes.simd_eq(u8x64::splat(byte));
        let escaped = self.escapes(are(b'\\').to_bitmask());
        let quotes = are(b'"').to_bitmask() & !escaped;
        // A quote that opens is inside, one that closes is not.
        let inside = prefix_xor(quotes) ^ self.in_string;
        self.in_string = 0u64.wrapping_sub(inside >> 63);
        let mut opens = are(b'{').to_bitmask() & !inside;
        let mut closes = are(b'}').to_bitmask() & !inside;
        // Half of all objects are empty.
        let empty = opens & (closes >> 1);
        opens ^= empty;
        closes ^= empty << 1;
        let squares = are(b'[') | are(b']');
        let mut square = 0;
        if squares.any() {
            square = squares.to_bitmask() & !inside;
            opens |= are(b'[').to_bitmask() & square;
            closes |= square & !opens;
        }
        self.brackets(opens, closes, square)
    }

    /// Goes from bracket to bracket; `square` says which ones are.
    #[inline]
    fn brackets(&mut self, opens: u64, closes: u64, square: u64) -> Reading {
        let mut left = opens | closes;
        while left != 0 {
            let at = left.trailing_zeros();
            let is_square = (square >> at) & 1;
            if (opens >> at) & 1 == 1 {
                if self.open >> 63 == 1 {
                    return Reading::Odd;
                }
                self.open = self.open << 1 | is_square;
            } else if self.open & 1 != is_square {
                return Reading::Odd;
            } else {
                self.open >>= 1;
                if self.open == 1 {
                    return Reading::End(at as usize + 1);
                }
            }
            left &= left - 1;
        }
        Reading::Inside
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
