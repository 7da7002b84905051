//! Which text of a file may be printed: hostnames, addresses, names, paths, images and label keys.
//!
//! Everything that the report or the policy says is a [`Sentence`], and a sentence takes only fixed
//! text, numbers and [`Printable`]s. There is no way from another value of a file (a token, a
//! variable, a patch) into one.

use crate::core::crd::format;
use crate::core::quote::quote;
use std::fmt;
use std::net::IpAddr;

/// What a text of a file is, which decides the form that it must have to be printed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Hostname,
    Address,
    /// The name of an object or a runner, or the key of a ConfigMap.
    Name,
    Path,
    Image,
    /// A key of a label, or of the file itself.
    Key,
}

/// A text of a file that may be printed.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Printable(String);

/// How credentials begin, wherever somebody pasted one.
const CREDENTIALS: [&str; 16] = [
    "glrt-",
    "glpat-",
    "gldt-",
    "glcbt-",
    "glrtr-",
    "gr1348941",
    "squ_",
    "sqp_",
    "ghp_",
    "github_pat_",
    "akia",
    "eyj",
    "xoxb-",
    "hvs.",
    "-----begin",
    "t3_",
];

impl Printable {
    /// Returns the text if it has the form of its kind and does not look like a credential.
    pub(super) fn new(kind: Kind, text: &str) -> Option<Self> {
        let only = |others: &str, longest: usize| {
            let is_good = |char: char| char.is_ascii_alphanumeric() || others.contains(char);
            !text.is_empty() && text.len() <= longest && text.chars().all(is_good)
        };
        let has_form = match kind {
            Kind::Hostname => only("-._*:[]", 253),
            Kind::Address => {
                let is_good = |char: char| char.is_ascii_hexdigit() || ".:xX/%".contains(char);
                text.len() <= 45 && text.contains(['.', ':']) && text.chars().all(is_good)
            }
            Kind::Name => !text.is_empty() && text.chars().count() <= 128,
            Kind::Path => text.contains('/') && text.chars().count() <= 256,
            Kind::Image => only("-._:/@", 512),
            Kind::Key => only("-._/", 320),
        };
        let lower = text.trim_start().to_ascii_lowercase();
        let is_credential = CREDENTIALS.iter().any(|begin| lower.starts_with(begin));
        (has_form && !is_credential).then(|| Self(text.to_owned()))
    }

    /// The same, with words in place of what may not be printed.
    pub(super) fn or_hidden(kind: Kind, text: &str) -> Self {
        Self::new(kind, text).unwrap_or_else(|| Self("(not shown)".to_owned()))
    }

    /// An address that was parsed.
    pub(super) fn address(address: IpAddr) -> Self {
        Self(address.to_string())
    }

    /// A text with the form of a label value, for the selectors and tolerations of a policy.
    pub(super) fn label_value(text: &str) -> Option<Self> {
        format::LABEL_VALUE
            .check(text)
            .ok()
            .map(|()| Self(text.to_owned()))
    }

    /// A quantity, as in `30Gi`.
    pub(super) fn quantity(text: &str) -> Option<Self> {
        format::QUANTITY
            .check(text)
            .ok()
            .map(|()| Self(text.to_owned()))
    }

    /// The name of a file as its user wrote it.
    pub(super) fn file(name: &str) -> Self {
        Self(name.to_owned())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Printable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        quote(&self.0).at_most(256).fmt(f)
    }
}

/// What a sentence may be made of.
pub(super) trait Say {
    /// Writes it into a sentence.
    ///
    /// # Errors
    /// Those of the formatter.
    fn say(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

impl Say for &'static str {
    fn say(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl Say for u32 {
    fn say(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Say for usize {
    fn say(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Say for Printable {
    fn say(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Say for Sentence {
    fn say(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Say for &Printable {
    fn say(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (*self).say(f)
    }
}

impl Say for &Sentence {
    fn say(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (*self).say(f)
    }
}

impl<T: Say> Say for Vec<T> {
    fn say(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            item.say(f)?;
        }
        Ok(())
    }
}

/// A part of a sentence, for the macro below.
pub(super) struct Said<'s, T: Say>(pub(super) &'s T);

impl<T: Say> fmt::Display for Said<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.say(f)
    }
}

/// Text for people, of fixed words and what may be printed.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Sentence(String);

impl Sentence {
    /// For the macro below: its arguments are all [`Said`].
    pub(super) fn of(text: fmt::Arguments<'_>) -> Self {
        Self(text.to_string())
    }

    pub(super) fn and(self, part: &impl Say) -> Self {
        Self(format!("{}{}", self.0, Said(part)))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a library says of a syntax error, with `: ` before it; nothing where it quotes more
    /// than a few characters, which may be a value.
    pub(super) fn library(text: &str) -> Self {
        let is_quote = |char: char| matches!(char, '`' | '\'' | '"');
        let quotes_little = text
            .split(is_quote)
            .skip(1)
            .step_by(2)
            .all(|part| part.chars().count() <= 4);
        let is_plain = text.len() <= 160
            && text
                .chars()
                .all(|char| char.is_ascii() && !char.is_ascii_control());
        let said = if quotes_little && is_plain && !text.is_empty() {
            format!(": {text}")
        } else {
            String::new()
        };
        Self(said)
    }
}

/// Makes a [`Sentence`]: as `format!`, but its arguments can only be what may be printed.
macro_rules! say {
    ($words:literal $(, $part:expr)* $(,)?) => {
        $crate::import::printable::Sentence::of(format_args!($words $(, $crate::import::printable::Said(&$part))*))
    };
}
pub(super) use say;
