//! Quotes and truncates untrusted text for output (F7, T4).
//!
//! Any user who can create a pod or call the webhook chooses names, paths and images, and drydock
//! reads them before the API server validates them. These texts appear in log lines, Events, API
//! warnings, audit annotations, HTTP errors and terminals. Line breaks, terminal escapes and
//! bidirectional control characters could forge output of drydock, and long text could fill a log.
//!
//! Plain text is unchanged. Text with white space, quotes or unprintable characters is quoted and
//! escaped, as in `'a\n\u{1b}[2J'`; long text is truncated and ends with `…`.

use std::fmt::{self, Write as _};

/// The default maximum length of quoted text, in characters. An image reference with a digest can
/// have more than 100.
pub const MAX_CHARS: usize = 128;

/// The approximate maximum length of an escaped message, in bytes.
const MAX_ESCAPED_BYTES: usize = 512;

/// Quotes untrusted text and truncates it to [`MAX_CHARS`] characters.
pub fn quote(text: &str) -> Quoted<'_> {
    Quoted {
        text,
        max_chars: MAX_CHARS,
    }
}

/// Untrusted text, which `Display` quotes, escapes and truncates.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'t> {
    text: &'t str,
    max_chars: usize,
}

impl Quoted<'_> {
    /// Sets the maximum number of characters.
    pub fn at_most(self, max_chars: usize) -> Self {
        Self { max_chars, ..self }
    }
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_graphic =
            |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'\'' | b'"' | b'\\');
        if self.text.len() <= self.max_chars && self.text.bytes().all(is_graphic) {
            return f.write_str(self.text);
        }
        let (mut kept, mut remaining, mut all_plain) = (String::new(), self.max_chars, true);
        for char in self.text.chars() {
            let escaped = match is_plain(char) || matches!(char, ' ' | '"') {
                true => char.to_string(),
                false => char.escape_debug().to_string(),
            };
            // The limit counts the characters of the escaped text.
            let Some(rest) = remaining.checked_sub(escaped.chars().count()) else {
                kept.push('…');
                break;
            };
            (remaining, all_plain) = (rest, all_plain && is_plain(char));
            kept += &escaped;
        }
        let quote = if all_plain { "" } else { "'" };
        write!(f, "{quote}{kept}{quote}")
    }
}

/// Escapes and truncates the error message of a library, which may contain untrusted text. Keeps
/// spaces and quotation marks.
pub fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for char in text.chars() {
        if escaped.len() >= MAX_ESCAPED_BYTES {
            escaped.push('…');
            break;
        }
        if is_plain(char) || matches!(char, ' ' | '"' | '\'' | '\\') {
            escaped.push(char);
        } else {
            escaped.extend(char.escape_debug());
        }
    }
    escaped
}

/// Truncates a text that has more than `max_bytes` bytes, and appends `…`.
pub(crate) fn truncate(mut text: String, max_bytes: usize) -> String {
    if text.len() > max_bytes {
        let end = (0..=max_bytes).rfind(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or_default());
        text.push('…');
    }
    text
}

/// Returns whether a character is printable, but not white space, a quotation mark or a backslash.
fn is_plain(char: char) -> bool {
    // `escape_debug` escapes control, format and combining characters.
    !char.is_whitespace() && !matches!(char, '\'' | '"' | '\\') && char.escape_debug().len() == 1
}

/// A list of items as text with a maximum length. The text ends with the number of items that do
/// not fit, as in "and 7 more".
#[derive(Debug)]
pub struct BoundedList {
    text: String,
    separator: &'static str,
    max_bytes: usize,
    omitted: usize,
}

impl BoundedList {
    /// Creates an empty list.
    pub fn new(separator: &'static str, max_bytes: usize) -> Self {
        Self {
            text: String::new(),
            separator,
            max_bytes,
            omitted: 0,
        }
    }

    /// Appends an item if this item and all earlier items fit. Otherwise only counts the item.
    pub fn add(&mut self, item: impl fmt::Display) {
        if self.omitted > 0 {
            self.omitted += 1;
            return;
        }
        let end = self.text.len();
        if end > 0 {
            self.text.push_str(self.separator);
        }
        write!(self.text, "{item}").expect("writing to a String cannot fail");
        if self.text.len() > self.max_bytes {
            self.text.truncate(end);
            self.omitted = 1;
        }
    }

    /// Returns the list as text.
    pub fn finish(mut self) -> String {
        if self.omitted > 0 {
            let (separator, count) = (self.separator, self.omitted);
            let separator = if self.text.is_empty() { "" } else { separator };
            write!(self.text, "{separator}and {count} more")
                .expect("writing to a String cannot fail");
        }
        self.text
    }
}

/// The maximum number of names in the result of [`join_names`].
pub const MAX_NAMES: usize = 20;

/// Joins at most [`MAX_NAMES`] names, and appends the number of other names, as in "3 more".
pub fn join_names<T: fmt::Display>(names: &[T], separator: &'static str) -> String {
    let mut text = String::new();
    for name in names.iter().take(MAX_NAMES) {
        let separator = if text.is_empty() { "" } else { separator };
        write!(text, "{separator}{name}").expect("writing to a String cannot fail");
    }
    if names.len() > MAX_NAMES {
        let more = names.len() - MAX_NAMES;
        write!(text, "{separator}{more} more").expect("writing to a String cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{BoundedList, MAX_CHARS, MAX_NAMES, escape, join_names, quote};
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
    fn f7_unprintable_characters_are_escaped(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(quote(text).to_string(), expected);
    }

    #[test]
    fn f7_a_long_text_is_truncated() {
        let text = "ä".repeat(MAX_CHARS + 1);
        assert_eq!(
            quote(&text).to_string(),
            format!("{}…", "ä".repeat(MAX_CHARS))
        );
        assert_eq!(quote("abcd").at_most(3).to_string(), "abc…");
        assert_eq!(quote("a\ncd").at_most(4).to_string(), r"'a\nc…'");
        assert_eq!(
            quote("\u{202e}\u{202e}").at_most(9).to_string(),
            r"'\u{202e}…'"
        );
        assert_eq!(quote("abc").at_most(3).to_string(), "abc");
    }

    #[test]
    fn f7_a_message_keeps_its_words_and_is_truncated() {
        let text = "invalid type: string \"a\u{1b}\n\u{202e}\", expected 'b'";
        let expected = r#"invalid type: string "a\u{1b}\n\u{202e}", expected 'b'"#;
        assert_eq!(escape(text), expected);
        assert!(escape(&"x".repeat(5000)).len() < 600);
    }

    #[test]
    fn f7_items_that_do_not_fit_are_counted() {
        let mut joined = BoundedList::new("; ", 10);
        assert_eq!(BoundedList::new("; ", 10).finish(), "");
        for item in ["abc", "def", "ghij", "k"] {
            joined.add(item);
        }
        assert_eq!(joined.finish(), "abc; def; and 2 more");
        let mut joined = BoundedList::new("; ", 2);
        joined.add("abc");
        assert_eq!(joined.finish(), "and 1 more");
    }

    #[test]
    fn f7_a_list_of_names_is_truncated() {
        assert_eq!(join_names(&["a", "b"], ", "), "a, b");
        let names = vec!["a"; MAX_NAMES + 3];
        let listed = join_names(&names, ", ");
        assert!(listed.ends_with("a, 3 more"), "{listed}");
        assert_eq!(listed.matches('a').count(), MAX_NAMES);
    }
}
