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
        let end = self.text.char_indices().nth(self.longest);
        let kept = end.map_or(Some(self.text), |(end, _)| self.text.get(..end));
        let kept = kept.unwrap_or_default();
        let is_plain = kept.chars().all(is_plain);
        if !is_plain {
            f.write_char('\'')?;
        }
        for char in kept.chars() {
            if is_plain || char == ' ' || char == '"' {
                f.write_char(char)?;
            } else {
                write!(f, "{}", char.escape_debug())?;
            }
        }
        if end.is_some() {
            f.write_char('…')?;
        }
        if !is_plain {
            f.write_char('\'')?;
        }
        Ok(())
    }
}

/// Whether a character prints, and neither ends a word nor a quotation.
fn is_plain(char: char) -> bool {
    // The standard library escapes what does not print: control and format characters, those that join with what is before them.
    !char.is_whitespace() && !matches!(char, '\'' | '"' | '\\') && char.escape_debug().len() == 1
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, shown};
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
        assert_eq!(shown("a\ncd").at_most(3).to_string(), r"'a\nc…'");
        assert_eq!(shown("abc").at_most(3).to_string(), "abc");
    }
}
