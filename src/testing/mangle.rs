//! Mutates valid texts: removes, duplicates, replaces and inserts bytes. The mutated texts are the
//! same in each run.
//!
//! For a longer run, use `MANGLED=10000000 SEED=7 cargo test --lib mangled`, or `fuzz/` for hours.

/// Byte sequences with a meaning in JSON, YAML or UTF-8.
const TOKENS: [&[u8]; 44] = [
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"{}",
    b"[]",
    b"\\\"",
    b"\\\\",
    b"\\u0000",
    b"\\ud83d",
    b"\\udE00",
    b"\\x",
    b"\\n",
    b" ",
    b"\n",
    b"\t",
    b"\x00",
    b"\x1f",
    b"\x7f",
    b"\xff",
    b"\xc3\xa9",
    b"\xf0\x9f\x98\x80",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"null",
    b"true",
    b"false",
    b"0",
    b"-0",
    b"-1",
    b"1e9",
    b"1e999",
    b"18446744073709551616",
    b"\"name\":",
    b"\"value\":\"\"",
    b"{\"name\":\"DOCKER_HOST\",\"value\":\"tcp://docker:2375\"},",
    b"\"valueFrom\":{},",
    b"- ",
    b"---\n",
    b"&a *a",
];

/// Returns the number of texts for a test: the value of `MANGLED`, or a default.
pub(crate) fn count(default: usize) -> usize {
    environment("MANGLED").unwrap_or(default)
}

fn environment(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.parse().ok()
}

/// Mutates the texts of a corpus.
pub(crate) struct Mangler<'c> {
    corpus: &'c [&'c [u8]],
    state: u64,
    text: Vec<u8>,
}

impl<'c> Mangler<'c> {
    pub(crate) fn new(corpus: &'c [&'c [u8]]) -> Self {
        let seed = environment("SEED").unwrap_or(1) as u64;
        Self {
            corpus,
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            text: Vec::new(),
        }
    }

    /// Returns the next mutated text.
    pub(crate) fn next(&mut self) -> &[u8] {
        let original = self.corpus[self.below(self.corpus.len())];
        self.text.clear();
        self.text.extend_from_slice(original);
        for _ in 0..=self.below(3) {
            self.mangle();
        }
        &self.text
    }

    fn mangle(&mut self) {
        let (from, to) = self.range();
        match self.below(8) {
            0 => drop(self.text.drain(from..to)),
            1 => {
                let doubled = self.text[from..to].to_vec();
                self.text.splice(to..to, doubled);
            }
            2 => self.text.truncate(to),
            3 => {
                let bit = 1 << self.below(8);
                if let Some(byte) = self.text.get_mut(from) {
                    *byte ^= bit;
                }
            }
            4 => {
                let other = self.corpus[self.below(self.corpus.len())];
                let start = self.below(other.len());
                let end = (start + self.below(100)).min(other.len());
                self.text
                    .splice(from..to, other[start..end].iter().copied());
            }
            kind => {
                let token = TOKENS[self.below(TOKENS.len())];
                let to = if kind == 5 { to } else { from };
                self.text.splice(from..to, token.iter().copied());
            }
        }
    }

    /// Returns a random range of the text. Most ranges are short.
    fn range(&mut self) -> (usize, usize) {
        let from = self.below(self.text.len() + 1);
        let most = [2, 8, 64][self.below(3)];
        (from, (from + self.below(most)).min(self.text.len()))
    }

    fn below(&mut self, end: usize) -> usize {
        // Marsaglia's xorshift.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state >> 33).unwrap_or_default() % end.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::{Mangler, count};
    use crate::core::policy::{self, AddressesBySource, PolicySet};

    const POLICIES: [&[u8]; 2] = [
        include_bytes!("../../fuzz/corpus/policy/all.yaml"),
        include_bytes!("../../fuzz/corpus/policy/sample.yaml"),
    ];

    /// F3: parsing never panics, and each error begins with the name of the file.
    #[test]
    fn f3_a_mangled_policy_file_has_policies_or_errors() {
        let mut mangler = Mangler::new(&POLICIES);
        let (mut good, mut bad) = (0, 0);
        for _ in 0..count(50_000) {
            let Ok(text) = std::str::from_utf8(mangler.next()) else {
                continue;
            };
            let file = policy::read("policy.yaml", text);
            for error in &file.errors {
                let message = error.to_string();
                assert!(message.starts_with("policy.yaml"), "{message}: {text}");
            }
            good += usize::from(!file.policies.is_empty());
            bad += usize::from(!file.errors.is_empty());
            drop(PolicySet::new(file.policies, &AddressesBySource::new()));
        }
        assert!(good > 100 && bad > 100, "{good} good, {bad} bad");
    }
}
