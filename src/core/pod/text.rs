//! Strings and maps of strings that borrow from the request.

use crate::core::quote::quote;
use serde::de::Deserializer;
use serde::{Deserialize, Serialize};
use std::borrow::{Borrow, Cow};
use std::fmt;
use std::ops::Deref;

/// Reads null as the default value, as the API server does.
pub(super) fn null_as_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A string that borrows from the request if it contains no escapes.
///
/// `Display` escapes the string ([`crate::core::quote`]), because it is untrusted and messages
/// contain it.
#[derive(Clone, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Text<'_> {
    /// Returns the string.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for Text<'_> {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text))
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        quote(self.as_str()).fmt(f)
    }
}

/// A map of strings (labels, annotations, a node selector), in the order of the request. A null
/// value is an empty string.
#[derive(Clone, Debug, Default)]
pub struct Map<'a>(pub(super) Vec<(Text<'a>, Text<'a>)>);

impl<'a> Map<'a> {
    /// Returns the value of a key, or the last value if the key occurs several times.
    pub fn get(&self, key: &str) -> Option<&str> {
        let mut members = self.0.iter().rev();
        let member = members.find(|(name, _)| name == key);
        member.map(|(_, value)| value.as_str())
    }

    /// Sets the value of a key.
    pub fn set(&mut self, key: Text<'a>, value: Text<'a>) {
        self.0.retain(|(name, _)| *name != key);
        self.0.push((key, value));
    }
}
