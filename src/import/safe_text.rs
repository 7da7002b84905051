//! Text of a file that may be printed: hostnames, addresses, names, paths, images and label keys.
//!
//! The report and the policy consist of [`Message`]s and [`SafeText`]s. A [`Message`] contains only
//! fixed text, numbers and [`SafeText`]s, so it cannot contain another value of a file, such as a
//! token, a variable or a patch.

use crate::core::crd::format;
use crate::core::quote::quote;
use std::fmt;

/// The kinds of text that may be printed. [`SafeText::new`] checks the format of each kind.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Hostname,
    Address,
    /// The name of an object or a runner, in any format.
    Name,
    /// A valid name of a Kubernetes object (RFC 1123).
    Object,
    Path,
    /// A path that is valid as a mount path in a policy.
    MountPath,
    Image,
    /// A key of a label, of a ConfigMap, or of the file itself.
    Key,
    /// A label value. Only selectors and tolerations of a policy print it.
    LabelValue,
    /// A quantity above zero, such as `30Gi`.
    Size,
}

/// A text of a file that may be printed.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct SafeText(String);

/// Prefixes of credentials, in lower case. Text with such a prefix is never printed.
const CREDENTIALS: &str = "glrt- glpat- gldt- glcbt- glrtr- gr1348941 squ_ sqp_ ghp_ github_pat_ akia eyj xoxb- hvs. -----begin t3_";

impl SafeText {
    /// Returns the text if it has the format of its kind and no prefix of a credential.
    pub(super) fn new(kind: Kind, text: &str) -> Option<Self> {
        let only = |others: &str, longest: usize| {
            let is_good = |char: char| char.is_ascii_alphanumeric() || others.contains(char);
            !text.is_empty() && text.len() <= longest && text.chars().all(is_good)
        };
        let has_format = match kind {
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
        (has_format && !is_credential).then(|| Self(text.to_owned()))
    }

    /// Returns the text, or `(hidden)` if it may not be printed.
    pub(super) fn or_hidden(kind: Kind, text: &str) -> Self {
        Self::new(kind, text).unwrap_or_else(|| Self("(hidden)".to_owned()))
    }

    /// Wraps text without a check. The text must not be an unchecked value of a file: it is a
    /// constant, a command-line argument, or a parsed address.
    pub(super) fn trusted(text: impl fmt::Display) -> Self {
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

/// A type that [`message!`] accepts as an argument.
pub(super) trait MessagePart: fmt::Display {}

impl MessagePart for &'static str {}
impl MessagePart for usize {}
impl MessagePart for SafeText {}
impl MessagePart for Message {}
impl<T: MessagePart> MessagePart for &T {}

/// Returns its argument. [`message!`] calls it to require that an argument is a [`MessagePart`].
pub(super) fn part<T: MessagePart>(part: &T) -> &T {
    part
}

/// Text for the report or for comments of a policy, made of fixed text and [`MessagePart`]s.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Message(String);

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Message {
    /// Formats a message. Only macros that require a [`MessagePart`] for each argument call it.
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

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns `: ` followed by the message of a parser. Returns an empty message if the parser
    /// quotes more than four characters, because the quoted text may be a secret value.
    pub(super) fn from_parser(text: &str) -> Self {
        let quoted = text.split(['`', '\'', '"']).skip(1).step_by(2);
        let has_short_quotes = quoted.map(str::len).all(|length| length <= 4);
        let is_plain = text.len() <= 160 && text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if has_short_quotes && is_plain && !text.is_empty() {
            Self(format!(": {text}"))
        } else {
            Self::default()
        }
    }
}

/// Formats a [`Message`] as `format!` formats a string. Each argument must be a [`MessagePart`].
macro_rules! message {
    ($words:literal $(, $part:expr)* $(,)?) => {
        $crate::import::safe_text::Message::of(format_args!($words $(, $crate::import::safe_text::part(&$part))*))
    };
}
pub(super) use message;
