//! Strings and maps of strings that borrow from the request.

use crate::core::quote::quote;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::borrow::{Borrow, Cow};
use std::cell::OnceCell;
use std::collections::BTreeMap;
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
/// `Display` quotes it ([`crate::core::quote`]), so that untrusted text cannot reach a message in
/// another form.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Text<'a>(Cow<'a, str>);

impl Text<'_> {
    /// Returns the string.
    #[must_use]
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

impl AsRef<str> for Text<'_> {
    fn as_ref(&self) -> &str {
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

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
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

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text::from(text))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text::from(text.to_owned()))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// About the number of labels or annotations of a job pod.
const TYPICAL_LEN: usize = 10;

/// The greatest number of members for which a linear search is faster than an index.
const MAX_LINEAR: usize = 32;

/// A map of strings (labels, annotations, a node selector), in the order of the text. A null value
/// is an empty string.
#[derive(Clone, Default)]
pub struct Map<'a> {
    members: Vec<(Text<'a>, Text<'a>)>,
    /// The position of the last member with each key, built at the first look-up in a large map.
    index: OnceCell<BTreeMap<Text<'a>, usize>>,
}

impl fmt::Debug for Map<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Map").field(&self.members).finish()
    }
}

impl<'a> Map<'a> {
    /// Returns the value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        let member = if self.members.len() <= MAX_LINEAR {
            self.members.iter().rev().find(|(name, _)| name == key)
        } else {
            let index = self.index.get_or_init(|| {
                let names = self.members.iter().map(|(name, _)| name.clone());
                names.zip(0..).collect()
            });
            index.get(key).and_then(|at| self.members.get(*at))
        };
        member.map(|(_, value)| value.as_str())
    }

    /// Sets the value of a key.
    pub fn set(&mut self, key: Text<'a>, value: Text<'a>) {
        if self.get(&key).is_some() {
            self.members.retain(|(name, _)| *name != key);
            self.index.take();
        } else if let Some(index) = self.index.get_mut() {
            index.insert(key.clone(), self.members.len());
        }
        self.members.push((key, value));
    }

    /// Reads a map of at most `max` members.
    pub(super) fn read<'de: 'a, D: Deserializer<'de>>(
        deserializer: D,
        max: usize,
        too_many: impl Fn() -> D::Error,
    ) -> Result<Self, D::Error> {
        struct TextMapVisitor<'t, E>(usize, &'t dyn Fn() -> E);
        impl<'de, E: Error> Visitor<'de> for TextMapVisitor<'_, E> {
            type Value = Vec<(Text<'de>, Text<'de>)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(map.size_hint().unwrap_or(TYPICAL_LEN));
                while let Some((key, value)) = map.next_entry::<Text<'de>, Option<Text<'de>>>()? {
                    members.push((key, value.unwrap_or_default()));
                    if members.len() > self.0 {
                        return Err(A::Error::custom((self.1)()));
                    }
                }
                Ok(members)
            }
        }
        let members = deserializer.deserialize_map(TextMapVisitor(max, &too_many))?;
        Ok(Self {
            members,
            index: OnceCell::new(),
        })
    }
}
