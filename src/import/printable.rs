//! Which text of a file may be printed: hostnames, addresses, names, paths, images and label keys.
//!
//! Everything that the report or the policy says is a [`Sentence`] or a [`Printable`], and a
//! sentence takes only fixed text, numbers and [`Printable`]s. There is no way from another value
//! of a file (a token, a variable, a patch) into one.

use crate::core::crd::format;
use crate::core::quote::quote;
use std::fmt;

/// What a text of a file is, which decides the form that it must have to be printed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Hostname,
    Address,
    /// The name of an object or a runner.
    Name,
    /// The name of an object of the API.
    Object,
    Path,
    /// An absolute path without variables, as a policy takes it.
    MountPath,
    Image,
    /// A key of a label, of a ConfigMap, or of the file itself.
    Key,
    /// The value of a label, for the selectors and tolerations of a policy.
    LabelValue,
    /// A size that is more than nothing, as in `30Gi`.
    Size,
}

/// A text of a file that may be printed.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Printable(String);

/// How credentials begin, wherever somebody pasted one.
const CREDENTIALS: &str = "glrt- glpat- gldt- glcbt- glrtr- gr1348941 squ_ sqp_ ghp_ github_pat_ akia eyj xoxb- hvs. -----begin t3_";

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
            Kind::Object => format::SUBDOMAIN.check(text).is_ok(),
            Kind::Path => text.contains('/') && text.chars().count() <= 256,
            Kind::MountPath => format::MOUNT_PATH.check(text).is_ok(),
            Kind::Image => only("-._:/@", 512),
            Kind::Key => only("-._/", 320),
            Kind::LabelValue => format::LABEL_VALUE.check(text).is_ok(),
            Kind::Size => {
                format::QUANTITY.check(text).is_ok() && format::SIZE_LIMIT.check(text).is_ok()
            }
        };
        let lower = text.trim_start().to_ascii_lowercase();
        let is_credential = CREDENTIALS.split(' ').any(|begin| lower.starts_with(begin));
        (has_form && !is_credential).then(|| Self(text.to_owned()))
    }

    /// The same, with words in place of what may not be printed.
    pub(super) fn or_hidden(kind: Kind, text: &str) -> Self {
        Self::new(kind, text).unwrap_or_else(|| Self("(hidden)".to_owned()))
    }

    /// A text that is none of a file: an address that was parsed, or an argument of the user.
    pub(super) fn own(text: impl fmt::Display) -> Self {
        Self(text.to_string())
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
pub(super) trait Say: fmt::Display {}

impl Say for &'static str {}
impl Say for u32 {}
impl Say for usize {}
impl Say for Printable {}
impl Say for Sentence {}
impl<T: Say> Say for &T {}

/// A part of a sentence, for the macro below.
pub(super) fn said<T: Say>(part: &T) -> &T {
    part
}

/// Text for people, of fixed words and what may be printed.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Sentence(String);

impl fmt::Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Sentence {
    /// For macros, whose arguments are all [`Say`].
    pub(super) fn of(text: fmt::Arguments<'_>) -> Self {
        Self(text.to_string())
    }

    /// Parts with commas between them.
    pub(super) fn list<T: Say>(parts: impl IntoIterator<Item = T>) -> Self {
        Self::joined(parts, ", ")
    }

    pub(super) fn joined<T: Say>(parts: impl IntoIterator<Item = T>, with: &'static str) -> Self {
        let parts: Vec<String> = parts.into_iter().map(|part| part.to_string()).collect();
        Self(parts.join(with))
    }

    pub(super) fn and(self, part: &impl Say) -> Self {
        Self(format!("{}{part}", self.0))
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
        let quoted = text.split(['`', '\'', '"']).skip(1).step_by(2);
        let quotes_little = quoted.map(str::len).all(|length| length <= 4);
        let is_plain = text.len() <= 160 && text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if quotes_little && is_plain && !text.is_empty() {
            Self(format!(": {text}"))
        } else {
            Self::default()
        }
    }
}

/// Makes a [`Sentence`]: as `format!`, but its arguments can only be what may be printed.
macro_rules! say {
    ($words:literal $(, $part:expr)* $(,)?) => {
        $crate::import::printable::Sentence::of(format_args!($words $(, $crate::import::printable::said(&$part))*))
    };
}
pub(super) use say;
