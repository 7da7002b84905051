//! Text that somebody else wrote, made fit to be shown (rules F7 and T4).
//!
//! Names, paths, images and the like come from whoever may create a pod or call the webhook, before anything validates them. They end
//! up in log lines, Events, API warnings, audit annotations, HTTP errors and terminals. A line break, a terminal escape or a change
//! of direction there would let their author write lines of drydock's; a text without end would fill a log.
//!
//! An ordinary text is shown as it is. One with white space, quotes or characters that do not print is quoted and escaped, as in
//! `'a\n\u{1b}[2J'`; a long one is cut, and ends in `…`.

use std::fmt::{self, Write as _};

/// The characters that are shown of a text. An image reference with its digest has more than a hundred.
pub const LONGEST: usize = 128;

/// Bytes of a sentence of a library, about.
const LONGEST_SENTENCE: usize = 512;

/// Returns a text as it may be shown.
#[must_use]
pub fn shown(text: &str) -> Shown<'_> {
    Shown {
        text,
        longest: LONGEST,
    }
}

/// A text of somebody else's; its `Display` is fit for every place.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'t> {
    text: &'t str,
    longest: usize,
}

impl Shown<'_> {
    /// Shows another number of characters.
    #[must_use]
    pub fn at_most(self, longest: usize) -> Self {
        Self { longest, ..self }
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_graphic =
            |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'\'' | b'"' | b'\\');
        if self.text.len() <= self.longest && self.text.bytes().all(is_graphic) {
            return f.write_str(self.text);
        }
        let (kept, is_cut) = self.kept();
        let is_plain = kept.chars().all(is_plain);
        if !is_plain {
            f.write_char('\'')?;
        }
        for char in kept.chars() {
            write!(f, "{}", Escaped(char))?;
        }
        if is_cut {
            f.write_char('…')?;
        }
        if !is_plain {
            f.write_char('\'')?;
        }
        Ok(())
    }
}

impl<'t> Shown<'t> {
    /// Returns the part of the text that is shown, and whether it is not the whole. What is escaped counts as long as it is then.
    fn kept(&self) -> (&'t str, bool) {
        let mut room = self.longest;
        for (at, char) in self.text.char_indices() {
            let length = Escaped(char).to_string().chars().count();
            if length > room {
                return (self.text.get(..at).unwrap_or_default(), true);
            }
            room -= length;
        }
        (self.text, false)
    }
}

/// Returns a sentence of a library as it may be shown: such sentences quote what they are about.
/// Its spaces and quotation marks stay; what does not print is escaped, and the end of a long one is cut.
#[must_use]
pub fn sentence(text: &str) -> String {
    let mut shown = String::new();
    for char in text.chars() {
        if shown.len() >= LONGEST_SENTENCE {
            shown.push('…');
            break;
        }
        if is_plain(char) || matches!(char, ' ' | '"' | '\'' | '\\') {
            shown.push(char);
        } else {
            shown.extend(char.escape_debug());
        }
    }
    shown
}

/// A character, escaped where it does not print or ends a quotation.
struct Escaped(char);

impl fmt::Display for Escaped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_plain(self.0) || matches!(self.0, ' ' | '"') {
            f.write_char(self.0)
        } else {
            self.0.escape_debug().fmt(f)
        }
    }
}

/// Whether a character prints, and neither ends a word nor a quotation.
fn is_plain(char: char) -> bool {
    // The standard library escapes what does not print: control and format characters, those that join with what is before them.
    !char.is_whitespace() && !matches!(char, '\'' | '"' | '\\') && char.escape_debug().len() == 1
}

/// Sentences or names, one behind the other, up to a number of bytes; what does not fit is counted: "and 7 more".
#[derive(Debug)]
pub struct Joined {
    text: String,
    between: &'static str,
    most: usize,
    left_out: usize,
}

impl Joined {
    /// Begins with nothing.
    #[must_use]
    pub fn new(between: &'static str, most: usize) -> Self {
        Self {
            text: String::new(),
            between,
            most,
            left_out: 0,
        }
    }

    /// Makes room for so many bytes more, so that writing them does not have to.
    pub fn reserve(&mut self, bytes: usize) {
        if self.text.len() + bytes <= self.most {
            self.text.reserve(bytes);
        }
    }

    /// Adds one more, if it fits and all before it did.
    pub fn add(&mut self, item: impl fmt::Display) {
        if self.left_out > 0 {
            self.left_out += 1;
            return;
        }
        let end = self.text.len();
        if end > 0 {
            self.text.push_str(self.between);
        }
        write!(self.text, "{item}").expect("a String takes what is written");
        if self.text.len() > self.most {
            self.text.truncate(end);
            self.left_out = 1;
        }
    }

    /// Returns the text.
    #[must_use]
    pub fn finish(mut self) -> String {
        if self.left_out > 0 {
            let (between, count) = (self.between, self.left_out);
            let between = if self.text.is_empty() { "" } else { between };
            write!(self.text, "{between}and {count} more").expect("a String takes what is written");
        }
        self.text
    }
}

/// The names of one sentence: the first of them, and how many more there are.
pub const MOST_NAMES: usize = 20;

/// Lists names in a sentence: at most [`MOST_NAMES`].
pub fn list<T: fmt::Display>(names: &[T], between: &'static str) -> String {
    let mut text = String::new();
    for name in names.iter().take(MOST_NAMES) {
        let between = if text.is_empty() { "" } else { between };
        write!(text, "{between}{name}").expect("a String takes what is written");
    }
    if names.len() > MOST_NAMES {
        let more = names.len() - MOST_NAMES;
        write!(text, "{between}{more} more").expect("a String takes what is written");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Joined, LONGEST, MOST_NAMES, list, sentence, shown};
    use rstest::rstest;

    #[rstest]
    #[case("", "")]
    #[case("/certs/client", "/certs/client")]
    #[case(
        "registry.example.com:5000/a/docker:24-dind@sha256:00ff",
        "registry.example.com:5000/a/docker:24-dind@sha256:00ff"
    )]
    #[case("größe", "größe")]
    #[case("my dir", "'my dir'")]
    #[case("a\nb", r"'a\nb'")]
    #[case("a\u{1b}[31mb", r"'a\u{1b}[31mb'")]
    #[case("it's \"a\"\\", r#"'it\'s "a"\\'"#)]
    #[case("\u{202e}evil", r"'\u{202e}evil'")]
    #[case(
        "a\u{2028}b\u{2066}c\u{200b}d\u{feff}e\u{9b}f\u{7f}",
        r"'a\u{2028}b\u{2066}c\u{200b}d\u{feff}e\u{9b}f\u{7f}'"
    )]
    #[case("a\u{a0}b", r"'a\u{a0}b'")]
    #[case("a\u{e0041}b\u{61c}\u{ad}", r"'a\u{e0041}b\u{61c}\u{ad}'")]
    fn f7_a_text_is_shown_without_characters_that_do_not_print(
        #[case] text: &str,
        #[case] expected: &str,
    ) {
        assert_eq!(shown(text).to_string(), expected);
    }

    #[test]
    fn f7_a_long_text_is_cut() {
        let text = "ä".repeat(LONGEST + 1);
        assert_eq!(
            shown(&text).to_string(),
            format!("{}…", "ä".repeat(LONGEST))
        );
        assert_eq!(shown("abcd").at_most(3).to_string(), "abc…");
        assert_eq!(shown("a\ncd").at_most(4).to_string(), r"'a\nc…'");
        assert_eq!(
            shown("\u{202e}\u{202e}").at_most(9).to_string(),
            r"'\u{202e}…'"
        );
        assert_eq!(shown("abc").at_most(3).to_string(), "abc");
    }

    #[test]
    fn f7_a_sentence_keeps_its_words_and_has_an_end() {
        let text = "invalid type: string \"a\u{1b}\n\u{202e}\", expected 'b'";
        let expected = r#"invalid type: string "a\u{1b}\n\u{202e}", expected 'b'"#;
        assert_eq!(sentence(text), expected);
        assert!(sentence(&"x".repeat(5000)).len() < 600);
    }

    #[test]
    fn f7_what_does_not_fit_is_counted() {
        let mut joined = Joined::new("; ", 10);
        assert_eq!(Joined::new("; ", 10).finish(), "");
        for item in ["abc", "def", "ghij", "k"] {
            joined.add(item);
        }
        assert_eq!(joined.finish(), "abc; def; and 2 more");
        let mut joined = Joined::new("; ", 2);
        joined.add("abc");
        assert_eq!(joined.finish(), "and 1 more");
    }

    #[test]
    fn f7_a_list_of_names_is_cut() {
        assert_eq!(list(&["a", "b"], ", "), "a, b");
        let names = vec!["a"; MOST_NAMES + 3];
        let listed = list(&names, ", ");
        assert!(listed.ends_with("a, 3 more"), "{listed}");
        assert_eq!(listed.matches('a').count(), MOST_NAMES);
    }
}
