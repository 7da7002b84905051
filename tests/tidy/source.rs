//! Rust source as the tidy tests see it: words and signs with their lines, without comments; the paths and `mod` declarations in them.

use std::path::{Path, PathBuf};

/// A word or sign, and the line it stands on.
struct Token {
    line: usize,
    kind: Kind,
}

#[derive(PartialEq)]
enum Kind {
    Word(String),
    Text(String),
    Sign(char),
}

/// A path of the source, as in `crate::policy::Mode`; each member of a group by itself.
pub struct UsePath {
    pub line: usize,
    pub segments: Vec<String>,
}

/// A source file without the code that only tests compile: `tests.rs`, and what follows `#[cfg(test)]`, which stands last.
pub struct Source {
    tokens: Vec<Token>,
}

impl Source {
    pub fn of_product(text: &str) -> Self {
        let mut tokens = tokens(text);
        let cfg_test = ["#", "[", "cfg", "(", "test", ")", "]"];
        let tests = tokens.windows(cfg_test.len()).position(|window| {
            window
                .iter()
                .zip(cfg_test)
                .all(|(token, wanted)| token.is(wanted))
        });
        tokens.truncate(tests.unwrap_or(tokens.len()));
        Self { tokens }
    }

    pub fn whole(text: &str) -> Self {
        Self {
            tokens: tokens(text),
        }
    }

    /// Returns every word with its line.
    pub fn words(&self) -> impl Iterator<Item = (usize, &str)> {
        self.tokens.iter().filter_map(|token| match &token.kind {
            Kind::Word(word) => Some((token.line, word.as_str())),
            _ => None,
        })
    }

    /// Returns every path of two or more segments.
    pub fn paths(&self) -> Vec<UsePath> {
        let mut paths = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            let follows_a_path = at >= 2 && self.sign(at - 1, ':') && self.sign(at - 2, ':');
            at = match &self.tokens[at].kind {
                Kind::Word(_) if !follows_a_path => self.path(at, &[], &mut paths),
                _ => at + 1,
            };
        }
        paths.retain(|path| path.segments.len() > 1);
        paths
    }

    /// Reads a path from a word on; returns where it ends.
    fn path(&self, mut at: usize, prefix: &[String], paths: &mut Vec<UsePath>) -> usize {
        let mut segments = prefix.to_vec();
        let line = self.tokens[at].line;
        loop {
            match self.tokens.get(at).map(|token| &token.kind) {
                Some(Kind::Word(word)) => segments.push(word.clone()),
                Some(Kind::Sign('*')) => segments.push("*".to_owned()),
                Some(Kind::Sign('{')) => return self.group(at + 1, &segments, paths),
                _ => break,
            }
            at += 1;
            if !(self.sign(at, ':') && self.sign(at + 1, ':')) {
                break;
            }
            at += 2;
        }
        paths.push(UsePath { line, segments });
        at
    }

    fn group(&self, mut at: usize, prefix: &[String], paths: &mut Vec<UsePath>) -> usize {
        while at < self.tokens.len() && !self.sign(at, '}') {
            at = match self.tokens[at].kind {
                Kind::Word(_) | Kind::Sign('*') => self.path(at, prefix, paths).max(at + 1),
                _ => at + 1,
            };
        }
        at + 1
    }

    fn sign(&self, at: usize, wanted: char) -> bool {
        self.tokens
            .get(at)
            .is_some_and(|token| token.kind == Kind::Sign(wanted))
    }

    /// Returns the files that the `mod` declarations of the file at `path` name, those inside inline modules too.
    pub fn modules(&self, path: &Path, is_root: bool) -> Vec<PathBuf> {
        let parent = path.parent().unwrap().to_owned();
        let own = if is_root {
            parent.clone()
        } else {
            parent.join(path.file_stem().unwrap())
        };
        // The directories of the inline modules that are open, each with the depth of its brace.
        let mut inline: Vec<(usize, PathBuf)> = Vec::new();
        let (mut depth, mut explicit) = (0, None);
        let mut files = Vec::new();
        for (at, token) in self.tokens.iter().enumerate() {
            match &token.kind {
                Kind::Sign('{') => depth += 1,
                Kind::Sign('}') => {
                    depth -= 1;
                    inline.retain(|(open, _)| *open < depth);
                }
                Kind::Word(word) if word == "path" && self.sign(at + 1, '=') => {
                    if let Some(Kind::Text(text)) = self.tokens.get(at + 2).map(|t| &t.kind) {
                        explicit = Some(text.clone());
                    }
                }
                Kind::Word(word) if word == "mod" => {
                    let Some(Kind::Word(name)) = self.tokens.get(at + 1).map(|t| &t.kind) else {
                        continue;
                    };
                    let here = inline.last().map_or(&own, |(_, directory)| directory);
                    if self.sign(at + 2, '{') {
                        inline.push((depth, here.join(name)));
                    } else if self.sign(at + 2, ';') {
                        match explicit.take() {
                            Some(text) => files.push(parent.join(text)),
                            None => {
                                files.push(here.join(format!("{name}.rs")));
                                files.push(here.join(name).join("mod.rs"));
                            }
                        }
                    }
                }
                _ => {}
            }
        }
        files
    }
}

impl Token {
    fn is(&self, wanted: &str) -> bool {
        match &self.kind {
            Kind::Word(word) => word == wanted,
            Kind::Sign(sign) => wanted.chars().eq([*sign]),
            Kind::Text(_) => false,
        }
    }
}

fn tokens(text: &str) -> Vec<Token> {
    let characters: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    let ahead = |at: usize, wanted: &str| {
        characters[at..]
            .iter()
            .take(wanted.len())
            .copied()
            .eq(wanted.chars())
    };
    while at < characters.len() {
        let start = at;
        let kind = match characters[at] {
            character if character.is_whitespace() => {
                at += 1;
                None
            }
            '/' if ahead(at, "//") => {
                while at < characters.len() && characters[at] != '\n' {
                    at += 1;
                }
                None
            }
            '/' if ahead(at, "/*") => {
                while at < characters.len() && !ahead(at, "*/") {
                    at += 1;
                }
                at += 2;
                None
            }
            'r' | 'b' | 'c' if raw_string(&characters, at).is_some() => {
                at = raw_string(&characters, at).unwrap();
                Some(Kind::Text(characters[start..at].iter().collect()))
            }
            '"' => {
                at += 1;
                while characters[at] != '"' {
                    at += if characters[at] == '\\' { 2 } else { 1 };
                }
                at += 1;
                Some(Kind::Text(characters[start + 1..at - 1].iter().collect()))
            }
            // A character; a lifetime has no closing quote behind its one letter or escape.
            '\'' if characters.get(at + 1) == Some(&'\\') => {
                at += 3;
                while characters[at] != '\'' {
                    at += 1;
                }
                at += 1;
                None
            }
            '\'' if characters.get(at + 2) == Some(&'\'') => {
                at += 3;
                None
            }
            '\'' => {
                at += 1;
                while characters.get(at).is_some_and(|c| is_word(*c)) {
                    at += 1;
                }
                None
            }
            character if is_word(character) => {
                while characters.get(at).is_some_and(|c| is_word(*c)) {
                    at += 1;
                }
                Some(Kind::Word(characters[start..at].iter().collect()))
            }
            sign => {
                at += 1;
                Some(Kind::Sign(sign))
            }
        };
        tokens.extend(kind.map(|kind| Token { line, kind }));
        let end = at.min(characters.len());
        line += characters[start..end]
            .iter()
            .filter(|c| **c == '\n')
            .count();
    }
    tokens
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Returns where a raw string that begins here ends: `r"…"`, `br#"…"#`.
fn raw_string(characters: &[char], start: usize) -> Option<usize> {
    let mut at = start;
    while matches!(characters.get(at), Some('b' | 'c')) {
        at += 1;
    }
    if characters.get(at) != Some(&'r') {
        return None;
    }
    at += 1;
    let opening = at;
    while characters.get(at) == Some(&'#') {
        at += 1;
    }
    let hashes = at - opening;
    if characters.get(at) != Some(&'"') {
        return None;
    }
    let end: Vec<char> = std::iter::once('"').chain(vec!['#'; hashes]).collect();
    let close = characters[at + 1..]
        .windows(end.len())
        .position(|window| window == end)?;
    Some(at + 1 + close + end.len())
}
