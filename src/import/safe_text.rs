//! The text of a file that may be printed: hostnames, addresses, names, paths, images, label keys.
//!
//! The report and the policy consist of [`Message`]s and [`SafeText`]s. A [`Message`] has only
//! fixed text, numbers and [`SafeText`]s, so no other value of a file (a token, a variable, a
//! patch) gets into it.

use crate::core::crd::format;
use crate::core::quote::quote;
use std::fmt;

/// The kinds of text that may be printed. Each has a form that the text must have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Hostname,
    Address,
    /// The name of an object or a runner.
    Name,
    /// The name of a Kubernetes object (RFC 1123).
    Object,
    Path,
    /// An absolute path that a policy accepts.
    MountPath,
    Image,
    /// A key of a label, of a ConfigMap, or of the file itself.
    Key,
    /// The value of a label, for the selectors and tolerations of a policy.
    LabelValue,
    /// A size above zero, as in `30Gi`.
    Size,
}

/// A text of a file that may be printed.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct SafeText(String);

/// Prefixes of credentials, which are hidden in text of every kind.
const CREDENTIALS: &str = "glrt- glpat- gldt- glcbt- glrtr- gr1348941 squ_ sqp_ ghp_ github_pat_ akia eyj xoxb- hvs. -----begin t3_";

impl SafeText {
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

    /// Returns the text, or a placeholder if it may not be printed.
    pub(super) fn or_hidden(kind: Kind, text: &str) -> Self {
        Self::new(kind, text).unwrap_or_else(|| Self("(hidden)".to_owned()))
    }

    /// Wraps a text that does not come from a file: a parsed address, or an argument of the user.
    pub(super) fn own(text: impl fmt::Display) -> Self {
        Self(text.to_string())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SafeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        quote(&self.0).at_most(256).fmt(f)
    }
}

/// A part of a [`Message`].
pub(super) trait MessagePart: fmt::Display {}

impl MessagePart for &'static str {}
impl MessagePart for usize {}
impl MessagePart for SafeText {}
impl MessagePart for Message {}
impl<T: MessagePart> MessagePart for &T {}

/// Checks a part of a sentence, for the macro below.
pub(super) fn part<T: MessagePart>(part: &T) -> &T {
    part
}

/// Text for people, which has only fixed words and text that may be printed.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Message(String);

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Message {
    /// Formats arguments that are all [`MessagePart`], which only the macros ensure.
    pub(super) fn of(text: fmt::Arguments<'_>) -> Self {
        Self(text.to_string())
    }

    /// Joins parts with commas.
    pub(super) fn list<T: MessagePart>(parts: impl IntoIterator<Item = T>) -> Self {
        Self::joined(parts, ", ")
    }

    pub(super) fn joined<T: MessagePart>(
        parts: impl IntoIterator<Item = T>,
        with: &'static str,
    ) -> Self {
        let parts: Vec<String> = parts.into_iter().map(|part| part.to_string()).collect();
        Self(parts.join(with))
    }

    pub(super) fn and(self, part: &impl MessagePart) -> Self {
        Self(format!("{}{part}", self.0))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the message of a parser after `: `. Empty if the message quotes more than a few
    /// characters, which may be a value.
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

/// Makes a [`Message`], as `format!` makes a string. The arguments must be [`MessagePart`].
macro_rules! message {
    ($words:literal $(, $part:expr)* $(,)?) => {
        $crate::import::safe_text::Message::of(format_args!($words $(, $crate::import::safe_text::part(&$part))*))
    };
}
pub(super) use message;
